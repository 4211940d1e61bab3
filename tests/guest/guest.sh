#!/usr/bin/env bash
# A real systemd with a real sshd, as a guest of this machine: for tests that need one. As root; Debian packages mmdebstrap,
# systemd-container, iproute2.
#
#   guest.sh root                              builds the guest's file system below target/, once; prints its path
#   guest.sh hold NAME PEER [OPTION ...]       boots a throw-away copy and keeps it until standard input ends
#
# NAME is a network namespace that the guest lives in, PEER the one at the other end of its cable; both go with it. Options are
# systemd-nspawn's. `hold` prints "up PID" after each boot, with the process id of the guest's systemd, or else why not.
# What the guest writes is in memory and is gone with it; nothing else of this machine changes. Whoever holds a guest and is
# killed lets go of it; if `hold` itself is killed, the next one clears up.
#
# VPCWATCH_GUEST_SUITE names another Debian suite than bookworm (systemd 252, as in Amazon Linux 2023; sshd 9.2), and
# VPCWATCH_GUEST_MIRROR another mirror than the one that apt uses here.
set -uo pipefail
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
suite=${VPCWATCH_GUEST_SUITE:-bookworm}
packages=systemd,systemd-sysv,dbus,openssh-server,openssh-client,iproute2,sudo,rsyslog
script=$(realpath "$0")
folder=$(dirname "$script")/../../target/guest

fail() { echo "guest: $*"; exit 1; }
# try 'WHAT IT IS GOOD FOR' COMMAND...: fails with the command's own words.
try() {
  local what=$1 said
  shift
  said=$("$@" 2>&1) || fail "cannot $what: ${said:-$1 says nothing}"
}
need() { command -v "$1" >/dev/null || fail "$1 is missing: install the Debian package $2"; }

# --- the root -----------------------------------------------------------------------------------------------------------

# What apt here is told about fetching (proxies, mirrors whose dates are past) holds there too.
fetching() { apt-config dump 2>/dev/null | grep -E '^Acquire::(https?::|Check-)' || true; }

mirror() {
  local here
  here=$(apt-get indextargets --format '$(CODENAME) $(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    sed -n "s/^$suite Debian \(http.*\)/\1/p" | head -n 1)
  echo "${VPCWATCH_GUEST_MIRROR:-${here:-http://deb.debian.org/debian}}"
}

# Run by mmdebstrap in a root that has its packages.
furnish() {
  local root=$1
  chroot "$root" useradd --create-home --shell /bin/bash alice # who is attacked
  chroot "$root" useradd --create-home --shell /bin/bash bob
  chroot "$root" useradd --create-home --shell /bin/bash mallory # who has an account here, and no good in mind
  printf '%s\n' alice:alice-knows bob:bob-knows mallory:mallory-knows | chroot "$root" chpasswd
  # Attempts as fast as the machine makes them; as many connections at a time as a test wants.
  sed -i '/pam_unix.so/s/$/ nodelay/' "$root/etc/pam.d/common-auth"
  echo 'MaxStartups 200' >"$root/etc/ssh/sshd_config.d/guest.conf"
  # For clients, which run in the same file system.
  printf '#!/bin/sh\nprintf "%%s\\n" "$PASSWORD"\n' >"$root/usr/local/bin/askpass"
  chmod 755 "$root/usr/local/bin/askpass"
  # The journal alone, as on Amazon Linux 2023, kept over a reboot; a test that wants rsyslog switches it on.
  mkdir -p "$root/var/log/journal" "$root/etc/systemd/journald.conf.d"
  printf '[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\n' >"$root/etc/systemd/journald.conf.d/guest.conf"
  : >"$root/etc/machine-id"
  # mmdebstrap leaves this machine's.
  echo guest >"$root/etc/hostname"
  : >"$root/etc/resolv.conf"
  local unit
  for unit in rsyslog.service syslog.socket; do chroot "$root" systemctl disable --quiet $unit 2>/dev/null; done
  rm -f "$root"/var/log/{auth.log,syslog}
  # What a container lacks would be waited for, and what runs by the clock may come at any time.
  for unit in systemd-resolved.service systemd-networkd.service systemd-timesyncd.service systemd-modules-load.service getty@tty1.service \
    console-getty.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer logrotate.timer \
    systemd-tmpfiles-clean.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
  done
}

root() {
  [ "$(id -u)" = 0 ] || fail "run as root"
  need mmdebstrap mmdebstrap
  local key name said line options=()
  key=$(sha256sum <<<"$packages $(declare -f root furnish)" | cut -c -12)
  mkdir -p "$folder" || fail "cannot make $folder"
  cd "$folder" || exit 1
  name=$PWD/$suite-$key
  [ -e "$name" ] && echo "$name" && return
  exec 9>lock
  flock --wait 600 9 || fail "somebody else has been building a root for 10 minutes"
  [ -e "$name" ] && echo "$name" && return
  rm -rf building "$suite"-* # an interrupted build, and those of older lists of packages
  while read -r line; do options+=(--aptopt="$line"); done < <(fetching)
  # The name without "building" comes last: an interrupted build is never taken for a whole one.
  said=$(timeout 900 mmdebstrap --quiet --variant=minbase --include=$packages "${options[@]}" \
    --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook="$script furnish \"\$1\"" "$suite" "$PWD/building" "$(mirror)" 2>&1 </dev/null 9>&-) ||
    fail "mmdebstrap cannot build Debian $suite from $(mirror) (is the network there, and debian-archive-keyring installed?):
$(tail -n 15 <<<"$said")"
  mv building "$name" && echo "$name"
}

# --- a guest ------------------------------------------------------------------------------------------------------------

# Ends what is in a group of processes, and the group.
end_group() {
  local group=$1 pid _
  echo 1 >"$group/cgroup.kill" 2>/dev/null ||
    for pid in $(find "$group" -name cgroup.procs -exec cat {} +); do kill -KILL "$pid"; done
  for _ in {1..100}; do
    grep -q 'populated 0' "$group/cgroup.events" && break
    sleep 0.05
  done
  find "$group" -depth -type d -exec rmdir {} \;
} 2>/dev/null

# Guests and namespaces are called after the process that made them: what a dead one left goes.
clear_up() {
  local left pid
  for left in /sys/fs/cgroup/vpcwatch-* /run/netns/vpcwatch-*; do
    pid=$(sed -n 's/^vpcwatch-\([0-9]*\)-[0-9]*$/\1/p' <<<"${left##*/}")
    [ -n "$pid" ] && [ ! -e "/proc/$pid" ] || continue
    case $left in /sys/*) end_group "$left" ;; *) ip netns del "${left##*/}" 2>/dev/null ;; esac
  done
}

hold() {
  [ "$(id -u)" = 0 ] || fail "run as root"
  need systemd-nspawn systemd-container
  need ip iproute2
  local root
  root=$(root) || fail "${root#guest: }"
  unshare --mount --propagation private true 2>/dev/null ||
    fail "cannot make a mount namespace: this needs CAP_SYS_ADMIN (in a container: --privileged)"
  exec unshare --mount --propagation private "$script" inside "$root" "$@"
}

# In a mount namespace of its own.
inside() {
  local root=$1 name=$2 peer=$3
  shift 3
  [ -e "/run/netns/$name" ] || fail "no network namespace $name"
  cd "$folder" && mkdir -p mount || exit 1
  try "mount a tmpfs (in a container: --privileged)" mount -t tmpfs -o size=1g,mode=755 guest mount
  mkdir mount/upper mount/work mount/root
  try "mount an overlay (is the kernel's overlay module there?)" \
    mount -t overlay -o "lowerdir=${root##*/},upperdir=mount/upper,workdir=mount/work" overlay mount/root
  try "mount cgroup2 (the guest's systemd needs it; in a container: --privileged)" mount -t cgroup2 cgroup2 /sys/fs/cgroup
  clear_up
  group=/sys/fs/cgroup/$name
  try "make a cgroup (is cgroup2 read-only here?)" mkdir "$group"
  trap 'end; ip netns del "$name" 2>/dev/null; ip netns del "$peer" 2>/dev/null' EXIT
  trap 'exit 1' INT TERM HUP
  local code=133
  while [ $code = 133 ]; do # what systemd-nspawn ends with when its guest reboots
    boot "$root" "$name" "$@" &
    nspawn=$!
    wait_until_up $nspawn || fail "the guest does not boot: $(tail -n 20 mount/console)"
    echo "up $leader"
    while kill -0 $nspawn 2>/dev/null; do
      read -r -t 0.1 _ # 1: standard input has ended
      [ $? = 1 ] && exit 0
    done
    wait $nspawn
    code=$?
  done
  fail "the guest ended with $code: $(tail -n 20 mount/console)"
}

# The first process goes first, so that systemd-nspawn sees it off: an orphan would be left to whatever process 1 is here.
end() {
  local _
  [ -n "${leader:-}" ] && kill -KILL "$leader" 2>/dev/null &&
    for _ in {1..100}; do kill -0 "$nspawn" 2>/dev/null || break; sleep 0.02; done
  end_group "$group"
}

boot() {
  local name=$2
  shift 2
  echo $BASHPID >"$group/cgroup.procs" || exit 1
  exec systemd-nspawn --quiet --boot --directory=mount/root --machine="$name" --register=no --keep-unit \
    --network-namespace-path="/run/netns/$name" --capability=all --system-call-filter="bpf perf_event_open" \
    --resolv-conf=off --timezone=off --link-journal=no --console=pipe "$@" </dev/null >>mount/console 2>&1
}

# Sets `leader`, the guest's first process.
wait_until_up() {
  local state
  for _ in {1..1200}; do
    kill -0 "$1" 2>/dev/null || return
    leader=$(head -n 1 "$group/payload/init.scope/cgroup.procs" 2>/dev/null)
    if [ -n "$leader" ]; then
      state=$(timeout 10 nsenter --target "$leader" --mount --uts --ipc --net --pid systemctl is-system-running 2>/dev/null)
      case $state in running | degraded) return ;; esac
    fi
    sleep 0.05
  done
  echo "after a minute it is ${state:-not there}" >>mount/console
  return 1
}

case ${1:-} in
  root | hold | inside | furnish) "$@" ;;
  *) sed -n '2,15s/^# \{0,1\}//p' "$script" >&2; exit 2 ;;
esac
