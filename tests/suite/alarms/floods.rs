//! Floods that were recorded from a real kernel, and what looks like them, among quiet minutes.

use jiff::{SignedDuration, Timestamp};
use vpcwatch::model::snapshot::Snapshot;
use vpcwatch_tests::alarm_evaluator::{Arrival, Habits, Metrics, State};
use vpcwatch_tests::published::{Published, beginning_at, events, held};
use vpcwatch_tests::{fixture, recording};

use super::{Expected, SET_UP, check, put};

/// 2027-01-15T08:50:00Z: a flood six minutes later ends so near to the hour's that its zeros are sent for ten minutes.
const BEGIN: i64 = 1_800_003_000;
/// Quiet seconds before a recording and after it.
const BEFORE: u32 = 300;
const AFTER: u32 = 1_200;
/// Seconds of a recording before its flood.
const LEAD: i64 = 5;

/// A recording among quiet minutes; it begins so many seconds later than usual.
fn among_quiet(row: &str, later: i64) -> Vec<Snapshot> {
    let (_, recorded) = recording::read(&fixture(&format!("floods/{row}.jsonl"))).unwrap();
    let begin = Timestamp::from_second(BEGIN + later).unwrap();
    let last = recorded.len() - 1;
    held(&held(&beginning_at(recorded, begin), last, AFTER), 0, BEFORE)
}

/// The flood is told of, and the alarm is on, in time; and it is over again.
fn check_flood(row: &str, length: i64, later: i64) {
    let began = Timestamp::from_second(BEGIN + later + i64::from(BEFORE) + LEAD).unwrap();
    let expected = Expected {
        kind: "syn-flood",
        began,
        ended: began + SignedDuration::from_secs(length),
        within: 180,
        over: 300,
    };
    let what = format!("{row}, {later} s later");
    let published = check(&what, events(among_quiet(row, later)), &[expected]);
    let told = published.urgent_events().find(|(_, event)| event.message.contains("\"syn_flood\""));
    let (at, event) = told.unwrap();
    assert_eq!(event.log_group_name, "/vpcwatch/findings");
    let delay = at.duration_since(began).as_secs_f64();
    assert!((0.0..=5.0).contains(&delay), "{what}: told after {delay} s");
}

#[test]
fn each_flood_rings_within_three_minutes_and_no_longer_than_five_after_its_end() {
    let rows = [
        ("spoofed-20", 60),
        ("spoofed-100", 30),
        ("spoofed-1000", 20),
        ("spoofed-1000-backlog-4096", 30),
        ("spoofed-1000-syncookies-0", 20),
        ("spoofed-1000-syncookies-2", 20),
        ("one-source-500", 20),
        ("live-sources-500", 20),
    ];
    for ((row, length), n) in rows.into_iter().zip(0..) {
        check_flood(row, length, n * 17 % 60);
    }
}

#[test]
fn a_flood_rings_whatever_the_second_of_the_minute_at_which_it_begins() {
    for later in (0..60).step_by(7).chain([54, 55, 59]) {
        check_flood("spoofed-1000", 20, later);
    }
}

#[test]
fn what_looks_like_a_flood_rings_nothing() {
    for row in ["benign", "scan-300", "backscatter-500", "stray-acks-500", "flash-crowd-600"] {
        check(row, events(among_quiet(row, 31)), &[]);
    }
}

/// The recorded minute of a full accept queue wakes nobody; five minutes of it do.
#[test]
fn a_program_that_accepts_too_slowly_rings_when_it_stays_so() {
    let (_, recorded) = recording::read(&fixture("floods/slow-program.jsonl")).unwrap();
    let origin = Timestamp::from_second(BEGIN).unwrap();
    let is_full = |snapshot: &Snapshot| {
        let listeners = snapshot.listeners.iter().flatten();
        listeners.filter_map(|listener| listener.accept_utilization).any(|percent| percent > 80.0)
    };
    let first = recorded.iter().position(is_full).unwrap();
    let lead = i64::try_from(first).unwrap();
    // It is full to the recording's end: the program is restarted then.
    let for_seconds = |seconds: u32| {
        let mut slow = held(&beginning_at(recorded.clone(), origin), first + 30, seconds);
        let mut after = slow[0].clone();
        let last = slow.last().unwrap();
        after.time = last.time + SignedDuration::from_secs(1);
        after.monotonic_ms = last.monotonic_ms + 1000;
        after.counters.clone_from(&last.counters);
        let ended = after.time;
        slow.push(after);
        let last = slow.len() - 1;
        (held(&held(&slow, last, AFTER), 0, BEFORE), ended + SignedDuration::from_secs(BEFORE.into()))
    };
    check("slow for a minute", events(for_seconds(0).0), &[]);
    let (snapshots, ended) = for_seconds(300);
    let began = origin + SignedDuration::from_secs(i64::from(BEFORE) + lead);
    let expected = Expected { kind: "accept-queue", began, ended, within: 360, over: 420 };
    check("slow for six minutes", events(snapshots), &[expected]);
}

#[test]
fn a_fleet_rings_for_one_host_of_two() {
    let published = |row| Published::of(events(among_quiet(row, 13)), &[]).unwrap().arrivals(59);
    let of_host = |mut arrival: Arrival, host: &str| {
        arrival.datum.dimensions.iter_mut().filter(|(name, _)| name == "host").for_each(|(_, value)| {
            host.clone_into(value);
        });
        arrival
    };
    let quiet = published("benign");
    let flooded = published("spoofed-1000").into_iter().map(|arrival| of_host(arrival, "web-2"));
    let (calm, struck) = (Metrics::new(quiet.clone()), Metrics::new(quiet.into_iter().chain(flooded)));
    let until = Timestamp::from_second(BEGIN + i64::from(BEFORE + AFTER)).unwrap();
    let alarms = put("fleet");
    assert!(alarms.len() > 5 && alarms.iter().all(|alarm| !alarm.queries.is_empty()), "{alarms:#?}");
    for alarm in alarms {
        let rings = |metrics: &Metrics| {
            let from = Timestamp::from_second(BEGIN + SET_UP).unwrap();
            let changes = metrics.changes(&alarm, Habits::default(), from, until).unwrap();
            changes.iter().filter(|change| change.to == State::Alarm).count()
        };
        assert_eq!(rings(&calm), 0, "{}", alarm.name);
        assert_eq!(rings(&struck), usize::from(alarm.name.ends_with("-syn-flood")), "{}", alarm.name);
    }
}
