//! Segments for no connection of this host: answers to SYNs that others sent in its name (backscatter: somebody else is
//! flooded), and noise that the kernel answers with RST and forgets. Neither harms this host.
//!
//! The kernel counts only the RSTs that it sends. What provoked them is told by captured SYNs (a scan of closed ports)
//! and SYN-ACKs (backscatter); the rest is noise. So without capture there is no finding. Backscatter of RSTs alone
//! provokes nothing and is not seen.

use super::Detector;
use super::arrivals::Arrivals;
use super::cusum::{Allowed, Cusum, Height};
use super::rates_of_snapshots::{Comparison, PerSecond};
use super::track::{Track, blank, evidence};
use crate::model::event::Event;
use crate::model::finding::{Finding, Kind, Place, Severity};
use crate::model::settings::DetectorSettings;
use crate::model::snapshot::Snapshot;

/// Seconds in a row that are no burst of connections that were just closed.
const SECONDS: u32 = 2;
/// Part by which the estimate of answers may be off.
const INEXACT: f64 = 0.1;
/// Seconds without it after which a finding closes.
const QUIET: u32 = 30;

/// The detector.
#[derive(Debug)]
pub(super) struct StraySegments {
    settings: DetectorSettings,
    comparison: Comparison,
    answers: Stray,
    noise: Stray,
    is_measured: bool,
}

/// One kind of stray segment.
#[derive(Debug)]
struct Stray {
    kind: Kind,
    signal: &'static str,
    advice: &'static str,
    rate: Cusum,
    seconds: u32,
    track: Track,
}

impl Detector for StraySegments {
    fn name(&self) -> &'static str {
        "stray_segments"
    }

    fn configure(&mut self, settings: &DetectorSettings) {
        self.settings = settings.clone();
    }

    fn observe(&mut self, event: &Event) -> Vec<Finding> {
        let Event::Snapshot(snapshot) = event else { return Vec::new() };
        let rates = self.comparison.of(snapshot);
        let Some((rates, seconds)) = rates else { return Vec::new() };
        let arrivals = Arrivals::of(snapshot, seconds, &self.settings);
        self.is_measured = arrivals.is_some();
        // Without capture nothing is known; what is open closes.
        let (answers, noise) = arrivals.as_ref().map_or((0.0, 0.0), |arrivals| strays(&rates, arrivals));
        let interface = arrivals.and_then(|arrivals| arrivals.interface).map(str::to_owned);
        let least = self.settings.stray_segments.least;
        let look = |stray: &mut Stray, rate| stray.look(rate, least, seconds, snapshot, interface.clone());
        [look(&mut self.answers, answers), look(&mut self.noise, noise)].into_iter().flatten().collect()
    }

    fn measurements(&mut self) -> Vec<(&'static str, f64)> {
        let active = |stray: &Stray| if stray.track.open.is_some() { 1.0 } else { 0.0 };
        let all = [("backscatter_active", active(&self.answers)), ("ack_noise_active", active(&self.noise))];
        if self.is_measured { all.into() } else { Vec::new() }
    }
}

impl StraySegments {
    pub(super) fn new(settings: &DetectorSettings) -> Self {
        let stray = |kind, signal, advice| Stray {
            kind,
            signal,
            advice,
            rate: Cusum::default(),
            seconds: 0,
            track: Track::default(),
        };
        StraySegments {
            settings: settings.clone(),
            comparison: Comparison::default(),
            answers: stray(
                Kind::Backscatter,
                "stray_answers",
                "Somebody floods other hosts with SYNs in the name of this one, and these are their answers. Nothing to \
                 do here; the kernel drops or resets them.",
            ),
            noise: stray(
                Kind::AckNoise,
                "stray_segments",
                "Segments arrive that belong to no connection; the kernel answers with RST. Nothing to do unless the \
                 rate costs bandwidth; many after a restart of this host or of a load balancer are usual.",
            ),
            is_measured: false,
        }
    }
}

/// Stray answers and other stray segments a second.
fn strays(rates: &PerSecond, arrivals: &Arrivals) -> (f64, f64) {
    // Not every answer that this host did not ask for is stray: a container may have asked. RSTs tell, and those that
    // answer SYNs to closed ports are none of them.
    let to_closed_ports = (arrivals.to_this_host - arrivals.to_listeners - arrivals.ignored).max(0.0);
    let resets = (rates.stray_resets - to_closed_ports).max(0.0);
    let answers = (arrivals.answers - rates.begun_here).clamp(0.0, resets);
    // Of a sample: so many more answers may have been there than it says.
    let others = (resets - answers - INEXACT * arrivals.answers).max(0.0);
    (rates.stray_answers.unwrap_or(answers), rates.stray_segments.unwrap_or(others))
}

impl Stray {
    fn look(
        &mut self,
        rate: f64,
        least: f64,
        seconds: f64,
        snapshot: &Snapshot,
        interface: Option<String>,
    ) -> Option<Finding> {
        let allowed = Allowed { tolerance: least, sum: least };
        let height = self.rate.add(rate, seconds, allowed);
        let much = rate > self.rate.level(allowed) && self.rate.usual.is_learned();
        self.seconds = if height >= Height::High && much { self.seconds + 1 } else { 0 };
        // What stays becomes usual, but in minutes.
        if much || self.track.open.is_some() {
            self.rate.usual.learn_slowly(rate);
        } else {
            self.rate.usual.learn(rate);
        }
        let draft = Finding {
            severity: Severity::Notice,
            advice: self.advice,
            evidence: vec![evidence(self.signal, rate, Some(self.rate.usual.mean()))],
            place: interface.map(|interface| Place { interface: Some(interface), ..Place::default() }),
            ..blank(self.kind, snapshot.time)
        };
        self.track.step(self.seconds >= SECONDS, much, draft, snapshot.time, seconds, QUIET)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::model::counters::KernelCounters;
    use crate::model::finding::State;
    use crate::model::syns::{SynKind, SynPacket, SynSecond};

    /// What happens in one second.
    #[derive(Default, Clone, Copy)]
    struct Rates {
        /// SYN-ACKs for connections of this host, and for none.
        own_answers: u64,
        stray_answers: u64,
        /// SYNs to closed ports.
        scanned: u64,
        /// Other segments for no connection.
        noise: u64,
        /// Connections that this host ends with RST.
        aborted: u64,
    }

    fn observe(is_captured: bool, rates: impl Fn(u64) -> Rates) -> Vec<(u64, Kind, State)> {
        let mut detector = StraySegments::new(&DetectorSettings::default());
        let mut counters = KernelCounters::default();
        let add = |counter: &mut Option<u64>, by: u64| *counter = Some(counter.unwrap_or(0) + by);
        let mut found = Vec::new();
        for second in 0..300 {
            let now = rates(second);
            add(&mut counters.tcp_active_opens, now.own_answers);
            add(&mut counters.tcp_out_rsts, now.stray_answers + now.scanned + now.noise + now.aborted);
            add(&mut counters.tcp_estab_resets, now.aborted);
            let time = Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap();
            let mut snapshot = Snapshot::at(time, second * 1000);
            snapshot.counters = Some(counters.clone());
            snapshot.listeners = Some(Vec::new());
            let packet = |kind| SynPacket { source: [192, 0, 2, 1].into(), port: 1024, kind };
            let answers = (0..now.own_answers + now.stray_answers).map(|_| packet(SynKind::Answer));
            let sample: Vec<_> = answers.chain((0..now.scanned).map(|_| packet(SynKind::Syn))).collect();
            snapshot.syns = is_captured
                .then(|| vec![SynSecond { interface: "eth0".into(), syns: now.scanned, one_in: 1, sample }]);
            let findings = detector.observe(&Event::Snapshot(Arc::new(snapshot)));
            let told = findings.into_iter().filter(|finding| finding.state != State::Update);
            found.extend(told.map(|finding| (second, finding.kind, finding.state)));
        }
        found
    }

    fn between(second: u64, rates: Rates) -> Rates {
        if (100..160).contains(&second) { rates } else { Rates { own_answers: 5, ..Rates::default() } }
    }

    #[test]
    fn strays_are_told_apart() {
        for (kind, rates) in [
            (Kind::Backscatter, Rates { stray_answers: 170, ..Rates::default() }),
            (Kind::AckNoise, Rates { noise: 500, ..Rates::default() }),
            (
                Kind::AckNoise,
                Rates { noise: 500, scanned: 300, own_answers: 200, aborted: 300, ..Rates::default() },
            ),
        ] {
            let found = observe(true, |second| between(second, rates));
            let [(opened, open, State::Open), (closed, close, State::Closed)] = found[..] else {
                panic!("{kind:?}: {found:?}")
            };
            assert_eq!((open, close), (kind, kind));
            assert!((100..105).contains(&opened) && (160..=191).contains(&closed), "{found:?}");
            assert_eq!(observe(false, |second| between(second, rates)), [], "nobody knows without capture");
        }
    }

    #[test]
    fn what_is_nothing() {
        for rates in [
            Rates { scanned: 500, ..Rates::default() },
            Rates { aborted: 500, ..Rates::default() },
            Rates { own_answers: 500, ..Rates::default() },
            Rates { noise: 40, stray_answers: 40, ..Rates::default() },
        ] {
            assert_eq!(observe(true, |second| between(second, rates)), []);
        }
    }
}
