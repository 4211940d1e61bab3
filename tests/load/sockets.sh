#!/usr/bin/env bash
# What sockets cost: a walk, the agent at rest, and node_exporter beside it, with 1,000, 10,000 and 1,000,000 sockets.
#   tests/load/sockets.sh [SOCKETS ...]       as root; each in a network namespace of its own
# Needs Debian's prometheus-node-exporter and curl (installed if missing), 3 GB of memory for a million.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "run as root: it makes network namespaces" >&2; exit 1; }
for program in prometheus-node-exporter curl ip; do
  command -v $program >/dev/null && continue
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends prometheus-node-exporter curl iproute2; } >/dev/null
done
cargo build --locked --quiet --profile packaged -p vpcwatch
cargo build --locked --quiet --release -p vpcwatch-tests --bin hold-connections
bench=$(cargo bench --locked --no-run -p vpcwatch --bench socket_walk 2>&1 | sed -n 's/.*(\(target.*\))/\1/p')
agent=target/packaged/vpcwatch
namespace=vpcwatch-load-$$
seconds=${SECONDS_AT_REST:-60}
work=$(mktemp -d)

# `ip netns exec` becomes the program, so that $! is its process.
in_it="ip netns exec $namespace"
# CPU of a process so far, in clock ticks of 10 ms: user and system.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }
cleanup() { jobs -p | xargs -r kill 2>/dev/null || true; exec 4>&- || true; ip netns del "$namespace" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT

for sockets in "${@:-1000 10000 1000000}"; do for count in $sockets; do
  ip netns add "$namespace"
  ip -n "$namespace" link set lo up
  mkfifo "$work/hold" "$work/ready"
  $in_it target/release/hold-connections "$count" <"$work/hold" >"$work/ready" &
  holder=$!
  exec 4>"$work/hold"
  read -r line <"$work/ready"
  echo "== $count sockets ($line)"
  $in_it "$bench" 25

  $in_it "$agent" run --dry-run --output json >/dev/null 4>&- &
  pid=$!
  sleep 5
  before=$(ticks $pid)
  sleep "$seconds"
  after=$(ticks $pid)
  awk -v a="$before" -v b="$after" -v s="$seconds" 'BEGIN { printf "agent at rest: %.2f %% of a core over %d s\n", (b - a) / s, s }'
  grep -E 'VmHWM|VmRSS' "/proc/$pid/status" | sed 's/^/agent /'
  kill $pid; wait $pid 2>/dev/null || true

  $in_it prometheus-node-exporter --collector.disable-defaults --collector.tcpstat --web.listen-address=127.0.0.1:9100 >/dev/null 2>&1 4>&- &
  pid=$!
  sleep 2
  before=$(ticks $pid)
  for _ in 1 2 3 4 5; do $in_it curl -s http://127.0.0.1:9100/metrics >/dev/null; done
  after=$(ticks $pid)
  awk -v a="$before" -v b="$after" 'BEGIN { printf "node_exporter, tcpstat alone: %.1f ms of CPU a scrape (mean of 5)\n", (b - a) * 10 / 5 }'
  grep -E 'VmRSS' "/proc/$pid/status" | sed 's/^/node_exporter /'
  kill $pid; wait $pid 2>/dev/null || true

  exec 4>&-
  wait $holder || true
  rm "$work/hold" "$work/ready"
  ip netns del "$namespace"
done; done
stat -c 'packaged binary: %s bytes' "$agent"
