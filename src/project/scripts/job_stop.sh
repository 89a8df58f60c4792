# The living processes of the run in folder $1: its session, and whatever works in its folder.
living() {
  folder=$(cd "$1" && pwd -P) || return 0
  session=$(cat "$1/pid" 2>/dev/null || echo none)
  # The number of a process is used again: only one that runs the run's own script leads its session.
  case " $(tr '\0' ' ' 2>/dev/null <"/proc/$session/cmdline")" in *" $1/run.sh "*) ;; *) session=none ;; esac
  {
    cat /proc/[0-9]*/stat 2>/dev/null |
      awk -v session="$session" '{ pid = $1; sub(/^.*\) /, ""); if ($4 == session && $1 !~ /[ZX]/) print pid }'
    ls -ld /proc/[0-9]*/cwd 2>/dev/null | awk -v folder="$folder/" '
      { at = index($0, " -> ") }
      at && index(substr($0, at + 4) "/", folder) == 1 { $0 = substr($0, 1, at - 1); sub(/\/cwd$/, ""); sub(/^.*\//, ""); print }'
  } | sort -u
}

# Ends what still goes on of the run in folder $1: TERM, five seconds of grace, KILL.
stop_run() {
  [ -n "$(living "$1")" ] || return 0
  say 'an earlier run of this job still goes on here; it is stopped'
  for signal in TERM KILL; do
    for process in $(living "$1"); do
      kill -s "$signal" "$process" 2>/dev/null || true
    done
    left=25
    while [ "$left" -gt 0 ]; do
      [ -n "$(living "$1")" ] || return 0
      left=$((left - 1))
      sleep 0.2
    done
  done
  fail 'an earlier run of this job could not be stopped'
}
