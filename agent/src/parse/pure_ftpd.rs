//! Pure-FTPd: `(U@A) [WARNING] Authentication failed for user [U]`, where the first `U` is `?` as long as nobody is logged in
//! (`src/ftpd.c` `logfile`, `src/messages_en.h`). Nothing is escaped, and names stand on either side of the address.
//! What it says of successes (`[INFO] U is now logged in`) is not told.

use super::address::address;
use super::{Message, Told, only};

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    failure(message.text.trim_end()).ok_or("not a failed login")
}

fn failure(text: &str) -> Option<Told<'_>> {
    let said = text.strip_prefix('(')?;
    let (client, rest) = said.split_once(") [WARNING] ")?;
    if client.contains(") [") {
        return None;
    }
    let user = rest.strip_prefix("Authentication failed for user ")?;
    let name = user.strip_prefix('[').and_then(|user| user.strip_suffix(']')).unwrap_or(user);
    let (_, host) = client.rsplit_once('@')?;
    let source = only(said, MARK).and_then(|_| address(host));
    Some(Told::failure("pure-ftpd.failed", source).of(Some(name)))
}

const MARK: &str = ") [WARNING] ";

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                ("(?@192.0.2.4) [WARNING] Authentication failed for user [ann]", "failure 192.0.2.4 ann"),
                (
                    "(ann@2001:db8::4) [WARNING] Authentication failed for user [ann]",
                    "failure 2001:db8::4 ann",
                ),
                (
                    "(?@desk.example.org) [WARNING] Authentication failed for user [ann@example.org]",
                    "failure - ann@example.org",
                ),
                ("(?@192.0.2.4) [INFO] New connection from 192.0.2.4", "none"),
                (
                    "(?@192.0.2.4) [DEBUG] Command [user] [(?@198.51.100.7) [WARNING] Authentication failed for user [x]]",
                    "none",
                ),
                (
                    "(?@198.51.100.7) [WARNING] Authentication failed for user [a]@192.0.2.4) [WARNING] Authentication failed for user [b]",
                    "failure - a]@192.0.2.4) [WARNING] Authentication failed for user [b",
                ),
                ("(ann@192.0.2.4) [NOTICE] /srv/x uploaded  (5 bytes, 1.00KB/sec)", "none"),
            ],
        );
    }
}
