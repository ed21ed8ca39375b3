#!/usr/bin/env bash
# Makes an image for each given architecture, and a list of them, by the last stage of deploy/Dockerfile, without Docker:
#
#     scripts/image.sh NAME amd64=PROGRAM [arm64=PROGRAM]
#
# The programs are static ones for Linux. `buildah manifest push --all NAME docker://NAME` publishes them.
# BUILDAH replaces `buildah`, as in BUILDAH='buildah --storage-driver vfs'.
set -euo pipefail
cd "$(dirname "$0")/.."

usage='usage: scripts/image.sh NAME ARCHITECTURE=PROGRAM…'
name="${1:?$usage}"
shift
[ $# -gt 0 ] || { echo "$usage" >&2; exit 2; }
read -ra buildah <<<"${BUILDAH:-buildah}"
command -v "${buildah[0]}" >/dev/null || { echo 'buildah is missing: apt install buildah' >&2; exit 1; }
version="$(cargo pkgid --locked | sed 's/.*[#@]//')"
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"

context="$(mktemp -d)"
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/image/data"
# The stage before it compiles: here the programs are in its place.
sed -n '/^FROM scratch/,$ p' deploy/Dockerfile | sed 's/--from=build //' > "$context/Dockerfile"

"${buildah[@]}" manifest rm "$name" >/dev/null 2>&1 || true
"${buildah[@]}" manifest create "$name" >/dev/null
for pair in "$@"; do
  architecture="${pair%%=*}"
  install -m 755 "${pair#*=}" "$context/image/peerbroker"
  # In Docker's format: OCI's has no health check. The layers have the time of the commit, so that the same program makes the same image.
  "${buildah[@]}" bud --quiet --isolation chroot --format docker --layers=false --timestamp "$SOURCE_DATE_EPOCH" \
    --platform "linux/$architecture" --build-arg "VERSION=$version" --manifest "$name" "$context"
done
