//! Access logs of web servers in the common, combined and virtual-host forms: nginx's `log_format combined`, Apache's
//! `"%h %l %u %t \"%r\" %>s %b ..."` and `"%v:%p %h ..."`, and their many followers.
//!
//! A refused request (401) is a failure. One without a user may be no more than a browser asking what it needs, so it is only
//! a sign of one. No request is a success: nginx writes down any name that a client sends along, wanted or not, and a
//! session's every request would be one more.

use super::address::{address, word};
use super::{Message, Told};
use crate::model::login::Count;

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    read_request(message.text).ok_or("not a request that was refused with 401")
}

/// The parts in the order of the line: the address is the first that the server wrote, the status the first that stands
/// behind the request. Servers escape quotes in both name and request.
pub(super) fn read_request(text: &str) -> Option<Told<'_>> {
    if !text.contains("\" 401 ") {
        return None;
    }
    let (head, request) = text.split_once("] \"")?;
    let status = behind_quote(request)?.strip_prefix(' ')?;
    if word(status) != "401" {
        return None;
    }
    let (client, rest) = head.split_once(' ')?;
    let (source, rest) = match address(client) {
        Some(source) => (Some(source), rest),
        None if is_virtual_host(client) => (address(word(rest)), rest.split_once(' ')?.1),
        None => (None, rest),
    };
    let (_ident, named) = rest.split_once(' ')?;
    let user = Some(user(named)?).filter(|&user| user != "-");
    // Every client that comes without a password is asked for one like this: no attempt.
    let count = Count::Daemon(user.is_some().into());
    Some(Told { count, method: Some("http".into()), ..Told::failure("web.401", source) }.of(user))
}

/// The user before the time, bare or in quotes; `-` where there is none.
fn user(named: &str) -> Option<&str> {
    let user = match named.rfind(" [") {
        Some(end) => named.get(..end)?,
        None if named.starts_with('[') => "-",
        None => return None,
    };
    Some(user.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(user))
}

/// `www.example.org:443`
fn is_virtual_host(client: &str) -> bool {
    client.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// What stands behind the first quote that is not escaped.
fn behind_quote(text: &str) -> Option<&str> {
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })?;
    text.get(end + 1..)
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "192.0.2.4 - ann [08/Jun/2026:09:08:53 +0000] \"GET / HTTP/1.1\" 401 172 \"-\" \"curl/8\"",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "192.0.2.4 - \"ann\" [08/Jun/2026:09:08:53 +0000] \"GET / HTTP/1.1\" 401 172",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "2001:db8::4 - - [08/Jun/2026:09:08:53 +0000] \"GET / HTTP/1.1\" 401 - \"-\" \"-\"",
                    "failure 2001:db8::4 -",
                ),
                (
                    "www.example.org:443 192.0.2.4 - ann [08/Jun/2026:09:08:53 +0000] \"GET / HTTP/1.1\" 401 172",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "desk.example.org - ann [08/Jun/2026:09:08:53 +0000] \"GET / HTTP/1.1\" 401 172",
                    "failure - ann",
                ),
                (
                    "192.0.2.4 - ann [08/Jun/2026:09:08:53 +0000] \"GET / HTTP/1.1\" 200 401 \"-\" \"\\\" 401 \"",
                    "none",
                ),
                ("192.0.2.4 - ann [08/Jun/2026:09:08:53 +0000] \"GET /\\\" 401 HTTP/1.1\" 200 7", "none"),
                (
                    "192.0.2.4 - - [08/Jun/2026:09:08:53 +0000] \"GET / HTTP/1.1\" 200 7 \"x\" 401 \"y\"",
                    "none",
                ),
                (
                    "192.0.2.4 - 198.51.100.7 - x [1] [08/Jun/2026:09:08:53 +0000] \"GET / HTTP/1.1\" 401 7",
                    "failure 192.0.2.4 198.51.100.7 - x [1]",
                ),
                ("", "none"),
            ],
        );
    }
}
