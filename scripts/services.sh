#!/usr/bin/env bash
# The services a build needs, on loopback: services.sh start|stop|status|env. State under CLIPYARD_STATE (.clipyard).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
node="$root/.clipyard/node/bin/node"
[ -x "$node" ] || { echo "services: not set up; run $root/scripts/setup.sh" >&2; exit 75; }
mkdir -p "${CLIPYARD_STATE:-$root/.clipyard}"
# One at a time: two starts would choose two sets of ports. Node marks it close-on-exec, so no service holds it.
exec {lock}>"${CLIPYARD_STATE:-$root/.clipyard}/services.lock"
flock "$lock"
exec "$node" "$root/scripts/services/main.ts" "$@"
