# Sends what stands in the log of the job from byte $OFFSET on, $MOST bytes at the most, compressed to $OUTPUT_URL.
BASE="$ROOT/opt/aliform/$STACK/jobs/$JOB${PART:+-$PART}"
tail -c "+$((OFFSET + 1))" "$BASE/log" | head -c "$MOST" | gzip -c >"$BASE/log.gz" || exit 1
send "$BASE/log.gz"
