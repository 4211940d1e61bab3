//! The clocks, and the only reader of wall time. Wall time stamps data; the monotonic clock measures between samples;
//! the thread's CPU time keeps socket walks in budget.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Wall time now, to the millisecond.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn wall() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
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

/// CPU time that the calling thread has used (`CLOCK_THREAD_CPUTIME_ID`).
pub fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
