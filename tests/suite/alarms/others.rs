//! Logins, access logs, interfaces, connection tracking, and an agent that falls silent.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use vpcwatch::model::event::Event;
use vpcwatch::model::log_line::{Grammar, LogLine, LogLines};
use vpcwatch::model::snapshot::{Conntrack, Snapshot};
use vpcwatch::model::web_log::WebLog;
use vpcwatch_tests::alarm_evaluator::{Habits, Metrics, State};
use vpcwatch_tests::login_scenes::{BEGIN, Host, Scene};
use vpcwatch_tests::published::{Published, beginning_at, events, held, merged};
use vpcwatch_tests::{fixture, recording};

use super::{Expected, MOMENTS, alarm, check, habits};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(BEGIN + second).unwrap()
}

/// A host where nothing happens for so long, whose one interface is `eth0`.
fn quiet(seconds: u32) -> Vec<Snapshot> {
    let (_, mut recorded) = recording::read(&fixture("floods/benign.jsonl")).unwrap();
    recorded.truncate(1);
    for interface in recorded[0].interfaces.iter_mut().flatten() {
        interface.name = "eth0".into();
    }
    held(&beginning_at(recorded, at(0)), 0, seconds)
}

/// Lines that were read at that second.
fn lines(second: i64, grammar: Grammar, lines: Vec<LogLine>) -> Event {
    Event::Lines(Arc::new(LogLines {
        log: "log".into(),
        grammar,
        lines,
        read: at(second),
        is_behind: false,
        zone: TimeZone::UTC,
        cursor: None,
    }))
}

fn of_logins(scene: &Scene, seconds: u32) -> Vec<Event> {
    let mut all = vec![lines(0, Grammar::Auto, Vec::new())];
    all.extend(events(quiet(seconds)));
    all.extend(scene.logins.iter().map(|login| Event::Login(Box::new(login.clone()))));
    merged(all)
}

/// When the one who guesses was first and last heard of.
fn span(scene: &Scene) -> (Timestamp, Timestamp) {
    let attacker: IpAddr = scene.expected.iter().find_map(|expected| expected.source).unwrap();
    let mut of = scene.logins.iter().filter(|login| login.source == Some(attacker)).map(|login| login.time);
    let first = of.next().unwrap();
    (first, of.next_back().unwrap())
}

#[test]
fn guessing_of_passwords_rings_and_ends() {
    let scene = Host::new(1).day(1.0).brute_force(2.5, 240).scene();
    let (began, ended) = span(&scene);
    let guessed = |kind, within, over| Expected { kind, began, ended, within, over };
    let expected = [guessed("login-brute-force", 180, 2100), guessed("login-failures", 360, 480)];
    check("ten minutes of guessing", of_logins(&scene, 7200), &expected);
    // So slow that the raw count is no alarm.
    let scene = Host::new(2).day(1.0).brute_force(9.0, 100).scene();
    let (began, ended) = span(&scene);
    let expected = [Expected { kind: "login-brute-force", began, ended, within: 180, over: 2100 }];
    check("a guess every nine seconds", of_logins(&scene, 7200), &expected);
}

#[test]
fn a_login_after_guessing_rings() {
    let scene = Host::new(3).day(1.0).brute_force(4.0, 25).gets_in(4.0).scene();
    let (began, ended) = span(&scene);
    let expected = [
        Expected { kind: "login-brute-force", began, ended, within: 180, over: 2100 },
        Expected { kind: "login-success-after-failures", began: ended, ended, within: 180, over: 2100 },
    ];
    check("guessed", of_logins(&scene, 7200), &expected);
}

#[test]
fn an_ordinary_morning_rings_nothing() {
    let scene = Host::new(4).day(2.0).monitors(2.0).scene();
    check("people and monitors", of_logins(&scene, 7200), &[]);
}

/// Changes the snapshots of these seconds.
fn with(seconds: std::ops::Range<u64>, all: u32, change: impl Fn(&mut Snapshot, u64)) -> Vec<Event> {
    let mut snapshots = quiet(all);
    for (snapshot, second) in snapshots.iter_mut().zip(0u64..) {
        // How long it has lasted; a counter keeps what it has counted.
        change(snapshot, second.clamp(seconds.start, seconds.end) - seconds.start);
    }
    events(snapshots)
}

#[test]
fn what_an_interface_drops_and_a_full_table_ring_in_three_minutes_of_five() {
    let drops = |snapshot: &mut Snapshot, seconds: u64| {
        let interfaces = snapshot.interfaces.iter_mut().flatten();
        interfaces.for_each(|interface| interface.drop_in += 3 * seconds);
    };
    let errors = |snapshot: &mut Snapshot, seconds: u64| {
        let interfaces = snapshot.interfaces.iter_mut().flatten();
        interfaces.for_each(|interface| interface.err_in += 3 * seconds);
    };
    let expected = |kind| Expected { kind, began: at(600), ended: at(900), within: 360, over: 420 };
    check("drops", with(600..900, 2400, drops), &[expected("interface-drops-eth0")]);
    check("errors", with(600..900, 2400, errors), &[expected("interface-errors-eth0")]);
    check("drops for a minute", with(600..660, 1800, drops), &[]);
    let tracked = |snapshot: &mut Snapshot, seconds: u64| {
        let entries = if (1..300).contains(&seconds) { 95 } else { 10 };
        snapshot.conntrack = Some(Conntrack { entries, limit: 100 });
    };
    check("connection tracking", with(600..900, 2400, tracked), &[expected("conntrack")]);
}

/// So many requests a second, of which every `bad`th is answered with 500 and every `slow`th takes five seconds, from minute
/// ten to fifteen.
fn of_requests(a_second: usize, bad: usize, slow: usize) -> Vec<Event> {
    let grammar = Grammar::Access(Arc::new(WebLog::recognised("shop")));
    let mut all = events(quiet(2400));
    let mut count = 0;
    for second in 0..2400 {
        let is_on = (600..900).contains(&second);
        let line = |count: usize| {
            let status = if is_on && count.is_multiple_of(bad) { 500 } else { 200 };
            let took = if is_on && count.is_multiple_of(slow) { "5.012" } else { "0.012" };
            let time = at(second).strftime("%d/%b/%Y:%H:%M:%S +0000");
            LogLine {
                text: format!("192.0.2.4 - - [{time}] \"GET / HTTP/1.1\" {status} 5 \"-\" \"x\" {took}"),
                ..LogLine::default()
            }
        };
        let batch = (0..a_second).map(|n| line(count + n)).collect();
        count += a_second;
        all.push(lines(second, grammar.clone(), batch));
    }
    merged(all)
}

#[test]
fn errors_and_slowness_of_a_web_server_ring() {
    let never = usize::MAX;
    let expected = |kind| Expected { kind, began: at(600), ended: at(900), within: 360, over: 420 };
    check("one of ten is an error", of_requests(2, 10, never), &[expected("web-errors-shop")]);
    check("one of thirty is an error", of_requests(2, 30, never), &[]);
    check("one of twenty is slow", of_requests(2, never, 20), &[expected("web-latency-shop")]);
}

/// A heartbeat that ends, or pauses: the seconds in which there are snapshots.
fn heartbeats(seconds: impl Fn(i64) -> bool) -> Published {
    let snapshots = quiet(3600).into_iter();
    let kept = snapshots.filter(|snapshot| seconds(snapshot.time.duration_since(at(0)).as_secs()));
    Published::of(events(kept.collect()), &[]).unwrap()
}

#[test]
fn an_agent_that_falls_silent_rings_and_one_that_restarts_does_not() {
    let silent = alarm("agent-silent");
    let stops = heartbeats(|second| second < 1800);
    let restarts = heartbeats(|second| !(1800..1980).contains(&second));
    let returns = heartbeats(|second| !(1200..2400).contains(&second));
    for (moment, habits) in
        MOMENTS.into_iter().flat_map(|moment| habits().map(move |habits| (moment, habits)))
    {
        let states = |published: &Published| {
            let metrics = Metrics::new(published.arrivals(moment));
            let changes = metrics.changes(silent, habits, at(240), at(3600)).unwrap();
            changes.iter().map(|change| (change.at.as_second() - BEGIN, change.to)).collect::<Vec<_>>()
        };
        // Only when no heartbeat is left among all periods that are looked at.
        let [(_, State::Ok), (on, State::Alarm)] = states(&stops)[..] else { panic!("{:?}", states(&stops)) };
        let periods = 5 + i64::try_from(habits.further).unwrap();
        assert!((-60..=60).contains(&(on - 1800 - 60 * periods)), "on after {} s, {habits:?}", on - 1800);
        assert_eq!(states(&restarts).iter().map(|change| change.1).collect::<Vec<_>>(), [State::Ok]);
        let back = states(&returns);
        let [_, (_, State::Alarm), (off, State::Ok)] = back[..] else { panic!("{back:?}") };
        assert!((0..=240).contains(&(off - 2400)), "off after {} s, {habits:?}", off - 2400);
    }
}

/// What the pages say of an alarm that is put before its first data, where their absence is what it is about.
#[test]
fn an_alarm_on_silence_that_is_put_before_the_first_heartbeat_rings_until_that_comes() {
    let published = heartbeats(|_| true);
    for moment in MOMENTS {
        let metrics = Metrics::new(published.arrivals(moment));
        let changes = metrics.changes(alarm("agent-silent"), Habits::default(), at(15), at(3600)).unwrap();
        let seen: Vec<_> = changes.iter().map(|change| (change.at.as_second() - BEGIN, change.to)).collect();
        assert_eq!(seen, [(60, State::Alarm), (120, State::Ok)], "{moment}");
    }
}
