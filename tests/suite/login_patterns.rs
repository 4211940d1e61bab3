//! Guessing of passwords: what is found in logs of many kinds, when, and what is not.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
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
type Change = fn(&mut LoginSettings);
type Capture = fn(&mut Vec<SynSecond>);
type Clock = fn(i64) -> i64;

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

#[test]
fn attempts_are_counted_once() {
    for (name, make) in SCENES {
        let (scene, mut detector) = (make(3), default(3));
        detector.observe(&lines_read("journal", false));
        replay(&mut detector, &scene.logins);
        detector.observe(&Event::Snapshot(Arc::new(snapshot(BEGIN, 0))));
        let counted = detector.measurements().iter().find(|(name, _)| *name == "login_failures").unwrap().1;
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let truth = scene.failures as f64;
        assert!((counted - truth).abs() <= 0.02 * truth, "{name}: {counted} of {truth}");
    }
}

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| serde_json::to_string(finding).unwrap()).collect()
}

/// A kill at any line, and reading again from the stored place, changes nothing of what is told.
#[test]
fn a_restart_changes_nothing() {
    for (name, make) in SCENES {
        let scene = make(5);
        let whole = told(&replay(&mut default(5), &scene.logins));
        for part in [1, 3, 5, 7] {
            let stop = scene.logins.len() * part / 8;
            let mut first = default(5);
            let mut both = told(&replay(&mut first, &scene.logins[..stop]));
            let mut second = default(99); // another run has another seed
            let kept = first.learned();
            if let Some(kept) = &kept {
                let bytes = kept.to_string().len();
                assert!(bytes < 100 * 1024, "{name}: {bytes}");
                let kept = serde_json::from_str(&kept.to_string()).unwrap();
                second.restore(&kept);
            }
            both.extend(told(&replay(&mut second, &scene.logins[stop..])));
            assert_eq!(both, whole, "{name}, stopped at line {stop}");
        }
    }
}

#[test]
fn what_was_stored_by_others_changes_nothing() {
    let scene = SCENES[6].1(1);
    let whole = told(&replay(&mut default(1), &scene.logins));
    for strange in ["null", "{}", "[1]", r#"{"version":1}"#, r#"{"version":2,"seed":3}"#] {
        let mut detector = default(1);
        detector.restore(&serde_json::from_str(strange).unwrap());
        assert_eq!(told(&replay(&mut detector, &scene.logins)), whole, "{strange}");
    }
    assert_eq!(default(1).learned(), None);
}

const GUESSER: [u8; 4] = [198, 51, 100, 7];

/// A failure of sshd, on a connection of its own.
fn failure(at: i64, number: u32, source: [u8; 4], user: &str) -> Login {
    Login {
        time: Timestamp::from_second(BEGIN + at).unwrap(),
        service: "sshd".into(),
        pid: Some(1000 + number),
        source: Some(source.into()),
        port: None,
        user: Some(user.into()),
        is_known_user: Some(true),
        outcome: Outcome::Failure,
        method: Some("password".into()),
        count: Count::Daemon(1),
        rule: "sshd.failed",
        is_trusted: true,
    }
}

fn success(at: i64, number: u32, source: [u8; 4], user: &str) -> Login {
    Login { outcome: Outcome::Success, ..failure(at, number, source, user) }
}

/// So many failures of one address on one user.
fn failures(at: i64, gap: i64, times: u32) -> Vec<Login> {
    (0..times).map(|number| failure(at + i64::from(number) * gap, number, GUESSER, "root")).collect()
}

#[test]
fn thresholds_are_those_of_the_settings() {
    let settings = |change: fn(&mut LoginSettings)| {
        let mut settings = LoginSettings::default();
        change(&mut settings);
        settings
    };
    let users = |times: u32| -> Vec<Login> {
        (0..times).map(|n| failure(i64::from(n) * 90, n, GUESSER, &format!("user{n}"))).collect()
    };
    let sources = |times: u8| -> Vec<Login> {
        (0..times).map(|n| failure(i64::from(n) * 90, n.into(), [192, 0, 2, n], "root")).collect()
    };
    let ours = "198.51.100.0/24";
    let known = |mut lines: Vec<Login>| {
        lines.insert(0, success(-100_000, 900, GUESSER, "alice"));
        lines
    };
    let none: Change = |_| {};
    let cases: Vec<(&str, Change, Vec<Login>, &[&str])> = vec![
        ("five in a minute", none, failures(0, 9, 5), &[]),
        ("six in a minute", none, failures(0, 9, 6), &["brute_force"]),
        ("six in more than a minute", none, failures(0, 13, 6), &[]),
        ("nine in ten minutes", none, failures(0, 59, 9), &[]),
        ("ten in ten minutes", none, failures(0, 59, 10), &["brute_force"]),
        ("three allowed", |s| s.attempts = 3, failures(0, 9, 3), &["brute_force"]),
        ("five users", none, users(5), &[]),
        ("six users", none, users(6), &["password_spray"]),
        ("four users allowed", |s| s.users = 4, users(4), &["password_spray"]),
        ("seven addresses", none, sources(7), &[]),
        ("eight addresses", none, sources(8), &["distributed_brute_force"]),
        ("four addresses allowed", |s| s.sources = 4, sources(4), &["distributed_brute_force"]),
        ("slow, regular: eight in 45 minutes", none, failures(0, 400, 8), &["slow_brute_force"]),
        ("slow, regular: seven", none, failures(0, 400, 7), &[]),
        ("known by a login", none, known(failures(0, 3, 17)), &[]),
        ("known by a login, too much", none, known(failures(0, 3, 18)), &["brute_force"]),
        (
            "known for eight days",
            none,
            [vec![success(-700_000, 900, GUESSER, "alice")], failures(0, 9, 6)].concat(),
            &["brute_force"],
        ),
        (
            "known by settings",
            |s| s.known_sources = vec!["198.51.100.0/24".parse().unwrap()],
            failures(0, 3, 17),
            &[],
        ),
        (
            "known by settings, too much",
            |s| s.known_sources = vec!["198.51.100.0/24".parse().unwrap()],
            failures(0, 3, 18),
            &["brute_force"],
        ),
        (
            "ignored",
            |s| s.ignore_sources = vec!["198.51.100.0/24".parse().unwrap()],
            failures(0, 1, 500),
            &[],
        ),
    ];
    for (name, change, lines, expected) in cases {
        let findings = replay(&mut logins(settings(change), 1), &lines);
        assert_eq!(kinds(&findings), expected, "{name}");
        let is_ours = settings(change).known_sources.iter().any(|net| net.to_string() == ours);
        assert!(!is_ours || findings.iter().all(|finding| finding.severity == Severity::Notice), "{name}");
    }
}

#[test]
fn a_success_tells_by_what_went_before() {
    let typed = |times| [failures(0, 20, times), vec![success(100, 99, GUESSER, "root")]].concat();
    let by_key = |mut lines: Vec<Login>| {
        lines.last_mut().unwrap().method = Some("publickey".into());
        lines
    };
    let home = vec![success(-5_000, 90, GUESSER, "root")];
    let alarm: &[&str] = &["success_after_failures"];
    let cases: Vec<(&str, Vec<Login>, &[&str])> = vec![
        ("three typing errors", typed(3), &[]),
        ("four", typed(4), &[]),
        ("five", typed(5), alarm),
        ("five by one who logged in before", [home.clone(), typed(5)].concat(), &[]),
        (
            "by key, from an address that is known, with a finding",
            [home.clone(), by_key([failures(0, 2, 30), vec![success(100, 99, GUESSER, "root")]].concat())]
                .concat(),
            &["brute_force"],
        ),
        ("seven slow ones", [failures(0, 900, 7), vec![success(6_400, 99, GUESSER, "root")]].concat(), &[]),
        (
            "eight slow ones",
            [failures(0, 1300, 8), vec![success(10_000, 99, GUESSER, "root")]].concat(),
            &["slow_brute_force", "success_after_failures"],
        ),
        (
            "long after the finding closed",
            [failures(0, 5, 20), vec![success(9_000, 99, GUESSER, "root")]].concat(),
            &["brute_force", "success_after_failures"],
        ),
        (
            "the next day",
            [failures(0, 5, 20), vec![success(90_000, 99, GUESSER, "root")]].concat(),
            &["brute_force"],
        ),
        (
            "another address",
            [failures(0, 5, 20), vec![success(200, 99, [192, 0, 2, 1], "root")]].concat(),
            &["brute_force"],
        ),
        ("two logins, one finding", [typed(5), vec![success(130, 98, GUESSER, "root")]].concat(), alarm),
    ];
    for (name, lines, expected) in cases {
        assert_eq!(kinds(&replay(&mut default(1), &lines)), expected, "{name}");
    }
}

#[test]
fn a_finding_opens_once_is_updated_every_five_minutes_and_closes_once() {
    let mut lines = failures(0, 20, 200); // to 3980
    lines.push(failure(3_980 + 1_799, 0, [192, 0, 2, 1], "bob"));
    lines.push(failure(3_980 + 1_860, 1, [192, 0, 2, 1], "bob"));
    let findings = replay(&mut default(1), &lines);
    let first = &findings[0];
    assert!(findings.iter().all(|finding| finding.id == first.id && finding.began == first.began));
    let states: Vec<State> = findings.iter().map(|finding| finding.state).collect();
    assert_eq!((states[0], *states.last().unwrap()), (State::Open, State::Closed));
    assert!(states[1..states.len() - 1].iter().all(|state| *state == State::Update));
    assert_eq!(states.len(), 2 + 12, "{states:?}");
    let last = findings.last().unwrap();
    let at = |second: i64| Timestamp::from_second(BEGIN + second).unwrap();
    assert_eq!((last.began, last.last_seen, last.ended), (at(0), at(3_980), Some(at(5_840))));
    assert_eq!(last.who.as_ref().unwrap().top_sources[0].attempts, Some(200));
    assert_eq!(last.place.as_ref().unwrap().service.as_deref(), Some("sshd"));
    assert!(
        last.evidence
            .iter()
            .any(|signal| signal.signal == "attempts_failed" && (signal.value - 200.0).abs() < 0.1)
    );
    // What was told makes no other finding; a new attack does.
    lines.push(failure(6_500, 0, GUESSER, "root"));
    assert_eq!(opened(&replay(&mut default(1), &lines)).len(), 1);
    lines.extend(failures(6_600, 5, 6));
    assert_eq!(kinds(&replay(&mut default(1), &lines)), ["brute_force"; 2]);
}

/// Seconds of a live host from which these lines come; the wall clock is what `wall` makes of the second.
fn live(detector: &mut Logins, seconds: i64, wall: fn(i64) -> i64, lines: &[Login]) -> Vec<(i64, State)> {
    let (mut found, mut next) = (Vec::new(), lines.iter().peekable());
    detector.observe(&lines_read("journal", false));
    for second in 0..seconds {
        let mut told = Vec::new();
        while let Some(line) = next.next_if(|line| line.time.as_second() <= BEGIN + second) {
            let time = Timestamp::from_second(BEGIN + wall(line.time.as_second() - BEGIN)).unwrap();
            told.extend(login(detector, &Login { time, ..line.clone() }));
        }
        let now = snapshot(BEGIN + wall(second), u64::try_from(second).unwrap() * 1000);
        told.extend(detector.observe(&Event::Snapshot(Arc::new(now))));
        found.extend(told.into_iter().map(|finding| (second, finding.state)));
    }
    found.retain(|(_, state)| *state != State::Update);
    found
}

#[test]
fn a_clock_that_jumps_neither_opens_nor_loses_findings() {
    let walls: [(&str, Clock); 5] = [
        ("right", |second| second),
        ("an hour ahead", |second| if second < 400 { second } else { second + 3600 }),
        ("an hour back", |second| if second < 400 { second } else { second - 3600 }),
        ("ten years ahead", |second| if second < 400 { second } else { second + 315_000_000 }),
        ("there and back", |second| if (300..500).contains(&second) { second + 86_400 } else { second }),
    ];
    for (name, wall) in walls {
        let attack: Vec<Login> = failures(100, 10, 60); // to 690
        let found = live(&mut default(1), 3_000, wall, &attack);
        let (opened, closed) = (150, 690 + 1_800);
        assert_eq!(found[0], (opened, State::Open), "{name}");
        assert_eq!(found.len(), 2, "{name}: {found:?}");
        assert!((found[1].0 - closed).abs() <= 2, "{name}: {found:?}");
        // Few attempts before and after the jump are no attack.
        let few: Vec<Login> = (0..8)
            .map(|n| failure(380 + i64::from(n) * 5 * if n < 4 { 1 } else { 40 }, n, GUESSER, "root"))
            .collect();
        assert_eq!(live(&mut default(1), 3_000, wall, &few), [], "{name}");
    }
}

#[test]
fn yesterdays_lines_are_found_and_close_only_when_all_is_read() {
    let mut detector = default(1);
    for second in 0..3 {
        detector.observe(&Event::Snapshot(Arc::new(snapshot(
            BEGIN + 100_000 + second,
            second.unsigned_abs() * 1000,
        ))));
    }
    let findings = replay(&mut detector, &failures(0, 5, 30));
    assert_eq!(kinds(&findings), ["brute_force"]);
    assert_eq!(findings[0].began.as_second(), BEGIN);
    detector.observe(&lines_read("journal", true));
    let tick = |second: i64| {
        Event::Snapshot(Arc::new(snapshot(BEGIN + 100_000 + second, second.unsigned_abs() * 1000)))
    };
    assert!((3..9).all(|second| detector.observe(&tick(second)).is_empty()));
    detector.observe(&lines_read("journal", false));
    let closed = detector.observe(&tick(9));
    assert_eq!((closed.len(), closed[0].state), (1, State::Closed));
}

#[test]
fn names_of_users_who_do_not_exist_are_not_told() {
    let secret = "hunter2\u{1b}[31m";
    let mut lines = failures(0, 5, 3);
    lines.extend((0..4).map(|n| Login {
        is_known_user: Some(false),
        ..failure(20 + i64::from(n), 50 + n, GUESSER, secret)
    }));
    lines.extend(
        (0..4).map(|n| Login { is_known_user: None, ..failure(30 + i64::from(n), 60 + n, GUESSER, "maybe") }),
    );
    let text = |settings| {
        let mut detector = logins(settings, 1);
        let findings = replay(&mut detector, &lines);
        assert_eq!(kinds(&findings), ["brute_force"]);
        let last = replay(&mut detector, &[failure(9_000, 1, GUESSER, "root")]);
        told(&last).join("") + &detector.learned().unwrap().to_string()
    };
    let masked = text(LoginSettings::default());
    assert!(masked.contains("root") && masked.contains("(unknown user)"), "{masked}");
    assert!(!masked.contains("hunter2") && !masked.contains("maybe"), "{masked}");
    let shown = text(LoginSettings { show_unknown_users: true, ..LoginSettings::default() });
    assert!(
        shown.contains("hunter2")
            && shown.contains("maybe")
            && !shown.contains('\u{1b}')
            && !shown.contains("\\u001b"),
        "{shown}"
    );
}

/// A host whose capture sees every SYN, or of which this is not certain.
fn with_capture(
    seconds: i64,
    syn_from: Option<[u8; 4]>,
    capture: fn(&mut Vec<SynSecond>),
    lines: &[Login],
) -> (Vec<Finding>, f64) {
    let mut detector = default(1);
    let (mut found, mut suspect) = (Vec::new(), 0.0);
    let mut next = lines.iter().peekable();
    detector.observe(&lines_read("/var/log/secure", false));
    for second in 0..seconds {
        while let Some(line) = next.next_if(|line| line.time.as_second() <= BEGIN + second) {
            found.extend(login(&mut detector, line));
        }
        let mut now = snapshot(BEGIN + second, second.unsigned_abs() * 1000);
        let syn = |source: [u8; 4]| SynPacket { source: source.into(), port: 22, kind: SynKind::Syn };
        let sample: Vec<SynPacket> = syn_from.map(syn).into_iter().collect();
        let mut syns =
            vec![SynSecond { interface: "eth0".into(), syns: sample.len() as u64, one_in: 1, sample }];
        capture(&mut syns);
        now.syns = (!syns.is_empty()).then_some(syns);
        found.extend(detector.observe(&Event::Snapshot(Arc::new(now))));
        suspect +=
            detector.measurements().iter().find(|(name, _)| *name == "login_events_suspect").unwrap().1;
    }
    (found, suspect)
}

#[test]
#[expect(clippy::type_complexity, reason = "a table")]
fn lines_of_addresses_without_a_connection_are_suspect() {
    let file = |at| -> Vec<Login> {
        failures(at, 1, 12).into_iter().map(|line| Login { is_trusted: false, ..line }).collect()
    };
    let loopback = |at| -> Vec<Login> {
        file(at).into_iter().map(|line| Login { source: Some([127, 0, 0, 1].into()), ..line }).collect()
    };
    let mut then_in = file(1000);
    then_in.push(Login { is_trusted: false, ..success(1013, 99, GUESSER, "root") });
    let all: Capture = |_| {};
    let cases: Vec<(&str, Option<[u8; 4]>, Capture, Vec<Login>, &[(&str, Severity)], bool)> = vec![
        ("forged", None, all, file(1000), &[("brute_force", Severity::Notice)], true),
        (
            "forged, with a success",
            None,
            all,
            then_in,
            &[("brute_force", Severity::Notice), ("success_after_failures", Severity::Notice)],
            true,
        ),
        ("connected", Some(GUESSER), all, file(1000), &[("brute_force", Severity::Warning)], false),
        (
            "the journal vouches for it",
            None,
            all,
            failures(1000, 1, 12),
            &[("brute_force", Severity::Warning)],
            false,
        ),
        ("no capture", None, Vec::clear, file(1000), &[("brute_force", Severity::Warning)], false),
        (
            "a sample",
            None,
            |syns| syns.iter_mut().for_each(|second| second.one_in = 2),
            file(1000),
            &[("brute_force", Severity::Warning)],
            false,
        ),
        ("captured for ten minutes", None, all, file(600), &[("brute_force", Severity::Warning)], false),
        ("from this host", None, all, loopback(1000), &[("brute_force", Severity::Warning)], false),
    ];
    for (name, syn_from, capture, lines, expected, is_suspect) in cases {
        let (findings, suspect) = with_capture(1_030, syn_from, capture, &lines);
        let open = opened(&findings);
        let found: Vec<_> = open.iter().map(|finding| (finding.kind.as_str(), finding.severity)).collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(suspect > 0.0, is_suspect, "{name}");
        assert!(
            open.iter().all(|finding| finding.marks.contains(&"possibly_forged") == is_suspect),
            "{name}"
        );
        assert!(open[0].last_seen.as_second() <= lines[5].time.as_second() + 4, "{name}");
    }
}

const MEASURED: [&str; 6] = [
    "login_failures",
    "login_successes",
    "login_failure_sources",
    "login_brute_force_active",
    "login_success_after_failures",
    "login_events_suspect",
];

#[test]
fn measurements_are_those_of_the_logs() {
    let mut detector = default(1);
    let tick = |detector: &mut Logins, second: i64| {
        detector.observe(&Event::Snapshot(Arc::new(snapshot(BEGIN + second, second.unsigned_abs() * 1000))));
        let measured = detector.measurements();
        let of =
            |name: &&str| measured.iter().find(|(measured, _)| measured == name).map(|(_, value)| *value);
        MEASURED.iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(tick(&mut detector, 0), [] as [f64; 0]);
    detector.observe(&lines_read("journal", false));
    assert_eq!(tick(&mut detector, 1), [0.0; 6]);
    replay(&mut detector, &failures(2, 0, 6));
    replay(&mut detector, &[failure(2, 7, [192, 0, 2, 1], "bob"), success(2, 8, [192, 0, 2, 2], "bob")]);
    assert_eq!(tick(&mut detector, 2), [7.0, 1.0, 2.0, 1.0, 0.0, 0.0]);
    replay(&mut detector, &[success(3, 9, GUESSER, "root")]);
    assert_eq!(tick(&mut detector, 3), [0.0, 1.0, 2.0, 1.0, 1.0, 0.0]);
    assert_eq!(tick(&mut detector, 603), [0.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
}

/// A guesser at five attempts of six, an open finding, and two hundred thousand addresses of one attempt each.
#[test]
fn a_crowd_hides_nobody() {
    for seed in 0..3 {
        let mut detector = default(seed);
        assert!(replay(&mut detector, &failures(0, 1, 5)).is_empty());
        let open: Vec<Login> = (0..6).map(|n| failure(5, 20 + n, [192, 0, 2, 1], "bob")).collect();
        assert_eq!(kinds(&replay(&mut detector, &open)), ["brute_force"]);
        let mut told = Vec::new();
        for number in 0..200_000u32 {
            let [_, b, c, d] = number.to_be_bytes();
            told.extend(login(
                &mut detector,
                &failure(6 + i64::from(number / 10_000), number % 30_000, [20 + b, b, c, d], "root"),
            ));
        }
        assert_eq!(kinds(&told), ["distributed_brute_force"]);
        let sixth = replay(&mut detector, &[failure(30, 5, GUESSER, "root")]);
        assert_eq!(kinds(&sixth), ["brute_force"]);
        let bytes = detector.learned().unwrap().to_string().len();
        assert!(bytes < 100 * 1024, "{bytes}");
        let closed = replay(&mut detector, &[failure(9_000, 1, [192, 0, 2, 9], "bob")]);
        assert!(closed.iter().filter(|finding| finding.state == State::Closed).count() >= 3);
    }
}

/// More guessers than findings are kept for.
#[test]
fn open_findings_are_bounded_and_the_rest_is_told_together() {
    let mut detector = default(1);
    let mut told = Vec::new();
    for number in 0..1_000u32 {
        let [_, _, c, d] = number.to_be_bytes();
        told.extend((0..7).flat_map(|n| {
            login(
                &mut detector,
                &failure(i64::from(number), number * 8 + n, [20, 1, c, d], &format!("u{number}")),
            )
        }));
    }
    let count = |kind: &str| kinds(&told).iter().filter(|found| **found == kind).count();
    assert_eq!((count("brute_force"), count("distributed_spray")), (64, 1));
    let spray = told.iter().rfind(|finding| finding.kind.as_str() == "distributed_spray").unwrap();
    assert!(spray.marks.contains(&"too_many_sources"));
    assert!(detector.learned().unwrap().to_string().len() < 200 * 1024);
}

/// The state file refuses more than 256 KiB, and would keep what was learned before beside places that moved on.
#[test]
fn what_is_kept_fits_into_the_state_file_whatever_the_settings() {
    let settings = LoginSettings { sources: 10_000, users: 1000, ..LoginSettings::default() };
    let mut detector = logins(settings, 1);
    let mut number = 0;
    for user in 0..40 {
        for source in 0..600u32 {
            let [_, _, c, d] = source.to_be_bytes();
            number += 1;
            let line =
                failure(i64::from(user * 60), number, [20, 1, c, d], &format!("{user}{}", "u".repeat(60)));
            login(&mut detector, &line);
        }
    }
    // Findings with as many users as one remembers.
    for guesser in 0..64 {
        for user in 0..70 {
            number += 1;
            login(&mut detector, &failure(3_000, number, [30, 1, 1, guesser], &format!("v{user}")));
        }
    }
    let kept = detector.learned().unwrap();
    assert!(kept.to_string().len() < 256 * 1024);
    assert!(kept["open"].as_array().unwrap().len() >= 64, "what is open is never left out");
    let mut second = default(2);
    second.restore(&kept);
    assert_eq!(second.learned().unwrap()["open"], kept["open"]);
}

/// A log that was behind and is no longer read (another configuration) holds no finding open.
#[test]
fn a_log_that_is_no_longer_read_is_not_waited_for() {
    let mut detector = default(1);
    let tick = |detector: &mut Logins, at: i64| {
        detector.observe(&Event::Snapshot(Arc::new(snapshot(BEGIN + at, u64::try_from(at).unwrap() * 1000))))
    };
    tick(&mut detector, 0);
    detector.observe(&lines_read("/var/log/old", true));
    assert_eq!(kinds(&replay(&mut detector, &failures(0, 0, 6))), ["brute_force"]);
    let closed =
        (1..3_000).find(|at| tick(&mut detector, *at).iter().any(|told| told.state == State::Closed));
    assert!(closed.is_some_and(|at| (1_800..1_900).contains(&at)), "{closed:?}");
}

/// A scene is what it says: the same seed makes the same log.
#[test]
fn scenes_are_seeded() {
    let lines = |seed| Host::new(seed).day(3.0).scene().logins;
    assert_eq!(lines(1), lines(1));
    assert_ne!(lines(1), lines(2));
}
