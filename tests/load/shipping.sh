#!/usr/bin/env bash
# Lines of a log from the file to CloudWatch Logs by the running agent, against the stand-in on loopback: lines a second, CPU, memory.
#   tests/load/shipping.sh [LINES]       default 2000000, all written at once; no root needed
# AGENT and FAKE_AWS name programs that are built already. Needs python3.
set -euo pipefail
cd "$(dirname "$0")/../.."
lines=${1:-2000000}
[ -n "${AGENT:-}" ] || cargo build --locked --quiet --profile packaged -p vpcwatch
[ -n "${FAKE_AWS:-}" ] || cargo build --locked --quiet --release -p vpcwatch-tests --bin fake-aws
agent=${AGENT:-$PWD/target/packaged/vpcwatch}
fake_aws=${FAKE_AWS:-$PWD/target/release/fake-aws}
work=$(mktemp -d)
cleanup() { jobs -p | xargs -r kill 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT
# CPU of a process so far, in clock ticks of 10 ms: user and system.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

"$fake_aws" >"$work/requests" &
until grep -qs AWS_ENDPOINT_URL "$work/requests"; do sleep 0.1; done
endpoint=$(sed -n 's/.*AWS_ENDPOINT_URL=//p' "$work/requests")
cp -r tests/fixtures/kernel-6.18 "$work/root"
mkdir -p "$work/root/var/log"
log=$work/root/var/log/shop.log
: >"$log"
env -i AWS_ENDPOINT_URL="$endpoint" AWS_REGION=eu-west-3 AWS_ACCESS_KEY_ID=AKIALOAD AWS_SECRET_ACCESS_KEY=secret \
  AWS_EC2_METADATA_DISABLED=true "$agent" run --root "$work/root" --set logins.source=off --set identity.host=load \
  --set state.folder="$work/state" --set status.file="$work/status.json" \
  --set "logs.ship=[{ name = 'shop', files = ['/var/log/shop.log'], daily_limit = '100GiB' }]" 2>"$work/messages" &
pid=$!
sent() { python3 -c '
import json, sys
try: print(json.load(open(sys.argv[1]))["delivery"]["sent"].get("lines", 0))
except (OSError, ValueError): print(0)' "$work/status.json"; }
until grep -q 'is shipped to' "$work/messages"; do sleep 0.1; done
sleep 2 # it has found the log's end

python3 - "$lines" >"$work/lines" <<'MADE'
import sys, time
now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
for n in range(int(sys.argv[1])):
    print(f"{now}.{n % 1000:03}Z INFO  [worker-{n % 16:02}] c.e.shop.Basket - GET /shop/basket?item={n} answered 200 in {n % 97} ms")
MADE
before=$(ticks $pid)
begun=$(date +%s%N)
cat "$work/lines" >>"$log"
until [ "$(sent)" -ge "$lines" ]; do sleep 0.2; kill -0 $pid; done
took=$((($(date +%s%N) - begun) / 1000000))
awk -v n="$lines" -v ms=$took -v a="$before" -v b="$(ticks $pid)" -v bytes="$(stat -c %s "$work/lines")" 'BEGIN {
  printf "%d lines, %.0f MB, in %.1f s: %.0f lines/s; CPU %.1f s: %.1f us a line\n", n, bytes / 1e6, ms / 1e3, n / ms * 1e3, (b - a) / 100, (b - a) * 1e4 / n }'
grep -E 'VmHWM' "/proc/$pid/status"
echo "events sent: $(sent)"
kill $pid
wait $pid || true
echo "requests: $(grep -c '^PutLogEvents' "$work/requests"), refused: $(awk '/^PutLogEvents/ && $2 >= 400 && !/ResourceNotFound/' "$work/requests" | wc -l)"
