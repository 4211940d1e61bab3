#!/bin/sh
# After files went: deb says `remove`, `purge` and others, rpm 0 or 1. A removal keeps configuration and state, for the package may come
# back; a purge takes them too. rpm has no purge: packaging/README.md tells what to delete.
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload
[ "$1" = purge ] || exit 0
rm -rf /var/lib/vpcwatch /etc/vpcwatch /etc/systemd/system/vpcwatch.service.d
if id vpcwatch >/dev/null 2>&1; then
  userdel vpcwatch || true
  ! getent group vpcwatch >/dev/null || groupdel vpcwatch || true
fi
