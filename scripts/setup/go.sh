# Go programs, one module each under native-tools/go, built once per machine and linked into .clipyard/bin.
# The package named in the module's tool directive, or else its own.
go_package() { sed -n 's/^tool //p' "native-tools/go/$1/go.mod" | grep . || echo .; }
# The version of the module that holds that package, or else of the first that its own requires.
go_version() { awk -v tool="$(go_package "$1")" '$1 == "require" { $1 = ""; $0 = $0 } $2 ~ /^v/ && (tool == "." || index(tool, $1 "/") == 1) { print $2; exit }' "native-tools/go/$1/go.mod"; }

# go_inputs DIR: one digest of the compiler and the module.
go_inputs() { printf '%s %s' "$(go env GOVERSION GOARCH | tr '\n' '-')" "$(cat "$1"/*.go "$1/go.mod" "$1/go.sum" 2>/dev/null | sha256sum)" | sha256sum | cut -c1-16; }

# go_build DIR NAME PACKAGE: the lock is for two checkouts that set up at the same time. Nobody debugs these programs, and
# without tables for a debugger they compile in less time.
go_build() {
  local target; target="$CACHE/bin/$2-$(go_inputs "$1")"
  exec 8>"$CACHE/bin/.$2.lock"; flock 8
  if [ -x "$target" ]; then outcome cached; else
    (cd "$1" && CGO_ENABLED=0 go build -trimpath -gcflags all=-dwarf=false -ldflags '-s -w' -o "$target.tmp" "$3" 8<&-)
    mv -T "$target.tmp" "$target"
  fi
  ln -sfn "$target" "$TOOLS/bin/$2"
}

go_tool() { go_build "native-tools/go/$1" "$2" "$(go_package "$1")"; }

# The peer that the interop tests compare with: the stock CLIP reader.
clip_reader() {
  [ -f test/interop/clip-reader/go.mod ] || { outcome "skipped: not in this checkout"; return; }
  go_build test/interop/clip-reader clip-reader .
}

# Downloads sources while the first steps install packages: the two do not compete for the same thing.
go_prefetch() {
  local module
  for module in native-tools/go/*; do
    compgen -G "$CACHE/bin/*-$(go_inputs "$module")" >/dev/null ||
      (cd "$module" && go list -deps "$(sed -n 's/^tool //p' go.mod | grep . || echo .)" >/dev/null 2>&1) || true
  done 9<&- &
}
