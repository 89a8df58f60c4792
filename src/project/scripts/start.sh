# The way the bundle goes: fetched, checked, unpacked aside, and only then put in its place.
unpack() {
  rm -rf "$APP_HOME"/releases/.unpack.*
  work=$(mktemp -d "$APP_HOME/releases/.unpack.XXXXXX")
  download "${BUNDLE_URL:?}" "$work/bundle" || fail 'the bundle could not be downloaded'
  found=$(digest_of "$work/bundle")
  [ "$found" = "${BUNDLE_SHA256:?}" ] || fail "the bundle is not the one that was packed: its digest is $found and not $BUNDLE_SHA256"
  mkdir "$work/files"
  tar -xmzf "$work/bundle" --no-same-owner -C "$work/files"
  chmod 755 "$work/files"
  mv "$work/files" "$RELEASE_DIR"
  rm -rf "$work"
  say "unpacked release $RELEASE"
}

# Runs the step $1 by the command $2 with the app's plain environment; its output is shown when it fails.
step() {
  say "$1: $2"
  (
    set -a
    . "$SETTINGS/env"
    set +a
    if [ -d .venv ]; then
      export VIRTUAL_ENV="$RELEASE_DIR/.venv"
    fi
    exec sh -ec "$2"
  ) </dev/null >"$SETTINGS/$1.log" 2>&1 && return 0
  tail -n 60 "$SETTINGS/$1.log"
  fail "the $1 step failed: $2"
}

case ${RELEASE:?} in .* | *[!A-Za-z0-9._-]*) fail "$RELEASE is not the name of a release" ;; esac
umask 022
RELEASE_DIR="$APP_HOME/releases/$RELEASE"
SETTINGS="$APP_HOME/settings/$RELEASE"
mkdir -p "$APP_HOME/releases" "$APP_HOME/bin" "$SETTINGS"
if [ -d "$RELEASE_DIR" ]; then
  say "release $RELEASE is unpacked already"
else
  rm -f "$SETTINGS/prepared"
  unpack
fi
cd "$RELEASE_DIR"
write_env
write_run
PATH="$APP_HOME/bin:$RELEASE_DIR/.venv/bin:$RELEASE_DIR/node_modules/.bin:$RUNTIMES/node/bin:$PATH"
: "${HOME:=/root}"
export PATH HOME
