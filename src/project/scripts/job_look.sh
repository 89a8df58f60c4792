# Says how the job is, how long its log is, and what stands in it from byte $OFFSET on: two lines, and the bytes compressed and
# in Base64, as many of them as $ROOM characters hold.
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
size=0
[ ! -f "$BASE/log" ] || size=$(wc -c <"$BASE/log" | tr -d ' ')
printf '%s\n' "$size"
if [ "$size" -gt "$OFFSET" ]; then
  # What is compressed well is sent in large pieces; a sixteenth of this one fits in any case.
  most=$MOST
  while
    piece=$(tail -c "+$((OFFSET + 1))" "$BASE/log" | head -c "$most" | gzip -c | base64 | tr -d '\n')
    [ "${#piece}" -gt "$ROOM" ]
  do most=$((most / 4)); done
  printf '%s' "$piece"
fi
