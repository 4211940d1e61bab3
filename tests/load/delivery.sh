#!/usr/bin/env bash
# What delivery costs, against the stand-in of CloudWatch behind TLS: the agent at rest with the default interval
# (memory, CPU, requests), and a backlog of 24 hours drained (time, memory, refusals).
#   tests/load/delivery.sh [MINUTES_AT_REST]       default 10, 0 leaves that part out; no root needed
# Needs openssl and python3.
set -euo pipefail
cd "$(dirname "$0")/../.."
minutes=${1:-10}
cargo build --locked --quiet --profile packaged -p vpcwatch
cargo build --locked --quiet -p vpcwatch-tests --bin fake-aws --bin fill-backlog
agent=$PWD/target/packaged/vpcwatch
work=$(mktemp -d)
cleanup() { jobs -p | xargs -r kill 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT
# CPU of a process so far, in clock ticks of 10 ms: user and system.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
  -addext basicConstraints=critical,CA:FALSE -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
target/debug/fake-aws >"$work/requests" &
until grep -q AWS_ENDPOINT_URL "$work/requests"; do sleep 0.1; done
plain=$(sed -n 's/.*AWS_ENDPOINT_URL=.*:\([0-9]*\)$/\1/p' "$work/requests")
secure=$((plain < 40000 ? plain + 20000 : plain - 20000))
python3 tests/stand_ins/tls_front.py "$work/cert.pem" "$work/key.pem" $secure "$plain" >"$work/front" &
until grep -q ready "$work/front"; do sleep 0.1; done

start() { # FOLDER [ARGUMENT ...]: starts the agent there, as $pid
  local folder=$1
  shift
  env -i AWS_ENDPOINT_URL=https://localhost:$secure AWS_CA_BUNDLE="$work/cert.pem" AWS_REGION=eu-west-3 \
    AWS_ACCESS_KEY_ID=AKIALOAD AWS_SECRET_ACCESS_KEY=secret AWS_EC2_METADATA_DISABLED=true \
    "$agent" run --set state.folder="$folder" --set status.file="$folder/status.json" "$@" &
  pid=$!
}
waiting() { "$agent" status --output json --set status.file="$1/status.json" 2>/dev/null | python3 -c '
import json, sys
try: print(sum(json.load(sys.stdin)["delivery"]["waiting"].values()))
except ValueError: print(10**9)'; }

if [ "$minutes" != 0 ]; then
echo "== at rest, one-second samples, published each minute"
start "$work/rest"
sleep 90 # the first flush makes log group and stream
: >"$work/requests"
before=$(ticks $pid)
sleep $((minutes * 60))
after=$(ticks $pid)
awk -v a="$before" -v b="$after" -v m="$minutes" 'BEGIN { printf "CPU: %.2f %% of a core over %d min\n", (b - a) / (m * 60), m }'
grep -E 'VmHWM|VmRSS' "/proc/$pid/status"
echo "PutMetricData: $(grep -c PutMetricData "$work/requests") requests, PutLogEvents: $(grep -c PutLogEvents "$work/requests"), in $minutes min"
kill $pid; wait $pid || true
fi

echo "== a backlog of 24 hours"
mkdir "$work/backlog"
owner=load
target/debug/fill-backlog "$work/backlog" "$owner"
: >"$work/requests"
begun=$SECONDS
start "$work/backlog" --root "$PWD/tests/fixtures/kernel-6.18" --set identity.host=$owner --set publish.interval=1h
sleep 5
before=$(ticks $pid)
# What this run itself has sampled waits for its own flush.
until [ "$(waiting "$work/backlog")" -le 50 ]; do sleep 1; done
echo "drained in $((SECONDS - begun)) s"
awk -v b="$(ticks $pid)" 'BEGIN { printf "CPU: %.1f s in all\n", b / 100 }'
grep -E 'VmHWM|VmRSS' "/proc/$pid/status"
kill $pid; wait $pid || true
echo "PutMetricData: $(grep -c PutMetricData "$work/requests") requests, PutLogEvents: $(grep -c PutLogEvents "$work/requests")"
echo "refused: $(awk '$2 >= 400 && !/ResourceNotFoundException/' "$work/requests" | wc -l)"
