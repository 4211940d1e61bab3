//! What systemd is told of the agent (`sd_notify(3)`): that it is ready, turns, reads its configuration again, or stops. Where
//! nobody listens (no `NOTIFY_SOCKET`) nothing happens.

use std::time::Duration;

use sd_notify::NotifyState::{self, Ready, Reloading, Status, Stopping, Watchdog};

/// Times that the agent tells that it turns, in the time after which systemd would kill it.
const TIMES: u32 = 4;

/// The agent does its work.
pub fn ready() {
    tell(&[Ready]);
}

/// The configuration is being read again, until [`ready`].
pub fn reloading() {
    // The time tells `Type=notify-reload` (systemd 253) that this is the answer to its signal.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[Reloading, now]),
        Err(_) => tell(&[Reloading]),
    }
}

/// The agent ends; what it still does.
pub fn stopping(what: &str) {
    tell(&[Stopping, Status(what)]);
}

/// What `systemctl status` shows.
pub fn status(what: &str) {
    // A line's end would end the word.
    tell(&[Status(&what.replace('\n', " "))]);
}

/// How often systemd wants to hear [`turns`], if it does.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()).map(|limit| limit / TIMES)
}

/// The agent has really done something since it last said so.
pub fn turns() {
    tell(&[Watchdog]);
}

fn tell(what: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!("systemd cannot be told ({error}): {what:?}");
    }
}
