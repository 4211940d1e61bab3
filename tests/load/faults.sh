#!/usr/bin/env bash
# The long forms of the fault tests, some 20 minutes: 200 kills, ten minutes without CloudWatch, flapping, nine of ten
# requests throttled, a server that never answers. Prints what was lost and doubled.
#   tests/load/faults.sh [TEST ...]
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo test --locked --quiet -p vpcwatch-tests --test suite -- --ignored --nocapture --test-threads 1 "${@:-delivery::long}"
