//! `MySQL` and `MariaDB`: `Access denied for user 'U'@'H' (using password: YES)` in the error log and the general log
//! (`sql/auth/sql_authentication.cc`, `share/messages_to_clients.txt`: `ER_ACCESS_DENIED_ERROR`). The host stands behind the
//! user; both servers write an address there, or a name where they resolve them.

use super::address::address;
use super::{Message, Told};

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    failure(message.text.trim_end()).ok_or("not a refused login")
}

fn failure(text: &str) -> Option<Told<'_>> {
    let account = text
        .strip_suffix("' (using password: YES)")
        .or_else(|| text.strip_suffix("' (using password: NO)"))?;
    let (head, account) = account.split_once("Access denied for user '")?;
    if !is_head(head) {
        return None;
    }
    let (user, host) = account.rsplit_once("'@'")?;
    Some(
        Told { method: Some("password".into()), ..Told::failure("mysql.denied", address(host)) }
            .of(Some(user)),
    )
}

/// Nothing, `... [Note] ` and the like, or `... Connect `: not somebody who only quotes the server.
fn is_head(head: &str) -> bool {
    let head = head.trim_end();
    let has_time = head.starts_with(|first: char| first.is_ascii_digit());
    head.is_empty() || (has_time && (head.ends_with(']') || head.ends_with("Connect")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "2026-06-08T09:08:53.250000Z 89 [Note] [MY-010926] [Server] Access denied for user 'ann'@'192.0.2.4' (using password: YES)",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "2026-06-08  9:08:53 8 [Warning] Access denied for user 'ann'@'2001:db8::4' (using password: NO)",
                    "failure 2001:db8::4 ann",
                ),
                (
                    "2026-06-08T09:08:53.250000Z\t   14 Connect\tAccess denied for user 'ann'@'192.0.2.4' (using password: YES)",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "2026-06-08 9:08:53 8 [Warning] Access denied for user ''@'desk.example.org' (using password: NO)",
                    "failure - -",
                ),
                (
                    "2026-06-08 9:08:53 8 [Warning] Access denied for user 'x'@'198.51.100.7' (using password: YES)'@'192.0.2.4' (using password: YES)",
                    "failure 192.0.2.4 x'@'198.51.100.7' (using password: YES)",
                ),
                (
                    "2026-06-08 9:08:53 8 [Warning] Access denied for user 'ann'@'192.0.2.4' to database 'x'@'198.51.100.7' (using password: YES)'",
                    "none",
                ),
                (
                    "2026-06-08 9:08:53 8 [Warning] Aborted connection 8 to db: 'x' user: 'ann' host: '192.0.2.4' (Got an error reading communication packets)",
                    "none",
                ),
                (
                    "DBI connect failed: Access denied for user 'ann'@'192.0.2.4' (using password: YES)",
                    "none",
                ),
            ],
        );
    }
}
