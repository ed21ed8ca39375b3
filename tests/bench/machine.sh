#!/bin/sh
# Prints what affects the numbers of a run: the date, the machine and the versions of other programs, because our commit has those of
# our packages. $1 is the file of the run.
cd "$(dirname "$0")" || exit 1
PATH="$PATH:../../target/proxies/usr/bin:../../target/proxies/usr/sbin"

commit=$(git rev-parse --short HEAD)
[ -z "$(git status --porcelain -- ../../src ../../crates ../../Cargo.lock)" ] || commit="$commit with changes"
npm() { version "${1##*/}" "$(sed -n 's/^[[:space:]]*"version": "\(.*\)",*/\1/p' "$1/package.json" 2>/dev/null)"; }
node() { printf ', node %s' "$(command node --version || echo 'not installed')"; }
version() { printf '%s' "${2:+, $1 $2}"; }
redis() { version redis "$(redis-server --version 2>/dev/null | sed 's/.* v=\([^ ]*\).*/\1/')"; }
coturn() { version coturn "$(turnserver --version 2>/dev/null | head -1)"; }
nginx() { version nginx "$(command nginx -v 2>&1 | sed -n 's/.*nginx\/\([^ ]*\).*/\1/p')"; }

printf '%s: %s, %s cores, %s GB, load average %s before. ' "$(date -u +%F)" \
  "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" "$(grep -c ^processor /proc/cpuinfo)" \
  "$(awk '/^MemTotal/ { printf "%.0f", $2 * 1024 / 1e9 }' /proc/meminfo)" "$(cut -d' ' -f1 /proc/loadavg)"
printf 'peerbroker %s' "$commit"
case $1 in
run.json)
  node
  npm node/node_modules/peer ;;
cluster.json) redis ;;
protocols.json)
  node
  npm node/node_modules/y-webrtc
  npm tracker/node_modules/bittorrent-tracker ;;
relays.json) coturn ;;
pipes.json)
  nginx
  coturn ;;
esac
printf '.'
