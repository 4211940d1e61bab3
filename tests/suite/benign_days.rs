//! The short form of `benign-days`: two hours of each kind of host, and what it must not be called.

use std::sync::Arc;

use vpcwatch::detectors;
use vpcwatch::model::event::Event;
use vpcwatch::model::finding::Severity;
use vpcwatch::model::settings::DetectorSettings;
use vpcwatch_tests::benign_days::{PROFILES, Profile, Week};

/// Nine to eleven on a Monday, with the hour before to learn.
const FROM: u64 = 8 * 3600;
const LEARNING: u64 = 3600;
const SECONDS: u64 = 2 * 3600;

/// A burst of more clients than the backlog, from far away, meets SYN cookies: known to be called a flood. To be taken
/// away when it is not any more.
const KNOWN: (&str, &str) = ("far-away, backlog 128", "syn_flood");

/// Kinds of what was said above `notice` that was not true.
fn false_alarms(profile: Profile, captures: bool) -> Vec<String> {
    let mut week = Week::beginning_at(FROM, profile, 1, captures);
    let mut detectors = detectors::all(&DetectorSettings::default(), 1);
    let mut alarms = Vec::new();
    for _ in 0..LEARNING + SECONDS {
        let event = Event::Snapshot(Arc::new(week.next_second()));
        for finding in detectors.iter_mut().flat_map(|detector| detector.observe(&event)) {
            let kind = finding.kind.as_str();
            let is_known = profile.true_kinds.contains(&kind) || (profile.name, kind) == KNOWN;
            if finding.severity > Severity::Notice && !is_known {
                alarms.push(format!("{}: {kind} at {}", profile.name, finding.began));
            }
        }
    }
    alarms
}

#[test]
fn ordinary_hours_raise_no_alarm() {
    for captures in [false, true] {
        let alarms: Vec<String> =
            PROFILES.iter().flat_map(|profile| false_alarms(*profile, captures)).collect();
        assert!(alarms.is_empty(), "captures {captures}: {alarms:#?}");
    }
}
