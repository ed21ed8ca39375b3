#!/usr/bin/env bash
# Runs a command of cargo: `scripts/linted.sh cargo test …`. With CLIPPY_COMPILES=1, clippy's compiler makes the packages, which lints
# the program and the tests on the way, and rustdoc lints the documentation before it runs its examples; `cargo clippy` and `cargo
# doc` would check all packages by themselves.
set -euo pipefail
if [ -n "${CLIPPY_COMPILES:-}" ]; then
  here="$(cd "$(dirname "$0")" && pwd)"
  export RUSTC_WORKSPACE_WRAPPER=clippy-driver RUSTFLAGS='-D warnings' RUSTDOC="$here/rustdoc-lint.sh"
fi
exec "$@"
