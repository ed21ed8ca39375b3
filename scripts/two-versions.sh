#!/usr/bin/env bash
# Runs the tests of real nodes with programs of two versions: this one, and that of a revision of the repository. Without a
# revision, the other one is this one with what a later version may bring: fields, packets, questions (scripts/versions/next.patch).
set -euo pipefail
cd "$(dirname "$0")/.."
root="$PWD"
work="$root/target/versions"
copy="$work/source"

rm -rf "$copy"
mkdir -p "$copy"
if [ $# -gt 0 ]; then
  git archive "$1" | tar -x -C "$copy"
else
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
  patch --quiet --strip=1 --directory="$copy" <scripts/versions/next.patch
fi
(cd "$copy" && CARGO_TARGET_DIR="$work/target" cargo build --locked --quiet --bin peerbroker)
PEERBROKER_OTHER_BIN="$work/target/debug/peerbroker" cargo test --locked --test nodes
