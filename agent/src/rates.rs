//! Cumulative counters to growth. Pure.
//!
//! Rules, for a counter that read `before` and now reads `now`:
//! - the first reading gives nothing: what came before the agent is not its to report;
//! - it rose: the difference;
//! - it fell from the upper half of 32 bits to below: a 32-bit counter wrapped (`unsigned long` on 32-bit kernels,
//!   some drivers everywhere);
//! - it fell by less than half: a reading out of order (per-CPU sums are not atomic). Nothing is reported until the
//!   counter passes its old value, so that nothing is counted twice;
//! - it fell by more: it began again from zero, and what it reads now has happened since.
//!
//! A counter that was absent for some ticks reports them all at once when it comes back, spread over those ticks.

use std::collections::HashMap;
use std::hash::Hash;

/// Milliseconds between two samples: the unit in which growth is spread.
pub const TICK_MS: u64 = 1000;

/// What a counter grew by, and in how many ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// The difference.
    pub amount: u64,
    /// Ticks it took, at least 1.
    pub ticks: u64,
}

impl Growth {
    /// Two counters' growth as one's, over the shorter time.
    pub fn and(self, other: Growth) -> Growth {
        Growth { amount: self.amount.saturating_add(other.amount), ticks: self.ticks.min(other.ticks) }
    }
}

/// The last reading of each counter, by a key of the caller's.
#[derive(Debug)]
pub struct Rates<K> {
    last: HashMap<K, (u64, u64)>,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Rates { last: HashMap::new() }
    }
}

impl<K: Eq + Hash> Rates<K> {
    /// The growth of `key` since it was last read; `None` at the first reading.
    pub fn growth(&mut self, key: K, now: u64, monotonic_ms: u64) -> Option<Growth> {
        let Some((value, time)) = self.last.get_mut(&key) else {
            self.last.insert(key, (now, monotonic_ms));
            return None;
        };
        let ticks = monotonic_ms.saturating_sub(*time).saturating_add(TICK_MS / 2) / TICK_MS;
        let amount = difference(*value, now);
        *value = amount.map_or((*value).max(now), |_| now);
        *time = monotonic_ms;
        Some(Growth { amount: amount.unwrap_or(0), ticks: ticks.max(1) })
    }

    /// The growth of a counter that may be absent in this tick.
    pub fn growth_of(&mut self, key: K, now: Option<u64>, monotonic_ms: u64) -> Option<Growth> {
        self.growth(key, now?, monotonic_ms)
    }

    /// Forgets counters whose thing is gone.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.last.retain(|key, _| keep(key));
    }

    /// Forgets everything: another run of the agent begins.
    pub fn clear(&mut self) {
        self.last.clear();
    }
}

/// The growth from `before` to `now`; `None` for a reading out of order.
fn difference(before: u64, now: u64) -> Option<u64> {
    const WRAP: u64 = 1 << 32;
    if now >= before {
        Some(now - before)
    } else if (WRAP / 2..WRAP).contains(&before) && before - now > WRAP / 2 {
        Some(WRAP - before + now)
    } else if before - now < before / 2 {
        None
    } else {
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rules() {
        for (before, now, expected) in [
            (5, 9, Some(4)),
            (5, 5, Some(0)),
            (u64::from(u32::MAX) - 1, 3, Some(5)), // wrapped
            (1000, 990, None),                     // out of order
            (1000, 7, Some(7)),                    // began again
            (1 << 40, 7, Some(7)),                 // too large for 32 bits: began again
            (7, 0, Some(0)),
        ] {
            assert_eq!(difference(before, now), expected, "{before} -> {now}");
        }
    }

    #[test]
    fn first_reading_gives_nothing_and_absence_is_spread() {
        let mut rates = Rates::default();
        assert_eq!(rates.growth("a", 100, 0), None);
        assert_eq!(rates.growth("a", 150, 1003), Some(Growth { amount: 50, ticks: 1 }));
        assert_eq!(rates.growth("a", 200, 6001), Some(Growth { amount: 50, ticks: 5 }));
        rates.retain(|key| *key != "a");
        assert_eq!(rates.growth("a", 300, 7000), None);
    }

    #[test]
    fn a_reading_out_of_order_is_counted_once() {
        let mut rates = Rates::default();
        let readings = [1000, 1010, 1005, 1020];
        let sum: u64 = readings
            .iter()
            .zip(0..)
            .filter_map(|(now, t)| rates.growth((), *now, t * 1000))
            .map(|g| g.amount)
            .sum();
        assert_eq!(sum, 20);
    }

    proptest! {
        #[test]
        fn any_readings_give_sums_without_overflow(readings in prop::collection::vec(any::<u64>(), 0..50)) {
            let mut rates = Rates::default();
            for (now, t) in readings.iter().zip(0..) {
                rates.growth((), *now, t * 1000);
            }
        }

        #[test]
        fn rising_readings_sum_exactly(steps in prop::collection::vec((0u64..1 << 40, 0u64..5000), 1..100)) {
            let (mut rates, mut value, mut time, mut sum) = (Rates::default(), 7, 0, 0);
            rates.growth((), value, time);
            for (step, wait) in &steps {
                value += step;
                time += wait;
                sum += rates.growth((), value, time).unwrap().amount;
            }
            prop_assert_eq!(sum, value - 7);
        }
    }
}
