# Leaves a job alone that is started already.
BASE="$ROOT/opt/aliform/$STACK/jobs/$JOB"
if [ -f "$BASE/started" ] && [ "$(cat "$BASE/started")" = "$DIGEST ${RUN:?}" ]; then
  say 'it is started already'
  exit 0
fi
