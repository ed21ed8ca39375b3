#!/usr/bin/env bash
# RUSTC_WORKSPACE_WRAPPER of scripts/with-tests.sh. What is compiled as a test (unit tests with their crate, and the files of tests) is
# compiled fast, and panics where a number overflows; the program and the crates that tests link are those of a release. Profiles of
# cargo cannot say that: with two of them, all packages would be compiled twice. clippy's compiler optimizes no MIR, so a message through
# its program costs some 4 % more than through a release.
set -euo pipefail
words=("$@")
# As in a release: derives of packages write other code for `debug_assertions`, which level 0 brings.
fast=(-C opt-level=0 -C debug-assertions=off -C codegen-units=8 -C overflow-checks=on)
if [[ " $* " == *' --test '* ]]; then
  words+=("${fast[@]}")
fi
exec ${CLIPPY_COMPILES:+clippy-driver} "${words[@]}"
