//! What is usual: mean and deviation by exponential weighting, which learns quickly at first and slowly later.

use serde::{Deserialize, Serialize};

/// Share of a new value in the mean once learned: a memory of five minutes.
const SLOW: f64 = 1.0 / 300.0;
/// The same for the first [`LEARNING`] values.
const QUICK: f64 = 1.0 / 20.0;
const LEARNING: u32 = 120;
/// Values after which something can be called unusual.
const ENOUGH: u32 = 5;
/// No host has as many of anything in a second.
const MOST: f64 = 1e8;

/// A learned mean and deviation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Baseline {
    mean: f64,
    variance: f64,
    seen: u32,
}

impl Baseline {
    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    pub(super) fn deviation(&self) -> f64 {
        self.variance.sqrt()
    }

    /// Whether enough was seen to call something unusual.
    pub(super) fn is_learned(&self) -> bool {
        self.seen >= ENOUGH
    }

    /// Whether learning has slowed down.
    pub(super) fn is_settled(&self) -> bool {
        self.seen >= LEARNING
    }

    /// Whether it can have been learned, and was learned for long enough to be worth keeping.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.is_settled() && (0.0..=MOST).contains(&self.mean) && (0.0..=MOST * MOST).contains(&self.variance)
    }

    /// Takes over what was learned in an earlier run, unless this run has learned enough by itself.
    pub(super) fn restore(&mut self, earlier: Baseline) {
        if !self.is_settled() {
            *self = earlier;
        }
    }

    /// Takes in one value, cut where it is far above what is usual: one spike must not become the rule.
    pub(super) fn learn(&mut self, value: f64) {
        let value = if self.seen == 0 { value } else { self.cut(value) };
        self.seen = self.seen.saturating_add(1);
        // At first the plain mean: beginning from zero, a busy host would look unusual for minutes.
        let share = (if self.seen < LEARNING { QUICK } else { SLOW }).max(1.0 / f64::from(self.seen));
        self.move_towards(value, share);
    }

    /// Takes in a value that is known to be unusual: should it last, it becomes usual, but in minutes.
    pub(super) fn learn_slowly(&mut self, value: f64) {
        self.move_towards(self.cut(value), SLOW);
    }

    fn cut(&self, value: f64) -> f64 {
        value.min(self.mean + 6.0 * self.deviation() + 2.0)
    }

    fn move_towards(&mut self, value: f64, share: f64) {
        let off = value - self.mean;
        self.mean += share * off;
        self.variance = (1.0 - share) * (self.variance + share * off * off);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_value_is_learned_and_a_spike_is_cut() {
        let mut baseline = Baseline::default();
        (0..300).for_each(|_| baseline.learn(30.0));
        assert!((baseline.mean() - 30.0).abs() < 0.5, "{baseline:?}");
        let before = baseline.mean();
        baseline.learn(1e9);
        assert!(baseline.mean() < before + 1.0, "{baseline:?}");
    }
}
