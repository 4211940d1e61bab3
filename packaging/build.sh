#!/usr/bin/env bash
# Builds the binary that packages ship, and says its size.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --profile packaged -p vpcwatch
stat -c '%n: %s bytes' target/packaged/vpcwatch
