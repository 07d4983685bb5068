#!/usr/bin/env bash
# What is there, and what a deletion would take; the deletion itself asks at a terminal.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
services="${BUILD_AND_PUSH:-../../scripts/build-and-push.sh}"
"$services" --list-images --service backend "$@"
"$services" --delete-images --service backend --version 1.1.1 --dry-run "$@"
if [ -t 0 ] && [ -t 2 ]; then "$services" --delete-images --service backend --version 1.1.1 "$@"; fi
