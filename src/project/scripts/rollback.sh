TARGET=${ROLLBACK_TO:-$(basename "$(readlink "$APP_HOME/previous" 2>/dev/null || true)")}
[ -n "$TARGET" ] || fail 'there is no release before this one to go back to'
case $TARGET in .* | *[!A-Za-z0-9._-]*) fail "$TARGET is not the name of a release" ;; esac
[ -f "$APP_HOME/settings/$TARGET/prepared" ] && [ -d "$APP_HOME/releases/$TARGET" ] || fail "release $TARGET is not on this machine"
stop_own
switch_to "$TARGET"
launch
say "went back to release $TARGET"
