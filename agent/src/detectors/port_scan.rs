//! Port scans: a source that tries one port after the other, among those where nobody listens. On captured SYNs alone;
//! without capture there is no finding, for the kernel does not count them by source.
//!
//! Ports with a listener are left out: a client of passive FTP, or a load balancer with a health check for each service,
//! tries many of those and is none.

use super::Detector;
use super::arrivals::Arrivals;
use super::rates_of_snapshots::{Comparison, float};
use super::sketches::{Scan, ScanLimits, Scanners};
use super::track::{Track, blank, evidence};
use crate::model::event::Event;
use crate::model::finding::{Finding, Kind, Place, Severity, Source, Who};
use crate::model::settings::DetectorSettings;

/// Seconds without a probe after which a finding closes.
const QUIET: u32 = 30;
/// Scanning sources that a finding names.
const TOP: usize = 5;

/// The detector.
#[derive(Debug)]
pub(super) struct PortScan {
    settings: DetectorSettings,
    seed: u64,
    comparison: Comparison,
    scanners: Scanners,
    track: Track,
    is_measured: bool,
}

impl Detector for PortScan {
    fn name(&self) -> &'static str {
        "port_scan"
    }

    fn configure(&mut self, settings: &DetectorSettings) {
        if settings.port_scan != self.settings.port_scan {
            self.scanners = scanners(settings, self.seed);
        }
        self.settings = settings.clone();
    }

    fn observe(&mut self, event: &Event) -> Vec<Finding> {
        let Event::Snapshot(snapshot) = event else { return Vec::new() };
        let seconds = self.comparison.of(snapshot).map_or(1.0, |(_, seconds)| seconds);
        let arrivals = Arrivals::of(snapshot, seconds, &self.settings);
        self.is_measured = arrivals.is_some();
        // Without capture nothing is known; what is open closes.
        let arrivals = arrivals.unwrap_or_default();
        let now_ms = snapshot.monotonic_ms;
        for arrival in arrivals.sample.iter().filter(|arrival| !arrival.listening) {
            self.scanners.observe(arrival.source.into(), arrival.port, now_ms);
        }
        let scans = self.scanners.scans(now_ms);
        let draft = draft(&scans, &arrivals, snapshot.time);
        // Ports are remembered for longer than a scan lasts.
        let is_on = scans.iter().any(|scan| now_ms / 1000 - u64::from(scan.last_s).min(now_ms / 1000) < 2);
        self.track.step(is_on, is_on, draft, snapshot.time, seconds, QUIET).into_iter().collect()
    }

    fn measurements(&mut self) -> Vec<(&'static str, f64)> {
        let active = if self.track.open.is_some() { 1.0 } else { 0.0 };
        if self.is_measured { vec![("port_scan_active", active)] } else { Vec::new() }
    }
}

impl PortScan {
    pub(super) fn new(settings: &DetectorSettings, seed: u64) -> Self {
        PortScan {
            settings: settings.clone(),
            seed,
            comparison: Comparison::default(),
            scanners: scanners(settings, seed),
            track: Track::default(),
            is_measured: false,
        }
    }
}

fn scanners(settings: &DetectorSettings, seed: u64) -> Scanners {
    let limits = settings.port_scan;
    let ports = usize::try_from(limits.ports).unwrap_or(usize::MAX);
    Scanners::new(seed, ScanLimits { ports, within_s: limits.window_seconds })
}

fn draft(scans: &[Scan], arrivals: &Arrivals, now: jiff::Timestamp) -> Finding {
    let probes: u64 = scans.iter().map(|scan| scan.probes).sum();
    let source = |scan: &Scan| Source {
        source: scan.source.to_string(),
        syns: Some(scan.probes),
        attempts: None,
        share: (float(scan.probes) / float(probes.max(1)) * 1000.0).round() / 1000.0,
    };
    let ports = scans.first().map_or(0, |scan| scan.ports_at_most);
    Finding {
        severity: Severity::Notice,
        advice: "A source tries many ports on which nobody listens. Security groups keep the Internet out, so it is most \
                 likely inside the VPC or a peer of it: find out whose it is. If it is a scanner of your own, put it into \
                 detectors.ignore_sources.",
        evidence: vec![
            evidence("ports_tried", float(ports), None),
            evidence("probes", float(probes), None),
            evidence("syn_received", arrivals.to_this_host, None),
        ],
        who: Some(Who {
            distinct_sources: scans.len() as u64,
            top_sources: scans.iter().take(TOP).map(source).collect(),
            users: None,
        }),
        place: arrivals.interface.map(|name| Place { interface: Some(name.to_owned()), ..Place::default() }),
        ..blank(Kind::PortScan, now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::model::finding::State;
    use crate::model::snapshot::{Listener, Snapshot};
    use crate::model::syns::{SynKind, SynPacket, SynSecond};

    /// Sources and ports of the SYNs of a second.
    type Syns<'a> = &'a dyn Fn(u64) -> Vec<([u8; 4], u16)>;

    /// When findings opened and closed, if each second brings these SYNs; ports 21 and above 50,000 have listeners.
    fn observe(
        settings: &DetectorSettings,
        seconds: u64,
        syns: impl Fn(u64) -> Vec<([u8; 4], u16)>,
    ) -> Vec<(u64, State, Option<Who>)> {
        let mut detector = PortScan::new(settings, 7);
        let mut found = Vec::new();
        for second in 0..seconds {
            let time = Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap();
            let mut snapshot = Snapshot::at(time, second * 1000);
            let sample: Vec<SynPacket> = syns(second)
                .into_iter()
                .map(|(source, port)| SynPacket { source: source.into(), port, kind: SynKind::Syn })
                .collect();
            let listeners: Vec<u16> =
                sample.iter().map(|packet| packet.port).filter(|port| *port > 50_000).chain([21]).collect();
            snapshot.listeners =
                Some(listeners.into_iter().map(|port| Listener::at([0, 0, 0, 0].into(), port)).collect());
            snapshot.syns = Some(vec![SynSecond {
                interface: "eth0".into(),
                syns: sample.len() as u64,
                one_in: 1,
                sample,
            }]);
            let findings = detector.observe(&Event::Snapshot(Arc::new(snapshot)));
            let told = findings.into_iter().filter(|finding| finding.state != State::Update);
            found.extend(told.map(|finding| (second, finding.state, finding.who)));
        }
        found
    }

    const SCANNER: [u8; 4] = [10, 0, 0, 66];

    #[test]
    fn a_scan_is_found_and_its_source_named() {
        let found = observe(&DetectorSettings::default(), 200, |second| match second {
            50..80 => vec![(SCANNER, 1000 + u16::try_from(second).unwrap())],
            _ => vec![([10, 0, 0, 1], 8080)],
        });
        let states: Vec<_> = found.iter().map(|(second, state, _)| (*second, *state)).collect();
        assert_eq!(states, [(64, State::Open), (110, State::Closed)]);
        assert_eq!(found[0].2.as_ref().unwrap().top_sources[0].source, "10.0.0.66");
    }

    #[test]
    fn what_is_no_scan() {
        let ignored = DetectorSettings {
            ignore_sources: vec!["10.0.0.66/32".parse().unwrap()],
            ..DetectorSettings::default()
        };
        let port = |n: u64| u16::try_from(n % 1000).unwrap();
        let cases: [(&str, DetectorSettings, Syns); 4] = [
            ("passive FTP", DetectorSettings::default(), &|second| {
                vec![(SCANNER, 21), (SCANNER, 50_001 + port(second))]
            }),
            ("a port every five seconds", DetectorSettings::default(), &|second| {
                vec![(SCANNER, 1 + port(second / 5))]
            }),
            ("one that is to be ignored", ignored, &|second| vec![(SCANNER, 1 + port(second))]),
            ("many sources, a port each", DetectorSettings::default(), &|second| {
                (0..200)
                    .map(|n: u8| ([10, 1, n, u8::try_from(second % 256).unwrap()], 1 + u16::from(n)))
                    .collect()
            }),
        ];
        for (name, settings, syns) in cases {
            assert_eq!(observe(&settings, 300, syns), [], "{name}");
        }
    }
}
