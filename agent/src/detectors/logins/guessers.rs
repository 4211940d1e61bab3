//! The addresses whose logins failed, with their last attempts: a bounded number of them.

use std::collections::BTreeMap;

use super::patterns::{Attempt, Circumstances, NOBODY, SIX_HOURS, Second, within};
use crate::detectors::sketches::{FollowedSources, KeyedHash, OfSource, SourceKey};

/// Addresses that are followed at once, at most.
const SOURCES: usize = 4096;
/// Attempts that are remembered of all of them together: 2 MiB at eight bytes each.
const ATTEMPTS: usize = 256 * 1024;
/// Seconds by which lines of one address may be out of order. More than that is a clock that was set back.
const DISORDER: Second = 120;

/// Follows the addresses whose logins fail.
///
/// Of each it keeps the attempts that it takes to recognise a pattern, so what is said of a followed address is exact. When
/// a new one comes and there is no place left, four are drawn by the seed, and of these the one with the fewest attempts
/// within six hours goes, of equals the one that was seen least lately; never one with an open finding. So a million
/// addresses of one attempt each do not push out one with two. An address that was seen once is one of 4,096 alike: it is
/// still there for its second attempt if fewer than some thousand new ones come between.
#[derive(Debug)]
pub(super) struct Guessers {
    remembered: usize,
    followed: FollowedSources<Guesser>,
}

/// One address and what it did.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Guesser {
    pub(super) source: SourceKey,
    /// Its last attempts, in the log's order.
    pub(super) attempts: Vec<Attempt>,
    /// The last so many of them came after its last success.
    pub(super) since_success: usize,
    /// The last so many of them came after its last finding closed: what was told makes no other finding.
    pub(super) untold: usize,
    /// When it last tried a user who does not exist.
    pub(super) unknown_user: Option<Second>,
    /// Whether a finding of its own is open.
    pub(super) is_open: bool,
}

impl Guessers {
    /// Nobody seen yet; `remembered` attempts of each are kept.
    pub(super) fn new(places: KeyedHash, draw: KeyedHash, remembered: usize) -> Self {
        let remembered = remembered.max(1);
        Guessers { remembered, followed: FollowedSources::new(places, draw, most(remembered)) }
    }

    /// Goes on with another number of attempts.
    pub(super) fn remember(&mut self, attempts: usize) {
        self.remembered = attempts.max(1);
        let kept = self.most_suspicious();
        self.followed.clear();
        self.followed.set_most(most(self.remembered));
        kept.into_iter().take(most(self.remembered)).for_each(|guesser| self.restore(guesser));
    }

    pub(super) fn of(&self, source: SourceKey) -> Option<&Guesser> {
        self.followed.of(source)
    }

    pub(super) fn of_mut(&mut self, source: SourceKey) -> Option<&mut Guesser> {
        self.followed.of_mut(source)
    }

    /// Takes in attempts of one address.
    pub(super) fn add(&mut self, source: SourceKey, times: u32, attempt: Attempt) -> Option<&mut Guesser> {
        let remembered = self.remembered;
        let guesser = self.follow(source, attempt.at)?;
        guesser.add(times, attempt, remembered);
        Some(guesser)
    }

    /// How many failed within that time, of those that are followed.
    pub(super) fn recent(&self, now: Second, span: Second) -> usize {
        self.followed.iter().filter(|guesser| now.abs_diff(guesser.last()) < span).count()
    }

    /// Attempts on one user from then to now: who, when last, how many.
    pub(super) fn on_user(&self, user: u32, from: Second, now: Second) -> Vec<(SourceKey, Second, u32)> {
        let mut found: BTreeMap<(SourceKey, Second), u32> = BTreeMap::new();
        for (source, attempt) in self.since(from, now) {
            if attempt.user == user {
                *found.entry((source, attempt.at)).or_default() += 1;
            }
        }
        found.into_iter().map(|((source, at), times)| (source, at, times)).collect()
    }

    /// Attempts from then to now of addresses without a finding of their own.
    pub(super) fn since(&self, from: Second, now: Second) -> Vec<(SourceKey, Attempt)> {
        let mut found: Vec<_> = self
            .followed
            .iter()
            .filter(|guesser| !guesser.is_open)
            .flat_map(|guesser| guesser.attempts.iter().map(|attempt| (guesser.source, *attempt)))
            .filter(|(_, attempt)| (from..=now).contains(&attempt.at))
            .collect();
        found.sort_unstable_by_key(|(source, attempt)| (attempt.at, *source));
        found
    }

    /// All of them: those with open findings first, then those with most attempts within hours of their last.
    pub(super) fn most_suspicious(&self) -> Vec<Guesser> {
        let newest = self.followed.iter().map(Guesser::last).max().unwrap_or_default();
        let mut all: Vec<Guesser> = self.followed.iter().cloned().collect();
        all.sort_by_key(|guesser| std::cmp::Reverse((guesser.weight(newest), guesser.source)));
        all
    }

    pub(super) fn restore(&mut self, guesser: Guesser) {
        let remembered = self.remembered;
        if let Some(followed) = self.follow(guesser.source, guesser.last()) {
            *followed = guesser;
            let old = followed.attempts.len().saturating_sub(remembered);
            followed.attempts.drain(..old);
        }
    }

    /// That address, with nothing known of a new one.
    fn follow(&mut self, source: SourceKey, now: Second) -> Option<&mut Guesser> {
        let blank = || Guesser {
            source,
            attempts: Vec::new(),
            since_success: 0,
            untold: 0,
            unknown_user: None,
            is_open: false,
        };
        self.followed.follow(source, blank, |guesser| guesser.weight(now))
    }
}

/// Addresses that are followed at once where so many attempts of each are kept.
fn most(remembered: usize) -> usize {
    SOURCES.min(ATTEMPTS / remembered)
}

impl OfSource for Guesser {
    fn source(&self) -> SourceKey {
        self.source
    }
}

impl Guesser {
    fn add(&mut self, times: u32, attempt: Attempt, remembered: usize) {
        if attempt.at.saturating_add(DISORDER) < self.last() {
            // What was of other minutes must not come to lie among these.
            let hours_ago = |earlier: &Attempt| attempt.at.abs_diff(earlier.at) >= HOUR_OF_DOUBT;
            self.attempts.retain(hours_ago);
            self.since_success = self.since_success.min(self.attempts.len());
            self.untold = self.untold.min(self.attempts.len());
        }
        let times = usize::try_from(times).unwrap_or(usize::MAX).min(remembered);
        let old = (self.attempts.len() + times).saturating_sub(remembered);
        self.attempts.drain(..old);
        self.attempts.extend(std::iter::repeat_n(attempt, times));
        self.since_success = (self.since_success + times).min(self.attempts.len());
        self.untold = (self.untold + times).min(self.attempts.len());
    }

    /// Its attempts since its last finding.
    pub(super) fn untold(&self) -> &[Attempt] {
        self.attempts.get(self.attempts.len().saturating_sub(self.untold)..).unwrap_or_default()
    }

    /// Its finding is over.
    pub(super) fn close(&mut self) {
        (self.is_open, self.untold) = (false, 0);
    }

    /// Its finding was of another kind than it looked.
    pub(super) fn reopen(&mut self) {
        self.untold = self.attempts.len();
    }

    /// When it was last seen to fail.
    pub(super) fn last(&self) -> Second {
        self.attempts.last().map_or(0, |attempt| attempt.at)
    }

    /// Its attempts of the last hours.
    pub(super) fn of_hours(&self, now: Second) -> &[Attempt] {
        within(&self.attempts, now, SIX_HOURS)
    }

    pub(super) fn around(&self, now: Second) -> Circumstances {
        Circumstances {
            is_private: is_private(self.source),
            tried_unknown_user: self.unknown_user.is_some_and(|at| now.abs_diff(at) < SIX_HOURS),
            since_success: self.since_success,
        }
    }

    /// The user of its last attempt becomes known by a later line. Whether it was not.
    pub(super) fn name_last(&mut self, user: u32) -> bool {
        let Some(last) = self.attempts.last_mut().filter(|last| last.user == NOBODY) else { return false };
        last.user = user;
        true
    }

    /// How much it would be a pity to forget it.
    fn weight(&self, now: Second) -> (bool, usize, Second) {
        (self.is_open, self.of_hours(now).len(), self.last())
    }
}

/// A clock that is set back by less makes minutes come twice.
const HOUR_OF_DOUBT: Second = 3600;

/// Whether the address is of a private network (RFC 1918, RFC 4193, RFC 6598) or of this host itself.
pub(super) fn is_private(source: SourceKey) -> bool {
    match source {
        SourceKey::Address(address) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || (first == 100 && (64..128).contains(&second))
        }
        // fc00::/7, fe80::/10, and ::1.
        SourceKey::Prefix(prefix) => prefix >> 57 == 0xfc >> 1 || prefix >> 54 == 0xfe80 >> 6 || prefix == 0,
    }
}
