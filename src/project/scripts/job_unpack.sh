# Fetches a job's files and unpacks them into $BASE/work, where it will run; whatever was there before goes.
unpack() {
  rm -rf "$BASE"
  mkdir -p "$BASE/work" || fail 'there is no place for the files of the job'
  download "${BUNDLE_URL:?}" "$BASE/bundle" || fail 'the files of the job could not be downloaded'
  found=$(digest_of "$BASE/bundle")
  [ "$found" = "${BUNDLE_SHA256:?}" ] || fail "the files are not those that were packed: their digest is $found and not $BUNDLE_SHA256"
  tar -xmzf "$BASE/bundle" --no-same-owner -C "$BASE/work" || fail 'the files of the job could not be unpacked'
  rm "$BASE/bundle"
}
