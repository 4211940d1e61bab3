//! Webmin and Usermin: what `miniserv.pl` hands to syslog (`Invalid login as U from A`, `miniserv-lib.pl`), and the log of
//! actions (`... U SESSION A global miniserv.pl "failed" "-" "wrongpass"`, `record-failed.pl`, `web-lib-funcs.pl`). In both the
//! address stands behind the user, followed only by what Webmin writes.

use super::address::{address, endpoint};
use super::{Message, Told};

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    let text = message.text.trim_end();
    if text.starts_with(|first: char| first.is_ascii_digit()) { action(text) } else { said(text) }
        .ok_or("not a login")
}

fn said(text: &str) -> Option<Told<'_>> {
    let (kind, named) = text.split_once(" login as ")?;
    let (user, host) = named.rsplit_once(" from ")?;
    let (source, _) = endpoint(host);
    let told = match kind {
        "Successful" => Told::success("webmin.login", source),
        "Non-existent" => Told { is_known_user: Some(false), ..Told::failure("webmin.unknown_user", source) },
        "Invalid" | "Expired" => Told::failure("webmin.failed", source),
        _ => return None,
    };
    Some(told.of(Some(user)))
}

fn action(text: &str) -> Option<Told<'_>> {
    let (before, action) = text.rsplit_once(" global miniserv.pl \"")?;
    let told = |source| match action.split_once('"')?.0 {
        "failed" => Some(Told::failure("webmin.failed", source)),
        "login" => Some(Told::success("webmin.login", source)),
        _ => None,
    };
    let (id, named) = before.split_once(" [")?;
    if !id.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let (_time, named) = named.split_once("] ")?;
    let (named, client) = named.rsplit_once(' ')?;
    let (user, _session) = named.rsplit_once(' ')?;
    Some(told(address(client))?.of(Some(user)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                ("Invalid login as ann from 192.0.2.4", "failure 192.0.2.4 ann"),
                ("Non-existent login as ann from 2001:db8::4", "failure 2001:db8::4 ann"),
                ("Expired login as ann from desk.example.org", "failure - ann"),
                ("Successful login as ann from 192.0.2.4", "success 192.0.2.4 ann"),
                (
                    "Invalid login as x from 198.51.100.7 from 192.0.2.4",
                    "failure 192.0.2.4 x from 198.51.100.7",
                ),
                ("Logout by ann from 192.0.2.4", "none"),
                ("Security alert: Host 192.0.2.4 blocked after 5 failed logins for user ann", "none"),
                (
                    "1780000000.12.0 [08/Jun/2026 09:08:53] ann - 192.0.2.4 global miniserv.pl \"failed\" \"-\" \"wrongpass\"",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "1780000000.12.0 [08/Jun/2026 09:08:53] ann 1a2b 2001:db8::4 global miniserv.pl \"login\" \"-\" \"-\"",
                    "success 2001:db8::4 ann",
                ),
                (
                    "1780000000.12.0 [08/Jun/2026 09:08:53] ann 1a2b 192.0.2.4 global miniserv.pl \"logout\" \"-\" \"-\"",
                    "none",
                ),
                (
                    "1780000000.12.0 [08/Jun/2026 09:08:53] ann 1a2b 192.0.2.4 useradd save_user.cgi \"modify\" \"user\" \"bob\"",
                    "none",
                ),
                (
                    "1780000000.12.0 [08/Jun/2026 09:08:53] x - 198.51.100.7 global miniserv.pl \"failed\" - 192.0.2.4 global miniserv.pl \"failed\" \"-\" \"wrongpass\"",
                    "failure 192.0.2.4 x - 198.51.100.7 global miniserv.pl \"failed\"",
                ),
            ],
        );
    }
}
