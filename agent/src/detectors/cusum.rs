//! A cumulative sum of what is above usual: finds what is weak and lasts as well as what is strong and sudden
//! (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954).

use super::baseline::Baseline;

/// The sum, and what is usual.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cusum {
    pub(super) usual: Baseline,
    sum: f64,
}

/// What is let pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    /// A second, above what is usual.
    pub(super) tolerance: f64,
    /// In sum, above that.
    pub(super) sum: f64,
}

/// How high the sum stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Height {
    /// Nothing above what is usual since the sum was last zero.
    Zero,
    /// Something, but little or short.
    Some,
    /// Too much.
    High,
    /// As high as it gets: there is no doubt.
    Top,
}

impl Cusum {
    /// Above this rate something is unusual.
    pub(super) fn level(&self, allowed: Allowed) -> f64 {
        self.usual.mean() + self.allowance(allowed)
    }

    fn allowance(&self, allowed: Allowed) -> f64 {
        allowed.tolerance.max(self.usual.mean() / 2.0).max(3.0 * self.usual.deviation())
    }

    /// Adds a rate that held for so many seconds.
    pub(super) fn add(&mut self, rate: f64, seconds: f64, allowed: Allowed) -> Height {
        // Sums that may be reached within five seconds of the least that counts.
        let high = allowed.sum.max(5.0 * self.allowance(allowed));
        let top = 4.0 * high; // bounded, so that it falls again soon after
        self.sum = (self.sum + (rate - self.level(allowed)) * seconds).clamp(0.0, top);
        match self.sum {
            sum if sum >= top => Height::Top,
            sum if sum >= high => Height::High,
            sum if sum > 0.0 => Height::Some,
            _ => Height::Zero,
        }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.sum == 0.0
    }

    /// Forgets the sum, not what is usual.
    pub(super) fn reset(&mut self) {
        self.sum = 0.0;
    }
}
