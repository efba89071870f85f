#!/usr/bin/env bash
# CometD for Java in Jetty's runner, from a Maven repository: Debian, npm and PyPI have no server of it.
# Where none is reached, it is not measured.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=../common.sh
. ../common.sh

lib=$(cd ../../../.. && pwd)/target/bench/cometd-java

case "${1:-}" in
  install)
    [ -d "$lib" ] && exit
    command -v mvn >/dev/null || { echo "there is no Maven here" >&2; exit 1; }
    # Into place only as a whole.
    timeout 300 mvn -q -B dependency:copy-dependencies -DoutputDirectory="$lib.new" >/dev/null ||
      { echo "no Maven repository is reached" >&2; exit 1; }
    mv "$lib.new" "$lib"
    ;;
  version)
    jar=$(basename "$lib"/cometd-java-server-common-*.jar .jar)
    echo "CometD ${jar##*-} on $(java --version | head -1)"
    ;;
  start)
    announce "http://127.0.0.1:$2/"
    # On one core a serial collector is what Java would take by itself.
    exec java -XX:+UseSerialGC -Xmx2g -cp "$lib/*" org.eclipse.jetty.runner.Runner \
      --host 127.0.0.1 --port "$2" site
    ;;
  *) usage ;;
esac
