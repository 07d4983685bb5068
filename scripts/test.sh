#!/usr/bin/env bash
# Set-up, services, every check and every test: scripts/test.sh. Ends with one line, `N passed, N failed`; a skipped
# test counts as a failure. It has its own state directory and stops its services at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
export CLIPYARD_STATE="$root/.clipyard/test-state" PATH="$root/.clipyard/node/bin:$PATH"
# The caller's registry, store and keys must not reach the tests.
unset "${!AWS_@}" CLIPYARD_{BUILDKIT,BUILDKIT_CONTENT,REGISTRY,STORE,REDIS,CACHE,WORKSPACE,NATIVE_DIR,LOG} DOCKER_CONFIG
export NO_COLOR=1 CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/clipyard/cargo-target}"
# Each crate is compiled once a run: what the next change would need is gigabytes.
export CARGO_INCREMENTAL=0

results="$CLIPYARD_STATE/results"
rm -rf "$results"; mkdir -p "$results"
# check NAME COMMAND...: a line when it ends, the end of the output when it fails, the exit code for the summary.
check() {
  local name=$1 code=0 started=$SECONDS; shift
  "$@" >"$results/$name.log" 2>&1 </dev/null || code=$?
  printf '%s' "$code" >"$results/$name.exit"
  if [ "$code" = 0 ]; then echo "[test] $name ok ($((SECONDS - started)) s)"; else
    echo "[test] $name FAILED, exit $code ($((SECONDS - started)) s); the end of ${results#"$root"/}/$name.log:"
    tail -n 60 "$results/$name.log" | sed 's/^/    /'
  fi
}
json() { printf -- '--reporter=default --reporter=json --outputFile.json=%s/%s.json' "$results" "$1"; }
in_rust() { (cd native-tools && cargo "$@"); }

# Compilers wait for each other at their ends, and tests for servers and clocks: two orders side by side keep both cores busy.
in_rust_order() {
  check rustfmt in_rust fmt --all --check
  check clippy in_rust clippy --workspace --all-targets --locked -- -D warnings
  check cargo-test in_rust test --workspace --locked --no-fail-fast
  # Ten targets for five seconds each; scripts/soak.sh goes on for longer.
  check fuzz scripts/fuzz.sh 5
}

scripts/setup.sh system
in_rust_order &
rust=$!
clean_up() {
  kill "$rust" $(pgrep -P "$rust") 2>/dev/null || true
  scripts/services.sh stop 2>/dev/null
  scripts/setup/unmount-below.sh "$CLIPYARD_STATE"
}
trap clean_up EXIT
# The other order is the longer one.
renice -n 5 -p "$rust" >/dev/null
scripts/setup.sh
scripts/services.sh start
eval "$(scripts/services.sh env)"
# Arguments after -- go to the last command of the script, which is vitest.
check check npm run check --silent -- $(json check)
check integration npx vitest run --project integration $(json integration)
wait "$rust"
clean_up
node scripts/test-summary.ts "$results"
