//! Guessing of passwords: what is found in logs of many kinds, when, and what is not.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use vpcwatch::detectors::{self, Detector};
use vpcwatch::model::event::Event;
use vpcwatch::model::finding::{Finding, Severity, State};
use vpcwatch::model::log_line::{Grammar, LogLines};
use vpcwatch::model::login::{Count, Login, Outcome};
use vpcwatch::model::settings::{DetectorSettings, LoginSettings};
use vpcwatch::model::snapshot::Snapshot;
use vpcwatch::model::syns::{SynKind, SynPacket, SynSecond};
use vpcwatch_tests::login_scenes::{BEGIN, Expected, Host, SCENES, Scene};

type Logins = Box<dyn Detector + Send>;

fn logins(settings: LoginSettings, seed: u64) -> Logins {
    let settings = DetectorSettings { logins: settings, ..DetectorSettings::default() };
    detectors::all(&settings, seed).into_iter().find(|detector| detector.name() == "logins").unwrap()
}

fn default(seed: u64) -> Logins {
    logins(LoginSettings::default(), seed)
}

fn login(detector: &mut Logins, login: &Login) -> Vec<Finding> {
    detector.observe(&Event::Login(Box::new(login.clone())))
}

fn replay(detector: &mut Logins, lines: &[Login]) -> Vec<Finding> {
    lines.iter().flat_map(|line| login(detector, line)).collect()
}

fn opened(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.state == State::Open).collect()
}

fn kinds(findings: &[Finding]) -> Vec<&'static str> {
    opened(findings).iter().map(|finding| finding.kind.as_str()).collect()
}

fn snapshot(at: i64, ms: u64) -> Snapshot {
    Snapshot::at(Timestamp::from_second(at).unwrap(), ms)
}

fn lines_read(log: &str, is_behind: bool) -> Event {
    Event::Lines(Arc::new(LogLines {
        log: log.into(),
        grammar: Grammar::Auto,
        lines: Vec::new(),
        read: Timestamp::UNIX_EPOCH,
        is_behind,
        zone: TimeZone::UTC,
        cursor: None,
    }))
}

fn top(finding: &Finding) -> &str {
    &finding.who.as_ref().unwrap().top_sources[0].source
}

/// What is wrong with what was found, in words.
fn judge(scene: &Scene, findings: &[Finding]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut open = opened(findings);
    for Expected { kind, source, by } in &scene.expected {
        let is_it = |finding: &&Finding| {
            finding.kind.as_str() == *kind && source.is_none_or(|source| top(finding) == source.to_string())
        };
        match open.iter().position(is_it) {
            None => wrong.push(format!("no {kind}")),
            Some(place) => {
                let found = open.remove(place);
                let late =
                    found.last_seen.duration_since(Timestamp::from_second(BEGIN).unwrap()).as_secs_f64() - by;
                if late > 1.0 {
                    wrong.push(format!("{kind} is {late} s late"));
                }
            }
        }
    }
    wrong.extend(open.iter().map(|finding| {
        format!("false {} of {} at {}", finding.kind.as_str(), top(finding), finding.last_seen)
    }));
    wrong
}

#[test]
fn each_scene_has_its_findings_in_time_and_no_others() {
    let mut wrong = Vec::new();
    for (name, make) in SCENES {
        for seed in 0..50 {
            let scene = make(seed);
            let findings = replay(&mut default(seed), &scene.logins);
            wrong.extend(
                judge(&scene, &findings).into_iter().map(|what| format!("{name}, seed {seed}: {what}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(40)]);
}
