//! `ProFTPD`: `HOST (NAME[A]): USER U (Login failed): Incorrect password`, with ` - ` for `: ` in syslog (`src/log.c`,
//! `modules/mod_auth.c`, `contrib/mod_sftp/auth.c`). The address stands before all that the client sent.

use std::net::IpAddr;

use super::address::address;
use super::{Message, Told};
use crate::model::login::Count;

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    let (source, said) = session(message.text).ok_or("not said of a session")?;
    let told = login(said, source).ok_or("not a login")?;
    Ok(told)
}

/// `HOST (NAME[A])` and what stands behind it. In its own log `time host proftpd[8] ` stands before that.
fn session(text: &str) -> Option<(Option<IpAddr>, &str)> {
    let (client, rest) = text.split_once("])")?;
    let (head, client) = client.split_once('(')?;
    let host = head.strip_suffix(' ')?;
    if !host.ends_with(|last: char| last.is_alphanumeric())
        || (host.contains(' ') && !host.contains(" proftpd["))
    {
        return None;
    }
    let (name, client) = client.rsplit_once('[')?;
    if !name.trim_end().bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte)) {
        return None;
    }
    let said =
        rest.strip_prefix(": ").or_else(|| rest.strip_prefix(" - ")).or_else(|| rest.strip_prefix(' '))?;
    Some((address(client), said))
}

fn login(said: &str, source: Option<IpAddr>) -> Option<Told<'_>> {
    if said.trim_end_matches('.').eq_ignore_ascii_case("SECURITY VIOLATION: root login attempted") {
        return Some(Told::failure("proftpd.root", source).of(Some("root")));
    }
    let named = said.strip_prefix("USER ").or_else(|| said.strip_prefix("ANON "));
    let Some(named) = named else { return beside(said, source) };
    if let Some(user) =
        named.strip_suffix(": Login successful.").or_else(|| named.strip_suffix(": Login successful"))
    {
        return Some(Told::success("proftpd.login", source).of(Some(user)));
    }
    if let Some((user, reason)) = named.split_once(" (Login failed): ") {
        return Some(
            Told { is_known_user: is_known(reason), ..Told::failure("proftpd.failed", source) }
                .of(Some(user)),
        );
    }
    if let Some((user, _)) = named.split_once(": no such user found from ") {
        return Some(
            Told { is_known_user: Some(false), ..Told::failure("proftpd.unknown_user", source) }
                .of(Some(user)),
        );
    }
    let (user, _) = named.split_once(": Limit ")?;
    Some(Told::failure("proftpd.denied", source).of(Some(user)))
}

fn is_known(reason: &str) -> Option<bool> {
    match reason {
        "Incorrect password" | "Password expired" | "Account disabled" => Some(true),
        "No such user found" => Some(false),
        _ => None,
    }
}

/// `no such user 'U'`, said beside a `USER U: no such user found`.
fn beside(said: &str, source: Option<IpAddr>) -> Option<Told<'_>> {
    let (_, user) = said.split_once("no such user ")?;
    let user = user.trim_matches('\'');
    Some(
        Told {
            is_known_user: Some(false),
            count: Count::Sign,
            ..Told::failure("proftpd.unknown_user", source)
        }
        .of(Some(user)),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "ftp.example.org (desk.example.org[192.0.2.4]) - USER ann (Login failed): Incorrect password",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "2026-06-08 09:08:53,250 ftp proftpd[8] ftp (2001:db8::4[2001:db8::4]): USER ann: no such user found from 2001:db8::4 [2001:db8::4] to 2001:db8::1:21",
                    "failure 2001:db8::4 ann",
                ),
                (
                    "ftp (::ffff:192.0.2.4[::ffff:192.0.2.4]): USER ann: Login successful.",
                    "success 192.0.2.4 ann",
                ),
                ("ftp (192.0.2.4[192.0.2.4]) - no such user 'ann'", "failure 192.0.2.4 ann"),
                (
                    "ftp (192.0.2.4[192.0.2.4]) - SECURITY VIOLATION: Root login attempted",
                    "failure 192.0.2.4 root",
                ),
                (
                    "ftp (192.0.2.4[192.0.2.4]) - SECURITY VIOLATION: root login attempted.",
                    "failure 192.0.2.4 root",
                ),
                ("2026-06-08 UTC [8] 192.0.2.4 (x[198.51.100.7]) - no such user 'x'", "none"),
                ("ftp (192.0.2.4[192.0.2.4]) - FTP session opened.", "none"),
                (
                    "ftp (192.0.2.4[192.0.2.4]) - Maximum login attempts (3) exceeded, connection refused",
                    "none",
                ),
                (
                    "ftp (192.0.2.4[192.0.2.4]): USER x (a[198.51.100.7]): USER root: Login successful. (Login failed): Incorrect password",
                    "failure 192.0.2.4 x (a[198.51.100.7]): USER root: Login successful.",
                ),
                ("ftp (desk[no-address]) - USER ann (Login failed): Incorrect password", "failure - ann"),
            ],
        );
    }
}
