//! Dovecot 2.0 to 2.4: what its login processes say when a client goes (`src/login-common/client-common.c`), and what its
//! authentication processes say of single attempts if asked to (`src/auth/auth-request.c`, `passdb-pam.c`).
//!
//! A login process tells attempts and address: `rip=` stands behind the user, followed only by what Dovecot writes. An
//! authentication process tells of the same attempts once more, as another process: only signs of them.

use std::net::IpAddr;

use super::address::address;
use super::{Message, Told};
use crate::model::login::Count;

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    let text = message.text;
    if message.program.ends_with("-login") {
        return session(text).ok_or("not a login");
    }
    match speaker(text).ok_or("no process of dovecot's that knows of logins")? {
        (Speaker::Login, said) => session(said).ok_or("not a login"),
        (Speaker::Auth, said) => attempt(said).ok_or("not a failed attempt"),
    }
}

enum Speaker {
    Login,
    Auth,
}

/// The process that speaks, within the first words: its own log has a time before it.
fn speaker(text: &str) -> Option<(Speaker, &str)> {
    let mut rest = text;
    for _ in 0..WORDS_BEFORE {
        let (first, behind) = rest.split_once(' ')?;
        if first.ends_with("-login:") {
            return Some((Speaker::Login, behind));
        }
        let is_detailed = first.starts_with("auth(") || first.starts_with("auth-worker(");
        if matches!(first, "auth:" | "auth-worker:")
            || (is_detailed && first.ends_with("):") && !first.contains(','))
        {
            return Some((Speaker::Auth, behind));
        }
        if is_detailed {
            return Some((Speaker::Auth, rest));
        }
        rest = behind;
    }
    None
}

/// `Jun  8 09:08:53` and an empty word between, or `2026-06-08 09:08:53`, and `dovecot:`.
const WORDS_BEFORE: usize = 6;

fn session(said: &str) -> Option<Told<'_>> {
    let said = said.strip_prefix("Info: ").unwrap_or(said);
    let (source, user, method) = client(said)?;
    let told = if said.starts_with("Login: ") {
        Told::success("dovecot.login", source)
    } else {
        failures(said, source)?
    };
    Some(Told { method: method.map(Into::into), ..told }.of(user))
}

/// `user=<U>, method=M, rip=A, lip=...`
fn client(said: &str) -> Option<(Option<IpAddr>, Option<&str>, Option<&str>)> {
    let (before, rest) = said.rsplit_once(" rip=")?;
    let client = rest.split([',', ' ']).next()?;
    let named = before.split_once("user=<").map(|(_, named)| named);
    let user = named.and_then(|named| named.rsplit_once('>')).map(|(user, _)| user);
    let method = before
        .rsplit_once(" method=")
        .map(|(_, method)| method.trim_end_matches(','))
        .filter(|method| !method.contains(' '));
    Some((address(client), user, method))
}

/// `Disconnected: Connection closed (auth failed, 3 attempts in 9 secs): user=...`
fn failures(said: &str, source: Option<IpAddr>) -> Option<Told<'_>> {
    let (before, rest) = said.split_once(" attempts")?;
    let (reason, attempts) = before.rsplit_once(", ")?;
    if before.contains("user=<")
        || !rest.starts_with([' ', ')', ','])
        || !REASONS.iter().any(|known| reason.ends_with(known))
    {
        return None;
    }
    Some(Told { count: Count::Daemon(attempts.parse().ok()?), ..Told::failure("dovecot.failed", source) })
}

/// Why no attempt of a session succeeded, where that was for the credentials.
const REASONS: &[&str] = &[
    "(auth failed",
    "(authorization failed",
    "(user disabled",
    "(password expired",
    "authentication failure",
];

/// `pam(U,A,<session>): unknown user (given password: P)`, 2.4: `auth(U,A,sasl:plain)<session>: pam: Password mismatch`
fn attempt(said: &str) -> Option<Told<'_>> {
    let told =
        PASSWORDS.iter().fold(said, |said, mark| said.split_once(mark).map_or(said, |(before, _)| before));
    let (subject, reason) = behind_subject(told)?;
    let is_known_user = if reason.starts_with("unknown user") {
        Some(false)
    } else if reason.starts_with("Password mismatch") || reason.starts_with("password mismatch") {
        Some(true)
    } else if reason.starts_with("pam_authenticate() failed: ")
        || reason.eq_ignore_ascii_case("invalid credentials")
    {
        None
    } else {
        return None;
    };
    let (user, source) = subject_of(subject)?;
    Some(
        Told { is_known_user, count: Count::Sign, ..Told::failure("dovecot.attempt", source) }.of(Some(user)),
    )
}

/// What `auth_verbose_passwords` adds: the client's.
const PASSWORDS: &[&str] = &[" (given password: ", " (SHA1 of given password: "];

fn behind_subject(told: &str) -> Option<(&str, &str)> {
    let (subject, reason) = told.rsplit_once("): ").or_else(|| told.rsplit_once(">: "))?;
    let reason = DATABASES
        .iter()
        .find_map(|database| reason.strip_prefix(database)?.strip_prefix(": "))
        .unwrap_or(reason);
    let subject = match subject.rsplit_once(")<") {
        Some((subject, session)) if !session.contains(['(', ' ']) => subject,
        _ => subject,
    };
    Some((subject, reason.trim_end()))
}

const DATABASES: &[&str] =
    &["pam", "sql", "ldap", "passwd-file", "passwd", "shadow", "bsdauth", "lua", "static", "oauth2", "imap"];

/// `...pam(U,A,<session>` and `auth(U,A,sasl:plain`
fn subject_of(subject: &str) -> Option<(&str, Option<IpAddr>)> {
    let subject = subject
        .rsplit_once(",<")
        .filter(|(_, session)| session.ends_with('>'))
        .map_or(subject, |(subject, _)| subject);
    let subject = subject
        .rsplit_once(",sasl:")
        .filter(|(_, mechanism)| !mechanism.contains(','))
        .map_or(subject, |(subject, _)| subject);
    let (named, client) = subject.rsplit_once(',')?;
    Some((named.split_once('(').map(|(_, user)| behind_worker(user))?, address(client)))
}

/// The user of `pid=1,uid=2): auth-worker<6>: pam(U`.
fn behind_worker(user: &str) -> &str {
    user.split_once(": auth-worker<")
        .and_then(|(_, rest)| rest.split_once('('))
        .map_or(user, |(_, user)| user)
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "imap-login: Disconnected (auth failed, 3 attempts in 9 secs): user=<ann>, method=PLAIN, rip=192.0.2.4, lip=10.0.0.1, TLS, session=<abc>",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "Jun  8 09:08:53 pop3-login: Info: Login aborted: Connection closed (auth failed, 1 attempts in 2 secs) (auth_failed): user=<ann>, rip=2001:db8::4, lip=::1",
                    "failure 2001:db8::4 ann",
                ),
                (
                    "imap-login: Login: user=<ann>, method=PLAIN, rip=192.0.2.4, lip=10.0.0.1, mpid=18, TLS, session=<abc>",
                    "success 192.0.2.4 ann",
                ),
                (
                    "imap-login: Disconnected (no auth attempts in 2 secs): user=<>, rip=192.0.2.4, lip=10.0.0.1",
                    "none",
                ),
                (
                    "imap-login: Aborted login (tried to use disallowed plaintext auth): user=<>, rip=192.0.2.4, lip=10.0.0.1",
                    "none",
                ),
                (
                    "imap-login: Disconnected (internal failure, 1/1 successful auths in 2 secs): user=<ann>, method=PLAIN, rip=192.0.2.4, lip=10.0.0.1",
                    "none",
                ),
                (
                    "imap-login: Disconnected (auth failed, 1 attempts in 9 secs): user=<x>, rip=198.51.100.7, lip=1>, method=PLAIN, rip=192.0.2.4, lip=10.0.0.1",
                    "failure 192.0.2.4 x>, rip=198.51.100.7, lip=1",
                ),
                ("auth-worker(14): pam(ann,192.0.2.4): unknown user", "failure 192.0.2.4 ann"),
                (
                    "auth-worker(14): conn unix:auth-worker (pid=13,uid=109): auth-worker<6>: pam(ann,192.0.2.4,<abc>): Password mismatch",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "auth: Info: sql(ann,2001:db8::4): Password mismatch (given password: ,198.51.100.7): unknown user)",
                    "failure 2001:db8::4 ann",
                ),
                ("auth(ann,192.0.2.4,sasl:plain)<abc>: pam: unknown user", "failure 192.0.2.4 ann"),
                (
                    "auth: pam(x,198.51.100.7): unknown user,192.0.2.4): pam_authenticate() failed: Authentication failure",
                    "failure 192.0.2.4 x,198.51.100.7): unknown user",
                ),
                (
                    "auth(default): pam(ann,192.0.2.4): pam_authenticate() failed: Authentication failure (password mismatch?)",
                    "failure 192.0.2.4 ann",
                ),
                ("auth: ldap(ann,192.0.2.4,<abc>): invalid credentials", "failure 192.0.2.4 ann"),
                ("auth: ldap(ann,192.0.2.4): ldap_bind() failed: Can't contact LDAP server", "none"),
                ("imap(ann)<8><abc>: Disconnected: Logged out in=1 out=2", "none"),
            ],
        );
    }

    #[test]
    fn attempts_are_counted() {
        let text = "imap-login: Disconnected (auth failed, 7 attempts in 9 secs): user=<ann>, rip=192.0.2.4, lip=10.0.0.1";
        let told = super::read(&super::Message { program: "dovecot", pid: None, text }).unwrap();
        assert_eq!(told.count, super::Count::Daemon(7));
    }
}
