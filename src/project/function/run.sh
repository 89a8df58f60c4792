# Runs a job to its end within its time. $1: where it works, $2: its seconds, $3: its command.
cd "$1" || exit 1
set -e
if [ -z "${HOME:-}" ] || [ ! -w "$HOME" ]; then
  export HOME="${1%/*}"
fi
if [ -f requirements.txt ]; then
  if python3 -m venv .venv >/dev/null 2>&1; then
    .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
  else
    # Without ensurepip no environment can be made; a folder of packages does as well.
    rm -rf .venv
    packages="${1%/*}/packages"
    python3 -m pip install --quiet --disable-pip-version-check --target "$packages" -r requirements.txt
    export PYTHONPATH="$packages${PYTHONPATH:+:$PYTHONPATH}" PATH="$packages/bin:$PATH"
  fi
fi
if [ -d .venv ]; then
  export VIRTUAL_ENV="$PWD/.venv" PATH="$PWD/.venv/bin:$PATH"
fi
# Its last chance to write something down is half a minute long.
exec timeout -k 30 "$2" sh -c "$3"
