#!/usr/bin/env bash
# What capturing SYNs costs: the agent's CPU and memory under 20,000 a second and under as many as this machine makes, and what
# packets cost the host with capture against without.
#   tests/load/syn_capture.sh      as root; two network namespaces of its own
# AGENT and SEND name programs that are built already, SECONDS_EACH and ROUNDS how long it takes.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "run as root: it makes network namespaces" >&2; exit 1; }
[ -n "${AGENT:-}" ] || cargo build --locked --quiet --profile packaged -p vpcwatch
[ -n "${SEND:-}" ] || cargo build --locked --quiet --release -p vpcwatch-tests --bin send-syns
agent=${AGENT:-$PWD/target/packaged/vpcwatch}
send=${SEND:-$PWD/target/release/send-syns}
host=vpcwatch-host-$$
peer=vpcwatch-peer-$$
seconds=${SECONDS_EACH:-20}
rounds=${ROUNDS:-7}
work=$(mktemp -d)
pid=
stop() { [ -z "$pid" ] || { kill "$pid" && wait "$pid" || true; pid=; }; }
cleanup() { stop 2>/dev/null; ip netns del $host 2>/dev/null || true; ip netns del $peer 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT

ip netns add $host
ip netns add $peer
for side in $host $peer; do ip netns exec $side ip link set lo up; done
ip netns exec $peer ip link add eth0 type veth peer name eth0 netns $host
for side in $host:2 $peer:1; do
  ip netns exec ${side%:*} ip link set eth0 up
  ip netns exec ${side%:*} ip addr add 10.9.0.${side#*:}/24 dev eth0
done
ip netns exec $host ip route add default via 10.9.0.1
ip netns exec $host sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
mac=$(ip netns exec $host ip -br link show eth0 | awk '{ print $3 }')
# SYNs meet a listener, as they would.
ip netns exec $host python3 -c "
import socket, time
listener = socket.create_server(('0.0.0.0', 80), backlog=1024)
time.sleep(86400)" &
listener=$!
trap 'kill $listener 2>/dev/null || true; cleanup' EXIT

# CPU of a process so far, in clock ticks of 10 ms: user and system.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }
start() { ip netns exec $host "$agent" run --dry-run --output json "$@" >/dev/null 2>&1 & pid=$!; sleep 3; }
packets() { ip netns exec $peer "$send" eth0 "$mac" 10.9.0.2 "$1" "$2" "$3"; }

echo "== the agent's CPU, over $seconds s each"
for rate in idle 20000 0; do for switch in on off; do
  options=(); [ $switch = on ] || options=(--set interfaces.exclude=eth0)
  rm -f "$work/recording"
  start --record "$work/recording" ${options[@]+"${options[@]}"}
  before=$(ticks $pid)
  if [ $rate = idle ]; then sleep "$seconds"; sent="0 0 0"; else sent=$(packets syn $rate "$seconds"); fi
  after=$(ticks $pid)
  memory=$(awk '/VmHWM/ { print $2 }' /proc/$pid/status)
  sleep 2
  stop
  counted=$({ grep -o '"interface":"eth0","syns":[0-9]*' "$work/recording" || true; } | awk -F: '{ sum += $NF } END { print sum + 0 }')
  most=$(python3 -c "
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])][1:]
print(max((len(second['sample']) for line in lines for second in line.get('syns') or []), default=0))" "$work/recording")
  awk -v w="$switch" -v s="$sent" -v c="$counted" -v m="$most" -v t=$((after - before)) -v l="$seconds" -v k="$memory" 'BEGIN {
    split(s, n, " ")
    printf "capture of eth0 %-3s  %7d SYN/s  sent %8d counted %8d  looked at in a second at most %4d  %.2f %% of a core  peak %.1f MB\n",
      w, n[2], n[1], c, m, t / l, k / 1024 }'
done; done

echo "== what a packet costs the host, $rounds rounds of 3 s in turn, median (least, most)"
for kind in syn ack; do
  for switch in none off on; do : >"$work/$switch"; done
  for _ in $(seq "$rounds"); do for switch in none off on; do
    case $switch in off) start --set interfaces.exclude=eth0 ;; on) start ;; esac
    packets $kind 0 3 >>"$work/$switch"
    stop
  done; done
  for switch in none off on; do
    case $switch in none) what="no agent" ;; off) what="agent, eth0 not captured" ;; on) what="agent, eth0 captured" ;; esac
    for figure in "2 packets/s" "3 ns of CPU"; do
      sort -n -k "${figure%% *}" "$work/$switch" | awk -v k=$kind -v w="$what" -v f="${figure%% *}" -v u="${figure#* }" '
        { v[NR] = $f } END { printf "%s  %-25s %7d %s (%d, %d)\n", k, w, v[int((NR + 1) / 2)], u, v[1], v[NR] }'
    done
  done
done
