#!/usr/bin/env bash
# Runs one test of any kind N times beside two busy loops, and prints how often it failed. The name is as `make test` prints it:
# scripts/repeat.sh 'rust: peerbroker::api takeover::…' 20
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: scripts/repeat.sh 'KIND: NAME' N" >&2; exit 2; }
exec node "$(dirname "$0")/test.mjs" --repeat "$2" "$1"
