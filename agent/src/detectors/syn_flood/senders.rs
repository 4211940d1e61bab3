//! Who sends what stays unanswered. Two views are kept, both of fixed size: of sources while nothing is suspicious, and
//! of those since something is: since the cumulative sum of unanswered handshakes last was zero, which is the likeliest
//! time for a flood to have begun.

use std::collections::BTreeMap;

use super::Now;
use crate::detectors::arrivals::Arrival;
use crate::detectors::rates_of_snapshots::float;
use crate::detectors::sketches::{Collisions, Distinct, Heavy, HeavyHitters, KnownSources, SourceKey};
use crate::detectors::track::NOT_KNOWN_YET;
use crate::model::finding::{Source, Who};

/// Sources that are counted one by one: who sends more than one in so many is always found.
const HEAVY: usize = 128;
/// Ports that are.
const PORTS: usize = 64;
/// Sources that a finding names.
const TOP: usize = 5;
/// Seconds after which what is usual counts half.
const MINUTE: f64 = 60.0;
/// Quiet seconds for which a client that does not come again stays known, at least.
const REMEMBERED: u64 = 3600;
/// Quiet seconds after which regular clients are known.
const ACQUAINTED: f64 = 10.0;
/// Pairs that are put down to regular clients until then, at most.
const EXCUSED: u64 = 32;
/// SYNs below which nothing is said of their sources.
const ENOUGH: u64 = 10;
/// Part of all SYNs below which a source is not alone behind a flood, however little of them stays unanswered.
const PROMINENT: f64 = 0.1;
/// So many equally likely sources or more are made up. Botnets in one flood are smaller; made-up addresses come of the
/// whole address space, or of a large part of it.
const MADE_UP: f64 = 65_536.0;
/// Before that can be told: one SYN in so many may share its source with another.
const GUESS: u64 = 20;

/// Who sends it, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Spoofed,
    Distributed,
    SingleSource,
    LiveSources,
    Unknown,
}

impl Verdict {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Verdict::Spoofed => "spoofed",
            Verdict::Distributed => "distributed",
            Verdict::SingleSource => "single_source",
            Verdict::LiveSources => "live_sources",
            Verdict::Unknown => NOT_KNOWN_YET,
        }
    }
}

/// Who sends SYNs to this host's listeners.
#[derive(Debug)]
pub(super) struct Senders {
    known: KnownSources,
    usual: HeavyHitters<SourceKey>,
    usual_seconds: f64,
    suspects: Suspects,
    this_minute: Distinct,
    minute: u64,
}

/// Senders since something is suspicious.
#[derive(Debug)]
struct Suspects {
    seconds: f64,
    unanswered: f64,
    completed: f64,
    /// SYNs, and how many of them were looked at.
    syns: f64,
    sampled: u64,
    sources: HeavyHitters<SourceKey>,
    /// Where those that were not there before send to.
    ports: HeavyHitters<u16>,
    interfaces: BTreeMap<String, f64>,
    distinct: Distinct,
    /// Of those that were not there before.
    strangers: Collisions,
}

impl Senders {
    pub(super) fn new(seed: u64) -> Self {
        Senders {
            known: KnownSources::new(seed, REMEMBERED),
            usual: HeavyHitters::new(seed, HEAVY),
            usual_seconds: 0.0,
            suspects: Suspects {
                seconds: 0.0,
                unanswered: 0.0,
                completed: 0.0,
                syns: 0.0,
                sampled: 0,
                sources: HeavyHitters::new(seed, HEAVY),
                ports: HeavyHitters::new(seed, PORTS),
                interfaces: BTreeMap::new(),
                distinct: Distinct::new(seed),
                strangers: Collisions::new(seed),
            },
            this_minute: Distinct::new(seed),
            minute: 0,
        }
    }

    /// Takes in one second.
    pub(super) fn observe(&mut self, now: &Now, is_suspicious: bool) {
        let Some(arrivals) = now.arrivals else { return };
        let minute = now.snapshot.monotonic_ms / 60_000;
        if minute != self.minute {
            self.minute = minute;
            self.this_minute.clear();
        }
        arrivals.sample.iter().for_each(|arrival| self.this_minute.insert(arrival.source.into()));
        let to_listeners = arrivals.sample.iter().filter(|arrival| arrival.listening);
        if is_suspicious {
            self.suspects.seconds += now.seconds;
            self.suspects.unanswered += now.second.unanswered * now.seconds;
            self.suspects.completed += now.second.rates.completed * now.seconds;
            to_listeners.for_each(|arrival| self.suspects.add(arrival, &self.known));
        } else {
            self.suspects.clear();
            self.learn(to_listeners, now.seconds);
        }
    }

    fn learn<'a>(&mut self, arrivals: impl Iterator<Item = &'a Arrival<'a>>, seconds: f64) {
        for arrival in arrivals {
            self.known.learn(arrival.source.into());
            self.usual.add(arrival.source.into(), whole(arrival.weight));
        }
        self.known.learned_for(whole(seconds));
        self.usual_seconds += seconds;
        if self.usual_seconds >= MINUTE {
            self.usual.halve();
            self.usual_seconds /= 2.0;
        }
    }

    /// What comes from now on may be another flood.
    pub(super) fn forget_suspects(&mut self) {
        self.suspects.clear();
    }

    /// Different sources since the minute began.
    pub(super) fn this_minute(&self) -> f64 {
        float(self.this_minute.estimate())
    }

    pub(super) fn verdict(&self) -> Verdict {
        let suspects = &self.suspects;
        if suspects.sampled < ENOUGH {
            return Verdict::Unknown;
        }
        let [first, ..] = suspects.sources.top(1)[..] else { return Verdict::Unknown };
        let is_prominent = float(first.at_least()) >= PROMINENT * suspects.syns;
        if is_prominent && self.beyond_usual(&first) >= suspects.unanswered / 2.0 {
            return Verdict::SingleSource;
        }
        let all = suspects.strangers.reading();
        let mut rare = suspects.strangers.without_repeaters();
        rare.colliding_pairs = rare.colliding_pairs.saturating_sub(self.excused());
        let weight = suspects.syns / float(suspects.sampled).max(1.0);
        let are_known = float(suspects.strangers.offered()) * weight < suspects.unanswered / 2.0;
        if are_known || rare.packets * 4 < all.packets {
            return Verdict::Distributed; // known ones, or few
        }
        let by_guess = rare.colliding_pairs * GUESS <= rare.packets;
        if rare.looks_random(MADE_UP).unwrap_or(by_guess) { Verdict::Spoofed } else { Verdict::Distributed }
    }

    /// Pairs that regular clients may make: none where those are known, and few at any time, since who comes more often
    /// is no pair any more.
    fn excused(&self) -> u64 {
        let suspects = &self.suspects;
        let looked_at = float(suspects.sampled) / suspects.syns.max(1.0);
        if self.usual_seconds >= ACQUAINTED {
            0
        } else {
            whole(suspects.completed * looked_at / 2.0).min(EXCUSED)
        }
    }

    /// SYNs of a source beyond what it usually sends in that time.
    fn beyond_usual(&self, heavy: &Heavy<SourceKey>) -> f64 {
        let usual = self.usual.of(&heavy.key);
        let a_second = usual.map_or(0.0, |usual| float(usual.count) / self.usual_seconds.max(1.0));
        float(heavy.at_least()) - a_second * self.suspects.seconds
    }

    /// The port to which most of it goes, if that is one.
    pub(super) fn port(&self) -> Option<u16> {
        let [first, ..] = self.suspects.ports.top(1)[..] else { return None };
        (first.at_least() > self.suspects.ports.total() / 2).then_some(first.key)
    }

    /// The interface by which most of it comes in.
    pub(super) fn interface(&self) -> Option<String> {
        let most = self.suspects.interfaces.iter().max_by(|a, b| a.1.total_cmp(b.1));
        most.map(|(interface, _)| interface.clone())
    }

    pub(super) fn who(&self) -> Option<Who> {
        let suspects = &self.suspects;
        if suspects.sampled == 0 {
            return None;
        }
        let share = |count: u64| (float(count) / suspects.syns.max(1.0)).min(1.0);
        let source = |heavy: Heavy<SourceKey>| Source {
            source: heavy.key.to_string(),
            syns: Some(heavy.count),
            attempts: None,
            share: (share(heavy.count) * 1000.0).round() / 1000.0,
        };
        // One that may have sent nothing at all, or no more than ever, is not named.
        let heavy = suspects.sources.top(HEAVY).into_iter();
        let top = heavy.filter(|heavy| self.beyond_usual(heavy) > float(heavy.at_least()) / 2.0).take(TOP);
        Some(Who {
            distinct_sources: suspects.distinct(),
            top_sources: top.map(source).collect(),
            users: None,
        })
    }
}

impl Suspects {
    fn add(&mut self, arrival: &Arrival, known: &KnownSources) {
        let source = SourceKey::from(arrival.source);
        self.syns += arrival.weight;
        self.sampled += 1;
        self.sources.add(source, whole(arrival.weight));
        self.distinct.insert(source);
        if !known.is_known(source) {
            self.strangers.offer(source);
            self.ports.add(arrival.port, whole(arrival.weight));
            *self.interfaces.entry(arrival.interface.to_owned()).or_default() += arrival.weight;
        }
    }

    /// Of a sample, so more than were seen: as many times as there were more SYNs, but no more than their coming again
    /// allows. Sources seen once are about as many as are still to come (Good, "The population frequencies of species",
    /// Biometrika 40, 1953).
    fn distinct(&self) -> u64 {
        let seen = float(self.distinct.estimate());
        let scaled = seen * self.syns / float(self.sampled).max(1.0);
        let (all, rare) = (self.strangers.reading(), self.strangers.without_repeaters());
        let once = rare.packets.saturating_sub(2 * rare.colliding_pairs);
        let covered = 1.0 - float(once) / float(all.packets).max(1.0);
        let population = rare.effective_sources().unwrap_or(f64::INFINITY).min(seen / covered);
        whole(scaled.min(population.max(seen)))
    }

    fn clear(&mut self) {
        if self.seconds == 0.0 {
            return;
        }
        (self.seconds, self.unanswered, self.completed) = (0.0, 0.0, 0.0);
        (self.syns, self.sampled) = (0.0, 0);
        self.sources.clear();
        self.ports.clear();
        self.interfaces.clear();
        self.distinct.clear();
        self.strangers.clear();
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts, rounded; the cast saturates"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
