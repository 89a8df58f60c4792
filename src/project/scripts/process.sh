say() { printf 'aliform: %s\n' "$*"; }

# When process $1 began. With its number it names one process for ever; the number alone is used again.
started_at() {
  if [ -d /proc/self ]; then
    sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
  else
    ps -o lstart= -p "$1" 2>/dev/null
  fi
}

# The living members of process group $1.
members() {
  if [ -d /proc/self ]; then
    cat /proc/[0-9]*/stat 2>/dev/null |
      awk -v group="$1" '{ pid = $1; sub(/^.*\) /, ""); if ($3 == group && $1 !~ /[ZX]/) print pid }'
  else
    ps -A -o pid= -o pgid= -o stat= | awk -v group="$1" '$2 == group && $3 !~ /^Z/ { print $1 }'
  fi
}

# The app's process group, if it lives and is ours: not a stranger that was given its number since.
own_group() {
  [ -s "$APP_HOME/app.pid" ] || return 1
  read -r pid born <"$APP_HOME/app.pid" || return 1
  now=$(started_at "$pid")
  [ -z "$now" ] || [ "$now" = "$born" ] || return 1
  for member in $(members "$pid"); do
    # The leader has gone: only what runs in the app's own folder is the app's.
    [ -n "$now" ] || case $(readlink "/proc/$member/cwd" 2>/dev/null) in "$(cd "$APP_HOME" && pwd -P)"/*) ;; *) continue ;; esac
    echo "$pid"
    return 0
  done
  return 1
}

under_systemd() { [ -z "$ROOT" ] && [ -d /run/systemd/system ]; }

# The local addresses and sockets that listen on port $1.
listeners() {
  if [ -r /proc/net/tcp ]; then
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
      awk -v port=":$(printf '%04X' "$1")" '$4 == "0A" && substr($2, length($2) - 4) == port { print substr($2, 1, length($2) - 5), $10 }'
  else
    lsof -nP -iTCP:"$1" -sTCP:LISTEN 2>/dev/null | awk 'NR > 1 { print $9, $6 }'
  fi
}
