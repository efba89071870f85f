#!/usr/bin/env bash
# weft itself: as it comes, with its data in a folder of its own.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=../common.sh
. ../common.sh

root=$(cd ../../../.. && pwd)
WEFT_BIN=${WEFT_BIN:-$root/target/release/weft}

case "${1:-}" in
  install) [ -x "$WEFT_BIN" ] || (cd "$root" && cargo build --release --locked --quiet) ;;
  version)
    # A binary from elsewhere says nothing of its commit.
    commit="as given by WEFT_BIN"
    if [ "$WEFT_BIN" = "$root/target/release/weft" ]; then
      commit=$(git -C "$root" describe --always --dirty 2>/dev/null || echo "no commit")
    fi
    echo "$(env -u WEFT_BIN "$WEFT_BIN" --version) ($commit)"
    ;;
  start)
    announce "http://127.0.0.1:$(($2 + 1))/readyz"
    exec env -u WEFT_BIN "$WEFT_BIN" --config weft.toml --data "$3/data" \
      --listen "127.0.0.1:$2" --admin "127.0.0.1:$(($2 + 1))"
    ;;
  *) usage ;;
esac
