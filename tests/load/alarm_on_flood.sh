#!/usr/bin/env bash
# From the first SYN of a flood to the finding's log event and to CloudWatch's alarm, and from the last SYN until it is over:
# in real time, nine minutes, with the agent as it runs everywhere. The host is a network namespace of its own; nothing
# leaves the machine. CloudWatch is the stand-in of the tests, which notes when what came; its alarm is evaluated afterwards,
# for each second of the minute at which it may look.
#   tests/load/alarm_on_flood.sh [AGENT]      as root; the agent of a development build, if none is given
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "run as root: it makes network namespaces" >&2; exit 1; }
cargo build --locked --quiet -p vpcwatch-tests --bin alarm-on-flood --bin agent-under-test
target/debug/alarm-on-flood "${1:-target/debug/agent-under-test}" &
pid=$!
# Names of namespaces carry the process that made them: what an interrupted run left goes.
cleanup() {
  kill $pid 2>/dev/null || true
  wait $pid 2>/dev/null || true
  for namespace in $(ip netns list | sed -n "s/^\(vpcwatch-$pid-[0-9]*\).*/\1/p"); do
    ip netns pids "$namespace" | xargs -r kill 2>/dev/null || true
    ip netns del "$namespace"
  done
}
trap cleanup EXIT
wait $pid
