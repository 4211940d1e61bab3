//! A metric's one-second samples within one interval, as CloudWatch takes them: distinct values with counts.

use std::collections::BTreeMap;

/// Values and how often each occurred: every distinct value, until there are more than [`MAX_HELD`].
/// [`Distribution::folded`] makes it fit a datum.
///
/// Sums of whole numbers below 2^53 are exact.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    counts: BTreeMap<Ordered, u64>,
}

/// Distinct values a datum may carry
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>, `Values`).
pub const MAX_DISTINCT: usize = 150;

/// Distinct values that are held. An hour's interval has 3,600 samples, a host dozens of series.
pub const MAX_HELD: usize = 1000;

/// A value that CloudWatch takes: finite, and at most 2^360 from zero.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts are below 2^53, and values are checked before they are taken as whole numbers"
)]
#[expect(clippy::cast_sign_loss, reason = "ranks are positive")]
impl Distribution {
    /// Counts one value. What CloudWatch refuses (NaN, infinities, beyond 2^360) is left out.
    pub fn add(&mut self, value: f64) {
        self.add_times(value, 1);
    }

    /// Counts a value that occurred `times` times.
    pub fn add_times(&mut self, value: f64, times: u64) {
        if times > 0 && value.abs() <= 2f64.powi(360) {
            *self.counts.entry(Ordered(value + 0.0)).or_default() += times; // + 0.0: minus zero is zero
            if self.counts.len() > MAX_HELD {
                *self = self.folded();
            }
        }
    }

    /// Counts all values of another one.
    pub fn add_all(&mut self, other: &Distribution) {
        other.iter().for_each(|(value, times)| self.add_times(value, times));
    }

    /// Spreads the growth of a counter over `ticks` seconds: that many values whose sum is exactly `growth`.
    pub fn add_growth(&mut self, growth: u64, ticks: u64) {
        let ticks = ticks.max(1);
        let (each, over) = (growth / ticks, growth % ticks);
        self.add_times(each as f64, ticks - over);
        self.add_times(each.saturating_add(1) as f64, over);
    }

    /// Whether no value was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Number of samples.
    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Sum of the samples.
    pub fn sum(&self) -> f64 {
        self.iter().map(|(value, times)| value * times as f64).sum()
    }

    /// Smallest sample, zero if there is none.
    pub fn min(&self) -> f64 {
        self.counts.first_key_value().map_or(0.0, |(value, _)| value.0)
    }

    /// Largest sample, zero if there is none.
    pub fn max(&self) -> f64 {
        self.counts.last_key_value().map_or(0.0, |(value, _)| value.0)
    }

    /// Mean of the samples, zero if there is none.
    pub fn mean(&self) -> f64 {
        match self.count() {
            0 => 0.0,
            count => self.sum() / count as f64,
        }
    }

    /// The smallest sample that at least `per_cent` of the samples do not exceed (nearest rank).
    pub fn percentile(&self, per_cent: f64) -> f64 {
        let rank = ((self.count() as f64 * per_cent / 100.0).ceil() as u64).max(1);
        let mut seen = 0;
        for (value, times) in self.iter() {
            seen += times;
            if seen >= rank {
                return value;
            }
        }
        self.max()
    }

    /// Values with counts, smallest first.
    pub fn iter(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.counts.iter().map(|(value, times)| (value.0, *times))
    }

    /// The same samples in at most [`MAX_DISTINCT`] distinct values: minimum, maximum and count are kept, and the
    /// sum too (exactly for whole numbers, to rounding for others).
    ///
    /// The values between the extremes are binned by rank. A bin of whole numbers with sum `s` over `n` samples
    /// becomes the two whole numbers next to `s / n`, counted so that the sum is `s`; any other bin becomes its mean.
    pub fn folded(&self) -> Distribution {
        if self.counts.len() <= MAX_DISTINCT {
            return self.clone();
        }
        let inner: Vec<(f64, u64)> = self.iter().skip(1).take(self.counts.len() - 2).collect();
        let bins = (MAX_DISTINCT - 2) / 2; // two values a bin at most
        let mut folded = Distribution::default();
        for (value, times) in self.iter().take(1).chain(self.iter().skip(self.counts.len() - 1)) {
            folded.add_times(value, times);
        }
        for bin in inner.chunks(inner.len().div_ceil(bins)) {
            let times: u64 = bin.iter().map(|(_, times)| times).sum();
            // Whole numbers are summed as such: adjacent doubles would round.
            if bin.iter().all(|(value, _)| value.fract() == 0.0 && value.abs() < 2f64.powi(53)) {
                let sum: i128 = bin.iter().map(|(value, times)| *value as i128 * i128::from(*times)).sum();
                let each = sum.div_euclid(i128::from(times));
                let over = sum.rem_euclid(i128::from(times)) as u64;
                folded.add_times(each as f64, times - over);
                folded.add_times((each + 1) as f64, over);
            } else {
                let sum: f64 = bin.iter().map(|(value, times)| value * *times as f64).sum();
                folded.add_times(sum / times as f64, times);
            }
        }
        folded
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exactness is what is tested")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "whole numbers below 2^53"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Distribution {
        let mut distribution = Distribution::default();
        values.iter().for_each(|value| distribution.add(*value));
        distribution
    }

    #[test]
    fn statistics() {
        let d = of(&[3.0, 1.0, 2.0, 2.0]);
        assert_eq!((d.count(), d.sum(), d.min(), d.max(), d.mean()), (4, 8.0, 1.0, 3.0, 2.0));
        assert_eq!((d.percentile(99.0), d.percentile(50.0), d.percentile(25.0)), (3.0, 2.0, 1.0));
        assert_eq!(Distribution::default().percentile(99.0), 0.0);
    }

    #[test]
    fn what_cloudwatch_refuses_is_left_out() {
        let d = of(&[f64::NAN, f64::INFINITY, f64::MAX, -0.0, 0.0]);
        assert_eq!(d.iter().collect::<Vec<_>>(), [(0.0, 2)]);
    }

    #[test]
    fn a_counter_that_fell_below_zero_does_no_harm() {
        let mut d = Distribution::default();
        d.add_growth(u64::MAX, 1);
        d.add_growth(u64::MAX, 7);
        assert_eq!(d.count(), 8);
    }

    proptest! {
        #[test]
        fn growth_is_spread_exactly(growth in 0u64..1 << 52, ticks in 1u64..900) {
            let mut d = Distribution::default();
            d.add_growth(growth, ticks);
            prop_assert_eq!(d.count(), ticks);
            let sum: u128 = d.iter().map(|(value, times)| value as u128 * u128::from(times)).sum();
            prop_assert_eq!(sum, u128::from(growth));
            prop_assert!(d.max() - d.min() <= 1.0);
        }

        #[test]
        fn folding_keeps_what_matters(values in prop::collection::vec((-1_000_000_000i64..1_000_000_000_000, 1u64..9), 1..2000)) {
            let mut d = Distribution::default();
            for (value, times) in &values {
                d.add_times(*value as f64, *times);
            }
            let folded = d.folded();
            let whole = |d: &Distribution| d.iter().map(|(v, t)| v as i128 * i128::from(t)).sum::<i128>();
            prop_assert!(folded.iter().count() <= MAX_DISTINCT);
            prop_assert_eq!((folded.count(), whole(&folded)), (d.count(), whole(&d)));
            prop_assert_eq!((folded.min(), folded.max()), (d.min(), d.max()));
        }

        #[test]
        fn folding_fractions_keeps_the_sum_to_rounding(values in prop::collection::vec(0.0f64..1e6, 151..1000)) {
            let (d, folded) = (of(&values), of(&values).folded());
            prop_assert!(folded.iter().count() <= MAX_DISTINCT);
            prop_assert!((folded.sum() - d.sum()).abs() <= d.sum() * 1e-12);
            prop_assert_eq!((folded.count(), folded.min(), folded.max()), (d.count(), d.min(), d.max()));
        }
    }
}
