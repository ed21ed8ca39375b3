#!/usr/bin/env bash
# Plants one fault after another into a copy of the source, and expects `cargo test --test nodes` to fail with each.
# Arguments choose faults by parts of their names.
set -euo pipefail
cd "$(dirname "$0")/.."
faults="$PWD/scripts/mutants"
work="$PWD/target/mutants"
copy="$work/source"

rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
# Not in the repository, but embedded in the program.
[ ! -d vendor/dist ] || cp -r --parents vendor/dist "$copy"
cargo test --locked --quiet --test nodes --no-run

missed=()
for patch in "$faults"/*.patch; do
  fault="$(basename "$patch" .patch)"
  [ $# -eq 0 ] || [[ " $* " == *" $fault "* ]] || continue
  patch --quiet --strip=1 --directory="$copy" <"$patch"
  (cd "$copy" && CARGO_TARGET_DIR="$work/target" cargo build --locked --quiet --bin peerbroker)
  log="$work/$fault.log"
  if PEERBROKER_BIN="$work/target/debug/peerbroker" RUST_BACKTRACE=0 \
    cargo test --locked --quiet --test nodes >"$log" 2>&1; then
    echo "NOT CAUGHT: $fault"
    missed+=("$fault")
  else
    echo "caught: $fault, by"
    sed -n '/^failures:$/,/^test result/s/^    \([a-z_:]*\)$/  \1/p' "$log" | sort -u
    sed -n 's/^WRONG: /    /p' "$log" | sed 's/[#m]\?[0-9]\+/…/g' | sort | uniq -c | sort -rn | head -5
  fi
  patch --quiet --strip=1 --directory="$copy" --reverse <"$patch"
done
[ ${#missed[@]} -eq 0 ]
