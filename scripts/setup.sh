#!/usr/bin/env bash
# Installs what the tests need and this machine has not. Where it cannot, it says what to install.
set -euo pipefail

# program:package
needs=(cc:build-essential node:nodejs npm:npm openssl:openssl chromium:chromium firefox-esr:firefox-esr)

missing=()
for need in "${needs[@]}"; do
  command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done

if ! command -v cargo >/dev/null; then
  echo 'cargo is missing: install Rust from https://rustup.rs' >&2
  exit 1
fi
[ ${#missing[@]} -eq 0 ] && exit 0

install=(apt-get install -y --no-install-recommends "${missing[@]}")
if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]} (these are Debian's names). Install them and run this again." >&2
  exit 1
elif [ "$(id -u)" -eq 0 ]; then
  sudo=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  sudo=(sudo)
else
  echo "missing: ${missing[*]}. Run: sudo ${install[*]}" >&2
  exit 1
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -q
"${sudo[@]}" "${install[@]}"
