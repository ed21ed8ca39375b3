#!/bin/sh
# Prints what affects the numbers of a run: the date, the machine and the versions.
cd "$(dirname "$0")" || exit 1
PATH="$PATH:../../target/proxies/usr/bin"

commit=$(git rev-parse --short HEAD)
[ -z "$(git status --porcelain -- ../../src ../../crates ../../Cargo.lock)" ] || commit="$commit with changes"
npm() { sed -n 's/^[[:space:]]*"version": "\(.*\)",*/, '"${1##*/} "'\1/p' "$1/package.json" 2>/dev/null; }
redis=$(redis-server --version 2>/dev/null | sed 's/.* v=\([^ ]*\).*/\1/')
coturn=$(turnserver --version 2>/dev/null | head -1)
locked() { grep -A1 "^name = \"$1\"\$" Cargo.lock | sed -n 's/^version = "\(.*\)"/\1/p' | tail -1; }

printf '%s: %s, %s cores, %s GB, %s, load average %s before. ' "$(date -u +%F)" \
  "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" "$(grep -c ^processor /proc/cpuinfo)" \
  "$(awk '/^MemTotal/ { printf "%.0f", $2 * 1024 / 1e9 }' /proc/meminfo)" "$(uname -sr)" "$(cut -d' ' -f1 /proc/loadavg)"
printf 'peerbroker %s, %s, node %s' "$commit" "$(rustc --version | cut -d' ' -f1,2)" "$(node --version || echo 'not installed')"
for name in node/node_modules/peer node/node_modules/y-webrtc tracker/node_modules/bittorrent-tracker; do printf '%s' "$(npm $name)"; done
printf '%s' "${redis:+, redis $redis}${coturn:+, coturn $coturn}"
for name in actix-web actix-http actix-ws tokio rustls; do printf ', %s %s' "$name" "$(locked $name)"; done
printf '.'
