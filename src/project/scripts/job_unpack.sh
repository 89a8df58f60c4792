# Fetches a job's files and unpacks them where it will run; whatever was there before goes.
rm -rf "$BASE"
mkdir -p "$BASE/work"
download "${BUNDLE_URL:?}" "$BASE/bundle" || fail 'the files of the job could not be downloaded'
found=$(digest_of "$BASE/bundle")
[ "$found" = "${BUNDLE_SHA256:?}" ] || fail "the files are not those that were packed: their digest is $found and not $BUNDLE_SHA256"
tar -xmzf "$BASE/bundle" --no-same-owner -C "$BASE/work"
rm "$BASE/bundle"
