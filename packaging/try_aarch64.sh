#!/usr/bin/env bash
# What was built for aarch64, under qemu-user. Needs the Debian packages qemu-user and libc6-arm64-cross. What it cannot try is a kernel
# of that machine: sockets by netlink, packet capture and ioctls of drivers go through qemu, or not at all.
#
#   packaging/try_aarch64.sh                 the binary of packaging/build.sh beside the x86_64 one, over the same fixtures: both
#                                            must say the same
#   packaging/try_aarch64.sh --unit-tests    builds the agent's unit tests for it, by the same linker and against the same C library,
#                                            and runs them (minutes); needs what packaging/build.sh installs
set -euo pipefail
cd "$(dirname "$0")/.."
sysroot=${SYSROOT:-/usr/aarch64-linux-gnu}
case ${1:-} in
  "") ;;
  --unit-tests)
    command -v qemu-aarch64 >/dev/null || { echo "qemu-aarch64 is missing" >&2; exit 2; }
    export PATH=$PWD/target/packaging-venv/bin:$PATH CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L $sysroot"
    command -v cargo-zigbuild >/dev/null || { echo "cargo-zigbuild is missing: packaging/build.sh aarch64 installs it" >&2; exit 2; }
    glibc=$(sed -n 's/^glibc=//p' packaging/build.sh)
    exec cargo-zigbuild test --locked -p vpcwatch --lib --target "aarch64-unknown-linux-gnu.$glibc" "${@:2}"
    ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
native=target/x86_64-unknown-linux-gnu/packaged/vpcwatch
other=target/aarch64-unknown-linux-gnu/packaged/vpcwatch
for tool in qemu-aarch64 jq; do command -v $tool >/dev/null || { echo "$tool is missing" >&2; exit 2; }; done
emulated() { qemu-aarch64 -L "$sysroot" "$other" "$@"; }
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
