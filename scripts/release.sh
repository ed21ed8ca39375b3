#!/usr/bin/env bash
# Makes release archives in target/release-archives, with their checksums: `scripts/release.sh [TARGET…]`, by default for
# this machine. Other targets need their toolchain: `rustup target add`, and a C compiler and linker.
set -euo pipefail
cd "$(dirname "$0")/.."

host="$(rustc -vV | sed -n 's/^host: //p')"
version="$(cargo pkgid --locked | sed 's/.*[#@]//')"
builds="${CARGO_TARGET_DIR:-target}"
archives="$PWD/target/release-archives"
rm -rf "$archives"
mkdir -p "$archives"

for target in "${@:-$host}"; do
  cargo build --release --locked --target "$target"
  name="peerbroker-$version-$target"
  mkdir "$archives/$name"
  cp "$builds/$target/release/peerbroker" README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$archives/$name/"
  cp -r docs deploy "$archives/$name/"
  # The same files make the same archive.
  tar -C "$archives" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" -cf - "$name" \
    | gzip -n9 > "$archives/$name.tar.gz"
  rm -r "${archives:?}/$name"
done

cd "$archives"
sha256sum -- *.tar.gz > SHA256SUMS
cat SHA256SUMS
