//! Access logs of web servers in the common, combined and virtual-host forms: nginx's `log_format combined`, Apache's
//! `"%h %l %u %t \"%r\" %>s %b ..."` and `"%v:%p %h ..."`, and their many followers.
//!
//! A refused request (401) is a failure. One without a user may be no more than a browser asking what it needs, so it is only
//! a sign of one. No request is a success: nginx writes down any name that a client sends along, wanted or not, and a
//! session's every request would be one more.

use super::access::combined;
use super::{Message, Told};
use crate::model::login::Count;

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    refused(message.text).ok_or("not a request that was refused with 401")
}

/// A request that was refused with 401, as `parse::access` takes it apart.
fn refused(text: &str) -> Option<Told<'_>> {
    if !text.contains("\" 401 ") {
        return None;
    }
    let parts = combined::parts(text).filter(|parts| parts.status == Some(401))?;
    // Every client that comes without a password is asked for one like this: no attempt.
    let count = Count::Daemon(parts.user.is_some().into());
    Some(Told { count, method: Some("http".into()), ..Told::failure("web.401", parts.source) }.of(parts.user))
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
