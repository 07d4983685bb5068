#!/usr/bin/env bash
# Installs all that Clipyard needs, from package registries: scripts/setup.sh. Safe to run again and after an
# interruption: a step whose inputs did not change is skipped. Logs in .clipyard/logs/setup-*.log.
# `scripts/setup.sh system` stops behind the system's packages: with these Rust can be compiled and tested.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup/lib.sh
. scripts/setup/system.sh
. scripts/setup/node.sh
. scripts/setup/go.sh
. scripts/setup/rust.sh
. scripts/setup/bundle.sh

one_at_a_time
require go 1.26 "https://go.dev/doc/install"
require cargo 1.95 "https://rustup.rs"
require npm 9 "https://nodejs.org"
[ "${1:-}" = system ] || go_prefetch

step "system packages"                 debian_packages
[ "${1:-}" != system ] || exit 0
rust_ahead
step "redis-server"                    redis_server
step "Node $(node_version)"            node_runtime
step "npm packages"                    npm_packages
step "buildkitd $(go_version buildkit)"       go_tool buildkit buildkitd
step "olareg $(go_version olareg)"            go_tool olareg olareg
step "versitygw $(go_version versitygw)"      go_tool versitygw versitygw
step "distribution $(go_version distribution)" go_tool distribution registry
step "grpcurl $(go_version grpcurl) (test peer)" go_tool grpcurl grpcurl
step "CLIP reader (test peer)"         clip_reader
step "generated protobuf code"         generated_code
step "program (dist/)"                 bundle
step "Rust tools"                      rust_tools
