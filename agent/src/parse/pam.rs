//! PAM's own lines, whichever program loaded it: `pam_unix(SERVICE:auth): authentication failure; ... rhost=A  user=U`
//! (`pam_unix_auth.c`, `support.c`, `_pam_syslog.c` of Linux-PAM; `pam_sss` of SSSD writes the same form).
//!
//! Only `pam_unix` counts: it says how many further attempts failed, and stands in nearly every stack, while other modules
//! speak of the same attempts. Daemons hand on the user's name as the client sent it, and some put it into `ruser` too, before
//! `rhost`.

use std::net::IpAddr;

use super::address::{address, number};
use super::{Message, Told};
use crate::model::login::{Count, Outcome};

/// What stands for services that we know nothing else of, so that nobody can invent services by the thousand.
pub(super) const ANY: &str = "pam";

/// `unix_chkpwd`, the helper of `pam_unix`: another process than the one whose attempt it is, which speaks for itself.
pub(super) const CHECKED: &str = "pam.password_check";

/// PAM's names of services, as we call them. Others are looked for among the parsers.
const SERVICES: &[(&str, &str)] = &[
    ("sshd", "sshd"),
    ("ssh", "sshd"),
    ("login", "login"),
    ("remote", "login"),
    ("su", "su"),
    ("su-l", "su"),
    ("runuser", "su"),
    ("sudo", "sudo"),
    ("sudo-i", "sudo"),
    ("cron", "cron"),
    ("crond", "cron"),
    ("atd", "cron"),
];

/// Services whose opened session is the only word on a login that succeeded.
const SESSIONS: [&str; 3] = ["login", "su", "sudo"];

/// Whether PAM speaks, whatever the program.
pub(super) fn is_pam(text: &str) -> bool {
    text.starts_with("pam_")
        || text.starts_with("PAM ")
        || text.starts_with("(pam_")
        || text.starts_with("authentication failure; logname=")
}

/// The service that PAM was asked for, by our name.
pub(super) fn service(message: &Message<'_>, known: impl Fn(&str) -> Option<&'static str>) -> &'static str {
    let line = Line::read(message.text);
    let name = line.service.unwrap_or(message.program);
    let find = |name: &str| {
        let own = SERVICES.iter().find(|(pam, _)| *pam == name).map(|(_, own)| *own);
        own.or_else(|| known(name))
    };
    // A bare line without a name: only sshd calls its terminal so.
    let is_ssh = || line.rest.contains(" tty=ssh ").then_some("sshd");
    find(name).or_else(|| find(message.program)).or_else(is_ssh).unwrap_or(ANY)
}

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    const NONE: &str = "not a line of PAM that tells of a login";
    let line = Line::read(message.text);
    let rest = line.rest;
    let fields = rest.strip_prefix("authentication failure; ");
    if let Some(fields) = fields.filter(|fields| fields.starts_with("logname=")) {
        let (count, rule) =
            if line.is_unix() { (Count::Pam(1), "pam.failure") } else { (Count::Sign, "pam.module_failure") };
        return Ok(failure(fields, count, rule));
    }
    if let Some(rest) = message.text.strip_prefix("PAM ") {
        return more(rest);
    }
    if let Some(rest) = rest.strip_prefix("Consecutive login failures for user ") {
        let user = rest.strip_suffix(" account temporarily locked").unwrap_or(rest);
        return Ok(sign(user, "pam.locked"));
    }
    if let Some(rest) = rest.strip_prefix("access denied for user ") {
        return denied(rest).ok_or(NONE);
    }
    if rest.starts_with("session opened for user ") {
        return session(message, line.service).ok_or("a session; the service itself tells who logged in");
    }
    if let Some(rest) = rest.strip_prefix("password check failed for user (") {
        let told = sign(rest.strip_suffix(')').unwrap_or(rest), CHECKED);
        return Ok(Told { is_known_user: Some(true), ..told });
    }
    if line.module.starts_with("pam_tally")
        && let Some(user) = rest.strip_prefix("user ").filter(|rest| rest.contains(" tally "))
    {
        return Ok(sign(user.split_once(" (").map_or(user, |(user, _)| user), "pam.locked"));
    }
    if rest.starts_with("check pass; user unknown") {
        return Err("PAM knows no such user; the failure is told by another line");
    }
    Err(NONE)
}

/// `MODULE(SERVICE:TYPE): REST`
struct Line<'a> {
    module: &'a str,
    service: Option<&'a str>,
    rest: &'a str,
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Line<'a> {
        let plain = Line { module: "", service: None, rest: text };
        if let Some((module, rest)) = text.strip_prefix('(').and_then(|text| text.split_once(") ")) {
            return Line { module, rest, ..plain };
        }
        if !text.starts_with("pam_") {
            return plain;
        }
        let Some((module, rest)) = text.split_once('(') else { return plain };
        let Some((place, rest)) = rest.split_once("): ") else { return plain };
        Line { module, service: Some(place.split_once(':').map_or(place, |(service, _)| service)), rest }
    }

    fn is_unix(&self) -> bool {
        self.module.is_empty() || self.module.starts_with("pam_unix")
    }
}

/// `N more authentication failure[s]; logname= ...`
fn more(text: &str) -> Result<Told<'_>, &'static str> {
    const NONE: &str = "not a line of PAM that tells of a login";
    let (count, rest) = text.split_once(" more authentication failure").ok_or(NONE)?;
    let count = number(count.as_bytes()).ok_or(NONE)?;
    let (_, fields) = rest.split_once("; ").ok_or(NONE)?;
    Ok(failure(fields, Count::Pam(count), "pam.more_failures"))
}

/// `logname=L uid=N euid=N tty=T ruser=R rhost=A[  user=U]`
fn failure<'a>(fields: &'a str, count: Count, rule: &'static str) -> Told<'a> {
    let ends = fields.split_once(" ruser=").map(|(before, ends)| (before.ends_with(" tty=ssh"), ends));
    let (is_ssh, ends) = ends.unwrap_or((false, fields));
    let (source, user) = if is_ssh { first_host(ends) } else { host(ends) };
    Told { source, user: user.map(Into::into), ..sign("", rule) }.counted(count)
}

impl Told<'_> {
    fn counted(self, count: Count) -> Self {
        Told { count, ..self }
    }
}

/// sshd sets no `ruser`, so what comes first is the daemon's.
fn first_host(ends: &str) -> (Option<IpAddr>, Option<&str>) {
    ends.strip_prefix(" rhost=").or_else(|| ends.strip_prefix("rhost=")).map_or((None, None), |rest| {
        let (host, user) = host_and_user(rest);
        (address(host), user)
    })
}

/// Where `ruser` and `user` are both the client's word, the reading in which they agree is right.
fn host(ends: &str) -> (Option<IpAddr>, Option<&str>) {
    const MARK: &str = "rhost=";
    let mut found: Option<(Option<IpAddr>, Option<&str>)> = None;
    for (at, _) in ends.match_indices(MARK) {
        let Some((before, rest)) = ends.split_at_checked(at) else { continue };
        let Some(before) = before.strip_suffix(' ') else { continue };
        let (host, user) = host_and_user(rest.get(MARK.len()..).unwrap_or_default());
        let source = address(host);
        if user.is_some_and(|user| user == before) {
            return (source, user);
        }
        found = Some(match found {
            Some((other, user)) if other != source => (None, user),
            Some(found) => found,
            None => (source, user),
        });
    }
    found.unwrap_or((None, None))
}

fn host_and_user(rest: &str) -> (&str, Option<&str>) {
    let (host, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    (host, rest.trim_start().strip_prefix("user="))
}

fn sign<'a>(user: &'a str, rule: &'static str) -> Told<'a> {
    Told { count: Count::Sign, ..Told::failure(rule, None) }.of(Some(user))
}

/// `pam_access`: ``access denied for user `U' from `A'``
fn denied(text: &str) -> Option<Told<'_>> {
    let (user, origin) = text.rsplit_once(" from ")?;
    let quotes = ['`', '\'', '"'];
    let told = sign(user.trim_matches(quotes), "pam.access_denied");
    Some(Told { source: address(origin.trim_matches(quotes)), ..told })
}

/// `session opened for user U(uid=N) by V(uid=N)`
fn session<'a>(message: &Message<'a>, service: Option<&'a str>) -> Option<Told<'a>> {
    let name = service.unwrap_or(message.program);
    let own = SERVICES.iter().find(|(pam, _)| *pam == name).map(|(_, own)| *own)?;
    if !SESSIONS.contains(&own) || name == "runuser" {
        return None;
    }
    let (_, user) = message.text.split_once("session opened for user ")?;
    let user = user.split(['(', ' ']).next()?;
    let told = sign(user, "pam.session_opened");
    Some(Told { outcome: Outcome::Success, is_known_user: Some(true), ..told }.counted(Count::Pam(1)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_told_for_daemons() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "pam_unix(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=::ffff:192.0.2.4  user=ann",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "pam_sss(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=2001:db8::4 user=ann",
                    "failure 2001:db8::4 ann",
                ),
                (
                    "pam_unix(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=",
                    "failure - -",
                ),
                (
                    "pam_unix(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=desk.example.org",
                    "failure - -",
                ),
                (
                    "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=ann rhost=192.0.2.4",
                    "failure 192.0.2.4 -",
                ),
                (
                    "pam_unix(proftpd:auth): authentication failure; logname= uid=0 euid=0 tty=x ruser=ann rhost=192.0.2.4  user=ann",
                    "failure 192.0.2.4 ann",
                ),
                // Names with an address in them: told once, and on either side of the daemon's.
                (
                    "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=x rhost=198.51.100.7 rhost=192.0.2.4",
                    "failure - -",
                ),
                (
                    "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=x rhost=198.51.100.7  user=x rhost=192.0.2.4  user=x rhost=198.51.100.7  user=x",
                    "failure 192.0.2.4 x rhost=198.51.100.7  user=x",
                ),
                ("pam_unix(cockpit:session): session opened for user ann(uid=1000) by ann(uid=0)", "none"),
                ("pam_unix(cockpit:auth): check pass; user unknown", "none"),
            ],
        );
    }
}
