#!/usr/bin/env bash
# Fuzzes every parser of native-tools, guided by coverage, from the committed corpus: scripts/fuzz.sh [SECONDS [TARGET...]].
# SECONDS (default 6) is for each target. Ends with cargo's own summary line. What crashes lies in .clipyard/fuzz/crashes;
# run it again with FUZZ_TARGET=name and the file as the program's argument.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-6}; shift || true
[ $# -gt 0 ] || set -- $(ls test/fuzz-corpus)
host=$(rustc -vV | sed -n 's/^host: //p')
target="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/clipyard/cargo-target}/fuzz"
# libFuzzer's counters on the stable compiler: what `cargo fuzz` asks of a nightly one, without a sanitizer.
flags='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters'
flags+=' -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares'
(cd native-tools/fuzz && RUSTFLAGS=$flags CARGO_TARGET_DIR=$target cargo build --release --locked --quiet --target "$host")
program="$target/$host/release/parsers"

passed=0 failed=0
crashes=$PWD/.clipyard/fuzz/crashes
mkdir -p "$crashes"
for name in "$@"; do
  found="$PWD/.clipyard/fuzz/corpus/$name"; mkdir -p "$found"
  log="$PWD/.clipyard/fuzz/$name.log"
  # Inputs stay small and memory bounded, so that a slow or a greedy parser shows as a failure.
  if FUZZ_TARGET=$name "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=512 -malloc_limit_mb=256 \
    -max_len=65536 -artifact_prefix="$crashes/$name-" "$found" "test/fuzz-corpus/$name" >"$log" 2>&1; then
    passed=$((passed + 1)); echo "fuzz $name ... ok, $(sed -n 's/^Done \([0-9]* runs in [0-9]* second.*\)/\1/p' "$log")"
  else
    failed=$((failed + 1)); echo "fuzz $name ... FAILED; the end of $log:"; grep -v '^ *[0-9]*: \|^  *at ' "$log" | tail -n 25
  fi
done
[ $failed = 0 ] && word=ok || word=FAILED
echo "test result: $word. $passed passed; $failed failed;"
[ $failed = 0 ]
