#!/usr/bin/env bash
# Ten thousand instances that boot within a minute, against the quotas of one account, in a time of their own: when all are
# provisioned, calls by kind, what was refused and lost, the steady state and its price. Figures are in tests/README.md.
#   tests/load/fleet_boot.sh [INSTANCES]         default 10,000; no root, no network needed
set -euo pipefail
cd "$(dirname "$0")/../.."
instances=${1:-10000}
cargo build --locked --quiet --release -p vpcwatch-tests --bin fleet-boot
boot() { echo "== fleet-boot $*"; target/release/fleet-boot "$@"; }
boot "$instances" fleet --data-minutes 3                     # one set of alarms for all
boot "$instances" fleet --data-minutes 60 --steady-from 30   # the same, and half an hour of the usual
boot "$instances" fleet --data-minutes 0 --watch-hours 25    # the daily look alone
boot "$instances" instance --data-minutes 3 --hours 48       # each with alarms of its own
