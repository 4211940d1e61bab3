use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::model::counters::KernelCounters;
use crate::model::finding::{Kind, Severity, State};
use crate::model::snapshot::{HalfOpen, TcpStates, TcpTable, TcpTableMethod};
use crate::model::syns::{SynKind, SynPacket, SynSecond};

/// What happens in one second.
#[derive(Default, Clone, Copy)]
struct Rates {
    completed: u64,
    /// SYNs that nobody will complete: first the SYN queue fills, then cookies are sent.
    spoofed: u64,
    resets: u64,
    /// Completed handshakes that wait for data at a `TCP_DEFER_ACCEPT` listener.
    deferred: u64,
    overflows: u64,
    /// Cookies sent and returned, as with `tcp_syncookies=2`.
    cookies: u64,
    /// Cookies sent that come back in the second after.
    late_cookies: u64,
    /// Handshakes that are under way when the snapshot is taken, and complete in the second after.
    in_flight: u64,
    /// SYNs of connections that this host begins, sent again.
    own_retransmits: u64,
    /// Whether the kernel does not show how long half-open connections have waited.
    is_age_hidden: bool,
    /// Who sends the SYNs that are not completed; nothing without capture.
    senders: Option<Attackers>,
    /// SYNs to this host's addresses that are dropped or forwarded before they reach its TCP.
    not_reaching: u64,
    /// Half-open connections on port 8080, beside a full accept queue on port 443.
    elsewhere: u64,
}

/// Who sends what is not completed.
#[derive(Clone, Copy)]
enum Attackers {
    /// A new address each time, of the 131,072 of 198.18.0.0/15.
    MadeUp,
    One,
    Bots(u32),
}

/// The address of the n-th SYN that is not completed.
fn address(senders: Attackers, n: u32) -> [u8; 4] {
    let spread = fastrand::Rng::with_seed(u64::from(n)).u32(..);
    match senders {
        Attackers::MadeUp => (0xc612_0000 | spread & 0x1_ffff).to_be_bytes(),
        Attackers::One => [203, 0, 113, 9],
        Attackers::Bots(count) => (0x0a40_0000 | (spread % count)).to_be_bytes(),
    }
}

/// What would be captured in one second: 64 clients, who come again and again, and the others.
fn captured(now: Rates, senders: Attackers, second: u32) -> Vec<SynSecond> {
    let syn = |source: [u8; 4], port| SynPacket { source: source.into(), port, kind: SynKind::Syn };
    let count = |count: u64| u32::try_from(count).unwrap();
    let client = |n: u32| {
        let client = u8::try_from((n * 37 + second * 11) % 64).unwrap();
        syn([192, 0, 2, client], 443)
    };
    let attackers = count(now.spoofed + now.resets);
    let mut sample: Vec<SynPacket> = (0..count(now.completed)).map(client).collect();
    sample.extend((0..attackers).map(|n| syn(address(senders, second * attackers + n), 443)));
    sample.extend(
        (0..count(now.not_reaching)).map(|n| syn([100, 64, 0, u8::try_from(n % 200).unwrap()], 8080)),
    );
    let syns = sample.len();
    let one_in = syns.div_ceil(500).max(1);
    let sample =
        sample.into_iter().enumerate().filter(|(n, _)| n % one_in == 0).map(|(_, packet)| packet).collect();
    let one_in = u32::try_from(one_in).unwrap();
    vec![SynSecond { interface: "eth0".into(), syns: syns as u64, one_in, sample }]
}

const BACKLOG: u64 = 128;

fn detector() -> SynFlood {
    SynFlood::new(&DetectorSettings::default(), 0)
}

/// A host with three listeners, of which port 443 is attacked.
fn observe(seconds: u64, rates: impl Fn(u64) -> Rates) -> Vec<(u64, Finding)> {
    watch(&mut detector(), 0..seconds, rates)
}

/// The same from its start on, looked at by this detector in these seconds.
fn watch(
    detector: &mut SynFlood,
    seconds: std::ops::Range<u64>,
    rates: impl Fn(u64) -> Rates,
) -> Vec<(u64, Finding)> {
    let mut found = Vec::new();
    let mut c = KernelCounters::default();
    let mut expiry: VecDeque<u64> = VecDeque::from(vec![0; 63]); // half-open for 63 s
    let (mut half_open, mut unacknowledged, mut late) = (0u64, VecDeque::new(), 0);
    let add = |counter: &mut Option<u64>, by: u64| *counter = Some(counter.unwrap_or(0) + by);
    for second in 0..seconds.end {
        let now = rates(second);
        let room = (BACKLOG + 1).saturating_sub(half_open);
        let (queued, masked) = (now.spoofed.min(room), now.spoofed.saturating_sub(room));
        expiry.push_back(queued + now.deferred);
        half_open = (half_open + queued + now.deferred).saturating_sub(expiry.pop_front().unwrap_or(0));
        add(&mut c.tcp_passive_opens, now.completed);
        add(&mut c.syncookies_sent, masked + now.cookies + now.late_cookies);
        add(&mut c.syncookies_recv, now.cookies + late);
        late = now.late_cookies;
        add(&mut c.embryonic_rsts, now.resets);
        // Clients that do talk count there too, beside the completed ones.
        add(&mut c.defer_accept_drop, if now.deferred > 0 { now.deferred + now.completed } else { 0 });
        add(&mut c.listen_overflows, now.overflows);
        add(&mut c.listen_drops, now.overflows);
        // The kernel sends no SYN-ACK again to a client that has acknowledged it and is silent (`syn_ack_recalc`).
        unacknowledged.push_front(queued);
        unacknowledged.truncate(63);
        let again = [1, 3, 7, 15, 31].iter().filter_map(|age| unacknowledged.get(*age)).sum::<u64>();
        add(&mut c.tcp_syn_retrans, again + now.own_retransmits);
        let time = Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap();
        let mut snapshot = Snapshot::at(time, second * 1000);
        snapshot.counters = Some(c.clone());
        snapshot.tcp = Some(TcpTable {
            age_ms: 0,
            method: TcpTableMethod::SockDiagComplement,
            states: TcpStates {
                syn_recv: half_open + now.in_flight,
                syn_sent: now.own_retransmits * 3,
                ..TcpStates::default()
            },
            half_open_newly_stale: (!now.is_age_hidden).then_some(queued / 2),
            half_open_stale: (!now.is_age_hidden).then_some((half_open - queued / 2).min(half_open)),
            half_open: vec![HalfOpen { address: [10, 0, 0, 1].into(), port: 443, count: 0 }],
        });
        let listener = |port, half_open: u64| Listener {
            accept_limit: Some(128),
            accept_utilization: Some(if now.overflows > 0 && port == 443 { 100.0 } else { 0.0 }),
            half_open: u32::try_from(half_open).ok(),
            ..Listener::at([0, 0, 0, 0].into(), port)
        };
        snapshot.listeners = Some(vec![
            listener(22, 0),
            listener(443, half_open - now.elsewhere.min(half_open)),
            listener(8080, now.elsewhere),
        ]);
        snapshot.syns = now.senders.map(|senders| captured(now, senders, u32::try_from(second).unwrap()));
        if second < seconds.start {
            continue;
        }
        found.extend(detector.observe(&Event::Snapshot(Arc::new(snapshot))).into_iter().map(|f| (second, f)));
    }
    found
}

fn calm() -> Rates {
    Rates { completed: 30, ..Rates::default() }
}

/// When floods opened and closed.
fn floods(found: &[(u64, Finding)]) -> Vec<(u64, State)> {
    let floods = found.iter().filter(|(_, f)| f.kind == Kind::SynFlood && f.state != State::Update);
    floods.map(|(second, f)| (*second, f.state)).collect()
}

fn flood(rate: impl Fn(u64) -> u64) -> impl Fn(u64) -> Rates {
    move |second| Rates { spoofed: rate(second), ..calm() }
}

#[test]
fn what_is_no_flood() {
    let benign: [(&str, &dyn Fn(u64) -> Rates); 12] = [
        ("nothing", &|_| Rates::default()),
        ("ordinary", &|t| Rates { completed: 30 + t * 7 % 11, ..calm() }),
        ("health checks with half connections", &|_| Rates { resets: 8, ..calm() }),
        ("many of them, from the start", &|t| Rates { resets: 40 + t % 10, ..calm() }),
        ("browsers' preconnects at TCP_DEFER_ACCEPT", &|t| Rates {
            deferred: if t < 100 { 0 } else { 20 },
            completed: 10,
            ..calm()
        }),
        ("syncookies=2", &|t| Rates { cookies: 30 + t % 3, ..calm() }),
        ("bursts of clients that are far away", &|t| Rates {
            in_flight: if t % 97 == 0 { 120 } else { t * 5 % 9 },
            ..calm()
        }),
        ("a burst of cookies that come back a second later", &|t| Rates {
            late_cookies: if t % 60 == 59 { 40 } else { 0 },
            ..calm()
        }),
        ("a dead server behind this one", &|t| Rates {
            own_retransmits: if t > 300 { 200 } else { 0 },
            in_flight: t % 7,
            ..calm()
        }),
        ("one second of resets", &|t| Rates { resets: if t == 500 { 60 } else { 0 }, ..calm() }),
        ("flash crowd", &|t| Rates { completed: if (60..120).contains(&t) { 600 } else { 30 }, ..calm() }),
        ("slow program", &|t| match t {
            60..120 => Rates { overflows: 2000, completed: 95, spoofed: 5, ..calm() },
            _ => calm(),
        }),
    ];
    for ((name, rates), is_age_hidden) in benign.into_iter().flat_map(|case| [(case, false), (case, true)]) {
        let found = observe(900, |second| Rates { is_age_hidden, ..rates(second) });
        assert_eq!(floods(&found), [], "{name}");
        let above = found.iter().filter(|(_, f)| f.severity > Severity::Notice && f.kind != Kind::SlowAccept);
        assert_eq!(above.count(), 0, "{name}");
    }
}

#[test]
fn floods_are_found_and_close_within_a_minute_of_their_end() {
    for (rate, delay, is_age_hidden) in
        [(100, 1, false), (1000, 0, false), (20, 3, false), (100, 2, true), (1000, 1, true), (20, 5, true)]
    {
        let flood = flood(|t| if (200..320).contains(&t) { rate } else { 0 });
        let found = floods(&observe(600, |second| Rates { is_age_hidden, ..flood(second) }));
        let [(open, State::Open), (closed, State::Closed)] = found[..] else { panic!("{rate}/s: {found:?}") };
        assert!((200..=200 + delay).contains(&open), "{rate}/s: opened at {open}");
        assert!((320..=380).contains(&closed), "{rate}/s: closed at {closed}");
    }
}

#[test]
fn a_flood_that_runs_when_the_agent_starts_is_found_and_not_learned() {
    let found = observe(400, flood(|_| 200));
    assert_eq!(floods(&found), [(1, State::Open)]);
}

#[test]
fn pulses_are_one_flood() {
    let found = observe(400, flood(|t| if t >= 100 && t % 30 < 10 { 300 } else { 0 }));
    let [(open, State::Open)] = floods(&found)[..] else { panic!("{:?}", floods(&found)) };
    assert!((100..=122).contains(&open), "{open}");
}

#[test]
fn a_ramp_is_found_before_it_hurts() {
    let found = observe(500, flood(|t| if t < 100 { 0 } else { (1 + (t - 100) * 500 / 300).min(500) }));
    let (open, _) = floods(&found)[0];
    assert!(open <= 130, "opened at {open}, at {}/s", (open - 100) * 500 / 300);
}

#[test]
fn a_flood_within_a_flash_crowd_is_found_at_its_listener() {
    let rates = |t| match t {
        100..160 => Rates { completed: 600, ..calm() },
        160..200 => Rates { completed: 600, spoofed: 300, ..calm() },
        _ => calm(),
    };
    let found = observe(300, rates);
    let (second, flood) = found.iter().find(|(_, f)| f.kind == Kind::SynFlood).unwrap();
    assert!((160..=162).contains(second), "{second}");
    assert_eq!(flood.place.as_ref().unwrap().port, Some(443));
    assert!(found.iter().any(|(_, f)| f.kind == Kind::FlashCrowd));
}

#[test]
fn a_crowd_that_stays_becomes_usual() {
    let found = observe(3000, |t| Rates { completed: if t < 200 { 30 } else { 600 }, ..calm() });
    let states: Vec<_> =
        found.iter().filter(|(_, f)| f.kind == Kind::FlashCrowd).map(|(_, f)| f.state).collect();
    assert_eq!((states[0], states[states.len() - 1]), (State::Open, State::Closed));
    let closed = found.iter().find(|(_, f)| f.state == State::Closed).unwrap().0;
    assert!((250..1500).contains(&closed), "{closed}");
}

#[test]
fn live_sources_are_named_by_their_resets() {
    let found = observe(200, |t| Rates { resets: if t < 100 { 3 } else { 500 }, ..calm() });
    let (second, flood) = found.iter().find(|(_, f)| f.kind == Kind::SynFlood).unwrap();
    assert!((100..=102).contains(second), "{second}");
    assert_eq!(flood.verdict, Some("live_sources"));
}

#[test]
fn one_finding_is_updated_once_a_minute() {
    let found = observe(500, flood(|t| if t >= 100 { 200 } else { 0 }));
    let updates: Vec<u64> =
        found.iter().filter(|(_, f)| f.state == State::Update).map(|(second, _)| *second).collect();
    assert_eq!(updates.len(), 6, "{updates:?}");
    assert!(updates.windows(2).all(|pair| pair[1] - pair[0] == 60), "{updates:?}");
    assert!(found.windows(2).all(|pair| pair[0].1.id == pair[1].1.id));
}

/// A flood of these senders, from the 60th second or the first.
fn flood_of(senders: Attackers, rate: u64, from: u64) -> impl Fn(u64) -> Rates {
    move |second| Rates { spoofed: if second >= from { rate } else { 0 }, senders: Some(senders), ..calm() }
}

#[test]
fn floods_are_named_by_who_sends_them() {
    use Attackers::{Bots, MadeUp, One};
    for from in [0, 60] {
        for (senders, verdict) in [
            (MadeUp, "spoofed"),
            (One, "single_source"),
            (Bots(200), "distributed"),
            (Bots(2_000), "distributed"),
            (Bots(20_000), "distributed"),
        ] {
            for rate in [20, 100, 1_000, 5_000] {
                if from == 0 && rate < 1_000 {
                    continue; // regular clients, not known yet, may be the repeating ones
                }
                let found = observe(from + 60, flood_of(senders, rate, from));
                let (_, last) = found.iter().rfind(|(_, f)| f.kind == Kind::SynFlood).unwrap();
                // 20,000 bots need not come twice in a minute of a weak flood.
                if matches!(senders, Bots(20_000)) && rate < 100 {
                    continue;
                }
                assert_eq!(last.verdict, Some(verdict), "{rate}/s from second {from}: {last:?}");
                let named = found.iter().find(|(_, f)| f.verdict == Some(verdict)).unwrap().0;
                assert!(named <= from + 30, "{verdict} at {rate}/s: named in second {named}");
            }
        }
    }
}

#[test]
fn a_finding_tells_who_and_where() {
    let found = observe(130, flood_of(Attackers::One, 500, 60));
    let finding = &found.iter().rfind(|(_, f)| f.kind == Kind::SynFlood).unwrap().1;
    let who = finding.who.as_ref().unwrap();
    assert_eq!(who.top_sources[0].source, "203.0.113.9");
    assert!(who.top_sources[0].share > 0.9, "{who:?}");
    assert!((50..=80).contains(&who.distinct_sources), "{who:?}");
    let place = finding.place.as_ref().unwrap();
    assert_eq!((place.interface.as_deref(), place.port), (Some("eth0"), Some(443)));

    let found = observe(130, flood_of(Attackers::MadeUp, 10_000, 60));
    let who = found.iter().rfind(|(_, f)| f.kind == Kind::SynFlood).unwrap().1.who.clone().unwrap();
    assert!((90_000..=160_000).contains(&who.distinct_sources), "{who:?}");
}

#[test]
fn syns_that_never_reach_tcp_are_no_flood() {
    let rates = |not_reaching| {
        move |t: u64| Rates {
            not_reaching: if (100..200).contains(&t) { not_reaching } else { 0 },
            senders: Some(Attackers::MadeUp),
            ..calm()
        }
    };
    for rate in [100, 1_000, 50_000] {
        let found = observe(300, rates(rate));
        let kinds: Vec<_> =
            found.iter().filter(|(_, f)| f.state != State::Update).map(|(_, f)| f.kind).collect();
        assert_eq!(kinds, [Kind::NotReachingTcp; 2], "{rate}/s: {found:?}");
        assert!(found.iter().all(|(_, f)| f.severity == Severity::Notice));
        assert_eq!(found[0].1.place.as_ref().unwrap().port, Some(8080));
    }
}

#[test]
fn a_container_host_is_not_told_for_ever_of_what_it_forwards() {
    let found = observe(2_000, |t| Rates {
        not_reaching: if t < 300 { 0 } else { 400 },
        senders: Some(Attackers::MadeUp),
        ..calm()
    });
    assert_eq!(found[found.len() - 1].1.state, State::Closed, "{found:?}");
    let found = observe(2_000, |_| Rates { not_reaching: 400, senders: Some(Attackers::MadeUp), ..calm() });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn sources_that_are_to_be_ignored_raise_no_flood_and_hide_none() {
    let settings = DetectorSettings {
        ignore_sources: vec!["203.0.113.9/32".parse().unwrap()],
        ..DetectorSettings::default()
    };
    let checks =
        |t: u64| Rates { resets: if t < 100 { 0 } else { 60 }, senders: Some(Attackers::One), ..calm() };
    let found = watch(&mut SynFlood::new(&settings, 0), 0..300, checks);
    assert_eq!(floods(&found), []);
    assert!(!floods(&observe(300, checks)).is_empty());
    let others =
        |t: u64| Rates { spoofed: if t < 200 { 0 } else { 300 }, senders: Some(Attackers::MadeUp), ..calm() };
    let found = watch(&mut SynFlood::new(&settings, 0), 0..300, others);
    assert_eq!(floods(&found).len(), 1);
}

#[test]
fn a_slow_program_on_one_port_hides_no_flood_on_another() {
    let found = observe(200, |t| match t {
        100.. => Rates { overflows: 2_000, completed: 95, spoofed: 300, elsewhere: 120, ..calm() },
        50.. => Rates { overflows: 2_000, completed: 95, spoofed: 5, ..calm() },
        _ => calm(),
    });
    let (second, flood) = found.iter().find(|(_, f)| f.kind == Kind::SynFlood).expect("a flood");
    assert!((100..=112).contains(second), "{second}");
    assert_eq!(flood.place.as_ref().unwrap().port, Some(8080));
}

/// What a detector stores that watched for so long.
fn stored(seconds: u64, rates: impl Fn(u64) -> Rates) -> Option<serde_json::Value> {
    let mut detector = detector();
    watch(&mut detector, 0..seconds, rates);
    detector.learned()
}

#[test]
fn what_was_learned_is_stored_once_it_is_enough_and_taken_over() {
    assert_eq!(stored(100, |_| calm()), None);
    let learned = stored(300, |t| Rates { completed: 30 + t * 7 % 11, resets: t % 3, ..calm() }).unwrap();
    let mut restarted = detector();
    restarted.restore(&learned);
    assert_eq!(restarted.learned(), Some(learned.clone()));
    let text = learned.to_string();
    restarted.restore(&serde_json::from_str(&text).unwrap());
    assert_eq!(restarted.learned().map(|again| again.to_string()), Some(text));
}

#[test]
fn what_is_stored_during_a_flood_is_what_was_before_it() {
    let rates = |t| Rates { spoofed: if t >= 200 { 200 } else { 0 }, resets: t % 4, ..calm() };
    let mean = |seconds, of: &str| stored(seconds, rates).unwrap()[of]["mean"].as_f64().unwrap();
    for of in ["unanswered", "resets", "completed", "half_open"] {
        assert!((mean(200, of) - mean(210, of)).abs() < 1.0, "{of}");
    }
    assert_eq!(stored(210, rates), stored(2000, rates));
}

#[test]
fn after_a_restart_even_a_weak_flood_that_is_on_already_is_found_at_once() {
    let learned = stored(600, |_| calm()).unwrap();
    for (name, rates, delay, without) in [
        ("strong", Rates { spoofed: 500, ..calm() }, 2, true),
        ("weak", Rates { spoofed: 20, ..calm() }, 5, true),
        ("resets that would be taken for health checks", Rates { resets: 45, ..calm() }, 3, false),
    ] {
        let found = |detector: &mut SynFlood| floods(&watch(detector, 400..500, |_| rates));
        let mut restarted = detector();
        restarted.restore(&learned);
        let [(opened, State::Open)] = found(&mut restarted)[..] else { panic!("{name}") };
        assert!((400..=400 + delay).contains(&opened), "{name}: {opened}");
        assert_eq!(!found(&mut detector()).is_empty(), without, "{name}: without what was learned");
        // And what is stored from then on is still what was learned before.
        let mean = |value: &serde_json::Value, of: &str| value[of]["mean"].as_f64().unwrap();
        let again = restarted.learned().unwrap();
        for of in ["unanswered", "resets"] {
            assert!((mean(&again, of) - mean(&learned, of)).abs() < 1.0, "{name}: {again}");
        }
    }
}

#[test]
fn what_comes_late_replaces_seconds_and_not_minutes() {
    let learned = stored(300, |_| calm()).unwrap();
    for (seconds, usual) in [(0..2, 30.0), (0..20, 30.0), (0..200, 300.0)] {
        let mut late = detector();
        watch(&mut late, seconds.clone(), |_| Rates { completed: 300, ..calm() });
        late.restore(&learned);
        assert!((late.usual.completed.mean() - usual).abs() < 1.0, "{seconds:?}: {:?}", late.usual.completed);
    }
}

#[test]
fn what_is_damaged_or_newer_changes_nothing() {
    let good = stored(300, |_| calm()).unwrap();
    let with = |path: &str, value: serde_json::Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed
    };
    let mut without = good.clone();
    without.as_object_mut().unwrap().remove("resets");
    let mut host = detector();
    watch(&mut host, 0..20, |_| calm());
    let before = format!("{host:?}");
    for bad in [
        serde_json::Value::Null,
        "text".into(),
        serde_json::json!({}),
        without,
        with("/version", 2.into()),
        with("/unanswered", 5.into()),
        with("/unanswered/mean", (-1.0).into()),
        with("/unanswered/mean", 1e300.into()),
        with("/resets/variance", (-0.1).into()),
        with("/resets/variance", serde_json::Value::Null),
        with("/completed/seen", 1e12.into()),
        with("/half_open/seen", 3.into()),
    ] {
        host.restore(&bad);
        assert_eq!(format!("{host:?}"), before, "{bad}");
    }
    host.restore(&good);
    assert_ne!(format!("{host:?}"), before);
}

#[test]
fn a_load_balancer_that_is_to_be_ignored_hides_no_flood() {
    let settings = DetectorSettings {
        ignore_sources: vec!["192.0.2.0/24".parse().unwrap()],
        ..DetectorSettings::default()
    };
    let served = |spoofed: u64| {
        move |t| Rates {
            completed: 500,
            spoofed: if t < 100 { 0 } else { spoofed },
            senders: Some(Attackers::MadeUp),
            ..Rates::default()
        }
    };
    for rate in [0, 100, 300] {
        let found = watch(&mut SynFlood::new(&settings, 0), 0..200, served(rate));
        assert_eq!(floods(&found).len(), usize::from(rate > 0), "{rate}/s: {found:?}");
    }
}

#[test]
fn what_needs_capture_closes_without_it() {
    let found = observe(400, |t| Rates {
        not_reaching: if t < 100 { 0 } else { 1_000 },
        senders: (t < 150).then_some(Attackers::MadeUp),
        ..calm()
    });
    let told = found.iter().filter(|(_, f)| f.state != State::Update);
    let states: Vec<_> = told.map(|(_, f)| (f.kind, f.state)).collect();
    assert_eq!(states, [(Kind::NotReachingTcp, State::Open), (Kind::NotReachingTcp, State::Closed)]);
}

#[test]
fn a_second_flood_is_not_judged_by_what_the_first_left_behind() {
    let found = observe(300, |t| match t {
        60..80 => flood_of(Attackers::MadeUp, 500, 0)(t),
        130..160 => flood_of(Attackers::One, 500, 0)(t),
        _ => Rates { senders: Some(Attackers::MadeUp), ..calm() },
    });
    let closed: Vec<_> =
        found.iter().filter(|(_, f)| f.state == State::Closed).map(|(_, f)| f.verdict).collect();
    assert_eq!(closed, [Some("spoofed"), Some("single_source")]);
}
