//! All failures together, in windows of five minutes: many addresses that try a few users each are a distributed spray,
//! though none of them does anything remarkable.

use serde::{Deserialize, Serialize};

use super::patterns::{NOBODY, Second};
use super::several::{Several, Tally};
use crate::detectors::baseline::Baseline;

const WINDOW: Second = 5 * 60;
/// Attempts of a window that are no attack, and deviations above what is usual. Three windows running make an attack, if
/// together they have three times that, and each at least half of it: of attempts that come by chance, twice as often as
/// the limit, one window in sixty is below it, and would put the finding off for a quarter of an hour.
const LEAST: f64 = 10.0;
const DEVIATIONS: f64 = 6.0;
/// Addresses an attempt.
const SPREAD: f64 = 0.3;
/// Empty windows that are learned after a long silence: a day.
const SILENCE: u32 = 24 * 12;

/// The windows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tide {
    number: u32,
    first: Second,
    attempts: u32,
    sources: Several,
    users: Several,
    tried: Tally<u32>,
    is_high: bool,
    /// Attempts of the high windows running before this one, two at most, and when the first attempt in them was.
    before: Vec<u32>,
    began: Second,
    baseline: Baseline,
    pub(super) is_open: bool,
}

/// How the tide stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    /// When the first attempt of the high windows was.
    pub(super) began: Second,
    /// Attempts of this window so far, and what is usual.
    pub(super) attempts: u32,
    pub(super) usual: f64,
    /// Whether this window is as high as one of an attack.
    pub(super) is_high: bool,
    /// Whether it makes a finding.
    pub(super) is_attack: bool,
}

impl Tide {
    /// Takes in attempts of an address that has no finding of its own.
    pub(super) fn add(&mut self, source: u32, user: u32, now: Second, times: u32) -> Level {
        self.roll(now);
        if self.attempts == 0 {
            self.first = now;
        }
        self.attempts = self.attempts.saturating_add(times);
        self.sources.insert(source);
        if user != NOBODY {
            self.users.insert(user);
            self.tried.add(user, times);
        }
        self.is_high = self.is_high || self.is_high_now();
        let together = self.before.iter().sum::<u32>().saturating_add(self.attempts);
        let began = if self.before.is_empty() { self.first } else { self.began };
        Level {
            began,
            attempts: self.attempts,
            usual: self.baseline.mean(),
            is_high: self.is_high,
            is_attack: self.is_high && self.before.len() == 2 && f64::from(together) > 3.0 * self.limit(),
        }
    }

    /// Its finding is over: the next attack begins anew.
    pub(super) fn close(&mut self) {
        (self.is_open, self.is_high) = (false, false);
        self.before.clear();
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of five minutes")]
    fn is_high_now(&self) -> bool {
        let attempts = f64::from(self.attempts);
        // A log without users tells of none; on one user it is another pattern.
        let users = self.users.count();
        let is_on_many = users == 0 || (users >= 3 && self.tried.most().saturating_mul(2) <= self.attempts);
        attempts > self.limit() / 2.0 && self.sources.count() as f64 >= SPREAD * attempts && is_on_many
    }

    /// Attempts of a window that are no attack.
    fn limit(&self) -> f64 {
        let usual = self.baseline.mean() + DEVIATIONS * self.baseline.deviation();
        if self.baseline.is_learned() { usual.max(LEAST) } else { LEAST }
    }

    fn roll(&mut self, now: Second) {
        let number = now / WINDOW;
        // Lines a little out of order count where they come.
        if number == self.number || number.wrapping_add(1) == self.number {
            return;
        }
        let (is_first, is_next) = (self.number == 0, number == self.number.wrapping_add(1));
        if is_next && self.is_high {
            if self.before.is_empty() {
                self.began = self.first;
            }
            let old = self.before.len().saturating_sub(1);
            self.before.drain(..old);
            self.before.push(self.attempts);
        } else {
            self.before.clear();
        }
        let is_usual = !self.is_high || f64::from(self.attempts) <= self.limit();
        if !is_first && !self.is_open && is_usual {
            self.baseline.learn(f64::from(self.attempts));
            let empty = number.saturating_sub(self.number).saturating_sub(1).min(SILENCE);
            (0..empty).for_each(|_| self.baseline.learn(0.0));
        }
        self.number = number;
        self.attempts = 0;
        (self.sources, self.users, self.tried) = Default::default();
        self.is_high = false;
    }
}
