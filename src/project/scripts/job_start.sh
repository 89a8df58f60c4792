# Starts the job in the background.
: >"$BASE/log"
write_run
# A session of its own: it goes on when this command is over.
setsid sh "$BASE/run.sh" </dev/null >>"$BASE/log" 2>&1 &
echo $! >"$BASE/pid"
echo "$DIGEST $RUN" >"$BASE/started"
