# Unpacks a job's bundle and starts the job in the background. A second call finds the first one's work and leaves it.
BASE="$ROOT/opt/aliform/$STACK/jobs/$JOB${PART:+-$PART}"
if [ -f "$BASE/started" ] && [ "$(cat "$BASE/started")" = "$DIGEST ${RUN:?}" ]; then
  say 'it is started already'
  exit 0
fi
rm -rf "$BASE"
mkdir -p "$BASE/work"
download "${BUNDLE_URL:?}" "$BASE/bundle" || fail 'the files of the job could not be downloaded'
found=$(digest_of "$BASE/bundle")
[ "$found" = "${BUNDLE_SHA256:?}" ] || fail "the files are not those that were packed: their digest is $found and not $BUNDLE_SHA256"
tar -xmzf "$BASE/bundle" --no-same-owner -C "$BASE/work"
rm "$BASE/bundle"
: >"$BASE/log"
write_run
# A session of its own: it goes on when this command is over.
setsid sh "$BASE/run.sh" </dev/null >>"$BASE/log" 2>&1 &
echo $! >"$BASE/pid"
echo "$DIGEST $RUN" >"$BASE/started"
