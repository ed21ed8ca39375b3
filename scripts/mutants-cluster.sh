#!/usr/bin/env bash
# Plants one fault after another into a copy of the source, and expects the tests of the cluster and of its router to find each: first
# in the orders of threads, then in the simulation, then with real nodes and a real Redis. Arguments choose faults by their names.
set -euo pipefail
cd "$(dirname "$0")/.."
root="$PWD"
work="$root/target/mutants"
copy="$work/source"
export CARGO_TARGET_DIR="$work/target" RUST_BACKTRACE=0 SIMULATION_SEEDS="${SIMULATION_SEEDS:-1000}"

rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
cd "$copy"

missed=()
for patch in "$root"/scripts/mutants/*.patch; do
  fault="$(basename "$patch" .patch)"
  [ $# -eq 0 ] || [[ " $* " == *" $fault "* ]] || continue
  patch --quiet --strip=1 <"$patch"
  # A fault that does not build is not found by a test.
  cargo test --locked --quiet --package schedules --no-run
  cargo test --locked --quiet --package simulation --no-run
  log="$work/$fault.log"
  if ! cargo test --locked --quiet --package schedules >"$log" 2>&1; then
    echo "caught: $fault, by the orders of threads:"
    sed -n '/^failures:$/,/^test result/s/^    \([a-z_:]*\)$/  \1/p' "$log" | sort -u
  elif ! cargo test --locked --quiet --package simulation >"$log" 2>&1; then
    echo "caught: $fault, by the simulation:"
    sed -n '/^in doubt:/,/^stack backtrace\|^note:\|^$/{/^in doubt:/d;/^$/d;/^note:/d;p}' "$log" | cut -c1-150 | head -3
  else
    cargo build --locked --quiet --bin peerbroker
    bin="$CARGO_TARGET_DIR/debug/peerbroker"
    if ! (cd "$root" && PEERBROKER_BIN="$bin" CARGO_TARGET_DIR=target cargo test --locked --quiet --test nodes) >"$log" 2>&1; then
      echo "caught: $fault, by the nodes:"
      sed -n '/^failures:$/,/^test result/s/^    \([a-z_:]*\)$/  \1/p' "$log" | sort -u
    else
      echo "NOT CAUGHT: $fault"
      missed+=("$fault")
    fi
  fi
  patch --quiet --strip=1 --reverse <"$patch"
done
[ ${#missed[@]} -eq 0 ]
