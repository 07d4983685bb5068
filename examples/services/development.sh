#!/usr/bin/env bash
# Every day: build what changed, push nothing; then hand the newest state to the others as latest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
services="${BUILD_AND_PUSH:-../../scripts/build-and-push.sh}"
"$services" --service backend "$@"
"$services" --service backend --push "$@"
