//! All failures together, in windows of five minutes: many addresses that try a few users each are a distributed spray,
//! though none of them does anything remarkable.

use serde::{Deserialize, Serialize};

use super::patterns::{NOBODY, Second};
use super::several::{Several, Tally};
use crate::detectors::baseline::Baseline;

const WINDOW: Second = 5 * 60;
/// Windows running that make an attack.
const RUNNING: u32 = 3;
/// Attempts of a window that are no attack, and deviations above what is usual.
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
    /// High windows running before this one, and when the first attempt in them was.
    running: u32,
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
        self.is_high |= self.is_high_now();
        let began = if self.running > 0 { self.began } else { self.first };
        Level {
            began,
            attempts: self.attempts,
            usual: self.baseline.mean(),
            is_high: self.is_high,
            is_attack: self.is_high && self.running + 1 >= RUNNING,
        }
    }

    /// Its finding is over: the next attack begins anew.
    pub(super) fn close(&mut self) {
        (self.is_open, self.running, self.is_high) = (false, 0, false);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of five minutes")]
    fn is_high_now(&self) -> bool {
        let usual = if self.baseline.is_learned() {
            self.baseline.mean() + DEVIATIONS * self.baseline.deviation()
        } else {
            0.0
        };
        let attempts = f64::from(self.attempts);
        // A log without users tells of none; on one user it is another pattern.
        let users = self.users.count();
        let is_on_many = users == 0 || (users >= 3 && self.tried.most().saturating_mul(2) <= self.attempts);
        attempts > LEAST.max(usual) && self.sources.count() as f64 >= SPREAD * attempts && is_on_many
    }

    fn roll(&mut self, now: Second) {
        let number = now / WINDOW;
        // Lines a little out of order count where they come.
        if number == self.number || number.wrapping_add(1) == self.number {
            return;
        }
        let (is_first, is_next) = (self.number == 0, number == self.number.wrapping_add(1));
        if is_next && self.is_high {
            if self.running == 0 {
                self.began = self.first;
            }
            self.running += 1;
        } else {
            self.running = 0;
        }
        if !is_first && !self.is_open && !self.is_high {
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
