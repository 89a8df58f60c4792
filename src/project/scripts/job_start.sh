# Unpacks a job's bundle and starts the job in the background. A second call finds the first one's work and leaves it;
# another run of the job that still goes on is stopped first.
JOBS="$ROOT/opt/aliform/$STACK/jobs"
BASE="$JOBS/$JOB${PART:+-$PART}"
mkdir -p "$JOBS" || fail 'there is no place for the files of the job'
# A start that is under way is waited for: what it begins could not be stopped otherwise.
exec 9>"$JOBS/$JOB.lock"
if command -v flock >/dev/null 2>&1; then flock 9; fi
if [ -f "$BASE/started" ] && [ "$(cat "$BASE/started")" = "$DIGEST ${RUN:?}" ]; then
  say 'it is started already'
  exit 0
fi
for earlier in "$BASE" "$JOBS/$JOB" "$JOBS/$JOB"-[0-9]*; do
  # What a run of a matrix that is over left in the background may be there for the next one.
  if [ -d "$earlier" ] && { [ "$earlier" = "$BASE" ] || [ ! -f "$earlier/exit" ]; }; then
    stop_run "$earlier"
  fi
done
unpack
: >"$BASE/log"
write_run
# A session of its own: it goes on when this command is over.
setsid sh "$BASE/run.sh" </dev/null >>"$BASE/log" 2>&1 9>&- &
echo $! >"$BASE/pid"
echo "$DIGEST $RUN" >"$BASE/started"
