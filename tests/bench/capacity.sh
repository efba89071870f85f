#!/usr/bin/env bash
# Measures what sessions cost weft: memory of idle ones at 1,000 to 18,000, here and in the kernel, a storm
# of clients after a restart, and polls that bring nothing. Writes docs/capacity.md.
#   tests/bench/capacity.sh            ten minutes or so
#   tests/bench/capacity.sh --quick    small counts, into target/bench: it shows that all works
# A process here needs an open file for each client: with fewer than 20,000 the largest counts are left out.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ -n "${WEFT_BIN:-}" ] || cargo build --release --locked --quiet
# shellcheck source=measure.sh
. tests/bench/measure.sh
document=docs/capacity.md
mkdir -p target/bench
if [ "${1:-}" = --quick ]; then
  document=target/bench/capacity.md
  cp docs/capacity.md "$document"
fi
measure tests/bench/capacity.js --document "$document" "$@"
