//! What the attempts of one address look like.

use std::collections::BTreeSet;

use super::campaign::Pattern;
use crate::model::settings::LoginSettings;

/// Seconds since 1970, by the log.
pub(super) type Second = u32;

/// One attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) at: Second,
    /// Hash of the user's name; [`NOBODY`] where the line has none.
    pub(super) user: u32,
}

/// Where the log tells no user.
pub(super) const NOBODY: u32 = 0;

pub(super) const MINUTE: Second = 60;
pub(super) const TEN_MINUTES: Second = 600;
pub(super) const HOUR: Second = 3600;
pub(super) const SIX_HOURS: Second = 6 * HOUR;
/// Slow attempts are spread over so long at least.
const SPREAD: Second = 30 * 60;
/// Where they come regularly, two thirds of them are enough over so long: nobody mistypes by the clock.
const REGULAR_SPREAD: Second = 45 * 60;
/// Gaps of regular attempts vary by less than this share of their mean. Those that tools make vary by up to a third.
const REGULAR: f64 = 0.4;
/// Gaps shorter than this are within one try of a program that asks several times.
const BURST: Second = 20;
/// Gaps that it takes to tell.
const GAPS: usize = 5;
/// Recent failures after which a success is remarkable, and those within hours.
const RECENT_BEFORE_SUCCESS: usize = 5;
const SLOW_BEFORE_SUCCESS: usize = 8;

/// From how many on it is an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) minute: usize,
    pub(super) ten_minutes: usize,
    pub(super) users: usize,
    pub(super) slow: usize,
    pub(super) recent_before_success: usize,
    pub(super) slow_before_success: usize,
    /// Whether fewer are enough if they come regularly.
    pub(super) heeds_rhythm: bool,
}

impl Limits {
    /// Those of an address that nothing is known of.
    pub(super) fn of(settings: &LoginSettings) -> Self {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).clamp(1, 1000);
        let minute = count(settings.attempts);
        Limits {
            minute,
            ten_minutes: minute + (minute * 2).div_ceil(3),
            users: count(settings.users),
            slow: count(settings.slow_attempts),
            recent_before_success: RECENT_BEFORE_SUCCESS,
            slow_before_success: SLOW_BEFORE_SUCCESS,
            heeds_rhythm: true,
        }
    }

    /// Three times as much for an address that is known: an office behind one address has many who mistype.
    pub(super) fn for_known(self) -> Self {
        Limits {
            minute: self.minute * 3,
            ten_minutes: self.ten_minutes * 3,
            users: self.users * 3,
            slow: self.slow * 3,
            recent_before_success: self.recent_before_success * 3,
            slow_before_success: self.slow_before_success * 3,
            ..self
        }
    }

    /// Three times as many slow ones, while they are part of an attack from many addresses, which has its own finding.
    pub(super) fn within_a_crowd(self) -> Self {
        Limits { slow: self.slow * 3, heeds_rhythm: false, ..self }
    }

    /// Fewer attempts make no pattern.
    pub(super) fn fewest(self) -> usize {
        self.minute.min(self.users).min(self.slow * 2 / 3)
    }

    /// How many attempts have to be remembered to tell.
    pub(super) fn most(self) -> usize {
        let known = self.for_known();
        // Of a spray up to three attempts a user.
        known.minute.max(known.ten_minutes).max(known.slow).max(known.users * 2)
    }
}

/// What else is known of the address.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Circumstances {
    /// It is of a private network.
    pub(super) is_private: bool,
    /// It tried a user who does not exist within the last hours.
    pub(super) tried_unknown_user: bool,
    /// The last so many attempts came after its last success.
    pub(super) since_success: usize,
}

/// The pattern that the attempts up to `now` make, and when its first attempt was.
///
/// What is a spray and a brute force at once (six users tried once each within a minute) is a spray. While two attempts in
/// three are on a user of their own, or it goes from user to user with up to three attempts each, a spray may be in the
/// making: then a brute force is told with the next attempt that is not.
pub(super) fn judge(
    attempts: &[Attempt],
    now: Second,
    limits: Limits,
    around: Circumstances,
) -> Option<(Pattern, Second)> {
    fast(attempts, now, limits, around).or_else(|| slow(attempts, now, limits, around))
}

fn fast(
    attempts: &[Attempt],
    now: Second,
    limits: Limits,
    around: Circumstances,
) -> Option<(Pattern, Second)> {
    let recent = within(attempts, now, TEN_MINUTES);
    let in_a_minute = within(attempts, now, MINUTE).len();
    let is_fast = in_a_minute >= limits.minute || recent.len() >= limits.ten_minutes;
    if !is_fast && recent.len() < limits.users {
        return None;
    }
    let (first, users) = (recent.first()?.at, users(recent));
    if users >= limits.users && recent.len() <= users * 3 {
        return Some((Pattern::PasswordSpray, first));
    }
    if !is_fast {
        return None;
    }
    if in_a_minute < limits.minute && is_broken_job(recent, around) {
        return Some((Pattern::RepeatedFailureInternal, first));
    }
    let may_become_spray = users * 3 >= recent.len() * 2 || (users > 1 && goes_from_user_to_user(recent));
    let is_early = recent.len() < limits.users * 3 && recent.len() < limits.minute * 3;
    (!may_become_spray || !is_early).then_some((Pattern::BruteForce, first))
}

/// Whether each user is tried up to three times in a row, and never again.
fn goes_from_user_to_user(attempts: &[Attempt]) -> bool {
    let mut tried = BTreeSet::new();
    attempts
        .chunk_by(|one, next| one.user == next.user)
        .all(|run| run.len() <= 3 && run.first().is_some_and(|attempt| tried.insert(attempt.user)))
}

fn slow(
    attempts: &[Attempt],
    now: Second,
    limits: Limits,
    around: Circumstances,
) -> Option<(Pattern, Second)> {
    let attempts = since_success(attempts, around.since_success);
    let slow = within(attempts, now, SIX_HOURS);
    let first = slow.first()?.at;
    let span = now.abs_diff(first);
    let is_many = slow.len() >= limits.slow && span >= SPREAD;
    let is_rhythm = limits.heeds_rhythm && slow.len() >= limits.slow * 2 / 3 && span >= REGULAR_SPREAD;
    let is_slow = is_many || (is_rhythm && is_regular(slow));
    if !is_slow {
        return None;
    }
    let pattern =
        if is_broken_job(slow, around) { Pattern::RepeatedFailureInternal } else { Pattern::SlowBruteForce };
    Some((pattern, first))
}

/// A program of our own with a wrong password: one user, regularly, from a private address.
fn is_broken_job(attempts: &[Attempt], around: Circumstances) -> bool {
    around.is_private && !around.tried_unknown_user && users(attempts) == 1 && is_regular(attempts)
}

/// Failures before a success that make it remarkable: how many, and when the first was.
pub(super) fn before_success(
    attempts: &[Attempt],
    now: Second,
    limits: Limits,
    around: Circumstances,
) -> Option<(usize, Second)> {
    let attempts = since_success(attempts, around.since_success);
    let recent = within(attempts, now, TEN_MINUTES);
    let slow = within(attempts, now, SIX_HOURS);
    let is_remarkable =
        recent.len() >= limits.recent_before_success || slow.len() >= limits.slow_before_success;
    is_remarkable.then_some((slow.len(), slow.first()?.at))
}

fn since_success(attempts: &[Attempt], count: usize) -> &[Attempt] {
    attempts.get(attempts.len().saturating_sub(count)..).unwrap_or_default()
}

/// The last attempts without one between that is further from `now`: also not in the future, after a clock was set back.
pub(super) fn within(attempts: &[Attempt], now: Second, span: Second) -> &[Attempt] {
    let old = attempts.iter().rposition(|attempt| now.abs_diff(attempt.at) >= span);
    attempts.get(old.map_or(0, |old| old + 1)..).unwrap_or_default()
}

/// Different users among them.
pub(super) fn users(attempts: &[Attempt]) -> usize {
    let named = |attempt: &Attempt| (attempt.user != NOBODY).then_some(attempt.user);
    let mut users = attempts.iter().filter_map(named);
    let Some(first) = users.next() else { return 0 };
    // Most often there is one or a few; a set costs more than all the rest.
    if users.clone().all(|user| user == first) {
        return 1;
    }
    if attempts.len() > 64 {
        return users.chain([first]).collect::<BTreeSet<_>>().len();
    }
    let mut seen = Vec::with_capacity(attempts.len());
    users.chain([first]).for_each(|user| {
        if !seen.contains(&user) {
            seen.push(user);
        }
    });
    seen.len()
}

fn is_regular(attempts: &[Attempt]) -> bool {
    rhythm(attempts).is_some_and(|(_, variation)| variation < REGULAR)
}

/// Mean gap between attempts in seconds, and by what share of it gaps vary, where there are enough to tell.
pub(super) fn rhythm(attempts: &[Attempt]) -> Option<(f64, f64)> {
    let gap = |pair: &[Attempt]| match pair {
        [earlier, later] => Some(later.at.abs_diff(earlier.at)).filter(|gap| *gap >= BURST),
        _ => None,
    };
    let gaps: Vec<f64> = attempts.windows(2).filter_map(gap).map(f64::from).collect();
    if gaps.len() < GAPS {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "some dozens")]
    let many = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / many;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / many;
    Some((mean, variance.sqrt() / mean))
}
