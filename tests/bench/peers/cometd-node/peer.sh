#!/usr/bin/env bash
# CometD's server for node, from npm. It has no WebSocket.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=../common.sh
. ../common.sh

case "${1:-}" in
  install)
    debian node nodejs npm
    npm_packages
    ;;
  version)
    version=$(node -p 'require("cometd-nodejs-server/package.json").version')
    echo "cometd-nodejs-server $version on node $(node --version)"
    ;;
  start)
    announce "http://127.0.0.1:$2/ready"
    exec node server.js "$2"
    ;;
  *) usage ;;
esac
