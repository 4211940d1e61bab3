#!/usr/bin/env bash
# Runs the aarch64 binary of packaging/build.sh under qemu-user beside the x86_64 one, over the same fixtures: both must say the same.
# Needs the Debian packages qemu-user and libc6-arm64-cross. What it cannot try is a kernel of that machine: sockets by netlink,
# packet capture and ioctls of drivers go through qemu, or not at all.
set -euo pipefail
cd "$(dirname "$0")/.."
native=target/x86_64-unknown-linux-gnu/packaged/vpcwatch
other=target/aarch64-unknown-linux-gnu/packaged/vpcwatch
for tool in qemu-aarch64 jq; do command -v $tool >/dev/null || { echo "$tool is missing" >&2; exit 2; }; done
emulated() { qemu-aarch64 -L "${SYSROOT:-/usr/aarch64-linux-gnu}" "$other" "$@"; }
same=0
# compare 'WHAT' FILTER ARGUMENT...: what both print, through a filter that takes moments away.
compare() {
  local what=$1 filter=$2 input=${INPUT:-/dev/null}
  shift 2
  cmp <("$native" "$@" <"$input" 2>&1 | $filter) <(emulated "$@" <"$input" 2>&1 | $filter) || { echo "$what: they differ" >&2; exit 1; }
  same=$((same + 1))
}
moments='jq --sort-keys del(.time,.monotonic_ms,.agent,.sources[]?.took_us,.tcp.age_ms,.listeners.age_ms?)'
compare version cat --version
compare "every option" cat config show
compare policy cat iam-policy
compare price cat cost --output json
for root in tests/fixtures/kernel-*; do compare "$root" "$moments" sample --root "$root"; done
while read -r recording; do compare "$recording" cat replay --recording "$recording" --output json; done < <(find tests/fixtures -name '*.jsonl*' | sort)
INPUT=$(mktemp); trap 'rm -f "$INPUT"' EXIT
cut -f 2 tests/fixtures/access/labelled.txt >"$INPUT"
compare "access lines" cat explain --service access
echo "$same outputs are the same on both machines"
