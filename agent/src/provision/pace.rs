//! How quickly one host makes calls of which all hosts of an account have a few a second together.
//!
//! A call that is refused for its rate doubles the wait before the next, one that is taken halves it. So, however many hosts
//! there are, about every second call of theirs is refused, and other callers of the account find room: a fixed number of tries,
//! close together, filled it with refused calls (`tests/load/fleet_boot.sh` counts them).

use std::cell::Cell;
use std::time::Duration;

use tokio::time::sleep;

use crate::aws::{Connection, Failure};

/// Times that a call is made, and the first wait between two; the waits double, and vary.
const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Ten thousand hosts that wait so long make three calls a second.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// What somebody who waits for an end waits for one call.
const LONGEST_IN_A_HURRY: Duration = Duration::from_secs(8);
/// A wait that is told.
const TOLD: Duration = Duration::from_mins(1);

/// What the account allows, as far as this host has felt it.
#[derive(Debug)]
pub struct Pace {
    wait: Cell<Duration>,
    /// Whether somebody waits for an end; refused calls are then not repeated for long.
    hurried: bool,
}

impl Pace {
    /// Of an agent, which has time.
    pub fn patient() -> Self {
        Pace { wait: Cell::default(), hurried: false }
    }

    /// Of whoever waits for it.
    pub fn hurried() -> Self {
        Pace { wait: Cell::default(), hurried: true }
    }

    fn slower(&self) {
        let before = self.wait.get();
        let longest = if self.hurried { LONGEST_IN_A_HURRY } else { LONGEST_WAIT };
        let after = (before * 2).clamp(FIRST_WAIT, longest);
        self.wait.set(after);
        if before < TOLD && after >= TOLD {
            tracing::info!("provisioning: this account's calls a second are used up; it goes on, slowly");
        }
    }

    fn quicker(&self) {
        let after = self.wait.get() / 2;
        self.wait.set(if after < FIRST_WAIT { Duration::ZERO } else { after });
    }

    /// Before a call.
    async fn wait(&self) {
        let wait = self.wait.get();
        if !wait.is_zero() {
            sleep(varied(wait)).await;
        }
    }
}

/// A connection, and the pace of its calls.
#[derive(Debug, Clone, Copy)]
pub struct Paced<'a> {
    /// The connection.
    pub connection: &'a Connection,
    /// The pace.
    pub pace: &'a Pace,
}

impl Paced<'_> {
    /// Makes a call until it works, or shows that it will not.
    pub(super) async fn call<T, F>(&self, call: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let (mut wait, mut attempts) = (FIRST_WAIT, 0);
        loop {
            self.pace.wait().await;
            let result = call().await;
            let (why, throttled) = match &result {
                Err(Failure::Retry { why, throttled, .. }) if !why.contains(": LimitExceeded:") => {
                    (why, *throttled)
                }
                _ => {
                    self.pace.quicker();
                    return result;
                }
            };
            tracing::debug!("{why}; again");
            if throttled {
                self.pace.slower();
            }
            if throttled && !self.pace.hurried {
                continue;
            }
            attempts += 1;
            if attempts == ATTEMPTS {
                return result;
            }
            if !throttled {
                sleep(varied(wait)).await;
                wait *= 2;
            }
        }
    }
}

/// From a half to one and a half: hosts that were refused together do not come back together.
fn varied(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_double_the_wait_up_to_an_hour_and_success_halves_it_to_nothing() {
        let pace = Pace::patient();
        let ms = |change: fn(&Pace)| {
            change(&pace);
            pace.wait.get().as_millis()
        };
        assert_eq!([ms(Pace::quicker), ms(Pace::slower), ms(Pace::slower)], [0, 500, 1000]);
        assert_eq!([ms(Pace::quicker), ms(Pace::quicker)], [500, 0]);
        (0..20).for_each(|_| pace.slower());
        assert_eq!([ms(Pace::slower), ms(Pace::quicker)], [3_600_000, 1_800_000]);
    }
}
