#!/bin/sh
# After files were unpacked: deb says `configure OLD-VERSION`, rpm 1 at the first installation and 2 at an upgrade. Where no systemd
# runs (an image that is built, a chroot) the service is enabled and nothing is started.
set -e

case "$1" in
  configure) first=$([ -z "$2" ] && echo yes || echo no) start=yes ;;
  1) first=yes start=no ;; # packages of this kind leave the first start to the administrator
  2) first=no start=no ;;
  *) exit 0 ;; # abort-upgrade and its like: nothing of ours changed
esac

if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers vpcwatch.conf
elif ! id vpcwatch >/dev/null 2>&1; then
  useradd --system --user-group --home-dir /var/lib/vpcwatch --shell /usr/sbin/nologin vpcwatch
  for group in systemd-journal adm; do
    getent group "$group" >/dev/null && usermod --append --groups "$group" vpcwatch
  done
fi
! command -v systemd-tmpfiles >/dev/null || systemd-tmpfiles --create vpcwatch.conf

command -v systemctl >/dev/null || exit 0
if [ ! -d /run/systemd/system ]; then
  [ "$first" = no ] || SYSTEMD_OFFLINE=1 systemctl preset vpcwatch.service
  exit 0
fi
systemctl daemon-reload
# An upgrade leaves enabled or disabled as it was.
[ "$first" = no ] || systemctl preset vpcwatch.service
if [ "$first" = no ]; then
  systemctl try-restart vpcwatch.service
elif [ "$start" = yes ]; then
  # Asks policy-rc.d, by which image builders forbid starts.
  if command -v deb-systemd-invoke >/dev/null; then
    deb-systemd-invoke start vpcwatch.service || true
  else
    systemctl start vpcwatch.service || true
  fi
fi
