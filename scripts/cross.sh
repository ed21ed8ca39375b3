#!/usr/bin/env bash
# Builds the program for a target, and prints its path: `scripts/cross.sh TARGET PROFILE`.
#
# `scripts/setup.sh systems` installs the tools: zig links for musl and macOS, mingw for Windows.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${1:?usage: scripts/cross.sh TARGET PROFILE}"
profile="${2:?usage: scripts/cross.sh TARGET PROFILE}"
export PATH="$PWD/target/tools/zig/bin:$PATH" CARGO_ZIGBUILD_ZIG_PATH="$PWD/target/tools/zig/ziglang/zig"
# zig's own default shuts out all but the newest macOS.
export MACOSX_DEPLOYMENT_TARGET=11.0

flags=(--locked --profile "$profile" --target "$target" --bin peerbroker)
for package in peerbroker rust-embed; do
  # With these, pages are read from the disk of this machine.
  flags+=(--config "profile.dev.package.$package.debug-assertions=false")
done
# As `make dist`, which says why.
last_pass=()
[ "$profile" != dist ] || last_pass=(-Cllvm-args=-inline-threshold=0)
case "$target" in
  *-apple-darwin)
    # The library redis names these frameworks, for certificates that it does not read here. Apple's SDK has them, and may not be
    # passed on; the linker needs no more than their names.
    frameworks="${CARGO_TARGET_DIR:-$PWD/target}/frameworks"
    for framework in Security CoreFoundation; do
      mkdir -p "$frameworks/$framework.framework"
      cat > "$frameworks/$framework.framework/$framework.tbd" <<END
--- !tapi-tbd
tbd-version: 4
targets: [ x86_64-macos, arm64-macos ]
install-name: '/System/Library/Frameworks/$framework.framework/Versions/A/$framework'
...
END
    done
    cargo-zigbuild rustc "${flags[@]}" -- -L "framework=$frameworks" "${last_pass[@]}" >&2
    ;;
  *-musl) cargo-zigbuild rustc "${flags[@]}" -- "${last_pass[@]}" >&2 ;;
  *) cargo rustc "${flags[@]}" -- "${last_pass[@]}" >&2 ;;
esac

extension=''
[[ "$target" != *-windows-* ]] || extension=.exe
echo "${CARGO_TARGET_DIR:-target}/$target/${profile/#dev/debug}/peerbroker$extension"
