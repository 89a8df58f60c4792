
if [ "$(cat "$SETTINGS/prepared" 2>/dev/null || true)" = "$PREPARED" ]; then
  say 'dependencies and build are in place'
else
  rm -f "$SETTINGS/prepared"
  prepare
  printf '%s' "$PREPARED" >"$SETTINGS/prepared"
fi

stop_own
switch_to "$RELEASE"
launch

# The last five releases stay, and whatever is current or before it.
for old in $(cd "$APP_HOME/releases" && ls -1t | tail -n +6); do
  case "releases/$old" in "$(readlink "$APP_HOME/current")" | "$(readlink "$APP_HOME/previous" 2>/dev/null || true)") continue ;; esac
  rm -rf "$APP_HOME/releases/${old:?}" "$APP_HOME/settings/${old:?}"
done

sleep 1
say 'log:'
tail -c "+$(($(cat "$APP_HOME/log.start") + 1))" "$APP_HOME/app.log" | tail -n 20
