# What all peers' scripts share; to be sourced. Each of them is called in one of three ways:
#   peer.sh install               gets what it needs from the registries; fails where it cannot
#   peer.sh version               prints what would be measured, on one line
#   peer.sh start PORT DIRECTORY  becomes the server, on 127.0.0.1, in the foreground, with its files in
#                                 DIRECTORY; prints "pid N", and "ready N" once it answers, with the
#                                 process that does the work
# shellcheck shell=bash
PATH=$PATH:/usr/sbin

# Says the pid, which stays the same over `exec`, and that the server answers at the URL: $2 is "child"
# where a child of it does the work.
announce() {
  echo "pid $$"
  (
    for _ in $(seq 150); do
      if curl -s -o /dev/null -m 2 "$1"; then
        if [ "${2:-}" = child ]; then
          echo "ready $(pgrep -n -P $$ -f worker)"
        else
          echo "ready $$"
        fi
        exit
      fi
      kill -0 $$ 2>/dev/null || exit
      sleep 0.1
    done
    echo "no answer at $1" >&2
  ) &
}

# Installs Debian's packages where the program is not there.
debian() {
  local program=$1 root=
  shift
  if command -v "$program" >/dev/null || [ -e "$program" ]; then return; fi
  [ "$(id -u)" -eq 0 ] || root=sudo
  $root apt-get update -q >&2 || echo "apt-get update failed" >&2
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    $root apt-get install -yq --no-install-recommends "$@" >&2
}

# npm packages as the lockfile beside the script has them.
npm_packages() {
  [ -d node_modules ] || npm ci --silent --no-audit --no-fund >&2
}

usage() {
  echo "usage: $0 install | version | start PORT DIRECTORY" >&2
  exit 2
}
