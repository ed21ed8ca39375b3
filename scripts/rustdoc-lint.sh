#!/usr/bin/env bash
# RUSTDOC of `cargo test --doc`: lints the documentation of a package, then runs its examples, with the libraries that the tests have.
set -euo pipefail
if [[ " $* " == *' --test '* ]]; then
  words=()
  skip=
  for word in "$@"; do
    case "$skip$word" in
      --test) ;;
      --test-run-directory | --test-args) skip=1 ;;
      1*) skip= ;;
      *) words+=("$word") ;;
    esac
  done
  rustdoc "${words[@]}" --document-private-items -D warnings --out-dir target/doc
fi
exec rustdoc "$@"
