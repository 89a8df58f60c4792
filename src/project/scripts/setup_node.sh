node_fits() { node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' 2>/dev/null; }

# The project's own build, checked against its published digests: distributions often carry a node that is too old.
fetch_node() {
  case $(uname -m) in
    x86_64) platform=linux-x64 ;;
    aarch64 | arm64) platform=linux-arm64 ;;
    *) return 1 ;;
  esac
  work=$(mktemp -d)
  for mirror in ${NODE_MIRRORS:-https://nodejs.org/dist https://npmmirror.com/mirrors/node}; do
    download "$mirror/latest-v22.x/SHASUMS256.txt" "$work/digests" || continue
    file=$(sed -n "s/^[0-9a-f]\{64\}  \(node-v[0-9.]*-$platform\.tar\.gz\)\$/\1/p" "$work/digests" | head -n 1)
    [ -n "$file" ] && download "$mirror/latest-v22.x/$file" "$work/$file" || continue
    if [ "$(digest_of "$work/$file") " != "$(grep " $file\$" "$work/digests" | cut -d ' ' -f 1) " ]; then
      say "$mirror: $file does not match its digest"
      continue
    fi
    mkdir -p "$RUNTIMES" && tar -xzf "$work/$file" -C "$work" && rm -rf "$RUNTIMES/node" &&
      mv "$work/${file%.tar.gz}" "$RUNTIMES/node" && rm -rf "$work" && return 0
  done
  rm -rf "$work"
  return 1
}

if ! node_fits; then
  fetch_node || install_packages 'nodejs npm' 'nodejs npm' || true
  have node || fail 'node is missing on this machine and could not be installed; take an image that has it'
  node_fits || fail "node $(node --version) is too old (18 or later is needed) and no newer one could be installed"
fi
if [ -n "$INSTALL$BUILD" ]; then
  need npm npm npm
fi
say "node is $(command -v node), $(node --version)"
