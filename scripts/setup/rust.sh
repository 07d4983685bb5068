# The Rust workspace in release mode. The build directory lies in the user's cache, so a second checkout is fast too.
rust_tools() {
  [ -f native-tools/Cargo.toml ] || { outcome "skipped: not in this checkout"; return; }
  local target name
  target="${CARGO_TARGET_DIR:-$CACHE/cargo-target}"
  (cd native-tools && CARGO_TARGET_DIR=$target cargo build --release --locked --bins) 2>&1 | tee "$TOOLS/logs/cargo-build.log"
  for name in clipyard-index clipyard-mountd clipyard-compare clipyard-hash; do
    # A copy, not a link: another checkout's build replaces the files in the shared directory.
    if [ -x "$target/release/$name" ]; then install -C -m 755 "$target/release/$name" "$TOOLS/bin/$name"; fi
  done
  grep -q '^ *Compiling' "$TOOLS/logs/cargo-build.log" || outcome cached
}
