#!/bin/sh
# Before files go: deb says `remove` or `upgrade`, rpm 0 or 1. An upgrade restarts afterwards.
set -e
case "$1" in
  remove | 0) ;;
  *) exit 0 ;;
esac
command -v systemctl >/dev/null || exit 0
if [ -d /run/systemd/system ]; then
  systemctl disable --now vpcwatch.service
else
  SYSTEMD_OFFLINE=1 systemctl disable vpcwatch.service
fi
