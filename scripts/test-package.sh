#!/usr/bin/env bash
# Installs the Debian package into a container with systemd, uses it, upgrades it while clients connect, and removes it:
# `make test-package`. Needs root, and what `scripts/setup.sh package` installs; where it is missing it says so, and fails.
#
# The first run makes the container's files in target/package-root.tar, which takes a minute or more.
set -euo pipefail
cd "$(dirname "$0")/.."

test="$PWD/target/package-test"
root="$test/root"
base="$PWD/target/package-root.tar"
leader=''

for tool in cargo-deb systemd-nspawn mmdebstrap nsenter node; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: nothing was tested" >&2; exit 1; }
done
[ "$(id -u)" -eq 0 ] || { echo 'systemd-nspawn needs root: nothing was tested' >&2; exit 1; }

step() { echo "== $*"; }
fail() {
  echo "FAILED: $*" >&2
  [ -z "$leader" ] || inside journalctl --no-pager -u 'peerbroker*' | tail -n 40 >&2
  exit 1
}
# Runs a command in the container. Its network is its own.
inside() { nsenter --target "$leader" --all "$@"; }
# Runs a command of this machine in the network of the container.
beside() { nsenter --target "$leader" --net "$@"; }
# Waits for a condition, for 60 s.
wait_until() {
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.2
  done
  fail "waited for: $*"
}
stop() {
  [ -z "$container" ] || kill -TERM "$container" 2>/dev/null || true
  [ -z "$container" ] || wait "$container" 2>/dev/null || true
  rm -rf "$test"
}

container=''
trap stop EXIT
rm -rf "$test"
mkdir -p "$root"

step 'the package is built'
version="$(cargo pkgid --locked | sed 's/.*[#@]//')"
first="$(scripts/package.sh --fast --output "$test/first.deb")"
second="$(scripts/package.sh --fast --output "$test/second.deb" --deb-version "$version-2")"
dpkg-deb --info "$first" | sed -n 's/^ \(Package\|Version\|Depends\|Installed-Size\): /  \1: /p'
dpkg-deb --field "$second" Version

if command -v lintian >/dev/null; then
  step 'lintian has no complaint'
  lintian --allow-root --fail-on error,warning "$first"
fi

step 'the container is started'
if [ ! -f "$base" ]; then
  mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,init-system-helpers "${SUITE:-bookworm}" "$base.part"
  mv "$base.part" "$base"
fi
tar -C "$root" -xf "$base"
systemd-nspawn --quiet --directory="$root" --machine=peerbroker-package --register=no --keep-unit --private-network --boot \
  >"$test/boot.log" 2>&1 </dev/null &
container=$!
leader_of() { leader="$(pgrep --parent "$container" --exact systemd)"; }
wait_until leader_of
wait_until inside systemctl is-system-running --wait
inside ip link set lo up 2>/dev/null || true
cp "$first" "$second" "$root/root/"

step 'it is installed, and runs'
inside dpkg --install /root/first.deb
for unit in peerbroker.socket peerbroker.service; do
  inside systemctl is-enabled --quiet "$unit" || fail "$unit is not enabled"
  inside systemctl is-active --quiet "$unit" || fail "$unit is not active"
done
! inside systemctl is-enabled --quiet peerbroker-ops.socket || fail 'the API is open without being asked for'
pid() { inside systemctl show --property MainPID --value peerbroker.service; }
# The users that systemd makes up: systemd.exec(5).
user="$(inside stat --format %u "/proc/$(pid)")"
[ "$user" -ge 61184 ] && [ "$user" -le 65519 ] || fail "it runs as user $user, which is not a dynamic one"
exposure="$(inside systemd-analyze security --no-pager peerbroker.service | tail -n 1)"
echo "  $exposure"
[[ "$exposure" =~ :\ [01]\.[0-9] ]] || fail 'its sandbox has an exposure level of 2.0 or more'
for file in usr/share/man/man1/peerbroker.1.gz usr/share/bash-completion/completions/peerbroker \
  usr/share/zsh/vendor-completions/_peerbroker usr/share/fish/vendor_completions.d/peerbroker.fish \
  usr/share/doc/peerbroker/examples/nginx.conf; do
  inside dpkg --listfiles peerbroker | grep --quiet --fixed-strings "$file" || fail "$file is missing"
done

step 'a key is added while it runs'
as_service=(systemd-run --quiet --pipe --wait -p DynamicUser=yes -p User=peerbroker -p StateDirectory=peerbroker)
inside "${as_service[@]}" peerbroker keys add --data_dir /var/lib/peerbroker --key added --allow_discovery
is_known() { beside curl --silent --fail http://127.0.0.1:9000/added/peers; }
wait_until is_known

step 'settings are reloaded, and an edited configuration survives the upgrade'
inside sh -c 'echo "allow_discovery = true" >> /etc/peerbroker/peerbroker.toml'
before="$(pid)"
inside systemctl reload peerbroker
is_reloaded() { beside curl --silent --fail http://127.0.0.1:9000/peerjs/peers; }
wait_until is_reloaded
[ "$(pid)" = "$before" ] || fail 'the reload was a restart'

step 'it is upgraded while clients connect'
coproc clients { beside node client-tests/package-clients.mjs http://127.0.0.1:9000/; }
clients_pid=$clients_PID
read -r line <&"${clients[0]}" || fail 'the clients did not start'
[ "$line" = ready ] || fail "the clients say: $line"
inside dpkg --install /root/second.deb
[ "$(pid)" != "$before" ] || fail 'the new program does not run'
is_known >/dev/null || fail 'the key is lost'
is_reloaded >/dev/null || fail 'the edited configuration is lost'
exec {clients[1]}>&-
sed 's/^/  /' <&"${clients[0]}"
wait "$clients_pid" || fail 'a client failed during the upgrade'

step 'it is removed'
inside dpkg --remove peerbroker
! beside curl --silent --max-time 5 http://127.0.0.1:9000/healthz >/dev/null || fail 'something still listens'
inside test -f /etc/peerbroker/peerbroker.toml || fail 'the configuration is gone before the purge'
inside test -f /var/lib/private/peerbroker/peerbroker.db || fail 'the keys are gone before the purge'
inside dpkg --purge peerbroker
left="$(inside find / -xdev \( -path /proc -o -path /sys -o -path /run \) -prune -o -name '*peerbroker*' -print)"
[ -z "$left" ] || fail "left behind: $left"
echo 'The package passed.'
