have() { command -v "$1" >/dev/null 2>&1; }

fail() {
  say "$*" >&2
  exit 1
}

# The image's package manager; where that is not to be found, the one that is.
manager() {
  for candidate in "$MANAGER" dnf yum apt-get; do
    if have "$candidate"; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

# Installs packages: $1 by dnf or yum, $2 by apt.
install_packages() {
  manager=$(manager) || fail "neither dnf, yum nor apt-get is there to install $1"
  say "installing with $manager"
  log=$(mktemp)
  # The names are words, to be split.
  # shellcheck disable=SC2086
  case $manager in
    apt-get) DEBIAN_FRONTEND=noninteractive && export DEBIAN_FRONTEND && apt-get -q update >"$log" 2>&1 &&
      apt-get -q -y --no-install-recommends install $2 >>"$log" 2>&1 ;;
    *) "$manager" -q -y install $1 >"$log" 2>&1 ;;
  esac && { rm -f "$log"; return 0; }
  tail -n 15 "$log"
  rm -f "$log"
  return 1
}

# $1 has to be there; $2 and $3 are the packages that bring it.
need() {
  if ! have "$1"; then
    install_packages "$2" "$3" || true
    have "$1" || fail "$1 is missing on this machine and could not be installed; take an image that has it"
  fi
  say "$1 is $(command -v "$1")"
}
