#!/usr/bin/env bash
# An access log of a real nginx with $request_time: what the agent counts and times, against what the visitors saw.
#   tests/load/web_load.sh [--requests N] [--visitors N] [--seed N]      as root; in a network namespace of its own
# Needs Debian's nginx-light and iproute2 (installed if missing).
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "run as root: it makes a network namespace" >&2; exit 1; }
export PATH=$PATH:/usr/sbin
for program in nginx ip; do
  command -v $program >/dev/null && continue
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nginx-light iproute2; } >/dev/null
done
[ -n "${AGENT:-}" ] || cargo build --locked --quiet --profile packaged -p vpcwatch
cargo build --locked --quiet -p vpcwatch-tests --bin web-load
exec target/debug/web-load "${AGENT:-target/packaged/vpcwatch}" "$@"
