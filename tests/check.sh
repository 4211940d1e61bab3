#!/usr/bin/env bash
# Every check, cheap to dear. What CI runs, and what the README tells you to run.
#
#   tests/check.sh                    all of it; as root, for the system tier makes network namespaces
#   tests/check.sh --without-system   all but the system tier
#
# Installs what it needs by apt where it is missing and this is root; else says what is missing.
set -uo pipefail
cd "$(dirname "$0")/.."

system=1
for argument; do
  case $argument in
    --without-system) system=0 ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done

export DEBIAN_FRONTEND=noninteractive PATH=$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin
# need 'TEST' PACKAGE: installs the Debian package if the test fails.
need() {
  eval "$1" >/dev/null 2>&1 && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $2"
    local install="apt-get install -y --no-install-recommends $2"
    { $install || { apt-get update && $install; }; } >/dev/null 2>&1 </dev/null
  fi
  eval "$1" >/dev/null 2>&1 || { echo "missing: $2 (test: $1); install it and run again" >&2; exit 1; }
}
need 'command -v cc' gcc
need '[ -e /usr/include/stdlib.h ]' libc6-dev
need 'command -v cargo' rustup # in Debian 13 and Ubuntu 24.04; it fetches the toolchain that rust-toolchain.toml names
if [ "$system" = 1 ]; then
  [ "$(id -u)" = 0 ] || { echo "the system tier needs root: run as root, or leave it out with --without-system" >&2; exit 1; }
  need 'command -v ip && command -v ss' iproute2
fi

results=()
passed=0
failed=0
check() {
  local name=$1 begun=$SECONDS
  shift
  echo
  echo "== $name"
  if "$@" </dev/null; then
    passed=$((passed + 1))
    results+=("$(printf 'ok      %4d s  %s' $((SECONDS - begun)) "$name")")
  else
    failed=$((failed + 1))
    results+=("$(printf 'FAILED  %4d s  %s' $((SECONDS - begun)) "$name")")
  fi
}

check "format" cargo fmt --all --check
check "clippy, no warnings" cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet
check "unit tests" cargo test --locked --quiet -p vpcwatch
check "suite" cargo test --locked --quiet -p vpcwatch-tests -- --skip system::
if [ "$system" = 1 ]; then
  check "system tier" cargo test --locked --quiet -p vpcwatch-tests --test suite -- system::
else
  results+=("left out        system tier, as asked")
fi

echo
printf '%s\n' "${results[@]}"
echo "checks: $passed passed, $failed failed"
[ "$failed" = 0 ]
