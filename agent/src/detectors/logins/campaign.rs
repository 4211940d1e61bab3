//! The life of a login finding: it opens once, is updated every five minutes while it lasts, and closes once after a quiet
//! spell.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::Names;
use super::patterns::{NOBODY, Second};
use super::several::{Several, Tally};
use crate::detectors::sketches::{KeyedHash, Purpose, SourceKey};
use crate::detectors::track::{blank, evidence};
use crate::model::finding::{Evidence, Finding, Kind, Place, Severity, Source, State, Users, Who};

/// Seconds between two updates.
const UPDATE: Second = 5 * 60;
const UPDATE_MS: u64 = 5 * 60 * 1000;
/// Sources and users that a finding names.
const TOP: usize = 5;
/// Services that a finding names.
const SERVICES: usize = 4;
/// Services that let people into the host itself.
const HOST_SERVICES: [&str; 8] = ["sshd", "pam", "login", "su", "sudo", "audit", "cockpit", "xrdp"];

/// What a finding is about: there is one at a time of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Key {
    /// One address that guesses.
    Source(SourceKey),
    /// One user whom many addresses try.
    User(u32),
    /// Many addresses that try many users.
    Everybody,
    /// One address that got in.
    Success(SourceKey),
}

/// The kinds of login findings: those of [`Kind`] that are found here, also in the state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pattern {
    BruteForce,
    PasswordSpray,
    SlowBruteForce,
    DistributedBruteForce,
    DistributedSpray,
    SuccessAfterFailures,
    RepeatedFailureInternal,
}

impl Pattern {
    pub(super) fn kind(self) -> Kind {
        match self {
            Pattern::BruteForce => Kind::BruteForce,
            Pattern::PasswordSpray => Kind::PasswordSpray,
            Pattern::SlowBruteForce => Kind::SlowBruteForce,
            Pattern::DistributedBruteForce => Kind::DistributedBruteForce,
            Pattern::DistributedSpray => Kind::DistributedSpray,
            Pattern::SuccessAfterFailures => Kind::SuccessAfterFailures,
            Pattern::RepeatedFailureInternal => Kind::RepeatedFailureInternal,
        }
    }

    fn severity(self) -> Severity {
        match self {
            Pattern::SuccessAfterFailures => Severity::Critical,
            Pattern::RepeatedFailureInternal => Severity::Notice,
            _ => Severity::Warning,
        }
    }

    /// What to do, where it is about logins to the host itself.
    fn advice(self) -> &'static str {
        match self {
            Pattern::BruteForce | Pattern::PasswordSpray | Pattern::SlowBruteForce => {
                "Somebody guesses passwords from this address. Block it in the security group or network ACL of this host, and \
                 let only networks in from which people work. Set PasswordAuthentication no in sshd_config if keys are in use: \
                 then guessing is pointless. See with `last` and `journalctl -u sshd` that nobody got in from there. If it is \
                 yours, put it into logins.known_sources or logins.ignore_sources."
            }
            Pattern::DistributedBruteForce => {
                "Many addresses guess the password of one user, each a little. Blocking them one by one does not help: set \
                 PasswordAuthentication no, or lock that user's password (`passwd -l`), and let only networks in from which \
                 people work. See with `last` where that user logged in from, and change the password if it is a weak one."
            }
            Pattern::DistributedSpray => {
                "Many addresses guess passwords of many users, each a little. Blocking them one by one does not help: set \
                 PasswordAuthentication no, or let only networks in from which people work (security group, VPN, Session \
                 Manager). See with `last` that every login of this time was by a person whom you know."
            }
            Pattern::SuccessAfterFailures => {
                "Somebody logged in where guessing went before: take it that the password is known. Ask that user now. If it \
                 was not they: take this host out of service by its security group, see who is there with `who` and `last`, end \
                 their sessions (`loginctl terminate-user`), lock the user (`passwd -l`), change the password and the keys that \
                 lay on this host (instance role too), and look for new keys in authorized_keys, new users, cron and systemd units."
            }
            Pattern::RepeatedFailureInternal => {
                "A program inside the VPC tries to log in with a wrong password, regularly: most likely a job whose password was \
                 changed. Find what runs on that address at these times, and correct it. If nobody knows it, take it for guessing."
            }
        }
    }

    /// The same for a program that has users of its own.
    fn advice_elsewhere(self) -> &'static str {
        match self {
            Pattern::BruteForce | Pattern::PasswordSpray | Pattern::SlowBruteForce => {
                "Somebody guesses passwords of this service from this address. Block it in the security group or network ACL, or \
                 before the service (load balancer, WAF), and let only networks in that need it. See in the service's own log that \
                 nobody got in from there. If it is yours, put it into logins.known_sources or logins.ignore_sources."
            }
            Pattern::DistributedBruteForce | Pattern::DistributedSpray => {
                "Many addresses guess passwords of this service, each a little. Blocking them one by one does not help: let only \
                 networks in that need it, or put a second factor, a rate limit or a WAF before it. See in the service's own log who \
                 logged in meanwhile, and change the passwords of those who are tried if they are weak."
            }
            Pattern::SuccessAfterFailures => {
                "Somebody logged in to this service where guessing went before: take it that the password is known. Ask that user \
                 now. If it was not they: end the session and lock the user in the service, change the password, and see in its log \
                 what was done since."
            }
            Pattern::RepeatedFailureInternal => self.advice(),
        }
    }
}

/// One finding while it is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Campaign {
    id: String,
    pub(super) pattern: Pattern,
    pub(super) severity: Severity,
    pub(super) verdict: Verdict,
    pub(super) marks: Vec<Mark>,
    pub(super) first: Second,
    pub(super) last: Second,
    told: Second,
    attempts: u64,
    /// Attempts that failed before the success, of which the finding tells.
    pub(super) before: u64,
    /// Different users of these.
    #[serde(default)]
    pub(super) users_before: u64,
    users: Tally<u32>,
    distinct_users: Several,
    sources: Tally<SourceKey>,
    distinct_sources: Several,
    services: Vec<(String, u32)>,
    /// Mean gap of attempts in seconds, and by what share of it they vary.
    pub(super) rhythm: Option<(f64, f64)>,
    /// Attempts that are usual in the time that the pattern looks at.
    pub(super) usual: Option<f64>,
    /// Milliseconds of the live host since something belonged to it, and since it was told.
    quiet_ms: u64,
    since_told_ms: u64,
    is_late: bool,
    is_news: bool,
}

/// A closer word for a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    None,
    /// A success after failures of the same address.
    SameAddress,
    /// A success for a user whom many addresses tried, from an address that never logged in for that user.
    StrangeAddress,
}

/// What else is remarkable of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mark {
    /// No connection from that address was seen: somebody here may have written the lines.
    PossiblyForged,
    /// It is of a network that the configuration calls known.
    KnownSource,
    /// The broken job logged in afterwards.
    ThenSucceeded,
    /// More addresses guess than findings are kept for.
    TooManySources,
}

impl Verdict {
    fn as_str(self) -> Option<&'static str> {
        match self {
            Verdict::None => None,
            Verdict::SameAddress => Some("same_address"),
            Verdict::StrangeAddress => Some("strange_address"),
        }
    }
}

impl Mark {
    fn as_str(self) -> &'static str {
        match self {
            Mark::PossiblyForged => "possibly_forged",
            Mark::KnownSource => "known_source",
            Mark::ThenSucceeded => "then_succeeded",
            Mark::TooManySources => "too_many_sources",
        }
    }
}

/// One thing that belongs to a finding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) at: Second,
    pub(super) times: u32,
    pub(super) user: u32,
    pub(super) source: SourceKey,
    /// The address's hash.
    pub(super) short: u32,
    pub(super) service: &'a str,
}

impl Campaign {
    /// One that opens at `now`; its first attempt was at `first`. A user's name goes into the id only if it may be told.
    pub(super) fn new(pattern: Pattern, key: Key, user: Option<&str>, first: Second, now: Second) -> Self {
        // Not keyed by the seed: lines that are read again after a crash give the same id.
        let hash = KeyedHash::new(0, Purpose::Logins);
        let of = match key {
            Key::Source(source) | Key::Success(source) => hash.of(&source),
            Key::User(_) => hash.of(&user.unwrap_or_default().as_bytes()),
            Key::Everybody => 0,
        };
        Campaign {
            id: format!("{}-{:08x}-{}", pattern.kind().as_str(), of >> 32, u64::from(first) * 1000),
            pattern,
            severity: pattern.severity(),
            verdict: Verdict::None,
            marks: Vec::new(),
            first,
            last: now,
            told: now,
            attempts: 0,
            before: 0,
            users_before: 0,
            users: Tally::default(),
            distinct_users: Several::default(),
            sources: Tally::default(),
            distinct_sources: Several::default(),
            services: Vec::new(),
            rhythm: None,
            usual: None,
            quiet_ms: 0,
            since_told_ms: 0,
            is_late: false,
            is_news: false,
        }
    }

    /// Makes it a notice, and says why.
    pub(super) fn play_down(&mut self, mark: Mark) {
        self.severity = Severity::Notice;
        self.mark(mark);
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        if !self.marks.contains(&mark) {
            self.marks.push(mark);
        }
    }

    /// Takes in what belongs to it. It goes on by that, if `lasts`.
    pub(super) fn add(&mut self, part: Part, lasts: bool) {
        self.attempts = self.attempts.saturating_add(part.times.into());
        if part.user != NOBODY {
            self.users.add(part.user, part.times);
            self.distinct_users.insert(part.user);
        }
        self.sources.add(part.source, part.times);
        self.distinct_sources.insert(part.short);
        if let Some((_, times)) = self.services.iter_mut().find(|(name, _)| name == part.service) {
            *times = times.saturating_add(part.times);
        } else if self.services.len() < SERVICES {
            self.services.push((part.service.to_owned(), part.times));
        }
        if lasts {
            self.last = part.at;
            self.quiet_ms = 0;
            self.is_news = true;
        }
    }

    /// It was read long after it was written: how long it has been quiet, only the next snapshot can tell.
    pub(super) fn was_read_late(&mut self) {
        self.is_late = true;
    }

    pub(super) fn name_last(&mut self, user: u32) {
        self.users.add(user, 1);
        self.distinct_users.insert(user);
    }

    pub(super) fn attempts(&self) -> u64 {
        self.attempts
    }

    /// Whether most addresses of those that are remembered are of that kind.
    pub(super) fn comes_from(&self, is: impl Fn(SourceKey) -> bool) -> bool {
        let sources = self.sources.top();
        sources.iter().filter(|(source, _)| is(*source)).count() * 4 > sources.len() * 3
    }

    /// Whether it is of this service, by whose lines' times it may close.
    pub(super) fn is_of(&self, service: &str) -> bool {
        self.services.iter().any(|(name, _)| name == service)
    }

    /// Whether a log's own time says that it is over.
    pub(super) fn is_over(&self, now: Second, quiet_seconds: u32) -> bool {
        now >= self.last.saturating_add(quiet_seconds)
    }

    /// Time of the live host passes. Whether it is over.
    pub(super) fn pass(&mut self, now: Second, ms: u64, quiet_seconds: u32) -> bool {
        if std::mem::take(&mut self.is_late) {
            self.quiet_ms = u64::from(now.saturating_sub(self.last)) * 1000;
        }
        self.quiet_ms = self.quiet_ms.saturating_add(ms);
        self.since_told_ms = self.since_told_ms.saturating_add(ms);
        self.quiet_ms >= u64::from(quiet_seconds) * 1000
    }

    /// Whether it is time for an update: by the log's time or, of a live host, by its own.
    pub(super) fn is_due(&self, now: Second, is_live: bool) -> bool {
        let is_time =
            if is_live { self.since_told_ms >= UPDATE_MS } else { now.abs_diff(self.told) >= UPDATE };
        self.is_news && is_time
    }

    /// What is told of it now.
    pub(super) fn tell(&mut self, state: State, now: Second, names: &Names) -> Finding {
        (self.told, self.since_told_ms, self.is_news) = (now, 0, false);
        let ended = (state == State::Closed).then(|| timestamp(now.max(self.last)));
        Finding {
            id: self.id.clone(),
            state,
            severity: self.severity,
            verdict: self.verdict.as_str(),
            marks: self.marks.iter().map(|mark| mark.as_str()).collect(),
            last_seen: timestamp(self.last),
            ended,
            place: Some(Place { service: Some(self.service()), ..Place::default() }),
            who: Some(self.who(names)),
            evidence: self.evidence(),
            advice: if self.is_at_the_host() {
                self.pattern.advice()
            } else {
                self.pattern.advice_elsewhere()
            },
            ..blank(self.pattern.kind(), timestamp(self.first))
        }
    }

    /// Whether it is about logins to the host itself, rather than to a program on it.
    fn is_at_the_host(&self) -> bool {
        let of_host = |(name, _): &(String, u32)| HOST_SERVICES.contains(&name.as_str());
        self.services.is_empty() || self.services.iter().any(of_host)
    }

    fn service(&self) -> String {
        let mut services = self.services.clone();
        services.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        let names: Vec<_> = services.into_iter().map(|(name, _)| name).collect();
        names.join(", ")
    }

    fn who(&self, names: &Names) -> Who {
        #[expect(clippy::cast_precision_loss, reason = "counts of attempts")]
        let share = |times: u32| (f64::from(times) / self.attempts.max(1) as f64 * 1000.0).round() / 1000.0;
        let source = |(source, times): (SourceKey, u32)| Source {
            source: source.to_string(),
            syns: None,
            attempts: Some(if self.before > 0 { self.before } else { times.into() }),
            share: share(times).min(1.0),
        };
        let mut top: Vec<String> = Vec::new();
        for (user, _) in self.users.top() {
            let told = names.told(user);
            if !top.contains(&told) && top.len() < TOP {
                top.push(told);
            }
        }
        Who {
            distinct_sources: self.distinct_sources.count(),
            top_sources: self.sources.top().into_iter().take(TOP).map(source).collect(),
            users: Some(Users { distinct: self.distinct_users.count(), top })
                .filter(|users| users.distinct > 0),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of attempts")]
    fn evidence(&self) -> Vec<Evidence> {
        let minutes = f64::from(self.last.saturating_sub(self.first)) / 60.0;
        let attempts = self.attempts as f64;
        let mut signals = Vec::new();
        if self.pattern == Pattern::SuccessAfterFailures {
            signals.push(evidence("logins_succeeded", attempts, None));
            signals.push(evidence("attempts_failed_before", self.before as f64, None));
        } else {
            signals.push(evidence("attempts_failed", attempts, None));
            signals.push(evidence("attempts_per_minute", attempts / minutes.max(1.0), self.usual));
        }
        let users = self.distinct_users.count().max(self.users_before);
        signals.push(evidence("users_tried", users as f64, None));
        signals.push(evidence("addresses", self.distinct_sources.count() as f64, None));
        signals.push(evidence("minutes", minutes, None));
        if let Some((mean, variation)) = self.rhythm {
            signals.push(evidence("gap_seconds_mean", mean, None));
            signals.push(evidence("gap_variation_percent", variation * 100.0, None));
        }
        signals
    }
}

pub(super) fn timestamp(second: Second) -> Timestamp {
    Timestamp::from_second(second.into()).unwrap_or_default()
}
