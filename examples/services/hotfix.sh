#!/usr/bin/env bash
# A fix of an older line: 1.1.1 is pushed, and latest stays with 1.2.0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
services="${BUILD_AND_PUSH:-../../scripts/build-and-push.sh}"
"$services" --service backend --version 1.1.1 --push "$@"
