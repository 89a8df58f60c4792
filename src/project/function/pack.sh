# Packs the outputs that are there and prints those that are not. $1: where the job worked, $2: the archive, then the outputs.
cd "$1" || exit 1
archive="$2"
shift 2
found=
for output in "$@"; do
  if [ -e "$output" ]; then found=1; else printf '%s\n' "$output"; fi
done
[ -n "$found" ] || exit 0
for output; do
  shift
  [ ! -e "$output" ] || set -- "$@" "$output"
done
tar -czf "$archive" -- "$@"
