# Runs a job in a pod, sends its outputs off, and ends as the job ended.
unpack
write_run
sh "$BASE/run.sh" </dev/null 2>&1
code=$(cat "$BASE/exit" 2>/dev/null || echo 1)
# One pod brings the outputs: the first, by what the service gives each to know itself by.
case "${RANK:-${HOSTNAME:-}}" in
  0 | *-master-0 | *-chief-0 | *-worker-0) first=1 ;;
esac
if [ -n "${first:-}" ] && [ -n "${OUTPUT_URL:-}" ]; then
  # What a failed run leaves behind may be what tells why.
  deliver "$@" | sed "s/^/aliform-$DIGEST /"
fi
printf 'aliform-%s exit=%s\n' "$DIGEST" "$code"
exit "$code"
