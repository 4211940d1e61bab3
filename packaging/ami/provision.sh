#!/usr/bin/env bash
# Installs vpcwatch into an image that is being built, and leaves nothing of the builder: provision.sh PACKAGE SHA256, as root, on the
# builder. The agent is enabled, and starts at the first boot of a copy, never here.
set -euo pipefail
[ $# = 2 ] && [ "$(id -u)" = 0 ] || { echo "usage, as root: provision.sh PACKAGE SHA256" >&2; exit 2; }
package=$(realpath "$1")
sha256sum --check --status <<<"$2  $package" || { echo "$package is not of that SHA-256: nothing was installed" >&2; exit 1; }
case $package in
  *.rpm) dnf install --assumeyes "$package" ;;
  *.deb) DEBIAN_FRONTEND=noninteractive apt-get install --yes "$package" ;;
  *) echo "$package: neither .rpm nor .deb" >&2; exit 2 ;;
esac
systemctl enable vpcwatch.service
# A package may have started it.
systemctl stop vpcwatch.service
rm -rf /var/lib/vpcwatch/* /run/vpcwatch /var/log/vpcwatch*
# The rest of an image's cleaning: a new identity, host keys and journal at each copy's first boot.
if command -v cloud-init >/dev/null; then cloud-init clean --logs; fi
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
rm -rf /var/log/journal/*
: >/etc/machine-id
