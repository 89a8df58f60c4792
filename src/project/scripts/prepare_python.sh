
# `python3` and `python` are the interpreter that fits, whatever the system calls it.
PYTHON=$(find_python) || fail 'no Python of version 3.8 or later is on this machine'
[ -L "$APP_HOME/bin/python3" ] || ln -sfn "$PYTHON" "$APP_HOME/bin/python3"
[ -L "$APP_HOME/bin/python" ] || ln -sfn "$PYTHON" "$APP_HOME/bin/python"
PATH="$RELEASE_DIR/.venv/bin:$PATH"

make_venv() {
  [ ! -x .venv/bin/pip ] || return 0
  rm -rf .venv
  "$PYTHON" -m venv .venv >"$SETTINGS/venv.log" 2>&1 && return 0
  # Without ensurepip the environment can still be made, and the system's own pip can fill it.
  rm -rf .venv
  "$PYTHON" -m venv --without-pip .venv >>"$SETTINGS/venv.log" 2>&1 &&
    "$PYTHON" -m pip --python .venv/bin/python3 install -q pip >>"$SETTINGS/venv.log" 2>&1 && return 0
  tail -n 20 "$SETTINGS/venv.log"
  fail "$PYTHON cannot make a virtual environment: install python3-venv (apt), or python3.11 with pip (dnf), on the machine"
}
