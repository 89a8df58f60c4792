fail() {
  say "$*" >&2
  exit 1
}

# Lets the link $1 in the app's folder point to $2, at one stroke.
point() {
  ln -sfn "$2" "$APP_HOME/.$1.new"
  if ! mv -fT "$APP_HOME/.$1.new" "$APP_HOME/$1" 2>/dev/null; then
    ln -sfn "$2" "$APP_HOME/$1"
    rm -f "$APP_HOME/.$1.new"
  fi
}

# Makes release $1 the current one and remembers the one before.
switch_to() {
  before=$(readlink "$APP_HOME/current" 2>/dev/null || true)
  if [ -n "$before" ] && [ "$before" != "releases/$1" ]; then
    point previous "$before"
  fi
  point current "releases/$1"
  point env "settings/$1/env"
  point run "settings/$1/run"
  touch "$APP_HOME/releases/$1"
}

# Starts what `current` points to, in the background, and waits until it has written its pid.
launch() {
  if [ -n "$PORT" ] && [ -n "$(listeners "$PORT")" ]; then
    socket=$(listeners "$PORT" | awk 'NR == 1 { print $2 }')
    holder=$(ls -l /proc/[0-9]*/fd/* 2>/dev/null | awk -v socket="socket:[$socket]" '$NF == socket { split($(NF - 2), part, "/"); print part[3]; exit }')
    fail "the port $PORT is in use by ${holder:+pid $holder ($(cat "/proc/$holder/comm" 2>/dev/null || true)), }which is not this app"
  fi
  touch "$APP_HOME/app.log"
  wc -c <"$APP_HOME/app.log" >"$APP_HOME/log.start"
  rm -f "$APP_HOME/app.pid" "$APP_HOME/launches" "$APP_HOME/down" "$APP_HOME/verified"
  if under_systemd; then
    cat >"/etc/systemd/system/$UNIT" <<UNIT_END
[Unit]
Description=$APP of $STACK, run by aliform
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh $APP_HOME/run
WorkingDirectory=$APP_HOME/current
Restart=always
RestartSec=2
TimeoutStopSec=10
LimitNOFILE=65535

[Install]
WantedBy=multi-user.target
UNIT_END
    systemctl daemon-reload
    systemctl -q enable "$UNIT"
    systemctl restart "$UNIT"
  else
    write_supervisor
    set -- /bin/sh "$APP_HOME/supervise" "$APP_HOME"
    if command -v setsid >/dev/null 2>&1; then
      setsid "$@" </dev/null >/dev/null 2>&1 &
    elif command -v python3 >/dev/null 2>&1; then
      python3 -c 'import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])' "$@" </dev/null >/dev/null 2>&1 &
    else
      fail 'neither systemd, setsid nor python3 is there to start a process of its own'
    fi
  fi
  left=100
  while [ "$left" -gt 0 ] && ! { [ -s "$APP_HOME/app.pid" ] && [ -s "$APP_HOME/launches" ]; }; do
    left=$((left - 1))
    sleep 0.1
  done
  [ -s "$APP_HOME/app.pid" ] || fail 'the app was not started within 10 s'
  say "started pid $(cut -d ' ' -f 1 "$APP_HOME/app.pid")"
}
