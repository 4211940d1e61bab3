#!/usr/bin/env bash
# Reads 10,000,000 numbered lines, written at 100,000 a second, through 1,000 rotations, and kills the reader (SIGKILL) at
# random: some two minutes. Fails if a line is lost or doubled; prints what it cost.
#   tests/load/tailing.sh [--lines N] [--rate N] [--rotations N] [--seed N]
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --locked --release --quiet -p vpcwatch-tests --bin tail-numbered
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo "load of the machine before: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) cores"
target/release/tail-numbered run "$folder" "$@"
echo "load of the machine after: $(cut -d' ' -f1-3 /proc/loadavg)"
