#!/usr/bin/env bash
# What the tests do at random, for longer: scripts/soak.sh [SECONDS for each fuzz target, default 300]. What the fuzzers found
# stays in .clipyard/fuzz/corpus; `scripts/soak.sh keep` takes what adds coverage into the committed corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ "${1:-}" = keep ]; then exec scripts/soak/keep.sh; fi
seconds=${1:-300}
failed=0
scripts/fuzz.sh "$seconds" || failed=1
# The property tests with many more cases: proptest in Rust, fast-check in TypeScript.
export PROPTEST_CASES=${PROPTEST_CASES:-5000} CLIPYARD_FUZZ_RUNS=${CLIPYARD_FUZZ_RUNS:-50000}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/clipyard/cargo-target}"
(cd native-tools && cargo test --release --locked --workspace) || failed=1
npx vitest run --project unit test/unit/fuzz --test-timeout=3600000 || failed=1
exit $failed
