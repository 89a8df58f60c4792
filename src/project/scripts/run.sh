APP_HOME="$ROOT/opt/aliform/$STACK/$APP"
cd "$APP_HOME/current" || exit 1
APP_DIR=$(pwd -P)
# A log over 50 MB makes room for a new one.
if [ "$(wc -c <"$APP_HOME/app.log")" -gt 50000000 ]; then
  mv -f "$APP_HOME/app.log" "$APP_HOME/app.log.1"
  echo 0 >"$APP_HOME/log.start"
fi
# Once it was well, what its log said before it ended says nothing of how it is now.
if [ -f "$APP_HOME/verified" ]; then
  wc -c <"$APP_HOME/app.log" >"$APP_HOME/log.start"
fi
exec </dev/null >>"$APP_HOME/app.log" 2>&1
echo "$$" >>"$APP_HOME/launches"
if [ "${1:-}" = supervised ]; then
  # The process to stop is the one that would start it again.
  shift
elif [ -d /proc/self ]; then
  echo "$$ $(sed 's/^.*) //' "/proc/$$/stat" | cut -d ' ' -f 20)" >"$APP_HOME/app.pid"
else
  echo "$$ $(ps -o lstart= -p $$)" >"$APP_HOME/app.pid"
fi
PATH="$APP_DIR/.venv/bin:$APP_DIR/node_modules/.bin:$APP_HOME/bin:$ROOT/opt/aliform/runtimes/node/bin:$PATH"
: "${HOME:=/root}"
export PATH HOME
