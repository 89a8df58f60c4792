# Fetches $1 into the file $2. The address stays out of the process list: it may carry a signature.
download() {
  if command -v curl >/dev/null 2>&1; then
    printf 'url = "%s"\n' "$1" | curl -fsSL --retry 3 --connect-timeout 20 -o "$2" -K -
  elif command -v wget >/dev/null 2>&1; then
    printf '%s\n' "$1" | wget -q -T 60 -O "$2" -i -
  elif command -v python3 >/dev/null 2>&1; then
    printf '%s\n' "$1" | python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.stdin.readline().strip(), timeout=60) as source, open(sys.argv[1], "wb") as target:
    shutil.copyfileobj(source, target)' "$2"
  else
    say 'none of curl, wget and python3 is there to download with'
    return 1
  fi
}

digest_of() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1
}
