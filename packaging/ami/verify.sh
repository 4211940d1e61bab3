#!/usr/bin/env bash
# Says what of the machine that built it is in an image: verify.sh ROOT, the folder where the image is mounted; as root, who may read all of it.
# Exit code 0: nothing. 1: each thing is named, one a line. 2: it could not look.
set -uo pipefail
[ $# = 1 ] && [ -d "$1/etc" ] || { echo "usage: verify.sh ROOT, a folder with an image's etc/" >&2; exit 2; }
root=${1%/}
hidden=$(find "$root"/etc "$root"/root "$root"/home "$root"/var \( -type d -o -type f \) ! -readable -print -quit 2>/dev/null)
[ -z "$hidden" ] || { echo "$hidden cannot be read: run it as root" >&2; exit 2; }
found=0
bad() { echo "$1: $2"; found=1; }
# Files of these patterns below the root; a pattern without a file is none.
files() { local path; for path; do [ -e "$path" ] || [ -L "$path" ] && printf '%s\n' "$path"; done; }
# each 'WHAT IT IS' PATH...
each() { local what=$1 path; shift; while IFS= read -r path; do bad "${path#"$root"}" "$what"; done < <(files "$@"); }
shopt -s nullglob dotglob globstar

each "state of an agent that ran here: cursors, baselines, provision marks" "$root"/var/lib/vpcwatch/* "$root"/var/lib/private/vpcwatch
each "status of an agent that ran here" "$root"/run/vpcwatch/*
each "log of an agent that ran here" "$root"/var/log/vpcwatch*
each "credentials" "$root"/{root,home/*,var/lib/vpcwatch}/.aws/{credentials,config,cli/cache/*,sso/cache/*}
each "entries of this machine's journal, with its identity" "$root"/var/log/journal/*/*
each "cloud-init's memory of an instance: its copy would not be configured" "$root"/var/lib/cloud/{instance,instances/*}
each "private host key, which all copies would share" "$root"/etc/ssh/ssh_host_*_key

if [ -s "$root/etc/machine-id" ] && [ "$(<"$root/etc/machine-id")" != uninitialized ]; then
  bad /etc/machine-id "identity of a machine: empty the file, or write uninitialized"
fi
for file in "$root"/etc/vpcwatch/environment "$root"/etc/{systemd/system,default,sysconfig}/**/vpcwatch*{,/*}; do
  [ -f "$file" ] && grep -Eq 'AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)=' "$file" && bad "${file#"$root"}" "credentials"
done
for file in "$root"/etc/vpcwatch/{vpcwatch.toml,environment} "$root"/etc/vpcwatch/conf.d/*.toml; do
  [ -f "$file" ] || continue
  grep -Eq "^[[:space:]]*(identity\.)?host[[:space:]]*=[[:space:]]*[\"'][^\"']|VPCWATCH__IDENTITY__HOST=." "$file" && bad "${file#"$root"}" "identity.host, a name that all copies would share"
done
exit $found
