#!/usr/bin/env bash
# Runs a command of cargo with the compiler of the tests: `scripts/with-tests.sh cargo test --release …`. One build makes the program, as
# in a release, and its tests, without optimization: see scripts/rustc.sh.
#
# With CLIPPY_COMPILES=1, clippy's compiler makes the packages, which lints the program and the tests on the way, and rustdoc lints the
# documentation before it runs its examples; `cargo clippy` and `cargo doc` would check all packages by themselves.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
export RUSTC_WORKSPACE_WRAPPER="$here/rustc.sh"
if [ -n "${CLIPPY_COMPILES:-}" ]; then
  export RUSTFLAGS='-D warnings' RUSTDOC="$here/rustdoc-lint.sh"
fi
exec "$@"
