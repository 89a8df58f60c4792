
# The status that $1 answers with; no proxy is asked for what is on this machine.
http_status() (
  unset http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY
  if command -v curl >/dev/null 2>&1; then
    curl -s -o /dev/null -w '%{http_code}' --max-time 5 "$1" | sed 's/^000$//'
  elif command -v python3 >/dev/null 2>&1; then
    python3 -c 'import http.client, sys, urllib.parse as u
a = u.urlsplit(sys.argv[1]); c = http.client.HTTPConnection(a.hostname, a.port, timeout=5)
c.request("GET", a.path + ("?" + a.query if a.query else "")); print(c.getresponse().status)' "$1" 2>/dev/null
  elif timeout 6 wget -q -O /dev/null "$1" 2>/dev/null; then
    echo 200
  fi
)

# The ports that the app itself listens on.
own_ports() {
  {
    for member in $(members "$1"); do ls -l "/proc/$member/fd" 2>/dev/null; done | sed -n 's/.*socket:\[\([0-9]*\)\]$/own \1/p'
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null
  } | awk '$1 == "own" { own[$2] = 1 }
    $4 == "0A" && ($10 in own) {
      port = 0; hex = substr($2, length($2) - 3)
      for (i = 1; i <= 4; i++) port = port * 16 + index("123456789ABCDEF", substr(hex, i, 1))
      print port }' | sort -un | tr '\n' ' '
}

check() {
  report="${report}check=$1 ok=$2 detail=$3
"
  [ "$2" = 1 ] || all=0
}

# Looks once: fills `report`, says in `all` whether everything holds and in `over` whether waiting is of no use.
look() {
  report='' all=1 over=0
  if group=$(own_group); then
    again=$(($(wc -l <"$APP_HOME/launches") - 1))
    if [ -s "$APP_HOME/down" ]; then
      check process 0 "ended with exit code $(cat "$APP_HOME/down"), and is started again"
      over=1
    elif [ "$again" -eq 0 ]; then
      check process 1 "pid $group"
    elif [ ! -f "$APP_HOME/verified" ] || { [ "$again" -gt 2 ] && [ -n "$(find "$APP_HOME/launches" -mmin -1)" ]; }; then
      check process 0 "pid $group, ended $again times and started again since the release was started: it keeps ending"
      over=1
    else
      # It was well before: to come back is what it is supervised for.
      times=once
      [ "$again" -eq 1 ] || times="$again times"
      check process 1 "pid $group, started again $times"
    fi
  else
    check process 0 'not running'
    over=1
  fi
  if [ -n "$PORT" ]; then
    bound=$(listeners "$PORT" | cut -d ' ' -f 1)
    if [ -n "$bound" ]; then
      case $(printf '%s\n' "$bound" | grep -v -e '^0100007F$' -e '^00000000000000000000000001000000$' || true) in
        '') check port 1 "listening on $PORT, but on the loopback address only: nothing outside reaches it" ;;
        *) check port 1 "listening on $PORT" ;;
      esac
    else
      other=$(own_ports "${group:-0}")
      check port 0 "nothing listens on $PORT${other:+; the app listens on $other}"
    fi
    if [ -n "$HEALTH" ]; then
      status=$([ -z "$bound" ] || http_status "http://127.0.0.1:$PORT$HEALTH")
      case $status in
        2?? | 3??) check health 1 "$HEALTH answers $status" ;;
        '') check health 0 "$HEALTH does not answer" ;;
        *) check health 0 "$HEALTH answers $status" ;;
      esac
    fi
  fi
  sign=$(log_since_start | grep -E -m 1 -e "$SIGNS" | cut -c 1-200 || true)
  if [ -n "$sign" ]; then
    check log 0 "$sign"
    over=1
  else
    check log 1 'no known sign of failure'
  fi
}

log_since_start() {
  tail -c "+$(($(cat "$APP_HOME/log.start" 2>/dev/null || echo 0) + 1))" "$APP_HOME/app.log" 2>/dev/null
}

begun=$(date +%s)
while :; do
  look
  waited=$(($(date +%s) - begun))
  if [ "$all" = 1 ] && [ "$waited" -ge "$SETTLE" ]; then break; fi
  if [ "$over" = 1 ] || [ "$waited" -ge "$WITHIN" ]; then break; fi
  sleep 0.5
done
printf '%s' "$report"
if [ "$all" = 1 ]; then
  touch "$APP_HOME/verified"
  exit 0
fi
echo '--- log ---'
log_since_start | tail -n 100 | tail -c 16000
exit 1
