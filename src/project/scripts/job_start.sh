# Unpacks a job's bundle and starts the job in the background. A second call finds the first one's work and leaves it.
BASE="$ROOT/opt/aliform/$STACK/jobs/$JOB${PART:+-$PART}"
if [ -f "$BASE/started" ] && [ "$(cat "$BASE/started")" = "$DIGEST ${RUN:?}" ]; then
  say 'it is started already'
  exit 0
fi
unpack
: >"$BASE/log"
write_run
# A session of its own: it goes on when this command is over.
setsid sh "$BASE/run.sh" </dev/null >>"$BASE/log" 2>&1 &
echo $! >"$BASE/pid"
echo "$DIGEST $RUN" >"$BASE/started"
