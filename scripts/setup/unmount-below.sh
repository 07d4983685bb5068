#!/usr/bin/env bash
# Unmounts what a killed test or daemon left below a directory, deepest first, and says so: unmount-below.sh DIR
set -euo pipefail
directory=$(readlink -f "$1")
awk -v below="$directory/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do
  echo "left mounted, now released: $mount" >&2
  umount -l "$(printf '%b' "$mount")"
done
