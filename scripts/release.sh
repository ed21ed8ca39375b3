#!/usr/bin/env bash
# Makes a release in target/release-archives: archives, Debian and npm packages, a Homebrew formula, SBOMs in CycloneDX, and their
# checksums, which the publisher signs.
#
#     scripts/release.sh [--dry-run] VERSION [TARGET…]
#
# By default for this machine, and for every other target whose tools are here: `scripts/setup.sh systems` installs those of musl,
# Windows and macOS, and `apt install gcc-aarch64-linux-gnu` that of the Debian package for 64-bit Arm. With --dry-run, an unfinished
# changelog, changed files and a tag that exists are only warnings. PROFILE=dev builds faster, to try this script.
# Tools: cargo install --locked cargo-deb cargo-cyclonedx; apt install zip
set -euo pipefail
cd "$(dirname "$0")/.."

export PROFILE="${PROFILE:-dist}"
dry_run=''
[ "${1:-}" != --dry-run ] || { dry_run=yes; shift; }
version="${1:?usage: scripts/release.sh [--dry-run] VERSION [TARGET…]}"
shift

problem() {
  echo "${dry_run:+warning: }$*" >&2
  [ -n "$dry_run" ] || exit 1
}
in_cargo="$(cargo pkgid --locked | sed 's/.*[#@]//')"
[ "$version" = "$in_cargo" ] || { echo "Cargo.toml has version $in_cargo, not $version" >&2; exit 1; }
for tool in cargo-deb cargo-cyclonedx; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: cargo install --locked $tool" >&2; exit 1; }
done
[ -z "$(git status --porcelain)" ] || problem 'there are changed files: commit them'
# All but the upload, and the build: below are four.
cargo publish --workspace --locked --dry-run --no-verify ${dry_run:+--allow-dirty}
grep -Eq "^## \[$version\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md \
  || problem "CHANGELOG.md has no section \"## [$version] - $(date -u +%F)\": give \"Unreleased\" this name"
! git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null || problem "the tag v$version exists already"

SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"
export SOURCE_DATE_EPOCH
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
host="$(rustc -vV | sed -n 's/^host: //p')"
builds="${CARGO_TARGET_DIR:-target}"
archives="$PWD/target/release-archives"

is_possible() {
  [ -d "$(rustc --print sysroot)/lib/rustlib/$1" ] && command -v "$2" >/dev/null
}
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  targets=("$host")
  for target in {x86_64,aarch64}-unknown-linux-musl {x86_64,aarch64}-apple-darwin; do
    ! is_possible "$target" target/tools/zig/bin/cargo-zigbuild || targets+=("$target")
  done
  ! is_possible x86_64-pc-windows-gnu x86_64-w64-mingw32-gcc || targets+=(x86_64-pc-windows-gnu)
  ! is_possible aarch64-unknown-linux-gnu aarch64-linux-gnu-gcc || targets+=(aarch64-unknown-linux-gnu)
fi

# npm's name of a target.
platform_of() {
  case "$1" in
    x86_64-*-linux-*) echo linux-x64 ;;
    aarch64-*-linux-*) echo linux-arm64 ;;
    x86_64-apple-darwin) echo darwin-x64 ;;
    aarch64-apple-darwin) echo darwin-arm64 ;;
    x86_64-*-windows-*) echo win32-x64 ;;
  esac
}
declare -A programs=()

rm -rf "$archives"
mkdir -p "$archives"
for target in "${targets[@]}"; do
  echo "$target"
  if [ "$target" = "$host" ]; then
    built=()
    program="$builds/${PROFILE/#dev/debug}/peerbroker"
    if [ "$PROFILE" = dist ]; then
      make --silent dist
    else
      cargo build --profile "$PROFILE" --locked
    fi
  else
    built=(--target "$target")
    program="$(scripts/cross.sh "$target" "$PROFILE")"
  fi
  name="peerbroker-$version-$target"
  scripts/archive.sh "$target" "$program" "$archives" >/dev/null
  # Of what the program contains: libraries of tests and builds are not in it.
  cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --target "$target" --override-filename "$name.cdx"
  # Without the directory of this machine.
  sed "s#file://$PWD#file:///peerbroker#g" "$name.cdx.json" > "$archives/$name.cdx.json"
  # One for each package of the workspace.
  rm -f {.,tests/kit,tests/schedules,tests/simulation,crates/*}/"$name.cdx.json"
  if [[ "$target" == *-linux-gnu ]]; then
    scripts/package.sh "${built[@]}" --output "$archives/" >/dev/null
  fi
  platform="$(platform_of "$target")"
  # A program for musl runs on every Linux.
  if [ -n "$platform" ] && { [ -z "${programs[$platform]:-}" ] || [[ "$target" == *-musl ]]; }; then
    programs[$platform]="$platform=$program"
  fi
done
if [ ${#programs[@]} -gt 0 ]; then
  rm -rf target/npm
  (cd client && npm ci --no-audit --no-fund --silent)
  node scripts/npm.mjs "${programs[@]}" >/dev/null
  mv target/npm/*.tgz "$archives/"
fi

cd "$archives"
../../scripts/formula.sh "$version" > peerbroker.rb || rm peerbroker.rb
sha256sum -- * > SHA256SUMS
cat SHA256SUMS
