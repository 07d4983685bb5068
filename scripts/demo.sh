#!/usr/bin/env bash
# The main job on a real image, from nothing: set-up, services, a Debian base, an image with numpy and scipy on it; built,
# packed, pushed once, archived, mounted elsewhere, run. Again, it reuses everything and takes seconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh
scripts/services.sh start
eval "$(scripts/services.sh env)"
exec .clipyard/node/bin/node --disable-warning=ExperimentalWarning scripts/demo/demo.ts "$@"
