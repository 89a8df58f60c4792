# Runs a job in a pod, from its files to its outputs, and ends with what it ended with.
BUNDLE_URL=${ALIFORM_BUNDLE_URL:?} OUTPUT_URL=${ALIFORM_OUTPUT_URL:-}
# Whoever has these links may do what they are for; the job needs neither.
unset ALIFORM_BUNDLE_URL ALIFORM_OUTPUT_URL
BASE="$ROOT/tmp/aliform/$STACK/$JOB"
unpack
cd "$BASE/work" || exit 1
(
  environment
  work
)
code=$?
missing() { say "there is no output \`$1\`"; }
if [ "$#" -gt 0 ]; then
  send_outputs "$@"
  if [ $? -eq 1 ]; then
    say 'the outputs could not be sent'
    [ "$code" -ne 0 ] || code=1
  fi
fi
exit "$code"
