#!/usr/bin/env bash
# What a large packet capture costs: time and peak memory of `replay --pcap`, from a file and from a pipe.
#   tests/load/captures.sh [BYTES [RATE]]     default 1,000,000,000 bytes with 20,000 forged SYNs a second
# Needs as much room in TMPDIR.
set -euo pipefail
cd "$(dirname "$0")/../.."
bytes=${1:-1000000000} rate=${2:-20000}
cargo build --locked --quiet --release -p vpcwatch -p vpcwatch-tests --bin vpcwatch --bin write-capture
agent=target/release/vpcwatch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

target/release/write-capture "$bytes" "$rate" >"$work/large.pcap"
head -c $((bytes / 100)) "$work/large.pcap" >"$work/small.pcap"
stat -c 'large: %s bytes' "$work/large.pcap"

# Runs a replay; prints its last line, what it took and its peak memory, which is read until it ends.
measure() {
  local begun=$EPOCHREALTIME peak='' seen
  "$agent" replay "$@" <&3 >"$work/out" 2>"$work/err" &
  local pid=$!
  while seen=$(grep -s VmHWM "/proc/$pid/status"); do peak=$seen; sleep 0.05; done
  wait $pid || cat "$work/err" # a hundredth of a capture ends in the middle of a packet
  tail -n 1 "$work/out"
  awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s, ", b - a }'
  echo "peak$(tr -s "\t " " " <<<"${peak#VmHWM:}")"
}
echo "== a hundredth, from a file"; measure --pcap "$work/small.pcap" 3</dev/null
echo "== all, from a file"; measure --pcap "$work/large.pcap" 3</dev/null
echo "== all, from a pipe"; measure --pcap - 3< <(cat "$work/large.pcap")
