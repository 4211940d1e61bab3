//! A real systemd, journald, rsyslog and sshd, attacked by real clients. Needs root, mmdebstrap and systemd-container, and
//! the Debian mirror once.

mod attacks;
mod harness;
mod image;
mod logins;
mod packages;
mod service;
mod shipping;
mod watched;

use std::time::{Duration, Instant};

use vpcwatch_tests::guest::Guest;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// From now on the guest has `/var/log/auth.log` too.
fn switch_rsyslog_on(guest: &Guest) {
    guest.shell("systemctl enable --quiet --now syslog.socket rsyslog.service").unwrap();
}
