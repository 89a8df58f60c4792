#!/bin/sh
# written by aliform: starts the app in the folder $1 again whenever it ends, the later the oftener it ends soon
home=$1
cd "$home" || exit 1
# The app is in this process's group, so a signal to stop reaches both; this one waits until the app has ended.
trap 'over=1' TERM INT HUP
over='' delay=1
if [ -d /proc/self ]; then
  echo "$$ $(sed 's/^.*) //' "/proc/$$/stat" | cut -d ' ' -f 20)" >"$home/app.pid"
else
  echo "$$ $(ps -o lstart= -p $$)" >"$home/app.pid"
fi
while [ -z "$over" ]; do
  rm -f "$home/down"
  begun=$(date +%s)
  /bin/sh "$home/run" supervised
  code=$?
  [ -z "$over" ] || break
  [ $(($(date +%s) - begun)) -lt 60 ] || delay=1
  echo "$code" >"$home/down"
  echo "aliform: the app ended with exit code $code; it is started again in $delay s" >>"$home/app.log"
  sleep "$delay"
  delay=$((delay * 2))
  [ "$delay" -le 60 ] || delay=60
done
