# Says how the job is, and what it wrote since byte $OFFSET: a line, and the bytes in Base64.
BASE="$ROOT/opt/aliform/$STACK/jobs/$JOB${PART:+-$PART}"
# How it is comes first: what it wrote before its end is in the log by then.
if [ -f "$BASE/exit" ]; then
  printf 'exit=%s\n' "$(cat "$BASE/exit")"
elif [ -f "$BASE/pid" ] && kill -0 "$(cat "$BASE/pid")" 2>/dev/null; then
  printf 'running\n'
elif [ -f "$BASE/exit" ]; then
  printf 'exit=%s\n' "$(cat "$BASE/exit")"
else
  printf 'lost\n'
fi
[ ! -f "$BASE/log" ] || tail -c "+$((OFFSET + 1))" "$BASE/log" | head -c "$MOST" | base64 | tr -d '\n'
