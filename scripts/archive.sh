#!/usr/bin/env bash
# Packs a program for a target with its documentation, as people download it, and prints the archive's path without its ending:
# `scripts/archive.sh TARGET PROGRAM FOLDER`. The archive is a .zip for Windows, and a .tar.gz for others.
set -euo pipefail
cd "$(dirname "$0")/.."

usage='usage: scripts/archive.sh TARGET PROGRAM FOLDER'
target="${1:?$usage}"
program="${2:?$usage}"
folder="$(realpath "${3:?$usage}")"
command -v zip >/dev/null || { echo 'zip is missing: apt install zip' >&2; exit 1; }

# Times in archives are that of the commit, so that the same programs make the same archives.
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
name="peerbroker-$(cargo pkgid --locked | sed 's/.*[#@]//')-$target"
rm -rf "${folder:?}/$name" "${folder:?}/$name".{zip,tar.gz}
mkdir "$folder/$name"
cp "$program" README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$folder/$name/"
cp -r docs deploy "$folder/$name/"
find "$folder/$name" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
if [[ "$target" == *-windows-* ]]; then
  (cd "$folder" && find "$name" -print | LC_ALL=C sort | TZ=UTC zip -qX@ "$name.zip")
else
  tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner --mode=go-w -cf - "$name" | gzip -n9 > "$folder/$name.tar.gz"
fi
rm -r "${folder:?}/$name"
echo "$folder/$name"
