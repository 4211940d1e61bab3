//! nginx: its error log (`src/core/ngx_log.c`, `src/http/modules/ngx_http_auth_basic_module.c`,
//! `src/mail/ngx_mail_auth_http_module.c`), and its access log as any web server's.
//!
//! nginx escapes nothing in its error log: the name stands before the address, the request behind it.

use super::address::address;
use super::own_time::{self, Written};
use super::{Message, Told, web_access};

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    match logged(message.text) {
        Some(said) => read_error(said),
        None => web_access::read(message),
    }
}

pub(super) fn time(text: &str) -> Option<Written> {
    own_time::slashed(text).or_else(|| own_time::of_access_log(text))
}

/// What stands behind `2026/06/08 09:08:53 [error] 7#7: *1 ` of the error log.
fn logged(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    if bytes.get(4) != Some(&b'/') || bytes.get(7) != Some(&b'/') {
        return None;
    }
    let (_time, rest) = text.split_once(" [")?;
    let (_process, said) = rest.split_once(": ")?;
    Some(match said.strip_prefix('*') {
        Some(connection) => connection.split_once(' ')?.1,
        None => said,
    })
}

fn read_error(said: &str) -> Result<Told<'_>, &'static str> {
    if let Some(named) = said.strip_prefix("user \"") {
        return refused(named).ok_or("about a user, but no login was refused");
    }
    if let Some(reason) = said.strip_prefix("client login failed: \"") {
        return mail(reason).ok_or("a failed login to mail without a client");
    }
    if said.starts_with("no user/password was provided") {
        return Err("the first step of basic authentication: nothing was tried yet");
    }
    Err("not about a login")
}

fn refused(named: &str) -> Option<Told<'_>> {
    if let Some((user, rest)) = named.split_once(UNKNOWN) {
        let (_file, context) = rest.split_once('"')?;
        let told = Told::failure(
            "nginx.unknown_user",
            if rest.contains(UNKNOWN) || rest.contains(MISMATCH) { None } else { client(context) },
        );
        return Some(
            Told { is_known_user: Some(false), method: Some("basic".into()), ..told }.of(Some(user)),
        );
    }
    let (user, context) = named.split_once(MISMATCH)?;
    let told = Told::failure(
        "nginx.password_mismatch",
        if context.contains(MISMATCH) { None } else { client(context) },
    );
    Some(Told { is_known_user: Some(true), method: Some("basic".into()), ..told }.of(Some(user)))
}

const UNKNOWN: &str = "\" was not found in \"";
const MISMATCH: &str = "\": password mismatch";

/// The address in `, client: A, server: ...`, which stands right here or not at all.
fn client(context: &str) -> Option<std::net::IpAddr> {
    let client = context.strip_prefix(", client: ")?;
    address(client.split_once(',').map_or(client, |(client, _)| client))
}

/// `E" while in http auth state, client: A, server: S, login: "U"`: what the authentication server said, then the address.
fn mail(reason: &str) -> Option<Told<'_>> {
    let (_, context) = reason.split_once("\" while ")?;
    let (state, rest) = context.split_once(", client: ")?;
    let source = (!state.contains('"'))
        .then(|| address(rest.split_once(',').map_or(rest, |(client, _)| client)))
        .flatten();
    let user =
        rest.split_once(", login: \"").and_then(|(_, user)| user.rsplit_once('"')).map(|(user, _)| user);
    Some(Told::failure("nginx.mail", source).of(user))
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "2026/06/08 09:08:53 [error] 7#7: *17 user \"ann\" was not found in \"/etc/nginx/users\", client: 192.0.2.4, server: _, request: \"GET / HTTP/1.1\", host: \"a\"",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "2026/06/08 09:08:53 [error] 7#7: *17 user \"ann\": password mismatch, client: 2001:db8::4, server: _, request: \"GET / HTTP/1.1\", host: \"a\"",
                    "failure 2001:db8::4 ann",
                ),
                (
                    "2026/06/08 09:08:53 [error] 7#7: *17 user \"ann\": password mismatch, client: unix:, server: _, request: \"GET / HTTP/1.1\", host: \"a\"",
                    "failure - ann",
                ),
                (
                    "2026/06/08 09:08:53 [error] 7#7: *17 user \"x\", client: 198.51.100.7, server: y\" was not found in \"/u\", client: 192.0.2.4, server: _, request: \"GET /, client: 198.51.100.7,\"",
                    "failure 192.0.2.4 x\", client: 198.51.100.7, server: y",
                ),
                (
                    "2026/06/08 09:08:53 [error] 7#7: *17 user \"x\" was not found in \"/u\", client: 198.51.100.7, server: y\" was not found in \"/u\", client: 192.0.2.4, server: _",
                    "failure - x",
                ),
                (
                    "2026/06/08 09:08:53 [info] 8#8: *6 client login failed: \"Invalid login\" while in http auth state, client: 192.0.2.4, server: 0.0.0.0:25, login: \"ann@example.org\"",
                    "failure 192.0.2.4 ann@example.org",
                ),
                (
                    "2026/06/08 09:08:53 [info] 7#7: *17 no user/password was provided for basic authentication, client: 192.0.2.4, server: _",
                    "none",
                ),
                (
                    "2026/06/08 09:08:53 [error] 7#7: *17 open() \"/srv/user \"ann\": password mismatch\" failed (2: No such file or directory), client: 192.0.2.4, server: _",
                    "none",
                ),
                (
                    "192.0.2.4 - ann [08/Jun/2026:09:08:53 +0000] \"GET / HTTP/1.1\" 401 172 \"-\" \"curl/8\"",
                    "failure 192.0.2.4 ann",
                ),
            ],
        );
    }
}
