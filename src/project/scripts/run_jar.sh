# Runs the jar in a folder that a build left runnable, not its plain, source or documentation siblings.
run_jar() {
  for jar in "$1"/*.jar; do
    case $jar in *-plain.jar | *-sources.jar | *-javadoc.jar | */original-*) continue ;; esac
    if command -v unzip >/dev/null 2>&1; then
      unzip -p "$jar" META-INF/MANIFEST.MF 2>/dev/null | grep -q '^Main-Class' || continue
    fi
    # JAVA_OPTS holds words, to be split.
    # shellcheck disable=SC2086
    exec java ${JAVA_OPTS:-} -jar "$jar"
  done
  echo "Error: Unable to access jarfile $1/*.jar"
  exit 1
}
