#!/usr/bin/env bash
# Puts a binary into a package, in a second: package.sh deb|rpm amd64|arm64 BINARY VERSION FOLDER. Prints the package's path.
# NFPM names the nfpm to use. Manual pages and completions are made from the program's own command line, below target/manual.
set -euo pipefail
[ $# = 5 ] || { sed -n '2,3s/^# \{0,1\}//p' "$0" >&2; exit 2; }
kind=$1 arch=$2 binary=$(realpath "$3") version=$4 folder=$(realpath -m "$5")
cd "$(dirname "$0")/.."
mkdir -p "$folder"
[ -e target/manual/vpcwatch.bash ] || cargo run --locked --quiet -p vpcwatch-manual -- target/manual >&2
export VPCWATCH_ARCH=$arch VPCWATCH_BINARY=$binary VPCWATCH_VERSION=$version
"${NFPM:-nfpm}" package --config packaging/nfpm.yaml --packager "$kind" --target "$folder" >&2
case $kind in
  deb) echo "$folder/vpcwatch_${version}_$arch.deb" ;;
  rpm) echo "$folder/vpcwatch-$version-1.$(case $arch in amd64) echo x86_64 ;; arm64) echo aarch64 ;; esac).rpm" ;;
esac
