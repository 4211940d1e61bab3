//! The users that are tried: many addresses that try one of them are a distributed brute force.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::generations::AsHashed;
use super::patterns::{HOUR, Second};
use crate::detectors::sketches::{KeyedHash, SourceKey};

/// Users that are followed at once, at most. Names that the log says do not exist are not followed.
const USERS: usize = 512;
/// Users looked at when one has to go.
const CANDIDATES: u32 = 4;
/// Attempts on one user that are remembered for each address that makes an attack: who comes back is no new one.
const ATTEMPTS_A_SOURCE: usize = 4;
/// The most addresses that are told apart: 4 KiB a user.
const MOST_SOURCES: usize = 128;
/// How many times what is usual is an attack.
const TIMES_USUAL: f64 = 4.0;
/// Share of a new hour in what is usual: a memory of a day.
const NEW: f64 = 1.0 / 24.0;

/// Follows the users that attempts are made on.
#[derive(Debug)]
pub(super) struct Targets {
    draw: KeyedHash,
    evicted: u64,
    places: HashMap<u32, usize, AsHashed>,
    followed: Vec<Target>,
    /// All that were tried, in half hours.
    crowd: [HalfHour; 2],
}

/// One user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Target {
    pub(super) user: u32,
    /// When, and a hash of the address. Only of addresses that have no finding of their own.
    attempts: Vec<(Second, u32)>,
    /// Attempts of this half hour and the one before.
    halves: [HalfHour; 2],
    /// Attempts of an hour without an attack, and how many hours were seen.
    usual: f64,
    hours: u32,
    learned_at: Second,
    pub(super) is_open: bool,
}

/// Attempts of half an hour, and how many different users they were on (that at most 64 bits tell apart, linear counting:
/// Whang and others, 1990).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct HalfHour {
    number: u32,
    attempts: u32,
    users: u64,
}

/// An attack on one user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Aim {
    /// When its first attempt was.
    pub(super) first: Second,
    /// Whether half as many addresses as make an attack tried within the hour.
    pub(super) lasts: bool,
    /// Attempts of an hour that are usual.
    pub(super) usual: f64,
    /// Whether it makes a finding.
    pub(super) is_attack: bool,
}

impl HalfHour {
    fn add(halves: &mut [HalfHour; 2], now: Second, user: u32, times: u32) {
        let [current, before] = halves;
        let number = now / (HOUR / 2);
        if number != current.number {
            let is_next = number == current.number.wrapping_add(1);
            *before = if is_next { *current } else { HalfHour::default() };
            *current = HalfHour { number, ..HalfHour::default() };
        }
        current.attempts = current.attempts.saturating_add(times);
        current.users |= 1 << (user >> 26);
    }

    /// Attempts on one other user, on the average, if so many were on one.
    fn on_others(self, own: u32) -> f64 {
        let empty = f64::from(self.users.count_zeros()).max(0.5);
        let users = 64.0 * (64.0 / empty).ln() - 1.0;
        if users < 0.5 { 0.0 } else { f64::from(self.attempts.saturating_sub(own)) / users.max(1.0) }
    }
}

impl Targets {
    pub(super) fn new(draw: KeyedHash) -> Self {
        Targets {
            draw,
            evicted: 0,
            places: HashMap::with_hasher(AsHashed::default()),
            followed: Vec::new(),
            crowd: Default::default(),
        }
    }

    /// Attempts on whomever: what is usual of one user is no less than what others get within the same hour.
    pub(super) fn see(&mut self, user: u32, now: Second, times: u32) {
        HalfHour::add(&mut self.crowd, now, user, times);
    }

    /// Takes in attempts of one address on one user; tells whether that user is under attack.
    pub(super) fn add(
        &mut self,
        user: u32,
        source: u32,
        now: Second,
        times: u32,
        sources: usize,
    ) -> Option<Aim> {
        let sources = sources.clamp(2, MOST_SOURCES);
        let place = self.places.get(&user).copied().unwrap_or_else(|| self.follow(user, now));
        let crowd = self.crowd;
        let target = self.followed.get_mut(place)?;
        target.add(source, now, times, sources * ATTEMPTS_A_SOURCE);
        target.aim(now, sources, crowd)
    }

    pub(super) fn of_mut(&mut self, user: u32) -> Option<&mut Target> {
        self.places.get(&user).and_then(|place| self.followed.get_mut(*place))
    }

    fn follow(&mut self, user: u32, now: Second) -> usize {
        let blank = Target { user, learned_at: now, ..Target::default() };
        let place = if self.followed.len() < USERS {
            self.followed.push(blank);
            self.followed.len() - 1
        } else {
            let place = self.least_of_some();
            if let Some(followed) = self.followed.get_mut(place) {
                self.places.remove(&followed.user);
                *followed = blank;
            }
            place
        };
        self.places.insert(user, place);
        place
    }

    fn least_of_some(&mut self) -> usize {
        let places = self.followed.len() as u64;
        let drawn = self.draw.of(&self.evicted);
        let candidates = (0..CANDIDATES).map(|number| {
            let sixteen = (drawn >> (16 * number)) & 0xffff;
            usize::try_from((sixteen * places) >> 16).unwrap_or_default()
        });
        let weight = |place: &usize| self.followed.get(*place).map(Target::weight);
        let least = candidates.min_by_key(weight).unwrap_or_default();
        self.evicted = self.evicted.wrapping_add(1);
        least
    }

    /// Those that are attacked first, then those with most attempts.
    pub(super) fn kept(&self, most: usize) -> Vec<Target> {
        let mut kept = self.followed.clone();
        kept.sort_by_key(|target| std::cmp::Reverse((target.weight(), target.user)));
        kept.truncate(most);
        kept
    }

    pub(super) fn restore(&mut self, kept: Vec<Target>) {
        for target in kept {
            let place = self.follow(target.user, 0);
            if let Some(followed) = self.followed.get_mut(place) {
                *followed = target;
            }
        }
    }

    pub(super) fn crowd(&self) -> serde_json::Value {
        serde_json::to_value(self.crowd).unwrap_or_default()
    }

    pub(super) fn restore_crowd(&mut self, crowd: serde_json::Value) {
        self.crowd = serde_json::from_value(crowd).unwrap_or_default();
    }
}

impl Target {
    fn add(&mut self, source: u32, now: Second, times: u32, remembered: usize) {
        self.learn(now);
        HalfHour::add(&mut self.halves, now, self.user, times);
        let old = (self.attempts.len() + 1).saturating_sub(remembered);
        self.attempts.drain(..old);
        self.attempts.push((now, source));
    }

    /// What was usual in the hours since the last attempt.
    fn learn(&mut self, now: Second) {
        let hours = now.abs_diff(self.learned_at) / HOUR;
        if hours == 0 {
            return;
        }
        self.learned_at = now;
        if self.is_open {
            return;
        }
        // The hour that ended, and then empty ones.
        let count = f64::from(self.halves.iter().map(|half| half.attempts).sum::<u32>());
        self.hours = self.hours.saturating_add(1);
        let share = NEW.max(1.0 / f64::from(self.hours));
        self.usual += (count - self.usual) * share;
        for _ in 1..hours.min(24 * 7) {
            self.hours = self.hours.saturating_add(1);
            self.usual -= self.usual * NEW.max(1.0 / f64::from(self.hours));
        }
    }

    fn aim(&self, now: Second, least: usize, crowd: [HalfHour; 2]) -> Option<Aim> {
        let within = |half: &&HalfHour| half.number.abs_diff(now / (HOUR / 2)) <= 1;
        let hour: u32 = self.halves.iter().filter(within).map(|half| half.attempts).sum();
        let own = |number: u32| {
            self.halves.iter().find(|half| half.number == number).map_or(0, |half| half.attempts)
        };
        let others: f64 = crowd.iter().filter(within).map(|half| half.on_others(own(half.number))).sum();
        let is_much = f64::from(hour) >= TIMES_USUAL * self.usual.max(others);
        if usize::try_from(hour).unwrap_or(usize::MAX) < least && !self.is_open {
            return None;
        }
        let is_recent = |(at, _): &&(Second, u32)| now.abs_diff(*at) < HOUR;
        let first = self.attempts.iter().find(is_recent)?.0;
        let newest_first = || self.attempts.iter().rev().filter(is_recent).map(|(_, source)| *source);
        let lasts = are_different(newest_first(), least.div_ceil(2));
        let is_attack = !self.is_open && is_much && are_different(newest_first(), least);
        Some(Aim { first, lasts, usual: self.usual, is_attack })
    }

    /// Its finding is over: the next attack begins anew.
    pub(super) fn close(&mut self) {
        self.is_open = false;
        self.attempts.clear();
    }

    fn weight(&self) -> (bool, usize, Second) {
        (self.is_open, self.attempts.len(), self.attempts.last().map_or(0, |(at, _)| *at))
    }
}

/// Whether there are so many different ones: stops as soon as that is known.
fn are_different(sources: impl Iterator<Item = u32>, least: usize) -> bool {
    let mut seen = Vec::with_capacity(least);
    for source in sources {
        if !seen.contains(&source) {
            seen.push(source);
        }
        if seen.len() >= least {
            return true;
        }
    }
    false
}

/// Half of an address's hash, to tell it from others that try the same user.
pub(super) fn short(hash: KeyedHash, source: SourceKey) -> u32 {
    u32::try_from(hash.of(&source) >> 32).unwrap_or_default()
}
