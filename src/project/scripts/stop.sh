
# Whatever the app's folder holds goes, and nothing else: the names must be there.
remove_own() {
  case "$APP_HOME" in "$ROOT/opt/aliform/"?*/?*) ;; *) say "not removed: $APP_HOME is not an app's folder"; return 1 ;; esac
  [ -n "$STACK" ] && [ -n "$APP" ] || return 1
  if under_systemd && [ -f "/etc/systemd/system/$UNIT" ]; then
    systemctl -q disable "$UNIT" || true
    rm -f "/etc/systemd/system/$UNIT"
    systemctl daemon-reload
  fi
  rm -rf "${APP_HOME:?}" "$ROOT/run/aliform/${STACK:?}.${APP:?}"
  # The stack's folder stays as long as another app is in it.
  rmdir "$ROOT/opt/aliform/$STACK" 2>/dev/null || true
  say "removed $APP_HOME"
}
