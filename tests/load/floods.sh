#!/usr/bin/env bash
# How the detectors fare on this machine's kernel: floods of every kind, and what must not be taken for one. Each row has
# two network namespaces of its own (one published port: three); nothing leaves the machine. Prints found or not, delays,
# verdict, false alarms, time to close, the agent's CPU and memory.
#   tests/load/floods.sh [OPTION ...] [ROW ...] [-- AGENT ARGUMENT ...]      as root
# `--list` names the rows, `signatures` are the fourteen of kernel counters, a name's beginning stands for all such.
#   --counters-only   the agent without CAP_NET_RAW          --repeat K    each row K times
#   --jobs N          rows at a time (2)                     --lead S      seconds of learning before (60)
#   --keep FOLDER     keep recordings and the truth          --replay FOLDER   judge this build by what was kept
#   --markdown        the table for a page, too
# Delays and CPU are those of a machine that also makes the traffic: say what else ran. Needs nftables for two rows
# (installed if missing).
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --locked --quiet --release -p vpcwatch-tests --bin floods --bin traffic
case " $* " in *" --list "* | *" --replay "*) exec target/release/floods "$@" ;; esac
[ "$(id -u)" = 0 ] || { echo "run as root: it makes network namespaces" >&2; exit 1; }
for program in ip nft setpriv; do
  command -v $program >/dev/null && continue
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends iproute2 nftables util-linux; } >/dev/null
done
cargo build --locked --quiet --profile packaged -p vpcwatch
target/release/floods "$@" &
pid=$!
# Names of namespaces carry the process that made them: what an interrupted run left goes.
cleanup() {
  kill $pid 2>/dev/null || true
  wait $pid 2>/dev/null || true
  for namespace in $(ip netns list | sed -n "s/^\(vpcwatch-$pid-[0-9]*\).*/\1/p"); do
    ip netns pids "$namespace" | xargs -r kill 2>/dev/null || true
    ip netns del "$namespace"
  done
  rm -rf "${TMPDIR:-/tmp}/vpcwatch-floods-$pid"
}
trap cleanup EXIT
wait $pid
