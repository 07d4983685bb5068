# The program as a few files in dist/, for a quick start.

# bundle_is_current ROOT: whether dist/ holds the program as its sources are now. What is removed changes its folder's time.
bundle_is_current() {
  local inputs=("$1/src" "$1/package.json" "$1/package-lock.json" "$1/scripts/bundle.ts")
  [ -x "$1/dist/bin/cli.js" ] && [ -z "$(find "${inputs[@]}" -newer "$1/dist/bin/cli.js" -print -quit 2>&1)" ]
}

# The bundler is a native package; where a registry has none for this machine, scripts/clipyard runs the sources.
bundle() {
  if bundle_is_current .; then outcome cached; return; fi
  "$TOOLS/node/bin/node" scripts/bundle.ts || outcome "not made, the sources run as they are"
}
