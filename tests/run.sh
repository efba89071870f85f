#!/usr/bin/env bash
# Installs what the tests lack (npm and Python packages, Debian's chromium, valgrind for the long forms)
# and runs them all.
#   tests/run.sh          the short form
#   tests/run.sh --long   the long forms as well: soaks, thousands of seeds, fuzzing
set -euo pipefail
cd "$(dirname "$0")/.."

long=
case "${1:-}" in
  '') ;;
  --long) long=1 ;;
  *) echo "usage: tests/run.sh [--long]" >&2; exit 2 ;;
esac

say() { printf '\n== %s\n' "$*"; }

lacking=
for tool in chromium curl python3 ${long:+valgrind}; do
  command -v "$tool" >/dev/null || lacking="$lacking $tool"
done
python3 -c 'import ensurepip, venv' 2>/dev/null || lacking="$lacking python3-venv"
if [ -n "$lacking" ]; then
  say "installing$lacking"
  root=
  [ "$(id -u)" -eq 0 ] || root=sudo
  $root apt-get update -q
  # shellcheck disable=SC2086 # one word a package
  DEBIAN_FRONTEND=noninteractive $root apt-get install -yq --no-install-recommends $lacking
fi

say "the broker, as the README says to build it"
cargo build --release --locked

say "Rust: units, properties, simulation, black box"
cargo test --workspace --locked --quiet

say "simulation: 4,000 seeds of 500 steps, the books audited after each"
WEFT_SIM_SEEDS=4000 WEFT_SIM_AUDIT=1 \
  cargo test --release --locked --quiet -p weft-broker --test simulation

say "JavaScript: our own client"
(cd clients/js && npm test --silent)

say "JavaScript: what makes tables of the comparison with other servers"
node --test tests/bench/*.test.js

say "Python: a stock client for the tests"
# Made again whenever what is pinned has changed.
if ! cmp -s tests/python/requirements.txt target/python/requirements.txt; then
  rm -rf target/python
  python3 -m venv target/python
  target/python/bin/pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
  cp tests/python/requirements.txt target/python/requirements.txt
fi

say "JavaScript: stock clients in node and in Chromium"
(cd tests/js && npm ci --silent --no-audit --no-fund && npm test --silent)

say "stock clients through nginx, haproxy, varnish, squid and apache"
tests/proxies/run.sh ${long:+--long}

if [ -n "$long" ]; then
  # Processors differ in what valgrind makes of them, so this is for whoever changes the hot path.
  say "long: what a message costs in instructions, held against broker/benches/instructions.txt"
  cargo bench --locked --quiet -p weft-broker --bench instructions
  say "long: 50,000 seeds of 500 steps"
  WEFT_SIM_SEEDS=50000 WEFT_SIM_STEPS=500 \
    cargo test --release --locked -p weft-broker --test simulation -- --nocapture
  say "long: 20,000 seeds of readers over restarts"
  WEFT_REPLAY_SEEDS=20000 cargo test --release --locked -p weft-broker --test replay -- whatever_happens
  say "long: a thousand kills"
  WEFT_LONG=1 cargo test --release --locked -p weft-tests --test store -- \
    --include-ignored --nocapture thousand_kills
  say "long: figures of publishing, keeping and replaying"
  WEFT_LONG=1 cargo test --release --locked -p weft-tests --test figures -- \
    --include-ignored --nocapture --test-threads 1
  say "long: what compression costs and saves"
  WEFT_LONG=1 cargo test --release --locked -p weft-tests --test compression -- --ignored --nocapture
  say "long: 300 random policies on every way in"
  WEFT_LONG=1 cargo test --release --locked -p weft-tests --test auth -- --nocapture random
  say "long: attacks that last a minute each"
  WEFT_LONG=1 cargo test --release --locked -p weft-tests --test attacks -- \
    --nocapture --test-threads 1 slow crowds
  say "long: the black box, stock clients and proxies without the lean path"
  WEFT_HTTP_LEAN=false cargo test --release --locked --quiet -p weft-tests
  (cd tests/js && WEFT_HTTP_LEAN=false npm test --silent)
  WEFT_HTTP_LEAN=false tests/proxies/run.sh
  say "long: ten minutes of mutated requests to the lean path and to the library"
  WEFT_LONG=1 cargo test --release --locked -p weft-tests --test lean -- --nocapture whatever
  say "long: 200 sleepers while five million messages pass"
  WEFT_LONG=1 cargo test --release --locked -p weft-tests --test sleepers -- \
    --ignored --nocapture
  say "long: 1,000 sessions, 20 messages a second, 60 seconds"
  WEFT_LONG=1 cargo test --release --locked -p weft-tests --test fanout -- \
    --include-ignored --nocapture
  say "long: messages to 100,000 sessions, and everybody else"
  WEFT_LONG=1 cargo test --release --locked -p weft-tests --test fairness -- --nocapture
  say "long: times of the hot path, to be read"
  cargo bench --locked --quiet -p weft-protocol -p weft-broker --bench wire --bench fanout \
    --bench queue --bench routing
  say "long: ten thousand messages over networks that fail, five seeds"
  (cd tests/js && WEFT_LONG=1 node --test interop/faults.test.js)
  if cargo fuzz --version >/dev/null 2>&1; then
    for crate in protocol broker; do
      for target in $(cd "$crate" && RUSTC_BOOTSTRAP=1 cargo fuzz list); do
        say "long: fuzzing $target for a minute"
        # What it finds on the way goes to the first folder, so the saved corpus stays as it is.
        (cd "$crate" && RUSTC_BOOTSTRAP=1 cargo fuzz run "$target" "$(mktemp -d)" \
          "fuzz/corpus/$target" -- -max_total_time=60)
      done
    done
  else
    say "long: no fuzzing (cargo install cargo-fuzz)"
  fi
fi

say "all passed"
