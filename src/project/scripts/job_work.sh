# Runs the job's command to its end within its time, with what its requirements name.
work() (
  set -e
  : "${HOME:=/root}"
  export HOME
  if [ -f requirements.txt ]; then
    python3 -m venv ${VENV_OPTIONS:-} .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
  fi
  if [ -d .venv ]; then
    export VIRTUAL_ENV="$PWD/.venv" PATH="$PWD/.venv/bin:$PATH"
  fi
  # Its last chance to write something down is half a minute long.
  exec timeout -k 30 "$LIMIT" sh -c "$COMMAND"
)
