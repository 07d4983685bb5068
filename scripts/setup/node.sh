# Node 24 from npm's own packages, the project's npm packages, and the code generated from .proto files.
node_version() { sed -n 's/.*"version": "\(.*\)".*/\1/p' native-tools/node/package.json | head -1; }

node_runtime() {
  local version home arch
  version=$(node_version) arch=$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')
  home="$CACHE/node/$version-$(digest native-tools/node/package-lock.json)"
  if [ -x "$home/node_modules/node-linux-$arch/bin/node" ]; then outcome cached; else
    rm -rf "$home" "$home.tmp"; mkdir -p "$home.tmp"
    cp native-tools/node/package*.json "$home.tmp"
    npm ci --prefix "$home.tmp" --ignore-scripts --no-audit --no-fund
    mv -T "$home.tmp" "$home"
  fi
  ln -sfn "$home/node_modules/node-linux-$arch" "$TOOLS/node"
  [ "$("$TOOLS/node/bin/node" --version)" = "v$version" ]
}

npm_packages() {
  local inputs; inputs=$(digest package.json package-lock.json .npmrc)-$(node_version)
  if stamped npm "$inputs" && [ -f node_modules/.package-lock.json ]; then outcome cached; else
    # An interrupted install may leave packages half unpacked; `npm install` would take them as they are.
    if stamped npm started; then rm -rf node_modules; fi
    stamp npm started
    # Not `npm ci`: it insists on lock entries for every platform's optional binaries, and a registry that serves only
    # some platforms cannot give them. Versions and digests come from the lock file all the same.
    PATH="$TOOLS/node/bin:$PATH" npm install --no-save --no-audit --no-fund
    stamp npm "$inputs"
  fi
  # `npm run` puts node_modules/.bin first in PATH: with this link every script runs on Node 24, whatever the machine has.
  ln -sfn ../../.clipyard/node/bin/node node_modules/.bin/node
}

generated_code() {
  local before; before=$(cat "$TOOLS/stamps/gen-proto" 2>/dev/null || true)
  "$TOOLS/node/bin/node" scripts/gen-proto.ts
  [ "$before" != "$(cat "$TOOLS/stamps/gen-proto")" ] || outcome cached
}
