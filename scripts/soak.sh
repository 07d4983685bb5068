#!/usr/bin/env bash
# What the tests do at random, for longer. What fails does not keep the rest from running.
#   scripts/soak.sh [SECONDS]            all parts below, SECONDS for each fuzz target and for the kills (default 300)
#   scripts/soak.sh fuzz [SECONDS]       fuzzers and property tests. What the fuzzers found stays in .clipyard/fuzz/corpus
#   scripts/soak.sh keep                 takes what adds coverage into the committed corpus
#   scripts/soak.sh survival [SECONDS]   kills the mount daemon once a second under a reading load, with each engine: every
#                                        byte is compared, a line of JSON an engine says the longest wait
#   scripts/soak.sh damage [TRIALS]      changes one byte of archive, cache, blob or wire a trial (default 10000); a line of
#                                        JSON says what came of them. CLIPYARD_SOAK_SEED=N does the same ones again,
#                                        CLIPYARD_SOAK_TRIAL=N one of them. Both need root, FUSE and EROFS.
#   scripts/soak.sh chaos [SECONDS] [BUILDS] [redis|sqlite]  builds (default 200 in 600 s, 5 workspaces) on three workers, or on two
#                                        over SQLite, while these, Redis, buildkitd, registry and S3, all its own, are killed, paused
#                                        and restarted at random, and some builds canceled; a line of JSON says what was wrong in the
#                                        end. CLIPYARD_SOAK_SEED=N plays the same again
#   scripts/soak.sh recovery [LEASE_SECONDS...]  two workers on one SQLite file and on one Redis, the one at work is killed: a line
#                                        of JSON says how long until the other has the build and until it is done
#   scripts/soak.sh releases [HISTORIES] random histories of releases (default 100000) against a registry in memory: a line of JSON
#                                        counts what happened and where a tag did wrong. CLIPYARD_SOAK_SEED=N plays the same ones
#   scripts/soak.sh kills [NAME...]      kills release, backport, release-and-retention, retention and matrix (or those named, also as
#                                        NAME@olareg, NAME@distribution) with SIGKILL behind every request to registry and store, runs
#                                        them again and looks at the end; a line a kill, then one of JSON. CLIPYARD_KILL_STEP=N every N-th
#   scripts/soak.sh retention [REGISTRIES]  cleans random registries (default 10000) and compares with a naive look; then kills a run
#                                        at every request, at two real registries
#   scripts/soak.sh scan SOURCE...       scans images with the real syft and trivy (each built once, minutes and more) beside our own
#                                        readers, trivy with a database made up for the image: a line of JSON an image says where
#                                        they differ. SYFT_VERSION=1.44.0 and TRIVY_VERSION=0.65.0 name the versions
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
part=all
case "${1:-}" in
  keep) exec scripts/soak/keep.sh ;;
  chaos) exec .clipyard/node/bin/node scripts/soak/chaos/main.ts "${@:2}" ;;
  recovery) exec .clipyard/node/bin/node scripts/soak/recovery.ts "${@:2}" ;;
  releases) exec .clipyard/node/bin/node scripts/soak/releases/main.ts "${@:2}" ;;
  scan) exec .clipyard/node/bin/node scripts/soak/scan/main.ts "${@:2}" ;;
  kills) exec .clipyard/node/bin/node scripts/soak/kills/main.ts "${@:2}" ;;
  retention)
    CLIPYARD_RETENTION_REGISTRIES=${2:-10000} \
      npx vitest run --project unit test/unit/release/retention.test.ts --test-timeout=3600000
    CLIPYARD_RETENTION_KILLS=all exec \
      npx vitest run --project integration test/integration/release/retention.test.ts --test-timeout=3600000
    ;;
  fuzz | survival | damage) part=$1 && shift ;;
esac
failed=0
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/clipyard/cargo-target}"
is_part() { [ "$part" = all ] || [ "$part" = "$1" ]; }
mountd_test() {
  (cd native-tools && cargo test --release --locked -p mountd --test "$1" -- --nocapture --test-threads=1 "$2") || failed=1
}
if is_part fuzz; then
  scripts/fuzz.sh "${1:-300}" || failed=1
  # The property tests with many more cases: proptest in Rust, fast-check in TypeScript.
  export PROPTEST_CASES=${PROPTEST_CASES:-5000} CLIPYARD_FUZZ_RUNS=${CLIPYARD_FUZZ_RUNS:-50000}
  (cd native-tools && cargo test --release --locked --workspace) || failed=1
  npx vitest run --project unit test/unit/fuzz --test-timeout=3600000 || failed=1
  # Needs the services of scripts/services.sh. Each seed is a stack of layers, mounted by each engine.
  CLIPYARD_RANDOM_STACKS=${CLIPYARD_RANDOM_STACKS:-200} CLIPYARD_WIDE_NAMES=${CLIPYARD_WIDE_NAMES:-100000} \
    npx vitest run --project integration test/integration/mount/random-stacks.test.ts --test-timeout=3600000 || failed=1
fi
if is_part survival; then
  CLIPYARD_SOAK_SECONDS=${1:-300} mountd_test survival a_daemon_that_is_killed_every_second
fi
if is_part damage; then
  [ "$part" = damage ] && trials=${1:-10000} || trials=10000
  CLIPYARD_SOAK_TRIALS=$trials mountd_test damage no_changed_byte_reaches_a_reader
fi
exit $failed
