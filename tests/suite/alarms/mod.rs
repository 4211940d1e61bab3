//! What CloudWatch's alarms would make of what the agent publishes: alarms as `provision` puts them, hours replayed through
//! the real pipeline with their own times, and an evaluator of alarms. Whatever CloudWatch's pages leave open, and
//! whichever moment of the minute a host sends at, the outcome has to hold.

mod evaluator;
mod floods;
mod others;

use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use vpcwatch::model::event::Event;
use vpcwatch_tests::alarm_evaluator::{Change, Habits, Metrics, State};
use vpcwatch_tests::fake_aws::{FakeAws, StoredAlarm};
use vpcwatch_tests::fixture;
use vpcwatch_tests::published::Published;

use crate::agent;
use crate::delivery::keys;

/// A log to have alarms on.
const WEB: (&str, &str) = ("web.logs", "[{ name = 'shop', files = ['/var/log/shop.log'] }]");
const OF_HOST: &str = "vpcwatch-web-1-";
/// Periods beyond the evaluation periods that CloudWatch may look at: "a higher number of data points" is all it says.
const FURTHER: [usize; 4] = [1, 2, 5, 10];
/// Seconds of the minute at which CloudWatch may look.
const SECONDS: [i64; 4] = [0, 20, 40, 59];
/// Seconds after a minute's beginning at which a host may send, first and last.
const MOMENTS: [i64; 2] = [2, 59];
/// Seconds after the first snapshot at which the alarms are there: when the first minutes have been sent.
const SET_UP: i64 = 180;

/// All alarms of the host `web-1`, as they were put.
static ALARMS: LazyLock<Vec<StoredAlarm>> = LazyLock::new(|| put("instance"));

/// What `provision` puts for `web-1`.
fn put(scope: &str) -> Vec<StoredAlarm> {
    let aws = FakeAws::start().unwrap();
    let mut command = Command::new(agent::PATH);
    command.env_clear().envs(aws.environment()).envs(keys());
    command.args(["provision", "apply", "--root"]).arg(fixture("kernel-6.18"));
    for (key, value) in [("identity.host", "web-1"), ("provision.scope", scope), WEB] {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    let output = assert_cmd::Command::from_std(command).timeout(Duration::from_mins(2)).output().unwrap();
    agent::printed(&output, 0);
    aws.alarms()
}

fn kind(alarm: &StoredAlarm) -> &str {
    alarm.name.strip_prefix(OF_HOST).unwrap()
}

fn alarm(wanted: &str) -> &'static StoredAlarm {
    ALARMS.iter().find(|alarm| kind(alarm) == wanted).unwrap()
}

/// An alarm that has to go off once, and be over again.
#[derive(Debug, Clone, Copy)]
struct Expected {
    kind: &'static str,
    /// When what it is about began and ended.
    began: Timestamp,
    ended: Timestamp,
    /// Seconds from one to the state ALARM, and from the other to OK, at the most.
    within: i64,
    over: i64,
}

/// Whatever CloudWatch's habits may be.
fn habits() -> impl Iterator<Item = Habits> {
    FURTHER.into_iter().flat_map(|further| SECONDS.map(|second| Habits { further, second }))
}

/// When it went off and was over again; `None` if it did not, or not just once.
fn rang_once(changes: &[Change]) -> Option<(Timestamp, Timestamp)> {
    let mut rings = changes.iter().filter(|change| change.to == State::Alarm);
    let (on, None) = (rings.next()?.at, rings.next()) else { return None };
    let over = changes.last().filter(|change| change.to == State::Ok)?;
    Some((on, over.at))
}

/// Replays these, and sees that the expected alarms go off once, in time, and no others; tells the longest that each took.
#[track_caller]
#[expect(clippy::print_stdout, reason = "figures for tests/README.md")]
fn check(what: &str, events: Vec<Event>, expected: &[Expected]) -> Published {
    let time = |event: &Event| if let Event::Snapshot(snapshot) = event { Some(snapshot.time) } else { None };
    let first = events.iter().find_map(time).unwrap() + SignedDuration::from_secs(SET_UP);
    let last = events.iter().rev().find_map(time).unwrap();
    let published = Published::of(events, &[WEB]).unwrap();
    let sent = MOMENTS.map(|moment| Metrics::new(published.arrivals(moment)));
    for one in expected {
        let mut worst = (0, 0);
        for (metrics, habits) in sent.iter().flat_map(|metrics| habits().map(move |habits| (metrics, habits)))
        {
            let changes = metrics.changes(alarm(one.kind), habits, first, last).unwrap();
            let rang = rang_once(&changes);
            assert!(rang.is_some(), "{what}: {}, {habits:?}: {changes:?}", one.kind);
            let (on, off) = rang.unwrap();
            assert!(on > one.began, "{what}: {} went off before, {habits:?}", one.kind);
            worst.0 = worst.0.max(on.as_second() - one.began.as_second());
            worst.1 = worst.1.max(off.as_second() - one.ended.as_second());
        }
        let (on, off) = worst;
        println!("{what}: {} on after {on} s, off after {off} s, at the most", one.kind);
        assert!(on <= one.within, "{what}: {} on after {on} s", one.kind);
        assert!(off <= one.over, "{what}: {} off after {off} s", one.kind);
    }
    for other in ALARMS.iter().filter(|alarm| expected.iter().all(|one| one.kind != kind(alarm))) {
        for (metrics, further) in sent.iter().flat_map(|metrics| [1, 10].map(|further| (metrics, further))) {
            let changes = metrics.changes(other, Habits { further, second: 0 }, first, last).unwrap();
            let rings = changes.iter().any(|change| change.to == State::Alarm);
            assert!(!rings, "{what}: {} went off: {changes:?}", other.name);
        }
    }
    published
}
