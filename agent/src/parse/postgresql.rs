//! `PostgreSQL`: `FATAL:  password authentication failed for user "U"` and its kin, `no pg_hba.conf entry for host "A"`, and
//! `connection authorized: user=U` (`src/backend/libpq/auth.c`, `src/backend/utils/init/postinit.c`).
//!
//! Most of its messages have no address; `log_line_prefix` may (`%h`, `%r`), in any form, with names of the client's choice
//! (`%u`, `%d`) beside it. An address counts that stands before the user, or with `host=` or `client=` as the prefix's last.

use std::net::IpAddr;

use super::address::endpoint;
use super::{Message, Told};

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    let text = message.text.trim_end();
    if let Some((prefix, said)) = text.split_once("FATAL:  ").filter(|(prefix, _)| is_prefix(prefix)) {
        return failure(prefix, said).ok_or("fatal, but no login was refused");
    }
    if let Some((prefix, named)) = text.split_once("connection authorized: user=") {
        return success(prefix, named).ok_or("not said by the server");
    }
    Err("no login refused or authorized")
}

/// Whether a message may begin behind this.
fn is_prefix(prefix: &str) -> bool {
    prefix.is_empty() || prefix.ends_with([' ', ':', ']', '>', '|'])
}

fn failure<'a>(prefix: &'a str, said: &'a str) -> Option<Told<'a>> {
    if let Some(rest) = HOSTS.iter().find_map(|host| said.strip_prefix(host)) {
        return unlisted(prefix, rest);
    }
    let (method, named) = said.split_once("authentication failed for user \"")?;
    if method.len() > LONGEST_METHOD {
        return None;
    }
    let user = named.strip_suffix('"').or_else(|| named.strip_suffix("\": host rejected"))?;
    let source = if said.contains("FATAL:  ") { (None, None) } else { client(prefix, user) };
    Some(told(Told::failure("postgresql.failed", source.0), source.1, method, user))
}

/// `"certificate" `, `OAuth bearer `: the longest is far from this.
const LONGEST_METHOD: usize = 24;

const HOSTS: &[&str] = &[
    "no pg_hba.conf entry for host \"",
    "pg_hba.conf rejects connection for host \"",
    "no pg_hba.conf entry for replication connection from host \"",
    "pg_hba.conf rejects replication connection for host \"",
];

/// `A", user "U", database "D", no encryption`: the address stands right behind what the server says; before it stands only
/// the prefix, which must not have imitated this.
fn unlisted<'a>(prefix: &str, rest: &'a str) -> Option<Told<'a>> {
    let (host, named) = rest.split_once("\", user \"")?;
    let user = named.split_once('"').map(|(user, _)| user);
    let source = if prefix.contains('"') || rest.contains("FATAL:  ") { None } else { endpoint(host).0 };
    Some(Told::failure("postgresql.not_allowed", source).of(user))
}

fn success<'a>(prefix: &'a str, named: &'a str) -> Option<Told<'a>> {
    let prefix = prefix.strip_suffix("replication ").unwrap_or(prefix).strip_suffix("LOG:  ")?;
    let user = named.split_once(' ').map_or(named, |(user, _)| user);
    let source = client(prefix, user);
    Some(Told { port: source.1, ..Told::success("postgresql.authorized", source.0) }.of(Some(user)))
}

fn told<'a>(told: Told<'a>, port: Option<u16>, method: &'a str, user: &'a str) -> Told<'a> {
    let method = Some(method.trim_matches([' ', '"'])).filter(|method| !method.is_empty());
    Told { port, method: method.map(Into::into), ..told }.of(Some(user))
}

/// The client within a prefix.
fn client(prefix: &str, user: &str) -> (Option<IpAddr>, Option<u16>) {
    if let Some(client) = keyed(prefix) {
        return endpoint(client);
    }
    let (mut found, before) = ((None, None), before_user(prefix, user));
    for word in
        before.split([' ', ',', '|', '=', ';', '{', '}', '<', '>']).filter(|word| word.contains(['.', ':']))
    {
        let client = endpoint_in(word);
        if client.0.is_some() {
            if found.0.is_some() {
                return (None, None);
            }
            found = client;
        }
    }
    found
}

/// `user=%u,db=%d,client=%h `: of a prefix that names all its parts, the last.
fn keyed(prefix: &str) -> Option<&str> {
    let last = prefix.trim_end_matches([' ', ':']);
    let (before, pair) = last.rsplit_once([',', ' ', '|'])?;
    let (key, client) = pair.split_once('=')?;
    let is_client = matches!(key, "client" | "host" | "remote");
    (is_client && before.contains("user=") && before.contains("db=")).then_some(client)
}

/// `UTC:192.0.2.4(5432):ann@shop`, cut at the user: the address with whatever colons are around it.
fn endpoint_in(word: &str) -> (Option<IpAddr>, Option<u16>) {
    let bare = word.trim_matches(':');
    let whole = endpoint(bare);
    if whole.0.is_some() {
        return whole;
    }
    match bare.split_once(':') {
        Some((zone, rest)) if zone.bytes().all(|byte| byte.is_ascii_alphabetic()) => endpoint(rest),
        _ => (None, None),
    }
}

/// The prefix up to where the user stands in it, if it does.
fn before_user<'a>(prefix: &'a str, user: &str) -> &'a str {
    if user.is_empty() {
        return "";
    }
    let stands = |(at, _): &(usize, &str)| {
        let before = prefix.get(..*at).and_then(|before| before.chars().next_back());
        let behind = prefix.get(at + user.len()..).and_then(|behind| behind.chars().next());
        before.is_none_or(|byte| " :,=|[".contains(byte)) && behind.is_none_or(|byte| "@ :,|]".contains(byte))
    };
    let mut places = prefix.match_indices(user).filter(stands);
    let first = places.next();
    let with_database = first
        .into_iter()
        .chain(places)
        .find(|(at, _)| prefix.get(at + user.len()..).is_some_and(|behind| behind.starts_with('@')));
    match with_database.or(first) {
        Some((at, _)) => prefix.get(..at).unwrap_or_default(),
        None => prefix,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "2026-06-08 09:08:53.250 UTC {192.0.2.4} [147] ann@shop FATAL:  password authentication failed for user \"ann\"",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "2026-06-08 09:08:53.250 UTC [147] 192.0.2.4 ann@shop FATAL:  password authentication failed for user \"ann\"",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "2026-06-08 09:08:53 UTC:192.0.2.4(5432):ann@shop:[127]:FATAL:  password authentication failed for user \"ann\"",
                    "failure 192.0.2.4:5432 ann",
                ),
                (
                    "2026-06-08 09:08:53 UTC:2001:db8::4(5432):ann@shop:[127]:FATAL:  PAM authentication failed for user \"ann\"",
                    "failure 2001:db8::4:5432 ann",
                ),
                (
                    "192.0.2.4 2026-06-08 09:08:53.250 UTC [147] ann@shop FATAL:  password authentication failed for user \"ann\"",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "2026-06-08 09:08:53 UTC [147]: [1-1] user=ann,db=shop,app=[unknown],client=192.0.2.4 FATAL:  password authentication failed for user \"ann\"",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "2026-06-08 09:08:53 UTC [147] ann@shop FATAL:  password authentication failed for user \"ann\"",
                    "failure - ann",
                ),
                (
                    "2026-06-08 09:08:53 UTC [147] ann@198.51.100.7 FATAL:  password authentication failed for user \"ann\"",
                    "failure - ann",
                ),
                (
                    "2026-06-08 09:08:53 UTC [147] 198.51.100.7 x@shop FATAL:  password authentication failed for user \"198.51.100.7 x\"",
                    "failure - 198.51.100.7 x",
                ),
                (
                    "2026-06-08 09:08:53 UTC [147] [unknown]@[unknown] FATAL:  no pg_hba.conf entry for host \"2001:db8::4\", user \"ann\", database \"shop\", no encryption",
                    "failure 2001:db8::4 ann",
                ),
                (
                    "FATAL:  pg_hba.conf rejects connection for host \"192.0.2.4\", user \"ann\", database \"x\", SSL off",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "FATAL:  no pg_hba.conf entry for host \"[local]\", user \"ann\", database \"shop\"",
                    "failure - ann",
                ),
                (
                    "2026-06-08 09:08:53 UTC [147] 192.0.2.4 ann@shop LOG:  connection authorized: user=ann database=shop SSL enabled",
                    "success 192.0.2.4 ann",
                ),
                ("2026-06-08 09:08:53 UTC [147] LOG:  connection received: host=192.0.2.4 port=5432", "none"),
                ("2026-06-08 09:08:53 UTC [147] FATAL:  the database system is starting up", "none"),
                ("2026-06-08 09:08:53 UTC [147] FATAL:  role \"ann\" does not exist", "none"),
            ],
        );
    }
}
