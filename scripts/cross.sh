#!/usr/bin/env bash
# Builds the program for a target, and prints its path: `scripts/cross.sh TARGET PROFILE`.
#
# `scripts/setup.sh systems` installs the tools: zig links for musl and macOS, mingw for Windows.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${1:?usage: scripts/cross.sh TARGET PROFILE}"
profile="${2:?usage: scripts/cross.sh TARGET PROFILE}"
export PATH="$PWD/target/tools/zig/bin:$PATH" CARGO_ZIGBUILD_ZIG_PATH="$PWD/target/tools/zig/ziglang/zig"

flags=(--locked --profile "$profile" --target "$target" --bin peerbroker)
for package in peerbroker rust-embed; do
  # With these, pages are read from the disk of this machine.
  flags+=(--config "profile.dev.package.$package.debug-assertions=false")
done
case "$target" in
  *-musl | *-apple-darwin) cargo zigbuild "${flags[@]}" >&2 ;;
  *) cargo build "${flags[@]}" >&2 ;;
esac

extension=''
[[ "$target" != *-windows-* ]] || extension=.exe
echo "${CARGO_TARGET_DIR:-target}/$target/${profile/#dev/debug}/peerbroker$extension"
