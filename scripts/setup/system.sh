# Debian packages; only the missing ones, and the package lists are only fetched when they do not know them.
PACKAGES=(runc crun fuse3 umoci skopeo debootstrap busybox-static zstd attr acl tar gcc g++ libc6-dev git util-linux redis-tools)
# Of the tests alone: certificates, file systems in files, the page cache, mmap by another program.
PACKAGES+=(openssl e2fsprogs mount util-linux-extra procps python3)

debian_packages() {
  command -v dpkg-query >/dev/null || { outcome "skipped: no Debian here, install by hand: ${PACKAGES[*]}"; return; }
  local missing=() package
  for package in "${PACKAGES[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || { outcome cached; return; }
  local sudo=''; [ "$(id -u)" = 0 ] || sudo='sudo -n'
  export DEBIAN_FRONTEND=noninteractive
  local install=($sudo apt-get install -y -q --no-install-recommends "${missing[@]}")
  "${install[@]}" || { $sudo apt-get update -q && "${install[@]}"; }
  outcome "installed ${missing[*]}"
}

# Debian's redis-tools holds the server too (its name decides what it is), without the system service of redis-server.
redis_server() {
  local source
  source=$(command -v redis-server || command -v valkey-server || command -v redis-check-rdb) ||
    { outcome "skipped: install Redis or Valkey as $TOOLS/bin/redis-server"; return; }
  if cmp -s "$source" "$TOOLS/bin/redis-server"; then outcome cached; else install -m 755 "$source" "$TOOLS/bin/redis-server"; fi
  "$TOOLS/bin/redis-server" --version
}
