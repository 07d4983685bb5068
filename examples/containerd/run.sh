#!/usr/bin/env bash
# Starts a container of containerd from an image that is mounted lazily: run.sh SOURCE CHANGES COMMAND...
# `ctr --rootfs` takes a folder as root filesystem; CONTAINERD_ADDRESS names the daemon's socket.
set -euo pipefail
source=$1 changes=$2; shift 2
rootfs=$(mktemp -d)
clipyard mount --rw "$changes" "$source" "$rootfs" >&2
trap 'clipyard umount "$rootfs" >&2 && rmdir "$rootfs"' EXIT
ctr run --rm --rootfs "$rootfs" "clipyard-example-$$" "$@"
