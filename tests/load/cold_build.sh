#!/usr/bin/env bash
# How long a newcomer waits: from `cargo run` on a fresh clone to the first table, by profile. Downloads are not
# counted: they are fetched before.
#   tests/load/cold_build.sh [PROFILE ...]     default: every candidate
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet . "$work/clone"
cd "$work/clone"
cargo fetch --locked --quiet
declare -A flags=(
  [dev]=""
  [dev-with-all-debug-information]="--config profile.dev.debug=2 --config 'profile.dev.package.\"*\".debug=2'"
  [dev-optimised-1]="--config profile.dev.opt-level=1"
  [release]="--release"
  [packaged]="--profile packaged"
)
for profile in "${@:-dev dev-with-all-debug-information dev-optimised-1 release packaged}"; do
  for name in $profile; do
    rm -rf target
    begun=$(date +%s.%N)
    exec 3< <(eval "cargo run --locked --offline --quiet ${flags[$name]} -- run --dry-run --for 3s")
    read -r -u 3 _
    awk -v name="$name" -v a="$begun" -v b="$(date +%s.%N)" 'BEGIN { printf "%-32s first table after %6.1f s\n", name, b - a }'
    cat <&3 >/dev/null
  done
done
