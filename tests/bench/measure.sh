# To be sourced: runs a script of node's that measures.
# shellcheck shell=bash

# Whoever ends this ends that, which ends its servers by their pids.
measure() {
  # Each client is an open file, here and there.
  ulimit -n "$(ulimit -Hn)"
  node "$@" &
  measuring=$!
  trap 'kill "$measuring" 2>/dev/null' EXIT
  trap 'exit 1' INT TERM HUP
  wait "$measuring"
  trap - EXIT
}
