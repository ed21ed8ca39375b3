#!/usr/bin/env bash
# Tests the programs for other systems on this one: `scripts/test-systems.sh [arm64] [windows] [image]`, all without arguments.
#
# ARM64 runs under qemu, Windows under wine, and the image under podman, which needs root. PEERBROKER_BIN names a script that starts
# the program there, so the tests are those of the program for this system. PROFILE=dev builds faster.
# `scripts/setup.sh systems` installs the tools.
set -euo pipefail
cd "$(dirname "$0")/.."

profile="${PROFILE:-release}"
work="$PWD/target/system-tests"
mkdir -p "$work"
export PATH="$PWD/target/tools/bin:$PATH"

step() { echo "== $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
need() {
  local tool
  for tool in "$@"; do
    PATH="$PATH:/usr/sbin" command -v "$tool" >/dev/null || fail "$tool is missing: scripts/setup.sh systems"
  done
}
# Writes a script that runs a program in a system. Tests start it without an environment.
launcher() {
  printf '#!/bin/bash\n%s\n' "$2" > "$work/$1"
  chmod +x "$work/$1"
}
# Runs tests with a launcher: one after another, because wine and qemu are slow.
run_tests() {
  local launcher="$1"
  shift
  PEERBROKER_BIN="$work/$launcher" cargo nextest run --locked --workspace --test-threads 2 "$@"
}
# Two pages of a demo connect in Chromium.
run_demo() {
  local begun=$SECONDS
  (cd client-tests && PEERBROKER_BIN="$work/$1" npm run --silent demo)
  echo "Two pages were connected after less than $((SECONDS - begun + 1)) s."
}
built() { realpath "$(scripts/cross.sh "$1" "$profile")"; }

arm64() {
  need qemu-aarch64-static
  local program
  program="$(built aarch64-unknown-linux-musl)"
  step 'ARM64, under qemu'
  launcher arm64 "exec qemu-aarch64-static '$program' \"\$@\""
  run_tests arm64 --test smoke --test cli -E 'binary(smoke) + test(/^signals::/)'
}

# Tests of things that only Unix has: modes, pipes and sockets as files, SIGTERM beside SIGINT, /proc, paths as Unix writes them. wine
# also has another error for closed pipes.
only_unix='only_its_owner|through_a_pipe|a_socket_at_stdin|a_second_signal|above_the_backlog|remembered_by_where|invalid_proofs|'
only_unix+='wrong_values_end_the_program_with_what|a_closed_stdout'

windows() {
  need wine x86_64-w64-mingw32-gcc setpriv python3 chromium
  local archive program
  archive="$(scripts/archive.sh x86_64-pc-windows-gnu "$(built x86_64-pc-windows-gnu)" "$work")"
  python3 -m zipfile --extract "$archive.zip" "$work"
  program="$archive/peerbroker.exe"
  step 'Windows, under wine: the program from the archive'
  export WINEPREFIX="$work/wine"
  WINEDEBUG=-all wine wineboot --init >/dev/null 2>&1
  # Debian 12's wine lacks this library of Windows 10, from which Rust gets random numbers.
  x86_64-w64-mingw32-gcc -shared -x c - -o "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" -ladvapi32 <<'END'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length) { return SystemFunction036(data, length); }
END
  # wine takes SIGINT for Ctrl-C, and knows no SIGTERM. The program dies with its launcher.
  launcher windows "export LC_ALL=C.UTF-8 WINEPREFIX='$WINEPREFIX' WINEDEBUG=-all HOME='$work'
setpriv --pdeathsig KILL wine '$program' \"\$@\" &
trap 'kill -INT \$!' INT TERM
wait \$!; code=\$?
while kill -0 \$! 2>/dev/null; do wait \$!; code=\$?; done
exit \$code"
  run_demo windows
  run_tests windows --run-ignored all --test smoke --test cli -E "binary(smoke) + test(/^(flags|help|keys|ops|signals|windows)::/) - test(/$only_unix/)"
}

# Containers of their own, which the end removes. vfs works in containers, too.
store=(--storage-driver vfs --root "$work/store" --runroot "$work/run")
# No journal and no systemd: not every machine has them.
engine=(podman "${store[@]}" --runtime runc --cgroup-manager cgroupfs --events-backend none)
# By default podman raises limits, which not every root may.
run=(run --network host --read-only --no-healthcheck --ulimit nofile=4096:4096 --ulimit nproc=4096:4096)
podman() { command "${engine[@]}" "$@"; }
end_image() {
  podman rm --force --all >/dev/null 2>&1 || true
  rm -rf "$work/store" "$work/run"
}

image() {
  need buildah podman runc curl python3 chromium
  [ "$(id -u)" -eq 0 ] || fail 'the image needs root'
  local amd64 arm64 architectures name=localhost/peerbroker:test port tree
  amd64="$(built x86_64-unknown-linux-musl)"
  arm64="$(built aarch64-unknown-linux-musl)"
  step 'the image'
  trap end_image EXIT
  BUILDAH="buildah ${store[*]}" scripts/image.sh "$name" "amd64=$amd64" "arm64=$arm64" >/dev/null
  architectures="$(buildah "${store[@]}" manifest inspect "$name" | sed -n 's/.*"architecture": "\(.*\)".*/\1/p' | xargs)"
  [ "$architectures" = 'amd64 arm64' ] || fail "the image is for $architectures"

  podman create --name files "$name" >/dev/null
  tree="$(podman export files | tar -t | grep -v '/$' | grep -Ev '^(dev|etc|proc|run|sys)/' | xargs)"
  [ "$tree" = usr/local/bin/peerbroker ] || fail "the image has other files than the program: $tree"
  [ "$(podman inspect --format '{{.Config.User}}' files)" = 65532:65532 ] || fail 'it has another user'

  step 'it serves, opens and relays; its keys are in a volume'
  launcher image "exec ${engine[*]} ${run[*]} --rm $name \"\$@\""
  run_demo image
  run_tests image --test smoke --test cli -E 'binary(smoke) + test(=signals::a_signal_closes_every_client_with_1001_and_ends_it_with_0)'
  port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')"
  start() {
    podman "${run[@]}" --detach --name "$1" --env "PORT=$port" --volume keys:/data "$name" --data_dir /data >/dev/null
    local tries
    for ((tries = 0; tries < 100; tries++)); do
      if podman exec "$1" peerbroker doctor --quick >/dev/null 2>&1; then return; fi
      sleep 0.3
    done
    podman logs "$1" >&2
    fail 'its health check says that it does not serve'
  }
  stop() {
    podman stop --time 10 "$1" >/dev/null
    local code
    code="$(podman inspect --format '{{.State.ExitCode}}' "$1")"
    [ "$code" = 0 ] || fail "it ended with $code after SIGTERM"
  }
  start first
  [ "$(stat --format %u "/proc/$(podman inspect --format '{{.State.Pid}}' first)")" = 65532 ] || fail 'it runs as another user'
  ! podman exec first /bin/sh -c true 2>/dev/null || fail 'it has a shell'
  podman exec first peerbroker keys add --data_dir /data --key mine >/dev/null
  curl --fail --silent --show-error --max-time 10 "http://127.0.0.1:$port/mine/id" >/dev/null || fail 'it does not know the new key'
  stop first
  ! podman exec first peerbroker doctor --quick >/dev/null 2>&1 || fail 'the health check of a stopped container succeeds'
  start second
  curl --fail --silent --show-error --max-time 10 "http://127.0.0.1:$port/mine/id" >/dev/null || fail 'the volume has lost the key'
  stop second
  echo 'The image passed.'
}

[ $# -gt 0 ] || set -- arm64 windows image
for system in "$@"; do
  case "$system" in
    arm64 | windows | image) "$system" ;;
    *) echo "no system: $system. Expected arm64, windows or image" >&2; exit 2 ;;
  esac
done
