# Runs the image $1 in the foreground, its port $2 behind the app's; what follows is its command. Variables are named and
# not told, so that no value is in the list of processes.
run_image() {
  image=$1 inside=$2
  shift 2
  # One that outlived its client is not this one.
  docker rm -f "$COMPOSE_PROJECT_NAME" >/dev/null 2>&1
  set -- "$image" "$@"
  if [ -n "${PORT:-}" ]; then
    if [ -z "$inside" ]; then
      inside=$(docker image inspect -f '{{range $port, $_ := .Config.ExposedPorts}}{{$port}} {{end}}' "$image" |
        tr ' ' '\n' | sed -n 's,/tcp$,,p')
      case $inside in '' | *[!0-9]*) inside=$PORT ;; esac
    fi
    echo "aliform: port $PORT leads to port $inside of the container"
    set -- -p "$PORT:$inside" -e "PORT=$inside" "$@"
  fi
  # The options are words, to be split.
  # shellcheck disable=SC2086
  exec docker run --rm --init --name "$COMPOSE_PROJECT_NAME" $CONTAINER_ENV "$@"
}
