# Sends the outputs that are there; prints those that are not.
BASE="$ROOT/opt/aliform/$STACK/jobs/$JOB${PART:+-$PART}"
cd "$BASE/work" || exit 1
missing() { printf 'missing=%s\n' "$1"; }
send_outputs "$@"
case $? in 0) printf 'delivered\n' ;; 2) ;; *) exit 1 ;; esac
