#!/usr/bin/env bash
# How fast lines of sshd and PAM are read, beside fail2ban and sshguard, on the same file in one run: lines per CPU-second, and how many
# lines each took for one of an attack (sshguard and fail2ban also take lines that tell of the same attempt again).
#   tests/load/login_speed.sh [LINES [LINES FOR FAIL2BAN]]     default 1,000,000, of which fail2ban is given the first 200,000
# FILE=... takes another log. AGENT names a program that is built already, ROUNDS how often each runs (3; the best counts).
# Needs fail2ban and sshguard: installed by apt where they are missing and this is root. Nothing is banned: only their parsers run.
set -euo pipefail
cd "$(dirname "$0")/../.."
lines=${1:-1000000} prefix=${2:-200000} rounds=${ROUNDS:-3}
sshg_parser=/usr/libexec/sshguard/sshg-parser
if ! command -v fail2ban-regex >/dev/null || [ ! -x $sshg_parser ]; then
  [ "$(id -u)" = 0 ] || { echo "missing: the Debian packages fail2ban and sshguard; install them, or run as root" >&2; exit 1; }
  install="apt-get install -y --no-install-recommends fail2ban sshguard"
  { $install || { apt-get update && $install; }; } </dev/null >/dev/null 2>&1 || { echo "cannot install fail2ban and sshguard" >&2; exit 1; }
fi
[ -n "${AGENT:-}" ] || cargo build --locked --quiet --profile packaged -p vpcwatch
agent=${AGENT:-$PWD/target/packaged/vpcwatch}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A day of a host that is guessed at: of 20 connections, 11 guess at users who are not there, 4 at one who is, 2 are only opened, 2 log in,
# and one calls sudo. Addresses and users repeat as they do.
generate() {
  awk -v lines="$1" 'BEGIN {
    srand(7)
    split("root admin test ubuntu oracle postgres git deploy ftpuser user1", users, " ")
    while (written < lines) {
      second += 86400 / lines * 3.5; n++; kind = n % 20; pid = 1000 + n % 30000; port = 1024 + int(rand() * 60000)
      from = sprintf("%d.%d.%d.%d", 101 + n % 50, n % 7, int(rand() * 40), 1 + int(rand() * 40))
      user = users[1 + int(rand() * 10)] (kind == 3 ? int(rand() * 1000) : "")
      head = sprintf("Mar %2d %02d:%02d:%02d web-1 sshd[%d]: ", 2 + second / 86400, second / 3600 % 24, second / 60 % 60, second % 60, pid)
      if (kind < 11) {
        say("Invalid user " user " from " from " port " port)
        say("pam_unix(sshd:auth): check pass; user unknown")
        say("pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=" from " ")
        say("Failed password for invalid user " user " from " from " port " port " ssh2")
        say("Connection closed by invalid user " user " " from " port " port " [preauth]")
      } else if (kind < 15) {
        say("pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=" from "  user=root")
        say("Failed password for root from " from " port " port " ssh2")
        say("Failed password for root from " from " port " port " ssh2")
        say("Connection reset by authenticating user root " from " port " port " [preauth]")
        say("PAM 1 more authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=" from "  user=root")
      } else if (kind < 17) {
        say("Connection closed by " from " port " port)
      } else if (kind < 19) {
        say("Accepted publickey for deploy from 10.20.3." n % 200 " port " port " ssh2: ED25519 SHA256:q7Ff0yVn6hQ2kGgW0Yp1mQ1k8cT5oVb2nX9sZr4uLdE")
        say("pam_unix(sshd:session): session opened for user deploy(uid=1000) by deploy(uid=0)")
        say("pam_unix(sshd:session): session closed for user deploy")
      } else {
        sub(/sshd\[/, "sudo[", head)
        say("   deploy : TTY=pts/0 ; PWD=/home/deploy ; USER=root ; COMMAND=/usr/bin/systemctl status nginx")
        say("pam_unix(sudo:session): session opened for user root(uid=0) by deploy(uid=1000)")
      }
    }
  }
  function say(text) { if (written++ < lines) print head text }'
}
file=${FILE:-$work/auth.log}
[ -n "${FILE:-}" ] || generate "$lines" >"$file"
head -n "$prefix" "$file" >"$work/prefix.log"
attempts=$(grep -c ' Failed password for ' "$file") || true
echo "$(wc -l <"$file") lines, $(stat -c %s "$file") bytes; $attempts say \"Failed password\", of these $(grep -c ' Failed password for ' "$work/prefix.log") in the first $(wc -l <"$work/prefix.log")"
echo

# cpu COMMAND...: seconds of user and system time of its quickest run; its output is in $work/out.
cpu() {
  local TIMEFORMAT='%U %S' round
  for round in $(seq "$rounds"); do
    { time "$@" >"$work/out" 2>"$work/err" || { cat "$work/err" >&2; return 1; }; } 2>"$work/time" || { cat "$work/time" >&2; return 1; }
    awk '{ print $1 + $2 }' "$work/time"
  done | sort -n | head -n 1
}
row() { awk -v w="$1" -v n="$2" -v s="$3" -v f="$4" 'BEGIN { printf "| %-46s | %9d | %8.2f | %10d | %9s |\n", w, n, s, s ? n / s : 0, f }'; }
explain() { "$agent" explain --service "$1" <"$file"; }
parse() { $sshg_parser <"$1"; }
regex() { fail2ban-regex --usedns no --print-no-missed "$1" /etc/fail2ban/filter.d/sshd.conf; }

printf '| %-46s | %9s | %8s | %10s | %9s |\n|---|---|---|---|---|\n' "what" "lines" "CPU s" "lines/CPU s" "attacks"
count=$(wc -l <"$file")
failed=0
for service in sshd auto; do
  if s=$(cpu explain $service); then row "vpcwatch explain --service $service" "$count" "$s" "$(grep -c '"outcome": *"failure"' "$work/out" || true)"; else failed=1; fi
done
if s=$(cpu "$agent" replay --log "$file" --service sshd --output json); then
  row "vpcwatch replay --log (patterns too)" "$count" "$s" "$(grep -o '"kind": *"[a-z_]*"' "$work/out" | wc -l) told"
else failed=1; fi
s=$(cpu parse "$file"); row "sshguard $(dpkg-query -W -f '${Version}' sshguard): sshg-parser" "$count" "$s" "$(wc -l <"$work/out")"
s=$(cpu regex "$work/prefix.log")
row "fail2ban $(dpkg-query -W -f '${Version}' fail2ban): fail2ban-regex" "$(wc -l <"$work/prefix.log")" "$s" "$(sed -n 's/^Lines: .* \([0-9]*\) matched.*/\1/p' "$work/out")"
if [ -e agent/benches/login_lines.rs ]; then
  echo
  echo "== the reader alone, without a program around it"
  cargo bench --locked --quiet -p vpcwatch --bench login_lines -- --file "$file" || failed=1
fi
exit $failed
