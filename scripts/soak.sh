#!/usr/bin/env bash
# Kills the mount daemon once a second under a reading load, for a minute or as long as it is told: scripts/soak.sh [SECONDS]
# Every byte that is read is compared; the longest wait is printed. Needs root, FUSE and EROFS.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../native-tools"
export CLIPYARD_SOAK_SECONDS="${1:-60}" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/clipyard/cargo-target}"
exec cargo test --release --locked -p mountd --test survival -- --nocapture a_daemon_that_is_killed_every_second
