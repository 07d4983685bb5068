# The Rust workspace in release mode. The build directory lies in the user's cache, so a second checkout is fast too.
rust_target() { printf '%s' "${CARGO_TARGET_DIR:-$CACHE/cargo-target}"; }
rust_build() { (cd native-tools && CARGO_TARGET_DIR=$(rust_target) cargo build --release --locked --bins); }

# Begins while other steps download, unpack and link, which leave a core idle; cargo's own lock has the step below wait for it.
rust_ahead() {
  local log="$TOOLS/logs/cargo-ahead.log"
  [ -f native-tools/Cargo.toml ] || return 0
  : >"$log"
  { rust_build || true; } >"$log" 2>&1 </dev/null 9<&- &
}

rust_tools() {
  [ -f native-tools/Cargo.toml ] || { outcome "skipped: not in this checkout"; return; }
  local target name
  target=$(rust_target)
  rust_build 2>&1 | tee "$TOOLS/logs/cargo-build.log"
  for name in clipyard-index clipyard-mountd clipyard-compare clipyard-hash; do
    # A copy, not a link: another checkout's build replaces the files in the shared directory.
    if [ -x "$target/release/$name" ]; then install -C -m 755 "$target/release/$name" "$TOOLS/bin/$name"; fi
  done
  grep -q '^ *Compiling' "$TOOLS"/logs/cargo-{ahead,build}.log || outcome cached
}
