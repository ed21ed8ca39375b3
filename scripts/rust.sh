#!/bin/sh
# Sees to what a build needs, before cargo reads anything: a C compiler, and Rust of Cargo.toml's version or later. On Debian and
# Ubuntu, it installs what is missing, if it may; elsewhere it says the command.
set -eu
cd "$(dirname "$0")/.."
PATH="${HOME:-}/.cargo/bin:$PATH"

wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
rustup="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"

# True if cargo is here, and not older than wanted. With rustup, rust-toolchain.toml chooses it, and the first use installs it.
is_rust_here() {
  command -v cargo >/dev/null || return 1
  ! command -v rustup >/dev/null || return 0
  version=$(cargo --version | cut -d ' ' -f 2)
  [ "$(printf '%s\n' "$wanted" "$version" | sort -V | head -n 1)" = "$wanted" ]
}

missing=
command -v cc >/dev/null || missing=build-essential
is_rust_here || missing="$missing rustup"

if [ -n "$missing" ] && command -v apt-get >/dev/null; then
  sudo=
  [ "$(id -u)" -eq 0 ] || sudo='sudo -n'
  if [ -z "$sudo" ] || $sudo true 2>/dev/null; then
    echo "installing what a build needs: $missing" >&2
    # Without a network, the sentences below still help. Older releases have no rustup.
    $sudo apt-get update -qq || true
    case "$missing" in *rustup) apt-cache show rustup >/dev/null 2>&1 || missing="${missing%rustup} curl ca-certificates" ;; esac
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-remove --no-install-recommends $missing >/dev/null ||
      echo "apt could not install: $missing" >&2
  fi
fi

if ! command -v cc >/dev/null; then
  case "$(uname -s)" in
    Darwin) install='xcode-select --install' ;;
    *) install="apt install build-essential, dnf install gcc make, apk add build-base, or pacman -S base-devel" ;;
  esac
  echo "error: a C compiler is missing: $install" >&2
  exit 1
fi
if ! is_rust_here; then
  found=
  ! command -v cargo >/dev/null || found=", and here is $(cargo --version)"
  echo "error: peerbroker needs Rust $wanted or later$found. This installs it for you alone:" >&2
  echo "  $rustup" >&2
  echo "Then open a new shell, and run this again. Without Rust: docker build -f deploy/Dockerfile -t peerbroker ." >&2
  exit 1
fi
[ -x target/release/peerbroker ] ||
  echo 'The first build takes some minutes. At its end, the server prints its address.' >&2
