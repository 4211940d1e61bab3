//! Cockpit: `cockpit-session` asks PAM, whose lines are all that it logs of failures (`src/session/session.c`).

use super::{Message, Told, pam_of_daemon};

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    pam_of_daemon::read(message.text, &["cockpit"], "cockpit.pam")
        .ok_or("not a failure that PAM told for cockpit")
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "pam_unix(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=::ffff:192.0.2.4  user=ann",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "pam_sss(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=2001:db8::4 user=ann",
                    "failure 2001:db8::4 ann",
                ),
                (
                    "pam_unix(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=",
                    "failure - -",
                ),
                (
                    "pam_unix(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=desk.example.org",
                    "failure - -",
                ),
                (
                    "pam_unix(cockpit:auth): authentication failure; tty= ruser=x rhost=198.51.100.7 rhost=192.0.2.4  user=ann",
                    "failure - ann",
                ),
                (
                    "pam_unix(sudo:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=192.0.2.4",
                    "none",
                ),
                ("pam_unix(cockpit:session): session opened for user ann(uid=1000) by ann(uid=0)", "none"),
                ("pam_unix(cockpit:auth): check pass; user unknown", "none"),
            ],
        );
    }
}
