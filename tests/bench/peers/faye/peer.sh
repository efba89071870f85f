#!/usr/bin/env bash
# faye on node, from npm.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=../common.sh
. ../common.sh

case "${1:-}" in
  install)
    debian node nodejs npm
    npm_packages
    ;;
  version) echo "faye $(node -p 'require("faye/package.json").version') on node $(node --version)" ;;
  start)
    announce "http://127.0.0.1:$2/ready"
    exec node server.js "$2"
    ;;
  *) usage ;;
esac
