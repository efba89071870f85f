#!/usr/bin/env bash
# nchan in nginx, from Debian.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=../common.sh
. ../common.sh

case "${1:-}" in
  install)
    debian nginx nginx
    debian /usr/lib/nginx/modules/ngx_nchan_module.so libnginx-mod-nchan
    ;;
  version)
    nginx=$(nginx -v 2>&1)
    # shellcheck disable=SC2016 # dpkg's own variable
    echo "nchan $(dpkg-query -W -f '${Version}' libnginx-mod-nchan) in ${nginx##* }"
    ;;
  start)
    mkdir -p "$3/tmp"
    # The worker is who starts it; only root needs to be told so.
    user=
    [ "$(id -u)" -ne 0 ] || user='user root;'
    sed -e "s#@PORT@#$2#" -e "s#@DIRECTORY@#$3#" -e "s#@USER@#$user#" nginx.conf > "$3/nginx.conf"
    announce "http://127.0.0.1:$2/ready" child
    exec nginx -e "$3/error.log" -p "$3" -c "$3/nginx.conf"
    ;;
  *) usage ;;
esac
