# Serves a PHP front controller's folder.
serve_php() {
  if command -v frankenphp >/dev/null 2>&1; then
    exec frankenphp php-server --root "$1" --listen ":$PORT"
  fi
  export PHP_CLI_SERVER_WORKERS=4
  exec php -S "0.0.0.0:$PORT" -t "$1"
}
