# The first Python that is not too old for today's packages.
find_python() {
  for candidate in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8; do
    "$candidate" -c 'import sys; assert sys.version_info >= (3, 8); print(sys.executable)' 2>/dev/null && return 0
  done
  return 1
}
