//! The clocks, and the only reader of wall time. Wall time stamps data; the monotonic clock measures between samples;
//! the thread's CPU time keeps socket walks in budget.

use std::cell::Cell;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};

use super::paths::Paths;
use crate::model::spool::ClockEra;

thread_local! {
    /// Where wall time began on this thread, and the runtime's time then, while it is simulated.
    static SIMULATED: Cell<Option<(Timestamp, tokio::time::Instant)>> = const { Cell::new(None) };
}

/// Wall time of this thread passes as its runtime's does, from a moment on, until this is dropped.
#[derive(Debug)]
pub struct Simulation(());

impl Simulation {
    /// Sets this thread's clock, and lets it run by the runtime's.
    pub fn begin(at: Timestamp) -> Self {
        SIMULATED.set(Some((at, tokio::time::Instant::now())));
        Simulation(())
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        SIMULATED.set(None);
    }
}

/// Wall time now, to the millisecond.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn wall() -> Timestamp {
    let now = match SIMULATED.get() {
        Some((began, then)) => began + then.elapsed(),
        None => Timestamp::now(),
    };
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// The zone of times that have none written beside them, of `/etc/localtime`; UTC where there is none, as on EC2's own images.
pub fn zone(paths: &Paths) -> TimeZone {
    let rules = std::fs::read(paths.localtime()).ok();
    rules.and_then(|rules| TimeZone::tzif("local", &rules).ok()).unwrap_or(TimeZone::UTC)
}

/// The monotonic clock of one run of the agent.
#[derive(Debug, Clone)]
pub struct Monotonic {
    start: Instant,
}

impl Monotonic {
    /// Starts counting.
    pub fn start() -> Self {
        Monotonic { start: Instant::now() }
    }

    /// Milliseconds since [`Monotonic::start`], on `CLOCK_MONOTONIC`: it neither jumps nor counts while the machine sleeps.
    pub fn milliseconds(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Tells one setting of the wall clock from the next: `CLOCK_BOOTTIME` runs on whatever is done to the wall clock.
#[derive(Debug)]
pub struct EraClock {
    era: ClockEra,
}

/// How far the clock must have been set to begin a new era: it is slewed all the time by less.
const SET_MS: i64 = 1000;

impl EraClock {
    /// Starts with the present setting of the clock: of this machine, whatever root the host's files are read below.
    pub fn start() -> Self {
        let boot = std::fs::read_to_string(Paths::below("/").proc_sys("kernel/random/boot_id"));
        // Without it, what this process stamps can still be compared with itself.
        let boot = boot.unwrap_or_else(|_| format!("process {} at {}", std::process::id(), wall()));
        let era = ClockEra {
            boot: boot.trim().into(),
            wall_less_boottime_ms: wall_less_boottime_ms(),
            offset_ms: 0,
        };
        EraClock { era }
    }

    /// The era now, with what CloudWatch's clock is known to be ahead.
    pub fn now(&mut self, offset_ms: i64) -> ClockEra {
        let now = wall_less_boottime_ms();
        if (now - self.era.wall_less_boottime_ms).abs() >= SET_MS {
            self.era.wall_less_boottime_ms = now;
        }
        self.era.offset_ms = offset_ms;
        self.era.clone()
    }
}

/// Wall time less `CLOCK_BOOTTIME`, milliseconds: changes only when the wall clock is set or slewed.
pub fn wall_less_boottime_ms() -> i64 {
    if let Some((began, _)) = SIMULATED.get() {
        return began.as_millisecond();
    }
    let boottime = clock_gettime(ClockId::Boottime);
    wall().as_millisecond() - (boottime.tv_sec * 1000 + boottime.tv_nsec / 1_000_000)
}

/// CPU time that the calling thread has used (`CLOCK_THREAD_CPUTIME_ID`).
pub fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
