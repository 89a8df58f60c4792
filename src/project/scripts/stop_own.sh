# TERM, ten seconds of grace, KILL; only ever the app's own group.
stop_own() {
  if under_systemd && [ -f "/etc/systemd/system/$UNIT" ]; then
    systemctl stop "$UNIT" || say "systemd could not stop $UNIT"
  fi
  if group=$(own_group); then
    kill -s TERM -- "-$group" 2>/dev/null || true
    left=$((${GRACE:-10} * 5))
    while [ "$left" -gt 0 ] && own_group >/dev/null; do
      left=$((left - 1))
      sleep 0.2
    done
    if own_group >/dev/null; then
      say "pid $group did not end on TERM; it is killed"
      kill -s KILL -- "-$group" 2>/dev/null || true
      left=25
      while [ "$left" -gt 0 ] && own_group >/dev/null; do
        left=$((left - 1))
        sleep 0.2
      done
    fi
    say "stopped pid $group"
  fi
  rm -f "$APP_HOME/app.pid"
}
