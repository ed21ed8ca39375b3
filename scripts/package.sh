#!/usr/bin/env bash
# Makes the Debian package of the program that is built: `scripts/package.sh [ARGUMENTS OF cargo deb]`. Prints its path.
#
# The manual page and the completions are the same for all machines. They are written by the program of this one, or by that
# of PEERBROKER_BIN. PROFILE is that of the build.
set -euo pipefail
cd "$(dirname "$0")/.."

profile="${PROFILE:-dist}"
program="${PEERBROKER_BIN:-${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}/peerbroker}"
made=target/package
cargo deb --version >/dev/null 2>&1 || { echo 'cargo-deb is missing: scripts/setup.sh package installs it' >&2; exit 1; }
[ -x "$program" ] || { echo "$program is missing: make dist" >&2; exit 1; }

rm -rf "$made"
mkdir -p "$made"
# The same files make the same package.
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH
env -i "$program" man > "$made/peerbroker.1"
env -i "$program" completions bash > "$made/peerbroker.bash"
env -i "$program" completions zsh > "$made/_peerbroker"
env -i "$program" completions fish > "$made/peerbroker.fish"
target="$(rustc -vV | sed -n 's/^host: //p')"
cargo metadata --locked --format-version 1 --filter-platform "$target" | node scripts/copyright.mjs > "$made/copyright"
version="$(cargo pkgid --locked | sed 's/.*[#@]//')"
cat > "$made/changelog" <<END
peerbroker ($version-1) unstable; urgency=medium

  * https://github.com/peerbroker/peerbroker/blob/main/CHANGELOG.md

 -- The peerbroker contributors <peerbroker@users.noreply.github.com>  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
cat > "$made/lintian-overrides" <<END
# procfs has it for its own documentation, which is not in the program.
peerbroker: copyright-file-contains-full-gfdl-license
# There is no bug of Debian's tracker to close.
peerbroker: initial-upload-closes-no-bugs
# The description of the crate.
peerbroker: description-synopsis-starts-with-article
END
cargo deb --profile "$profile" --locked --no-build --quiet "$@"
