//! Guessing of passwords, in its patterns: detection by the logs' own times.
//!
//! ```text
//! Login -> attempts (each once) -> failure: guessers (an address's last attempts) -> patterns -> campaign -> Finding
//!                                           targets (a user's), tide (everybody's)
//!                               -> success: regulars (who logged in before), failures before it
//! ```
//!
//! One attack is one finding. An address has one at most: what began as a brute force stays one however long it lasts, and is
//! no slow one beside; only a broken job that turns out to be something else closes and opens anew. Attempts of an address
//! with a finding of its own do not count for the distributed patterns; and while one of these is open, and for six hours
//! after, three times as many slow attempts are let pass from one address.
//!
//! Time is that of the logs: who reads yesterday's lines finds what was then. Only how long a finding has been quiet is
//! measured on the live host, by its monotonic clock, while no log is behind: a wall clock that jumps neither opens nor
//! closes anything. Where there is no live host (a log is replayed, or read up after a pause) lines of the same service close.

mod attempts;
mod campaign;
mod doubt;
mod generations;
mod guessers;
mod kept;
mod names;
mod patterns;
mod regulars;
mod several;
mod targets;
mod tide;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::detectors::Detector;
use crate::detectors::sketches::{KeyedHash, Purpose, SourceKey};
use crate::model::event::Event;
use crate::model::finding::{Finding, Severity, State};
use crate::model::log_line::LogLines;
use crate::model::login::{Login, Outcome};
use crate::model::settings::{DetectorSettings, LoginSettings};
use crate::model::snapshot::Snapshot;
use attempts::{Attempts, Heard};
use campaign::{Campaign, Key, Mark, Part, Pattern, Verdict};
use doubt::Doubt;
use guessers::{Guessers, is_private};
use names::Names;
use patterns::{Attempt, Limits, MINUTE, NOBODY, SIX_HOURS, Second, TEN_MINUTES};
use regulars::Regulars;
use targets::{Targets, short};
use tide::Tide;

/// Findings of addresses that guess and are open at once, at most: more than anybody reads, and they have to fit into the
/// state file. What more addresses do is told by one finding of the distributed kind.
const OPEN_GUESSERS: usize = 64;
/// Findings of users under attack, and of logins that succeeded; of the latter the oldest closes.
const OPEN_TARGETS: usize = 16;
const OPEN_SUCCESSES: usize = 32;
/// Seconds that a line may be late on a live host.
const LIVE: Second = 60;
/// Snapshots for which a log counts as behind after the last of its lines: one that is no longer read says nothing more.
const BEHIND_TICKS: u32 = 60;
/// Milliseconds between two snapshots that count as quiet, at most: the host may have slept.
const LONGEST_TICK_MS: u64 = 10_000;

/// Looks for guessing of passwords.
#[derive(Debug)]
pub(super) struct Logins {
    settings: LoginSettings,
    limits: Limits,
    /// Keys every hash; kept with what was learned, for hashes are in there.
    seed: u64,
    hash: KeyedHash,
    attempts: Attempts,
    names: Names,
    guessers: Guessers,
    targets: Targets,
    tide: Tide,
    regulars: Regulars,
    doubt: Doubt,
    /// What is open, and how many of them are of addresses that guess.
    open: BTreeMap<Key, Campaign>,
    guessing: usize,
    /// Successes that wait until it is known whether somebody here wrote them: one an address.
    waiting: Vec<(Key, Campaign)>,
    /// When a distributed attack was last seen.
    crowd_seen: Option<Second>,
    /// Logs of which lines of the past are still being read, and snapshots since the last of these came.
    behind: BTreeMap<Arc<str>, u32>,
    has_logs: bool,
    /// Time of the last snapshot, and on the monotonic clock.
    live: Option<(Second, u64)>,
    /// Time of the last line, and the minute in which lines last closed findings.
    now: Second,
    swept: Second,
    counts: Counts,
    measured: Vec<(&'static str, f64)>,
}

/// What was counted since it was last asked for.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    failures: u64,
    successes: u64,
    suspect: u64,
}

impl Detector for Logins {
    fn name(&self) -> &'static str {
        "logins"
    }

    fn observe(&mut self, event: &Event) -> Vec<Finding> {
        match event {
            Event::Login(login) => self.take(login),
            Event::Lines(lines) => self.read(lines),
            Event::Snapshot(snapshot) => self.tick(snapshot),
            _ => Vec::new(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a second")]
    fn measurements(&mut self) -> Vec<(&'static str, f64)> {
        if !self.has_logs {
            return Vec::new();
        }
        let counts = std::mem::take(&mut self.counts);
        let mut measured = self.measured.clone();
        measured.extend([
            ("login_failures", counts.failures as f64),
            ("login_successes", counts.successes as f64),
            ("login_events_suspect", counts.suspect as f64),
        ]);
        measured
    }

    fn configure(&mut self, settings: &DetectorSettings) {
        if self.settings.show_unknown_users && !settings.logins.show_unknown_users {
            self.names.forget_all();
        }
        self.settings.clone_from(&settings.logins);
        let limits = Limits::of(&self.settings);
        if limits != self.limits {
            self.limits = limits;
            self.guessers.remember(limits.most());
        }
    }

    fn learned(&self) -> Option<serde_json::Value> {
        self.keep()
    }

    fn restore(&mut self, learned: &serde_json::Value) {
        self.take_over(learned);
    }
}

impl Logins {
    pub(super) fn new(settings: &DetectorSettings, seed: u64) -> Self {
        let settings = settings.logins.clone();
        let limits = Limits::of(&settings);
        let hash = KeyedHash::new(seed, Purpose::Logins);
        let draw = KeyedHash::new(seed, Purpose::LoginDraw);
        Logins {
            settings,
            limits,
            seed,
            hash,
            attempts: Attempts::new(hash),
            names: Names::new(hash),
            guessers: Guessers::new(hash, draw, limits.most()),
            targets: Targets::new(draw),
            tide: Tide::default(),
            regulars: Regulars::new(hash),
            doubt: Doubt::new(seed),
            open: BTreeMap::new(),
            guessing: 0,
            waiting: Vec::new(),
            crowd_seen: None,
            behind: BTreeMap::new(),
            has_logs: false,
            live: None,
            now: 0,
            swept: 0,
            counts: Counts::default(),
            measured: Vec::new(),
        }
    }

    fn take(&mut self, login: &Login) -> Vec<Finding> {
        if login.source.is_some_and(|source| self.is_ignored(source)) {
            return Vec::new();
        }
        let now = second(login.time);
        self.now = now;
        let mut findings = self.close_by_line(login, now);
        let heard = self.attempts.hear(login, now);
        if heard.source.is_some_and(|source| self.is_ignored(source)) {
            return findings;
        }
        let user = self.user(login);
        match login.outcome {
            Outcome::Failure => {
                self.counts.failures += u64::from(heard.attempts);
                findings.extend(self.fail(login, heard, user, now));
            }
            Outcome::Success if heard.attempts > 0 && !is_anonymous(login) => {
                self.counts.successes += 1;
                findings.extend(self.succeed(login, heard, user, now));
            }
            Outcome::Success => {}
        }
        findings
    }

    fn is_ignored(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.settings.ignore_sources.iter().any(|net| net.contains(&source))
    }

    /// The hash of the user, whose name may be told if there is such a user.
    fn user(&mut self, login: &Login) -> u32 {
        let Some(name) = &login.user else { return NOBODY };
        let user = self.names.of(name);
        let exists = login.is_known_user == Some(true) || login.outcome == Outcome::Success;
        if exists || self.settings.show_unknown_users {
            self.names.learn(user, name);
        }
        user
    }

    fn fail(&mut self, login: &Login, heard: Heard, user: u32, now: Second) -> Vec<Finding> {
        let Some(address) = heard.source else { return Vec::new() };
        let source = SourceKey::from(address);
        let is_doubtful = self.doubt.of(login, address, now);
        let is_unknown_user = login.is_known_user == Some(false);
        let part = Part {
            at: now,
            times: heard.of_source,
            user,
            source,
            short: short(self.hash, source),
            service: &login.service,
        };
        if heard.of_source == 0 {
            return self.name_last(part, is_unknown_user, is_doubtful);
        }
        let attempt = Attempt { at: now, user };
        let Some(guesser) = self.guessers.add(source, heard.of_source, attempt) else { return Vec::new() };
        if is_unknown_user {
            guesser.unknown_user = Some(now);
        }
        let is_open = guesser.is_open;
        let mut findings = Vec::new();
        if is_open {
            findings.extend(self.go_on(part));
            findings.extend(self.reconsider(part));
        } else if !is_doubtful {
            findings.extend(self.look(part, false));
        }
        if !self.open.contains_key(&Key::Source(source)) {
            findings.extend(self.look_at_crowd(part, is_unknown_user));
        }
        findings
    }

    /// A further line of an attempt that was counted already: it may tell the user, and that there is no such user.
    fn name_last(&mut self, part: Part, is_unknown_user: bool, is_doubtful: bool) -> Vec<Finding> {
        let Some(guesser) = self.guessers.of_mut(part.source) else { return Vec::new() };
        if is_unknown_user {
            guesser.unknown_user = Some(part.at);
        }
        let is_recent = part.at.abs_diff(guesser.last()) < MINUTE;
        if part.user == NOBODY || !is_recent || !guesser.name_last(part.user) {
            return Vec::new();
        }
        let is_open = guesser.is_open;
        let part = Part { times: 1, ..part };
        if let Some(campaign) = self.open.get_mut(&Key::Source(part.source)) {
            campaign.name_last(part.user);
        }
        if is_open || is_doubtful {
            return Vec::new();
        }
        let mut findings = self.look(part, false);
        if findings.is_empty() && !is_unknown_user {
            findings.extend(self.aim(part));
        }
        findings
    }

    /// The finding of its address goes on.
    fn go_on(&mut self, part: Part) -> Option<Finding> {
        let is_live = self.is_live(part.at);
        let campaign = self.open.get_mut(&Key::Source(part.source))?;
        campaign.add(part, true);
        update(campaign, part.at, is_live, &self.names)
    }

    /// What looked like a broken job may turn out to be an attack.
    fn reconsider(&mut self, part: Part) -> Vec<Finding> {
        let key = Key::Source(part.source);
        let is_job = |campaign: &Campaign| campaign.pattern == Pattern::RepeatedFailureInternal;
        if !self.open.get(&key).is_some_and(is_job) {
            return Vec::new();
        }
        match self.judge(part.source, part.at) {
            Some((pattern, _)) if pattern != Pattern::RepeatedFailureInternal => {
                let mut findings: Vec<_> = self.close(key, part.at).into_iter().collect();
                if let Some(guesser) = self.guessers.of_mut(part.source) {
                    guesser.reopen();
                }
                findings.extend(self.look(part, false));
                findings
            }
            _ => Vec::new(),
        }
    }

    fn judge(&self, source: SourceKey, now: Second) -> Option<(Pattern, Second)> {
        let guesser = self.guessers.of(source)?;
        if guesser.untold().len() < self.limits.fewest() {
            return None;
        }
        patterns::judge(guesser.untold(), now, self.limits(source, now), guesser.around(now))
    }

    /// The limits for that address.
    fn limits(&self, source: SourceKey, now: Second) -> Limits {
        let is_known = self.is_known_network(source) || self.regulars.is_known(source, now);
        let limits = if is_known { self.limits.for_known() } else { self.limits };
        let is_in_crowd = self.crowd_seen.is_some_and(|at| now.abs_diff(at) < SIX_HOURS);
        if is_in_crowd { limits.within_a_crowd() } else { limits }
    }

    fn is_known_network(&self, source: SourceKey) -> bool {
        let address = match source {
            SourceKey::Address(address) => IpAddr::from(address),
            SourceKey::Prefix(prefix) => {
                IpAddr::from(std::net::Ipv6Addr::from_bits(u128::from(prefix) << 64))
            }
        };
        self.settings.known_sources.iter().any(|net| net.contains(&address))
    }

    /// Whether the attempts of an address make a pattern; if so its finding opens.
    fn look(&mut self, part: Part, is_forged: bool) -> Vec<Finding> {
        let Some((pattern, first)) = self.judge(part.source, part.at) else { return Vec::new() };
        if self.guessing >= OPEN_GUESSERS {
            return self.too_many(part);
        }
        let key = Key::Source(part.source);
        let mut campaign = Campaign::new(pattern, key, None, first, part.at);
        let Some(guesser) = self.guessers.of_mut(part.source) else { return Vec::new() };
        guesser.is_open = true;
        for attempt in guesser.untold().iter().filter(|attempt| attempt.at >= first) {
            campaign.add(Part { at: attempt.at, times: 1, user: attempt.user, ..part }, true);
        }
        campaign.rhythm = patterns::rhythm(guesser.untold());
        if is_forged {
            campaign.play_down(Mark::PossiblyForged);
        }
        vec![self.open(key, campaign, part)]
    }

    /// More addresses guess than findings are kept for: one finding tells of all these.
    fn too_many(&mut self, part: Part) -> Vec<Finding> {
        let key = Key::Everybody;
        let is_live = self.is_live(part.at);
        if let Some(campaign) = self.open.get_mut(&key) {
            campaign.mark(Mark::TooManySources);
            campaign.add(part, true);
            return update(campaign, part.at, is_live, &self.names).into_iter().collect();
        }
        let mut campaign = Campaign::new(Pattern::DistributedSpray, key, None, part.at, part.at);
        campaign.mark(Mark::TooManySources);
        campaign.add(part, true);
        self.tide.is_open = true;
        self.crowd_seen = Some(part.at);
        vec![self.open(key, campaign, part)]
    }

    /// What an attempt of an address without a finding of its own is to its user and to all.
    fn look_at_crowd(&mut self, part: Part, is_unknown_user: bool) -> Vec<Finding> {
        self.targets.see(part.user, part.at, part.times);
        let mut findings = Vec::new();
        if part.user != NOBODY && !is_unknown_user {
            findings.extend(self.aim(part));
        }
        if !self.open.contains_key(&Key::User(part.user)) {
            findings.extend(self.rise(part));
        }
        findings
    }

    /// Many addresses on one user.
    fn aim(&mut self, part: Part) -> Vec<Finding> {
        let least = usize::try_from(self.settings.sources).unwrap_or(usize::MAX);
        let Some(aim) = self.targets.add(part.user, part.short, part.at, part.times, least) else {
            return Vec::new();
        };
        let key = Key::User(part.user);
        let is_live = self.is_live(part.at);
        if let Some(campaign) = self.open.get_mut(&key) {
            campaign.add(part, aim.lasts);
            if aim.lasts {
                self.crowd_seen = Some(part.at);
            }
            return update(campaign, part.at, is_live, &self.names).into_iter().collect();
        }
        let is_target = |key: &&Key| matches!(key, Key::User(_));
        if !aim.is_attack || self.tide.is_open || self.open.keys().filter(is_target).count() >= OPEN_TARGETS {
            return Vec::new();
        }
        let name = self.names.is_told(part.user).then(|| self.names.told(part.user));
        let mut campaign =
            Campaign::new(Pattern::DistributedBruteForce, key, name.as_deref(), aim.first, part.at);
        campaign.usual = Some(aim.usual / 60.0);
        self.crowd_seen = Some(part.at);
        let Some(target) = self.targets.of_mut(part.user) else { return Vec::new() };
        target.is_open = true;
        let hash = self.hash;
        let recent = self.guessers.on_user(part.user, aim.first, part.at);
        for (source, at, times) in recent {
            campaign.add(Part { at, times, source, short: short(hash, source), ..part }, true);
        }
        vec![self.open(key, campaign, part)]
    }

    /// Many addresses on many users.
    fn rise(&mut self, part: Part) -> Vec<Finding> {
        let level = self.tide.add(part.short, part.user, part.at, part.times);
        let key = Key::Everybody;
        let is_live = self.is_live(part.at);
        if let Some(campaign) = self.open.get_mut(&key) {
            campaign.add(part, level.is_high);
            if level.is_high {
                self.crowd_seen = Some(part.at);
            }
            return update(campaign, part.at, is_live, &self.names).into_iter().collect();
        }
        if !level.is_attack {
            return Vec::new();
        }
        let mut campaign = Campaign::new(Pattern::DistributedSpray, key, None, level.began, part.at);
        campaign.usual = Some(level.usual / 5.0);
        self.tide.is_open = true;
        self.crowd_seen = Some(part.at);
        let hash = self.hash;
        for (source, attempt) in self.guessers.since(level.began, part.at) {
            let part = Part {
                at: attempt.at,
                times: 1,
                user: attempt.user,
                source,
                short: short(hash, source),
                ..part
            };
            campaign.add(part, true);
        }
        vec![self.open(key, campaign, part)]
    }

    fn open(&mut self, key: Key, mut campaign: Campaign, part: Part) -> Finding {
        if self.is_known_network(part.source) && matches!(key, Key::Source(_) | Key::Success(_)) {
            campaign.play_down(Mark::KnownSource);
        }
        campaign.last = part.at;
        if !self.is_live(part.at) {
            campaign.was_read_late();
        }
        let finding = campaign.tell(State::Open, part.at, &self.names);
        if self.open.insert(key, campaign).is_none() && matches!(key, Key::Source(_)) {
            self.guessing += 1;
        }
        finding
    }

    fn succeed(&mut self, login: &Login, heard: Heard, user: u32, now: Second) -> Vec<Finding> {
        let Some(address) = heard.source else { return Vec::new() };
        let source = SourceKey::from(address);
        let part = Part {
            at: now,
            times: 1,
            user,
            source,
            short: short(self.hash, source),
            service: &login.service,
        };
        let is_live = self.is_live(now);
        if let Some(campaign) = self.open.get_mut(&Key::Success(source)) {
            campaign.add(part, true);
            if let Some(guesser) = self.guessers.of_mut(source) {
                guesser.since_success = 0;
            }
            return update(campaign, now, is_live, &self.names).into_iter().collect();
        }
        let found = self.after_guessing(login, part);
        let is_by_key = is_by_key(login);
        if let Some(guesser) = self.guessers.of_mut(source) {
            guesser.since_success = 0;
        }
        let Some(mut campaign) = found else {
            let is_guesser = |campaign: &Campaign| campaign.pattern != Pattern::RepeatedFailureInternal;
            let is_suspicious = self.open.get(&Key::Source(source)).is_some_and(is_guesser);
            if !is_suspicious || is_by_key {
                self.regulars.learn(source, user, now);
            }
            return self.mark_repaired(part).into_iter().collect();
        };
        campaign.add(part, true);
        if !self.doubt.of(login, address, now) {
            return self.open_success(campaign, part);
        }
        let key = Key::Success(source);
        if let Some((_, waiting)) = self.waiting.iter_mut().find(|(waiting, _)| *waiting == key) {
            waiting.add(part, true);
        } else if self.waiting.len() < OPEN_SUCCESSES {
            self.waiting.push((key, campaign));
        } else {
            return self.open_success(campaign, part); // of more the lines are believed
        }
        Vec::new()
    }

    fn open_success(&mut self, campaign: Campaign, part: Part) -> Vec<Finding> {
        let mut findings = Vec::new();
        let successes = || self.open.iter().filter(|(key, _)| matches!(key, Key::Success(_)));
        if successes().count() >= OPEN_SUCCESSES {
            let oldest = successes().min_by_key(|(_, campaign)| campaign.last).map(|(key, _)| *key);
            findings.extend(oldest.and_then(|key| self.close(key, part.at)));
        }
        findings.push(self.open(Key::Success(part.source), campaign, part));
        findings
    }

    /// A job that was mended: not an alarm, but worth knowing.
    fn mark_repaired(&mut self, part: Part) -> Option<Finding> {
        let campaign = self.open.get_mut(&Key::Source(part.source))?;
        if campaign.pattern != Pattern::RepeatedFailureInternal
            || campaign.marks.contains(&Mark::ThenSucceeded)
        {
            return None;
        }
        campaign.mark(Mark::ThenSucceeded);
        Some(campaign.tell(State::Update, part.at, &self.names))
    }

    /// Whether a success follows guessing of the same address, or of many on the same user.
    fn after_guessing(&self, login: &Login, part: Part) -> Option<Campaign> {
        let own = self.open.get(&Key::Source(part.source));
        if own.is_some_and(|own| own.pattern == Pattern::RepeatedFailureInternal) {
            return None;
        }
        let key = Key::Success(part.source);
        let name = login.user.as_deref();
        let guesser = self.guessers.of(part.source);
        let limits = self.limits(part.source, part.at);
        let of_same = guesser.and_then(|guesser| {
            patterns::before_success(&guesser.attempts, part.at, limits, guesser.around(part.at))
        });
        if let Some((before, first)) = of_same.filter(|_| !(is_by_key(login) && self.is_regular(part))) {
            let first = own.map_or(first, |own| own.first.min(first));
            let mut campaign = Campaign::new(Pattern::SuccessAfterFailures, key, name, first, part.at);
            campaign.verdict = Verdict::SameAddress;
            // Of a long attack only the last attempts are remembered; its finding counted all.
            campaign.before = own.map_or(0, Campaign::attempts).max(before as u64);
            let users: BTreeSet<u32> =
                guesser.iter().flat_map(|guesser| &guesser.attempts).map(|one| one.user).collect();
            campaign.users_before = users.len() as u64;
            return Some(campaign);
        }
        let before = self.as_stranger(login, part)?;
        let first = guesser
            .and_then(|guesser| guesser.of_hours(part.at).first().map(|attempt| attempt.at))
            .unwrap_or(part.at);
        let mut campaign = Campaign::new(Pattern::SuccessAfterFailures, key, name, first, part.at);
        campaign.verdict = Verdict::StrangeAddress;
        campaign.before = before;
        Some(campaign)
    }

    fn is_regular(&self, part: Part) -> bool {
        self.regulars.is_known(part.source, part.at)
    }

    /// During a distributed attack: a login by password from where nobody logs in, of the user who is attacked or of an
    /// address that took part. Gives how often it had failed.
    fn as_stranger(&self, login: &Login, part: Part) -> Option<u64> {
        let of_user = self.open.get(&Key::User(part.user));
        let attack = of_user.or_else(|| self.open.get(&Key::Everybody))?;
        let is_at_home = self.regulars.knows(part.source, part.user, part.at)
            || self.regulars.knows_network(part.source, part.at)
            || (is_private(part.source) && attack.comes_from(|source| !is_private(source)));
        if is_by_key(login) || is_at_home {
            return None;
        }
        let failed = self.guessers.of(part.source).map_or(&[][..], |guesser| guesser.of_hours(part.at));
        let is_mistyped = failed.len() <= 3
            && failed
                .iter()
                .all(|attempt| attempt.user == part.user && part.at.abs_diff(attempt.at) <= 2 * MINUTE);
        let took_part = !failed.is_empty() && !is_mistyped;
        let is_target = of_user.is_some() && (failed.is_empty() || took_part);
        (is_target || took_part).then_some(failed.len() as u64)
    }

    fn close(&mut self, key: Key, now: Second) -> Option<Finding> {
        let mut campaign = self.open.remove(&key)?;
        match key {
            Key::Source(source) => {
                self.guessing = self.guessing.saturating_sub(1);
                if let Some(guesser) = self.guessers.of_mut(source) {
                    guesser.close();
                }
            }
            Key::User(user) => {
                if let Some(target) = self.targets.of_mut(user) {
                    target.close();
                }
            }
            Key::Everybody => self.tide.close(),
            Key::Success(_) => {}
        }
        Some(campaign.tell(State::Closed, now, &self.names))
    }

    /// Findings of the line's service that were over by its time, if no live host measures that.
    fn close_by_line(&mut self, login: &Login, now: Second) -> Vec<Finding> {
        if self.open.is_empty() || self.is_live(now) {
            return Vec::new();
        }
        let quiet = self.settings.quiet_seconds;
        let is_over = |campaign: &Campaign| campaign.is_over(now, quiet);
        let over: Vec<Key> = if now / MINUTE == self.swept {
            let own = login.source.map(SourceKey::from);
            let own = own.into_iter().flat_map(|source| [Key::Source(source), Key::Success(source)]);
            own.filter(|key| self.open.get(key).is_some_and(is_over)).collect()
        } else {
            let own = login.source.map(SourceKey::from);
            let is_its = |key: &Key, campaign: &Campaign| match key {
                Key::Source(source) | Key::Success(source) if own == Some(*source) => true,
                _ => campaign.is_of(&login.service),
            };
            let its = self.open.iter().filter(|(key, campaign)| is_its(key, campaign) && is_over(campaign));
            its.map(|(key, _)| *key).collect()
        };
        self.swept = now / MINUTE;
        over.into_iter().filter_map(|key| self.close(key, now)).collect()
    }

    /// Whether a line of this time was read soon after it was written.
    fn is_live(&self, now: Second) -> bool {
        self.live.is_some_and(|(live, _)| live.saturating_sub(now) <= LIVE)
    }

    fn read(&mut self, lines: &LogLines) -> Vec<Finding> {
        self.has_logs = true;
        if lines.is_behind {
            self.behind.insert(lines.log.clone(), 0);
        } else {
            self.behind.remove(&lines.log);
        }
        Vec::new()
    }

    fn tick(&mut self, snapshot: &Snapshot) -> Vec<Finding> {
        let now = second(snapshot.time);
        let before = self.live.map_or(snapshot.monotonic_ms, |(_, ms)| ms);
        let ms = snapshot.monotonic_ms.saturating_sub(before).min(LONGEST_TICK_MS);
        self.live = Some((now, snapshot.monotonic_ms));
        self.behind.retain(|_, ticks| {
            *ticks += 1;
            *ticks <= BEHIND_TICKS
        });
        let mut findings = self.settle_doubt(snapshot, now, ms);
        if self.behind.is_empty() {
            findings.extend(self.pass(now, ms));
        }
        self.measure(now);
        findings
    }

    /// What waited for a SYN opens: with the mark that it may be forged, or without.
    fn settle_doubt(&mut self, snapshot: &Snapshot, now: Second, ms: u64) -> Vec<Finding> {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a tick")]
        let seconds = ms as f64 / 1000.0;
        let was_waited_for = self.doubt.waiting();
        let forged = self.doubt.observe(snapshot, now, seconds);
        self.counts.suspect += forged.iter().map(|forged| forged.lines).sum::<u64>();
        let is_forged = |source: SourceKey| forged.iter().any(|forged| forged.source == source);
        let mut findings = Vec::new();
        for source in was_waited_for {
            if self.doubt.is_waiting(source) {
                continue;
            }
            let Some(guesser) = self.guessers.of(source).filter(|guesser| !guesser.is_open) else {
                continue;
            };
            let part = Part {
                at: guesser.last(),
                times: 0,
                user: NOBODY,
                source,
                short: short(self.hash, source),
                service: "sshd",
            };
            findings.extend(self.look(part, is_forged(source)));
        }
        let (waiting, settled) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(key, _)| matches!(key, Key::Success(source) if self.doubt.is_waiting(*source)));
        self.waiting = waiting;
        for (key, mut campaign) in settled {
            let Key::Success(source) = key else { continue };
            if is_forged(source) {
                campaign.play_down(Mark::PossiblyForged);
            }
            let part = Part {
                at: campaign.last,
                times: 0,
                user: NOBODY,
                source,
                short: short(self.hash, source),
                service: "sshd",
            };
            findings.extend(self.open_success(campaign, part));
        }
        findings
    }

    /// Time passes on the live host: findings are updated, and close.
    fn pass(&mut self, now: Second, ms: u64) -> Vec<Finding> {
        let quiet = self.settings.quiet_seconds;
        let (mut findings, mut over) = (Vec::new(), Vec::new());
        for (key, campaign) in &mut self.open {
            if campaign.pass(now, ms, quiet) {
                over.push(*key);
            } else {
                findings.extend(update(campaign, now, true, &self.names));
            }
        }
        findings.extend(over.into_iter().filter_map(|key| self.close(key, now)));
        findings
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a second")]
    fn measure(&mut self, now: Second) {
        let is_on = |metric: &str| {
            let alarms = |campaign: &&Campaign| campaign.severity > Severity::Notice;
            let mut kinds = self.open.values().filter(alarms).map(|campaign| campaign.pattern.kind());
            if kinds.any(|kind| kind.metric() == Some(metric)) { 1.0 } else { 0.0 }
        };
        // While logs are behind, by their time.
        let now = if self.behind.is_empty() { now } else { self.now };
        let sources = self.guessers.recent(now, TEN_MINUTES);
        self.measured = vec![
            ("login_failure_sources", sources as f64),
            ("login_brute_force_active", is_on("login_brute_force_active")),
            ("login_success_after_failures", is_on("login_success_after_failures")),
        ];
    }
}

/// An update, if it is time for one.
fn update(campaign: &mut Campaign, now: Second, is_live: bool, names: &Names) -> Option<Finding> {
    if !is_live {
        campaign.was_read_late();
    }
    campaign.is_due(now, is_live).then(|| campaign.tell(State::Update, now, names))
}

/// Whether anybody at all may log in so: that makes nobody known here, and ends no guessing.
fn is_anonymous(login: &Login) -> bool {
    let is_nobody = |user: &str| ["ftp", "anonymous"].iter().any(|nobody| user.eq_ignore_ascii_case(nobody));
    ["vsftpd", "proftpd", "pure-ftpd"].contains(&&*login.service)
        && login.user.as_deref().is_some_and(is_nobody)
}

/// Whether no password was given: who guesses passwords does not come in that way.
fn is_by_key(login: &Login) -> bool {
    login.method.as_deref().is_some_and(|method| {
        ["publickey", "hostbased", "gssapi"].iter().any(|by_key| method.starts_with(by_key))
    })
}

fn second(time: jiff::Timestamp) -> Second {
    Second::try_from(time.as_second().max(0)).unwrap_or(Second::MAX)
}
