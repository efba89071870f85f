#!/usr/bin/env bash
# Measures weft beside other servers, in turns and in one run: server on one core, generator on another.
# Peers come from their registries (tests/bench/peers); what cannot be had is named and left out.
#   tests/bench/compare.sh           medians of five rounds, about an hour; writes
#                                    docs/performance.md and its plots
#   tests/bench/compare.sh --quick   one short round, three to five minutes, into target/bench: it shows that
#                                    all works, its figures mean little
#   --rounds N                       so many rounds
#   --peers weft,nchan               only these, or
#   --work light-lp,idle-ws          only this (works.js), into target/bench as well
# Results: target/bench/compare.jsonl, quick.jsonl or part.jsonl, a line each run. A machine that does
# nothing else is best; BENCH_CORES=2,3 takes other cores than 0 for the server and 1 for the generator.
set -euo pipefail
cd "$(dirname "$0")/../.."

# A part of it does not take the place of the whole.
form=compare
for option in "$@"; do
  case "$option" in
    --quick) form=quick ;;
    --peers* | --work*) [ "$form" = quick ] || form=part ;;
    --help) sed -n '2,/^set/{/^set/d;s/^# \?//;p}' "$0" && exit ;;
  esac
done

lacking=
for tool in curl node taskset pgrep; do
  command -v "$tool" >/dev/null || lacking="$lacking $tool"
done
if [ -n "$lacking" ]; then
  root=
  [ "$(id -u)" -eq 0 ] || root=sudo
  $root apt-get update -q
  DEBIAN_FRONTEND=noninteractive $root apt-get install -yq --no-install-recommends curl nodejs npm util-linux procps
fi
[ -n "${WEFT_BIN:-}" ] || cargo build --release --locked --quiet

# shellcheck source=measure.sh
. tests/bench/measure.sh
results=target/bench/$form.jsonl
mkdir -p target/bench
measure tests/bench/compare.js --out "$results" "$@"

document=docs/performance.md
if [ "$form" != compare ]; then
  document=target/bench/$form.md
  cp docs/performance.md "$document"
fi
node tests/bench/report.js "$results" "$document" "${document%.md}"
