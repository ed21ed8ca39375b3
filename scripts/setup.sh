#!/usr/bin/env bash
# Installs missing packages that the tests need. Without the rights to do so, it lists them. An argument adds the tools of one
# purpose: `systems` (scripts/cross.sh, scripts/test-systems.sh), `package` (scripts/package.sh, scripts/test-package.sh), `fuzz`,
# `conformance`, or `stacks`: Pion and peerjs-go with Go, and libnice with GStreamer, 1.2 GB that tests/conformance/ uses where they are.
set -euo pipefail

purpose="${1:-}"
case "$purpose" in
  '' | systems | package | fuzz | conformance | stacks) ;;
  *) echo "error: $purpose: expected systems, package, fuzz, conformance or stacks" >&2; exit 2 ;;
esac

# program:package
needs=(cc:build-essential node:nodejs npm:npm openssl:openssl wget:wget chromium:chromium firefox-esr:firefox-esr ip:iproute2 nft:nftables certutil:libnss3-tools valgrind:valgrind pip3:python3-pip)
if [ "$purpose" = systems ]; then
  needs+=(x86_64-w64-mingw32-gcc:gcc-mingw-w64-x86-64 wine:wine qemu-aarch64-static:qemu-user-static buildah:buildah podman:podman runc:runc zip:zip)
elif [ "$purpose" = package ]; then
  needs+=(systemd-nspawn:systemd-container mmdebstrap:mmdebstrap)
elif [ "$purpose" = conformance ]; then
  needs+=(chromedriver:chromium-driver WebKitWebDriver:webkit2gtk-driver Xvfb:xvfb)
fi
# Installed packages of these would start services on this machine. So they are only unpacked.
services=(nginx caddy redis-server turnserver:coturn haproxy)
root="$(cd "$(dirname "$0")/.." && pwd)"
unpacked="$root/target/proxies"

missing=()
for need in "${needs[@]}"; do
  PATH="$PATH:/usr/sbin" command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
if [ "$purpose" = stacks ]; then
  for package in golang-go golang-github-pion-webrtc.v3-dev golang-github-gorilla-websocket-dev golang-github-sirupsen-logrus-dev python3-gi gstreamer1.0-nice gstreamer1.0-plugins-bad gir1.2-gst-plugins-bad-1.0; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
  done
fi
packed=()
for service in "${services[@]}"; do
  PATH="$PATH:/usr/sbin:$unpacked/usr/sbin:$unpacked/usr/bin" command -v "${service%%:*}" >/dev/null || packed+=("${service##*:}")
done
# nginx without its own stream module has no TCP proxy.
stream=usr/lib/nginx/modules/ngx_stream_module.so
[ -e "/$stream" ] || [ -e "$unpacked/$stream" ] || packed+=(libnginx-mod-stream)
# The libraries of coturn and HAProxy are installed, because they are no services.
missing_libraries() {
  local package
  for package in coturn haproxy; do
    [[ " ${packed[*]} " == *" $package "* ]] || continue
    apt-cache depends "$package" | sed -n 's/^ *Depends: \(lib[^<]*\)$/\1/p' | while read -r library; do
      dpkg -s "$library" >/dev/null 2>&1 || echo "$library"
    done
  done
}
# The package redis-server is a link to a program of redis-tools, which is no service and brings the libraries.
if [[ " ${packed[*]} " == *" redis-server "* ]]; then
  packed+=(redis-tools)
  command -v redis-cli >/dev/null || missing+=(redis-tools)
fi
# Chromium without windows, at half of the CPU. Where the distribution or the user cannot install it, tests take the whole one.
headless_shell() {
  command -v chromium-headless-shell >/dev/null && return
  { [ "$(id -u)" -eq 0 ] || sudo -n true; } >/dev/null 2>&1 || return 0
  ! apt-cache show chromium-headless-shell >/dev/null 2>&1 || echo chromium-headless-shell
}
mapfile -t -O "${#missing[@]}" missing < <(headless_shell)
# Not every distribution has these. Without them, the tests of --acme and those of the alert rules skip themselves; where CI
# is set, they fail.
extra=()
PATH="$PATH:$unpacked/usr/bin" command -v pebble >/dev/null || extra+=(pebble)
PATH="$PATH:$unpacked/usr/bin" command -v promtool >/dev/null || extra+=(prometheus)

if ! command -v cargo >/dev/null; then
  echo 'cargo is missing: install Rust from https://rustup.rs' >&2
  exit 1
fi

# Tools of cargo, in target/tools/bin, where the Makefile finds them. PyPI has some of them built, with the given hash; cargo builds
# the others in minutes.
cargo_tool() {
  local tool="cargo-$1" version="$2" hash="${3:-}" work
  PATH="$root/target/tools/bin:$PATH" command -v "$tool" >/dev/null && return
  mkdir -p "$root/target/tools/bin"
  if [ -n "$hash" ] && [ "$(uname -sm)" = 'Linux x86_64' ] && python3 -m pip --version >/dev/null 2>&1; then
    work="$(mktemp -d)"
    echo "astral-dev-toolchain-$tool==$version --hash=sha256:$hash" >"$work/wanted"
    if python3 -m pip download --quiet --no-deps --require-hashes --only-binary :all: --dest "$work" -r "$work/wanted"; then
      python3 -m zipfile -e "$work"/*.whl "$work"
      install "$work"/*.data/scripts/"$tool" "$root/target/tools/bin/"
      rm -rf -- "$work"
      return
    fi
    rm -rf -- "$work"
  fi
  cargo install --locked --quiet --root "$root/target/tools" "$tool@$version"
}
cargo_tool deny 0.20.2 ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
cargo_tool nextest 0.9.148 76d7faec7ba7e1f15f888268761bb1449309b1eb801ec5cbe9c04a5685f42968

case "$purpose" in
  package) cargo_tool deb 3.8.0 ;;
  fuzz)
    rustup toolchain list | grep -q ^nightly || rustup toolchain install nightly --profile minimal
    cargo_tool fuzz 0.13.2
    ;;
  conformance)
    # Debian has no package of it.
    PATH="$root/target/tools/bin:$PATH" command -v geckodriver >/dev/null ||
      cargo install --locked --quiet --root "$root/target/tools" geckodriver@0.37.1
    ;;
esac
# zig is a linker for musl and macOS.
if [ "$purpose" = systems ]; then
  rustup target add aarch64-unknown-linux-musl x86_64-unknown-linux-musl x86_64-pc-windows-gnu aarch64-apple-darwin x86_64-apple-darwin
  [ -x "$root/target/tools/zig/bin/cargo-zigbuild" ] ||
    python3 -m pip install --quiet --target "$root/target/tools/zig" ziglang==0.17.1 cargo-zigbuild==0.24.0
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
mapfile -t -O "${#missing[@]}" missing < <(missing_libraries)

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
  # Only promtool is needed of its package.
  rm -rf -- "$unpacked/usr/bin/prometheus" "$unpacked/usr/share/prometheus"
}
# Needs no root rights if apt has its package lists.
[ ${#missing[@]} -eq 0 ] && unpack && exit 0

install=(apt-get install -y --no-install-recommends)
if [ "$(id -u)" -eq 0 ]; then
  sudo=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  sudo=(sudo)
else
  echo "missing: ${missing[*]} ${packed[*]}. Run: sudo apt-get update && sudo ${install[*]} ${missing[*]}; then this again" >&2
  exit 1
fi
echo "installing: ${missing[*]} ${packed[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -q
# Without the lists of packages, nothing was known of them before.
mapfile -t libraries < <(missing_libraries)
mapfile -t -O "${#missing[@]}" missing < <(headless_shell)
[ ${#libraries[@]} -eq 0 ] || "${sudo[@]}" "${install[@]}" "${libraries[@]}"
# Ubuntu, for example, has no firefox-esr.
available=()
for package in "${missing[@]}"; do
  if apt-cache show "$package" >/dev/null 2>&1; then
    available+=("$package")
  else
    echo "this distribution has no $package: tests that need it fail or skip themselves"
  fi
done
[ ${#available[@]} -eq 0 ] || "${sudo[@]}" "${install[@]}" "${available[@]}"
unpack
