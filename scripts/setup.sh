#!/usr/bin/env bash
# Installs missing packages that the tests need. Without the rights to do so, it lists them.
set -euo pipefail

# program:package
needs=(cc:build-essential node:nodejs npm:npm openssl:openssl wget:wget chromium:chromium firefox-esr:firefox-esr ip:iproute2 nft:nftables)
# Installed packages of these would start services on this machine. So they are only unpacked.
services=(nginx caddy redis-server turnserver:coturn)
unpacked="$(cd "$(dirname "$0")/.." && pwd)/target/proxies"

missing=()
for need in "${needs[@]}"; do
  PATH="$PATH:/usr/sbin" command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
packed=()
for service in "${services[@]}"; do
  PATH="$PATH:/usr/sbin:$unpacked/usr/sbin:$unpacked/usr/bin" command -v "${service%%:*}" >/dev/null || packed+=("${service##*:}")
done
# The libraries of coturn are installed, because they are no services.
libraries_of_coturn() {
  [[ " ${packed[*]} " == *" coturn "* ]] || return 0
  apt-cache depends coturn | sed -n 's/^ *Depends: \(lib[^<]*\)$/\1/p' | while read -r library; do
    dpkg -s "$library" >/dev/null 2>&1 || echo "$library"
  done
}
# The package redis-server is a link to a program of redis-tools, which is no service and brings the libraries.
if [[ " ${packed[*]} " == *" redis-server "* ]]; then
  packed+=(redis-tools)
  command -v redis-cli >/dev/null || missing+=(redis-tools)
fi
# Not every distribution has this one. Without it, the tests of --acme skip themselves.
extra=()
PATH="$PATH:$unpacked/usr/bin" command -v pebble >/dev/null || extra+=(pebble)

if ! command -v cargo >/dev/null; then
  echo 'cargo is missing: install Rust from https://rustup.rs' >&2
  exit 1
fi
[ ${#missing[@]} -eq 0 ] && [ ${#packed[@]} -eq 0 ] && [ ${#extra[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null && [ ${#missing[@]} -eq 0 ] && [ ${#packed[@]} -eq 0 ]; then
  echo "${extra[*]} is missing: tests that need it skip themselves" >&2
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]} ${packed[*]} (these are Debian's names). Install them and run this again." >&2
  exit 1
fi
mapfile -t -O "${#missing[@]}" missing < <(libraries_of_coturn)

unpack() {
  local package
  for package in "${extra[@]}"; do
    if apt-cache show "$package" >/dev/null 2>&1; then
      packed+=("$package")
    else
      echo "this distribution has no $package: tests that need it skip themselves"
    fi
  done
  [ ${#packed[@]} -eq 0 ] && return
  mkdir -p "$unpacked"
  (cd "$unpacked" && apt-get download -q "${packed[@]}" && for file in *.deb; do dpkg-deb -x "$file" .; done && rm -- *.deb)
}
# Needs no root rights if apt has its package lists.
[ ${#missing[@]} -eq 0 ] && unpack && exit 0

install=(apt-get install -y --no-install-recommends "${missing[@]}")
if [ "$(id -u)" -eq 0 ]; then
  sudo=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  sudo=(sudo)
else
  echo "missing: ${missing[*]} ${packed[*]}. Run: sudo apt-get update && sudo ${install[*]}; then this again" >&2
  exit 1
fi
echo "installing: ${missing[*]} ${packed[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -q
# Without the lists of packages, nothing was known of them before.
mapfile -t libraries < <(libraries_of_coturn)
[ ${#libraries[@]} -eq 0 ] || "${sudo[@]}" apt-get install -y --no-install-recommends "${libraries[@]}"
[ ${#missing[@]} -eq 0 ] || "${sudo[@]}" "${install[@]}"
unpack
