#!/usr/bin/env bash
# Stock clients through real proxies in front of the broker. Installs the proxies from Debian where it
# may; what cannot be had is named and left out.
#   tests/proxies/run.sh          the short form, about three minutes
#   tests/proxies/run.sh --long   proxies with ten seconds of patience instead of four
# Results: target/proxies/results.json, and the tables that docs/proxies.md shows.
set -euo pipefail
cd "$(dirname "$0")/../.."

case "${1:-}" in
  '') ;;
  --long) export WEFT_LONG=1 ;;
  *) echo "usage: tests/proxies/run.sh [--long]" >&2; exit 2 ;;
esac

# The program, and Debian's package of it.
programs='nginx:nginx haproxy:haproxy varnishd:varnish squid:squid apache2:apache2 chromium:chromium'
PATH=$PATH:/usr/sbin
lacks() { ! command -v "${1%%:*}" >/dev/null; }

root=
[ "$(id -u)" -eq 0 ] || root=sudo
fresh=
for program in $programs; do
  lacks "$program" || continue
  package=${program#*:}
  if [ -z "$fresh" ]; then
    $root apt-get update -q || echo "apt-get update failed" >&2
    fresh=1
  fi
  # None of them is to start by itself: the tests start their own, on ports of their own.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $root apt-get install -yq --no-install-recommends "$package" ||
    echo "could not install $package" >&2
done
for program in $programs; do
  if lacks "$program"; then echo "SKIPPED: all tests with ${program#*:}, which cannot be installed here"; fi
done

[ -n "${WEFT_BIN:-}" ] || cargo build --release --locked --quiet
[ -d tests/js/node_modules ] || (cd tests/js && npm ci --silent --no-audit --no-fund)

mkdir -p target/proxies
export WEFT_PROXIES_RESULTS=$PWD/target/proxies/results.jsonl
rm -f "$WEFT_PROXIES_RESULTS"
node --test --test-concurrency=1 --test-reporter=spec tests/proxies/*.test.js
node tests/proxies/report.js "$WEFT_PROXIES_RESULTS" target/proxies/results.json
