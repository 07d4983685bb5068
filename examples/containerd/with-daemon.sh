#!/usr/bin/env bash
# Runs a command with a containerd of its own, without systemd: with-daemon.sh DIR COMMAND...
# Root, state and socket lie below DIR, an absolute path; the daemon ends with the command.
set -euo pipefail
dir=$1; shift
mkdir -p "$dir"
cat > "$dir/config.toml" <<CONFIG
version = 2
root = "$dir/root"
state = "$dir/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$dir/containerd.sock"
CONFIG
containerd --config "$dir/config.toml" 2> "$dir/containerd.log" &
daemon=$!
trap 'kill $daemon; wait $daemon || true' EXIT
export CONTAINERD_ADDRESS=$dir/containerd.sock
until ctr version > "$dir/version" 2>&1; do
  kill -0 $daemon || { cat "$dir/containerd.log" >&2; exit 1; }
  sleep 0.1
done
"$@"
