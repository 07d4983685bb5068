#!/usr/bin/env bash
# Builds and pushes a repository's services: the flags are those of `clipyard services` (--help shows them).
set -euo pipefail
self=$(readlink -f "${BASH_SOURCE[0]}")
exec "${self%/*}/clipyard" services "$@"
