#!/usr/bin/env bash
# Starts a container from an image that is mounted lazily: run.sh SOURCE CHANGES COMMAND...
# SOURCE is what `clipyard mount` takes; what the container writes stays in the folder CHANGES.
set -euo pipefail
source=$1 changes=$2; shift 2
bundle=$(mktemp -d)
mkdir "$bundle/rootfs"
clipyard mount --rw "$changes" "$source" "$bundle/rootfs" >&2
trap 'clipyard umount "$bundle/rootfs" >&2 && rm -r "$bundle"' EXIT
cd "$bundle"
crun spec
node -e 'const spec = JSON.parse(fs.readFileSync("config.json"));
  Object.assign(spec.process, { terminal: false, args: process.argv.slice(1) });
  spec.root.readonly = false;
  fs.writeFileSync("config.json", JSON.stringify(spec));' -- "$@"
crun run --bundle "$bundle" "clipyard-example-$$"
