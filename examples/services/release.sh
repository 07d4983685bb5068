#!/usr/bin/env bash
# A release of all services under one version: look first, then do it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
services="${BUILD_AND_PUSH:-../../scripts/build-and-push.sh}"
"$services" --all --version 1.2.0 --push --dry-run "$@"
"$services" --all --version 1.2.0 --push "$@"
