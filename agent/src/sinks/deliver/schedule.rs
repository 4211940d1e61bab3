//! When metrics and logs are flushed: at one moment of each interval, another for each host, so that a fleet does not
//! send at once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;

/// The flushes of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    interval_ms: i64,
    offset_ms: i64,
}

/// An interval is closed by the first snapshot after its end, and stored: before that there is nothing to flush.
const CLOSED_AFTER_MS: i64 = 2_000;

impl Schedule {
    /// The schedule of the host of that name.
    pub fn of(name: &str, interval_seconds: u32) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let interval_ms = i64::from(interval_seconds.max(1)) * 1000;
        let room = u64::try_from(interval_ms - CLOSED_AFTER_MS).unwrap_or(0);
        let spread = hasher.finish().checked_rem(room).and_then(|ms| i64::try_from(ms).ok());
        Schedule { interval_ms, offset_ms: spread.map_or(0, |ms| ms + CLOSED_AFTER_MS) }
    }

    /// From `now` to the next flush: more than nothing, and at most an interval.
    pub(super) fn until_flush(&self, now: Timestamp) -> Duration {
        let past = (now.as_millisecond() - self.offset_ms).rem_euclid(self.interval_ms);
        Duration::from_millis(u64::try_from(self.interval_ms - past).unwrap_or(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_moment_and_a_fleet_is_spread_over_the_minute() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let mut of_tens = [0; 6];
        for host in 0..6_000 {
            let schedule = Schedule::of(&format!("i-{host:08x}"), 60);
            assert_eq!(schedule, Schedule::of(&format!("i-{host:08x}"), 60));
            let first = schedule.until_flush(at(1_800_000_000_000));
            assert!(first >= Duration::from_secs(2) && first <= Duration::from_mins(1), "{first:?}");
            let again = schedule.until_flush(at(1_800_000_000_000) + first);
            assert_eq!(again, Duration::from_mins(1));
            of_tens[(first.as_secs() / 10).min(5) as usize] += 1;
        }
        assert!(of_tens.iter().all(|hosts| (700..1300).contains(hosts)), "{of_tens:?}");
        assert!(Schedule::of("i-1", 1).until_flush(at(500)) <= Duration::from_secs(1));
    }
}
