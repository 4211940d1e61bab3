//! The time of a capture: from stamps that may jump, seconds that never run backwards.

use jiff::{SignedDuration, Timestamp};

/// Stamps that are a little early are those of packets that were stored out of order (several queues, merged files): they count
/// as of now. A step further back is a clock that was set, or the next file of several: time goes on from there.
const DISORDER: SignedDuration = SignedDuration::from_secs(10);
/// A silence that is longer is not filled with empty seconds,
const LONG: u64 = 120;
/// but with so many: enough for what is open to close.
const IDLE: u64 = 120;

/// Where a capture stands in time.
#[derive(Debug)]
pub(super) struct Seconds {
    /// The wall time that second 0 began at, by the clock as it was last set.
    began: Timestamp,
    /// The stamp that time stands at.
    latest: Timestamp,
    /// Time since the first packet.
    elapsed: SignedDuration,
    /// Seconds that are over.
    over: u64,
    /// Within a long silence: from which second on it is passed over, and to which.
    leap: Option<(u64, u64)>,
}

/// A second that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Second {
    /// When it ended, by the capture's wall clock.
    pub(super) time: Timestamp,
    /// Milliseconds from the first packet to its end.
    pub(super) monotonic_ms: u64,
}

impl Seconds {
    /// Time that begins with this packet.
    pub(super) fn from(first: Timestamp) -> Self {
        Seconds { began: first, latest: first, elapsed: SignedDuration::ZERO, over: 0, leap: None }
    }

    /// Goes on to a packet's time. What [`Self::ended`] then gives comes before that packet.
    pub(super) fn advance(&mut self, to: Option<Timestamp>) {
        let step = to.unwrap_or(self.latest).duration_since(self.latest);
        if let Some(to) = to.filter(|_| step.is_positive()) {
            self.elapsed = self.elapsed.saturating_add(step);
            self.latest = to;
            self.leap = (self.whole().saturating_sub(self.over) > LONG)
                .then(|| (self.over.saturating_add(IDLE), self.whole()));
        } else if let Some(to) = to.filter(|_| step < -DISORDER) {
            self.latest = to;
            self.began = to.checked_sub(self.elapsed).unwrap_or(self.began);
        }
    }

    /// Milliseconds since the first packet.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.elapsed.as_millis()).unwrap_or_default()
    }

    /// The next second that is over by now, if one is.
    pub(super) fn ended(&mut self) -> Option<Second> {
        if let Some((_, to)) = self.leap.take_if(|(from, _)| self.over >= *from) {
            self.over = to;
        }
        (self.over < self.whole()).then(|| self.end_one())
    }

    /// Ends the second that is on, whatever of it is left.
    pub(super) fn end_one(&mut self) -> Second {
        self.over += 1;
        self.second()
    }

    fn whole(&self) -> u64 {
        u64::try_from(self.elapsed.as_secs()).unwrap_or_default()
    }

    /// The end of the second that ended last, or the beginning of the first.
    pub(super) fn second(&self) -> Second {
        let over = SignedDuration::from_secs(i64::try_from(self.over).unwrap_or(i64::MAX));
        let time = self.began.checked_add(over).unwrap_or(Timestamp::MAX);
        Second { time, monotonic_ms: self.over.saturating_mul(1000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends of seconds, milliseconds, that packets at these times lead to.
    fn ends(stamps: &[i64]) -> Vec<u64> {
        let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
        let mut seconds = Seconds::from(at(stamps[0]));
        let mut ends = Vec::new();
        for stamp in stamps {
            seconds.advance(Some(at(*stamp)));
            ends.extend(std::iter::from_fn(|| seconds.ended()).map(|second| second.monotonic_ms));
        }
        ends
    }

    #[test]
    fn seconds_begin_with_the_first_packet() {
        assert_eq!(ends(&[500, 1499]), [0u64; 0]);
        assert_eq!(ends(&[500, 1500, 3600]), [1000, 2000, 3000]);
        assert_eq!(ends(&[500, 120_500]).len(), 120, "two minutes are filled");
    }

    #[test]
    fn a_long_silence_is_not_filled() {
        let month = 40 * 86_400_000u32;
        let ends = ends(&[0, month.into(), i64::from(month) + 1000, 3 * i64::from(month)]);
        assert_eq!(ends.len(), 120 + 1 + 120, "the second between the two silences");
        assert_eq!(ends[119..=121], [120_000, u64::from(month) + 1000, u64::from(month) + 2000]);
    }

    #[test]
    fn time_does_not_run_backwards() {
        assert_eq!(ends(&[10_000, 9_000, 10_900, 11_000]), [1000], "disorder counts as now");
        assert_eq!(ends(&[1_000_000, 1_001_000, 5_000, 6_000]), [1000, 2000], "a clock that was set goes on");
    }

    #[test]
    fn a_clock_that_was_set_stamps_what_follows() {
        let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
        let mut seconds = Seconds::from(at(1_000_000));
        seconds.advance(Some(at(5_000)));
        seconds.advance(Some(at(6_000)));
        assert_eq!(seconds.ended(), Some(Second { time: at(6_000), monotonic_ms: 1000 }));
    }

    #[test]
    fn the_ends_of_the_calendar_are_survived() {
        let mut seconds = Seconds::from(Timestamp::MIN);
        for _ in 0..1000 {
            for to in [Timestamp::MAX, Timestamp::MIN] {
                seconds.advance(Some(to));
                assert!(std::iter::from_fn(|| seconds.ended()).count() <= 121);
            }
        }
        seconds.end_one();
    }
}
