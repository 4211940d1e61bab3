//! xrdp: `[20260608-09:08:53] [INFO ] AUTHFAIL: user=U ip=A time=N` and `Access permitted for user: U`
//! (`sesman/sesexec/login_info.c`, `common/log.c`). The address stands behind the user, followed only by a number.

use super::address::{endpoint, word};
use super::{Message, Told};

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    let text = message.text.trim_end();
    let said = behind_groups(text);
    if let Some(named) = said.strip_prefix("AUTHFAIL: user=") {
        return failure(named).ok_or("cut short");
    }
    let user = said.strip_prefix("Access permitted for user: ").ok_or("not a login")?;
    Ok(Told::success("xrdp.login", None).of(Some(user)))
}

/// What stands behind `[time] [INFO ] [pid:1 tid:2] [function(file.c:1)] `.
fn behind_groups(text: &str) -> &str {
    let mut rest = text;
    while let Some((_, behind)) = rest.strip_prefix('[').and_then(|group| group.split_once("] ")) {
        rest = behind;
    }
    rest
}

fn failure(named: &str) -> Option<Told<'_>> {
    let (rest, time) = named.rsplit_once(" time=")?;
    let (user, client) = rest.rsplit_once(" ip=")?;
    if !time.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (source, port) = endpoint(word(client));
    Some(Told { port, ..Told::failure("xrdp.failed", source) }.of(Some(user)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "[20260608-09:08:53] [INFO ] AUTHFAIL: user=ann ip=::ffff:192.0.2.4 time=1780000000",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "[2026-06-08T09:08:53.250+0000] [INFO ] AUTHFAIL: user=ann ip=2001:db8::4 time=1780000000",
                    "failure 2001:db8::4 ann",
                ),
                ("[INFO ] AUTHFAIL: user=ann ip=unknown time=1780000000", "failure - ann"),
                (
                    "[INFO ] AUTHFAIL: user=x ip=198.51.100.7 time=1 ip=192.0.2.4 time=1780000000",
                    "failure 192.0.2.4 x ip=198.51.100.7 time=1",
                ),
                ("[20260608-09:08:53] [INFO ] Access permitted for user: ann", "success - ann"),
                (
                    "[20260608-09:08:53] [INFO ] Received system login request from xrdp for user: AUTHFAIL: user=x ip=198.51.100.7 time=1 IP: 192.0.2.4",
                    "none",
                ),
                (
                    "[20260608-09:08:53] [INFO ] Socket 12: AF_INET6 connection received from ::ffff:192.0.2.4 port 4022",
                    "none",
                ),
            ],
        );
    }
}
