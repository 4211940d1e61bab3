//! What looks like a flood and is none: each by its own name, so that nobody looks for an attacker.

use super::finding::place_of;
use super::{Now, Second, half_open, is_one_sided};
use crate::detectors::cusum::{Allowed, Cusum, Height};
use crate::detectors::track::{Track, blank, evidence};
use crate::model::finding::{Finding, Kind, Place, Severity};
use crate::model::settings::FlashCrowdSettings;
use crate::model::snapshot::{Listener, Snapshot};

/// Seconds without it after which a finding of these closes.
const QUIET: u32 = 30;
/// Clients kept waiting within a window that are no chance.
const WAITING: f64 = 25.0;

/// The accept queue overflows: real clients, a program that is too slow for them.
#[derive(Debug, Default)]
pub(super) struct SlowAccept(Track);

impl SlowAccept {
    pub(super) fn is_open(&self) -> bool {
        self.0.open.is_some()
    }

    pub(super) fn look(&mut self, now: &Now) -> Option<Finding> {
        let Now { second, usual, .. } = now;
        let is_on = now.window.sum(|s| s.rates.kept_waiting) >= WAITING && now.is_slow_program();
        let draft = Finding {
            severity: Severity::Warning,
            advice: "The program behind this listener accepts connections more slowly than clients come. Look at it \
                     before you look for an attacker; a longer backlog only helps with short peaks.",
            evidence: vec![
                evidence(waiting_signal(now.snapshot), second.rates.kept_waiting, None),
                evidence("syn_unanswered", second.unanswered, Some(now.usual_unanswered.mean())),
                evidence("completed_handshakes", second.rates.completed, Some(usual.completed.mean())),
            ],
            place: fullest_accept_queue(now.snapshot).map(place_of),
            ..blank(Kind::SlowAccept, now.snapshot.time)
        };
        let lasts = now.window.sum(|s| s.rates.kept_waiting) >= WAITING / 5.0;
        self.0.step(is_on, lasts, draft, now.snapshot.time, now.seconds, QUIET)
    }
}

/// What clients that are kept waiting show in: a kernel counter, or packets that are sent again.
pub(super) fn waiting_signal(snapshot: &Snapshot) -> &'static str {
    if snapshot.handshakes.is_some() { "handshakes_retried" } else { "listen_overflows" }
}

fn fullest_accept_queue(snapshot: &Snapshot) -> Option<&Listener> {
    let listeners = snapshot.listeners.as_deref().unwrap_or_default();
    let full = listeners.iter().filter(|listener| listener.accept_utilization > Some(0.0));
    full.max_by(|a, b| a.accept_utilization.unwrap_or(0.0).total_cmp(&b.accept_utilization.unwrap_or(0.0)))
}

/// Many more clients than usual, all served.
#[derive(Debug, Default)]
pub(super) struct FlashCrowd {
    track: Track,
    /// Completed handshakes per second that are a crowd; while one is on, those that were when it began.
    level: f64,
}

impl FlashCrowd {
    pub(super) fn is_open(&self) -> bool {
        self.track.open.is_some()
    }

    pub(super) fn is_crowd(&self, completed: f64) -> bool {
        completed >= self.level
    }

    pub(super) fn look(&mut self, now: &Now, settings: FlashCrowdSettings) -> Option<Finding> {
        let Now { second, usual, window, .. } = now;
        // What was unusual when it began is the measure until that is what is usual.
        if !self.is_open() {
            self.level = level(now, settings);
        }
        let everyone = window.is_full() && window.0.iter().all(|s| self.is_crowd(s.rates.completed));
        let lost = window.sum(|s| s.unanswered + s.rates.kept_waiting);
        let served = lost < 0.05 * window.sum(|s| s.rates.completed);
        let draft = Finding {
            severity: Severity::Notice,
            advice: "Nothing to do as long as clients are served. If the traffic is not welcome, it is a flood of real \
                     requests, which listeners cannot tell from visitors.",
            evidence: vec![
                evidence("completed_handshakes", second.rates.completed, Some(usual.completed.mean())),
                evidence("syn_unanswered", second.unanswered, Some(now.usual_unanswered.mean())),
            ],
            ..blank(Kind::FlashCrowd, now.snapshot.time)
        };
        let lasts = self.is_crowd(second.rates.completed) && usual.completed.mean() < self.level;
        let is_on = usual.completed.is_learned() && everyone && served && !now.flood_is_open;
        self.track.step(is_on && lasts, lasts, draft, now.snapshot.time, now.seconds, QUIET)
    }
}

fn level(now: &Now, settings: FlashCrowdSettings) -> f64 {
    let completed = now.usual.completed;
    let often = settings.times_usual * completed.mean();
    settings.least.max(often).max(completed.mean() + 6.0 * completed.deviation())
}

/// SYNs that arrive for this host in numbers and leave no trace in its TCP: forwarded to a container, filtered, or
/// dropped before it. Nobody here is short of anything because of them.
#[derive(Debug, Default)]
pub(super) struct NotReachingTcp {
    track: Track,
    missing: Cusum,
    /// Seconds in a row in which much was missing.
    seconds: u32,
}

/// Missing SYNs that are let pass: those of a burst of containers' clients.
const MISSING: Allowed = Allowed { tolerance: 50.0, sum: 50.0 };
/// Seconds after which missing SYNs are no handshakes under way.
const SECONDS: u32 = 3;

impl NotReachingTcp {
    pub(super) fn is_open(&self) -> bool {
        self.track.open.is_some()
    }

    /// `suspected`: something else is wrong that loses SYNs.
    pub(super) fn look(&mut self, now: &Now, suspected: bool) -> Option<Finding> {
        let Some(arrivals) = now.arrivals else {
            // Nothing is known without capture; what is open closes.
            let draft = blank(Kind::NotReachingTcp, now.snapshot.time);
            return self.track.step(false, false, draft, now.snapshot.time, now.seconds, QUIET);
        };
        let rates = &now.second.rates;
        let arrived: f64 = arrivals.sample.iter().map(|arrival| arrival.weight).sum::<f64>() / now.seconds;
        let missing = if now.snapshot.handshakes.is_none() {
            (arrived - accounted_for(&now.second)).max(0.0)
        } else if is_one_sided(now.snapshot) {
            0.0
        } else {
            now.second.unheeded
        };
        let height = self.missing.add(missing, now.seconds, MISSING);
        let much = missing > self.missing.level(MISSING) && !suspected && !now.flood_is_open;
        let much = much && self.missing.usual.is_learned();
        self.seconds = if height >= Height::High && much { self.seconds + 1 } else { 0 };
        // What stays becomes usual, but in minutes.
        if self.seconds == 0 && !self.is_open() {
            self.missing.usual.learn(missing);
        } else {
            self.missing.usual.learn_slowly(missing);
        }
        let draft = Finding {
            severity: Severity::Notice,
            advice: "SYNs arrive that this host's TCP never sees: a port published to a container, forwarded traffic, or \
                     a packet filter drops them. If they are not welcome, a security group or network ACL stops them \
                     before the instance.",
            evidence: vec![
                evidence("syn_not_reaching_tcp", missing, Some(self.missing.usual.mean())),
                evidence("syn_received", arrived, None),
                evidence("completed_handshakes", rates.completed, Some(now.usual.completed.mean())),
                evidence("half_open", half_open(now.snapshot), Some(now.usual.half_open.mean())),
            ],
            place: Some(Place {
                interface: arrivals.interface.map(str::to_owned),
                port: most_tried_port(arrivals.sample.iter().map(|arrival| (arrival.port, arrival.weight))),
                ..Place::default()
            }),
            ..blank(Kind::NotReachingTcp, now.snapshot.time)
        };
        self.track.step(self.seconds >= SECONDS, much, draft, now.snapshot.time, now.seconds, QUIET)
    }
}

/// SYNs of which the kernel knows what became.
fn accounted_for(second: &Second) -> f64 {
    let rates = &second.rates;
    rates.completed
        + second.unanswered
        + rates.kept_waiting
        + rates.stray_resets
        + rates.embryonic_resets
        + rates.waiting_for_data
        + rates.half_open_growth.max(0.0)
}

/// The port that takes at least half of the weight.
fn most_tried_port(arrivals: impl Iterator<Item = (u16, f64)>) -> Option<u16> {
    let mut ports = std::collections::HashMap::new();
    let mut all = 0.0;
    for (port, weight) in arrivals {
        *ports.entry(port).or_insert(0.0) += weight;
        all += weight;
    }
    ports.into_iter().find(|(_, weight)| *weight * 2.0 > all).map(|(port, _)| port)
}
