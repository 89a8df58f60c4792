# Hands out the files of a folder by the first server that the machine has.
serve() {
  cd "$1" || exit 1
  if python3 -c 'import http.server' 2>/dev/null; then
    exec python3 -m http.server "$PORT"
  elif busybox httpd --help 2>&1 | grep -q -- '-p'; then
    exec busybox httpd -f -p "$PORT"
  elif command -v php >/dev/null 2>&1; then
    exec php -S "0.0.0.0:$PORT"
  elif command -v ruby >/dev/null 2>&1; then
    exec ruby -run -e httpd . -b 0.0.0.0 -p "$PORT"
  fi
  echo 'aliform: none of python3, busybox, php and ruby is there to serve files'
  exit 1
}
