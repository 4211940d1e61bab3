//! Postfix's SMTP server: `warning: NAME[A]: SASL LOGIN authentication failed: ...` (`src/smtpd/smtpd_sasl_glue.c`), and mail
//! taken from a client that logged in: `QUEUE: client=NAME[A], sasl_method=LOGIN, sasl_username=U` (`src/smtpd/smtpd.c`).
//! The address stands before all that the client sent; Postfix takes only host names for a name.

use std::net::IpAddr;

use super::address::address;
use super::{Message, Told};

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    match message.text.strip_prefix("warning: ") {
        Some(warning) => failure(warning).ok_or("a warning of something else"),
        None => success(message.text).ok_or("no mail taken from a client that logged in"),
    }
}

fn failure(warning: &str) -> Option<Told<'_>> {
    let (client, said) = warning.split_once(": SASL ")?;
    let (source, port) = client_of(client)?;
    let (method, reason) = said.split_once(" authentication failed")?;
    if reason.starts_with(": Connection lost to authentication server") {
        return None;
    }
    let user =
        reason.split_once(", sasl_username=").map(|(_, user)| user).filter(|&user| user != "(unavailable)");
    Some(Told { port, method: Some(method.into()), ..Told::failure("postfix.sasl", source) }.of(user))
}

fn success(text: &str) -> Option<Told<'_>> {
    let (queue, rest) = text.split_once(": client=")?;
    if !queue.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let (client, rest) = rest.split_once(", ")?;
    let (source, port) = client_of(client)?;
    let (method, user) = rest.strip_prefix("sasl_method=")?.split_once(", sasl_username=")?;
    Some(Told { port, method: Some(method.into()), ..Told::success("postfix.login", source) }.of(Some(user)))
}

/// `NAME[A]`, and with `smtpd_client_port_logging` `NAME[A]:port`.
fn client_of(client: &str) -> Option<(Option<IpAddr>, Option<u16>)> {
    let (name, rest) = client.split_once('[')?;
    let (host, port) = rest.split_once(']')?;
    if name.is_empty() || name.contains([' ', ':', '=']) {
        return None;
    }
    let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?.parse().ok()?) };
    Some((address(host), port))
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "warning: unknown[192.0.2.4]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
                    "failure 192.0.2.4 -",
                ),
                (
                    "warning: desk.example.org[2001:db8::4]:4022: SASL PLAIN authentication failed: authentication failure, sasl_username=ann@example.org",
                    "failure 2001:db8::4:4022 ann@example.org",
                ),
                ("warning: unknown[unknown]: SASL LOGIN authentication failed: x", "failure - -"),
                (
                    "warning: unknown[192.0.2.4]: SASL x[198.51.100.7]: SASL PLAIN authentication failed: Invalid authentication mechanism",
                    "failure 192.0.2.4 -",
                ),
                (
                    "warning: non-SMTP command from unknown[192.0.2.4]: x[198.51.100.7]: SASL LOGIN authentication failed: y",
                    "none",
                ),
                (
                    "warning: unknown[192.0.2.4]: SASL LOGIN authentication failed: Connection lost to authentication server",
                    "none",
                ),
                (
                    "warning: non-SMTP command from unknown[192.0.2.4]: SASL LOGIN authentication failed: y",
                    "none",
                ),
                ("warning: unknown[192.0.2.4]: SASL LOGIN authentication aborted", "none"),
                (
                    "4Fx1c2z9Q: client=desk.example.org[192.0.2.4], sasl_method=PLAIN, sasl_username=ann",
                    "success 192.0.2.4 ann",
                ),
                ("4Fx1c2z9Q: client=desk.example.org[192.0.2.4]", "none"),
                (
                    "4Fx1c2z9Q: message-id=<x: client=y[198.51.100.7], sasl_method=PLAIN, sasl_username=ann>",
                    "none",
                ),
                ("disconnect from unknown[192.0.2.4] ehlo=1 auth=0/1 commands=1/2", "none"),
                ("lost connection after AUTH from unknown[192.0.2.4]", "none"),
            ],
        );
    }
}
