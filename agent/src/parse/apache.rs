//! Apache httpd 2.2 and 2.4: its error log (`server/log.c`, `modules/aaa/mod_auth_basic.c`, `mod_auth_digest.c`,
//! `mod_auth_form.c`, `mod_authz_core.c`), and its access log as any web server's. The client's address stands before all
//! that the client sent.

use std::net::IpAddr;

use super::address::{address, endpoint};
use super::own_time::{self, Written};
use super::{Message, Told, web_access};

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    if !message.text.starts_with('[') {
        return web_access::read(message);
    }
    let (client, said) = message
        .text
        .split_once("[client ")
        .filter(|(head, _)| is_head(head))
        .and_then(|(_, rest)| rest.split_once("] "))
        .ok_or("not about a client")?;
    let (code, said) = code_of(said);
    let refusal = refusal(code, said).ok_or("not about a login")?;
    let (source, port) = client_of(client, code);
    let told = Told {
        port,
        is_known_user: refusal.is_known_user,
        method: refusal.method.map(Into::into),
        ..Told::failure(refusal.rule, source)
    };
    Ok(told.of(refusal.user))
}

pub(super) fn time(text: &str) -> Option<Written> {
    if text.starts_with('[') { own_time::of_c(text) } else { own_time::of_access_log(text) }
}

/// Whether only groups in brackets stand before the client: `[time] [module:level] [pid 1:tid 2] `.
fn is_head(head: &str) -> bool {
    head.split_inclusive("] ").all(|group| group.starts_with('[') && group.ends_with("] "))
}

/// `AH01617: said`, or only `said` (2.2).
fn code_of(said: &str) -> (Option<&str>, &str) {
    match said.split_once(": ") {
        Some((code, rest)) if code.len() == CODE_LENGTH && code.starts_with("AH") => (Some(code), rest),
        _ => (None, said),
    }
}

const CODE_LENGTH: usize = "AH01617".len();

struct Refusal<'a> {
    rule: &'static str,
    user: Option<&'a str>,
    is_known_user: Option<bool>,
    method: Option<&'static str>,
}

fn refusal<'a>(code: Option<&str>, said: &'a str) -> Option<Refusal<'a>> {
    if said.starts_with("client used wrong authentication scheme") {
        return Some(Refusal { rule: "apache.wrong_scheme", user: None, is_known_user: None, method: None });
    }
    let named = said.strip_prefix("Digest: ").unwrap_or(said).strip_prefix("user ")?;
    let method = match code {
        Some("AH01617" | "AH01618") => Some("basic"),
        Some("AH01790" | "AH01791" | "AH01792" | "AH01794") => Some("digest"),
        Some("AH01807" | "AH01808") => Some("form"),
        Some("AH01631") | None => None,
        Some(_) => return None,
    };
    let (user, rule, is_known_user) = WAYS
        .iter()
        .find_map(|&(mark, rule, is_known)| named.split_once(mark).map(|(user, _)| (user, rule, is_known)))?;
    Some(Refusal { rule, user: Some(unquoted(user)), is_known_user, method })
}

/// How a refusal goes on behind the user.
const WAYS: &[(&str, &str, Option<bool>)] = &[
    (": authentication failure for \"", "apache.password_mismatch", Some(true)),
    (": password mismatch: ", "apache.password_mismatch", Some(true)),
    (" not found: ", "apache.unknown_user", Some(false)),
    (" denied by provider: ", "apache.denied", None),
    (": authorization failure for \"", "apache.not_authorized", Some(true)),
];

/// ``` `U' in realm `R' ``` of digests, `'U'` of forms, `U` of others.
fn unquoted(user: &str) -> &str {
    match user.strip_prefix(['`', '\'']) {
        Some(quoted) => quoted
            .split_once("' in realm `")
            .map(|(user, _)| user)
            .or_else(|| quoted.strip_suffix('\''))
            .unwrap_or(quoted),
        None => user,
    }
}

/// 2.4 writes `A:port`, an IPv6 address without brackets; 2.2 writes `A`.
fn client_of(client: &str, code: Option<&str>) -> (Option<IpAddr>, Option<u16>) {
    if code.is_some()
        && let Some((host, port)) = client.rsplit_once(':')
        && let (Some(source), Ok(port)) = (address(host), port.parse())
    {
        return (Some(source), Some(port));
    }
    endpoint(client)
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "[Mon Jun 08 09:08:53.250000 2026] [auth_basic:error] [pid 1:tid 2] [client 192.0.2.4:4022] AH01617: user ann: authentication failure for \"/x\": Password Mismatch",
                    "failure 192.0.2.4:4022 ann",
                ),
                (
                    "[Mon Jun 08 09:08:53.250000 2026] [auth_basic:error] [pid 1] [client 2001:db8::4:4022] AH01618: user ann not found: /x, referer: http://a/",
                    "failure 2001:db8::4:4022 ann",
                ),
                (
                    "[Mon Jun 08 09:08:53 2026] [error] [client 2001:db8::4] user ann not found: /x",
                    "failure 2001:db8::4 ann",
                ),
                (
                    "[Mon Jun 08 09:08:53 2026] [error] [client 192.0.2.4] user ann: authentication failure for \"/x\": Password Mismatch",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "[Mon Jun 08 09:08:53.250000 2026] [auth_digest:error] [pid 1] [client 192.0.2.4:4022] AH01790: user `ann' in realm `staff' not found: /x",
                    "failure 192.0.2.4:4022 ann",
                ),
                (
                    "[Mon Jun 08 09:08:53.250000 2026] [auth_digest:error] [pid 1] [client 192.0.2.4:4022] AH01794: user ann: password mismatch: /x",
                    "failure 192.0.2.4:4022 ann",
                ),
                (
                    "[Mon Jun 08 09:08:53.250000 2026] [auth_form:error] [pid 1] [client 192.0.2.4:4022] AH01807: user 'ann': authentication failure for \"/x\": password Mismatch",
                    "failure 192.0.2.4:4022 ann",
                ),
                (
                    "[Mon Jun 08 09:08:53.250000 2026] [auth_basic:error] [pid 1] [client 192.0.2.4:4022] AH01614: client used wrong authentication scheme: /x",
                    "failure 192.0.2.4:4022 -",
                ),
                (
                    "[Mon Jun 08 09:08:53.250000 2026] [authz_core:error] [pid 1] [client 192.0.2.4:4022] AH01631: user ann: authorization failure for \"/x\": ",
                    "failure 192.0.2.4:4022 ann",
                ),
                (
                    "[Mon Jun 08 09:08:53.250000 2026] [authz_core:error] [pid 1] [client 192.0.2.4:4022] AH01630: client denied by server configuration: /x",
                    "none",
                ),
                (
                    "[Mon Jun 08 09:08:53.250000 2026] [cgi:error] [pid 1] [client 192.0.2.4:4022] AH01215: user ann not found: /x",
                    "none",
                ),
                (
                    "[Mon Jun 08 09:08:53.250000 2026] [auth_basic:error] [pid 1] [client 192.0.2.4:4022] AH01618: user [client 198.51.100.7:1] AH01618: user x not found: /x",
                    "failure 192.0.2.4:4022 [client 198.51.100.7:1] AH01618: user x",
                ),
                ("[Mon Jun 08 09:08:53 2026] [error] x [client 198.51.100.7] user ann not found: /x", "none"),
                (
                    "192.0.2.4 - ann [08/Jun/2026:09:08:53 +0000] \"GET / HTTP/1.1\" 401 172 \"-\" \"curl/8\"",
                    "failure 192.0.2.4 ann",
                ),
            ],
        );
    }
}
