use jiff::tz::TimeZone;

use super::*;
use crate::model::log_line::{Cursor, Grammar, Writer};
use crate::model::shipped::{LineTime, Origin};

const READ: &str = "2026-11-24T12:00:00Z";

fn log() -> ShippedLog {
    ShippedLog {
        name: "shop".into(),
        from: Origin::Files(vec!["/var/log/shop/*.log".into()]),
        group: "/shop".into(),
        stream: "{instance_id}/{name}/{file}".into(),
        time: LineTime::Auto,
        zone: None,
        first_line: None,
        include: Vec::new(),
        exclude: Vec::new(),
        daily_limit: 1 << 20,
    }
}

fn joined() -> ShippedLog {
    ShippedLog { first_line: Some(r"^\d{4}-".into()), ..log() }
}

fn lines(texts: &[&str], read: &str) -> LogLines {
    LogLines {
        log: "/var/log/shop/a.log".into(),
        grammar: Grammar::Auto,
        lines: texts.iter().map(|text| LogLine { text: (*text).into(), ..LogLine::default() }).collect(),
        read: read.parse().unwrap(),
        is_behind: false,
        zone: TimeZone::UTC,
        cursor: Some(Cursor { log: "/var/log/shop/a.log".into(), place: vec![7] }),
    }
}

fn shipper(log: ShippedLog, kept: &BTreeMap<String, Vec<u8>>) -> Shipper {
    let names = StreamNames { instance_id: "i-1".into(), hostname: "web".into() };
    Shipper::new(log, names, kept.clone(), 0).0
}

fn new(log: ShippedLog) -> Shipper {
    shipper(log, &BTreeMap::new())
}

fn messages(shipment: &Shipment) -> Vec<(String, String)> {
    let events = shipment.events.iter().flat_map(|(_, events)| events);
    events.map(|event| (event.timestamp.to_string(), event.message.clone())).collect()
}

fn keep(all: &mut BTreeMap<String, Vec<u8>>, shipment: &Shipment) {
    for (key, value) in &shipment.kept {
        match value {
            Some(value) => all.insert(key.clone(), value.clone()),
            None => all.remove(key),
        };
    }
}

#[test]
fn each_line_is_an_event_of_its_own_time_else_of_the_line_before_it() {
    let shipment =
        new(log()).ship(&lines(&["x", "2026-11-24 11:00:00 a", "\tb", "2026-11-24 11:00:01 c"], READ), 0);
    let expected = [
        (READ, "x"),
        ("2026-11-24T11:00:00Z", "2026-11-24 11:00:00 a"),
        ("2026-11-24T11:00:00Z", "\tb"),
        ("2026-11-24T11:00:01Z", "2026-11-24 11:00:01 c"),
    ];
    assert_eq!(messages(&shipment), expected.map(|(time, text)| (time.to_owned(), text.to_owned())));
    let to = Destination::Logs { group: "/shop".into(), stream: "i-1/shop/a.log".into() };
    assert_eq!(shipment.events[0].0, to);
    assert_eq!((shipment.counts.shipped, shipment.counts.mistimed), (4, 0));
    assert_eq!(shipment.kept["at /var/log/shop/a.log"], Some(vec![7]));
}

#[test]
fn empty_lines_are_no_events_but_stay_within_one() {
    let texts = ["", "2026-11-24 11:00:00 a", "", " b", "2026-11-24 11:00:01 c", ""];
    assert_eq!(new(log()).ship(&lines(&texts, READ), 0).counts.shipped, 3);
    let mut shipper = new(joined());
    let mut told = messages(&shipper.ship(&lines(&texts, READ), 0));
    told.extend(messages(&shipper.due(READ.parse().unwrap(), QUIET_MS)));
    let texts: Vec<&str> = told.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["2026-11-24 11:00:00 a\n\n b", "2026-11-24 11:00:01 c\n"]);
}

#[test]
fn what_claims_to_be_mistimed_is_of_now_and_counted() {
    let shipment = new(log()).ship(&lines(&["2026-11-24 12:09:00 a", "2027-01-01 00:00:00 b"], READ), 0);
    assert_eq!(messages(&shipment)[0].0, "2026-11-24T12:09:00Z");
    assert_eq!(messages(&shipment)[1].0, READ);
    assert_eq!(shipment.counts.mistimed, 1);
}

#[test]
fn lines_that_belong_together_are_one_event_whatever_a_restart_parts() {
    let texts = [
        "2026-11-24 11:00:00 boom",
        " at a",
        " at b",
        "2026-11-24 11:00:01 well",
        " and",
        "2026-11-24 11:00:02 end",
    ];
    let expected = vec![
        ("2026-11-24T11:00:00Z".to_owned(), "2026-11-24 11:00:00 boom\n at a\n at b".to_owned()),
        ("2026-11-24T11:00:01Z".to_owned(), "2026-11-24 11:00:01 well\n and".to_owned()),
        ("2026-11-24T11:00:02Z".to_owned(), "2026-11-24 11:00:02 end".to_owned()),
    ];
    for cut in 0..=texts.len() {
        let mut kept = BTreeMap::new();
        let mut told = Vec::new();
        for part in [&texts[..cut], &texts[cut..]] {
            // As after a kill: only what was kept is there.
            let shipment = shipper(joined(), &kept).ship(&lines(part, READ), 0);
            told.extend(messages(&shipment));
            keep(&mut kept, &shipment);
        }
        let mut last = shipper(joined(), &kept);
        let now = READ.parse().unwrap();
        assert!(last.due(now, QUIET_MS - 1).events.is_empty());
        let shipment = last.due(now, QUIET_MS);
        told.extend(messages(&shipment));
        assert_eq!(shipment.kept["open /var/log/shop/a.log"], None);
        assert_eq!(told, expected, "cut at {cut}");
    }
}

#[test]
fn an_event_without_end_is_parted() {
    let long = "y".repeat(60_000);
    let mut shipper = new(joined());
    let shipment = shipper.ship(&lines(&["2026-11-24 11:00:00 x", &long, &long, &long, &long], READ), 0);
    let rest = shipper.due(READ.parse().unwrap(), QUIET_MS);
    let parts: Vec<_> = messages(&shipment).into_iter().chain(messages(&rest)).collect();
    assert!(parts.iter().all(|(time, text)| time == "2026-11-24T11:00:00Z" && text.len() <= EVENT));
    let total: usize = parts.iter().map(|(_, text)| text.matches('y').count()).sum();
    assert_eq!((parts.len(), total), (2, 240_000));
}

#[test]
fn what_is_not_wanted_is_left_out_and_counted() {
    let rules =
        ShippedLog { include: vec!["ERROR".into(), "WARN".into()], exclude: vec!["health".into()], ..log() };
    let shipment = new(rules).ship(&lines(&["ERROR a", "INFO b", "WARN c", "ERROR health"], READ), 0);
    assert_eq!(
        messages(&shipment).iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
        ["ERROR a", "WARN c"]
    );
    assert_eq!((shipment.counts.shipped, shipment.counts.left_out), (2, 2));
    // What is left out was read: the place moves on.
    assert!(shipment.kept.contains_key("at /var/log/shop/a.log"));
}

#[test]
fn a_day_ends_at_its_limit_and_says_so_also_after_a_restart() {
    // Two events of 10 bytes and what each is billed beside.
    let rules = ShippedLog { daily_limit: 2 * 36, time: LineTime::Read, ..log() };
    let mut kept = BTreeMap::new();
    let first = shipper(rules.clone(), &kept).ship(&lines(&["0123456789"; 4], READ), 0);
    keep(&mut kept, &first);
    let told = messages(&first);
    assert_eq!(
        (told.len(), first.counts.shipped, first.counts.over_limit, first.counts.bytes),
        (3, 2, 2, 72)
    );
    let gap: serde_json::Value = serde_json::from_str(&told[2].1).unwrap();
    assert_eq!((gap["type"].as_str(), gap["cause"].as_str()), (Some("gap"), Some("daily_limit")));
    assert_eq!(
        (gap["limit_bytes"].as_u64(), gap["until"].as_str()),
        (Some(72), Some("2026-11-25T00:00:00Z"))
    );
    let second = shipper(rules.clone(), &kept).ship(&lines(&["0"], "2026-11-24T23:59:59Z"), 0);
    keep(&mut kept, &second);
    assert_eq!((messages(&second).len(), second.counts.over_limit), (0, 1));
    // The next day begins without a line: the gap is told in the same stream.
    let mut third = shipper(rules, &kept);
    let turned = third.due("2026-11-25T00:00:01Z".parse().unwrap(), 0);
    let gap: serde_json::Value = serde_json::from_str(&messages(&turned)[0].1).unwrap();
    assert_eq!(
        (gap["lost"].as_u64(), gap["lost_bytes"].as_u64(), gap["day"].as_str()),
        (Some(3), Some(99), Some("2026-11-24"))
    );
    keep(&mut kept, &turned);
    let next = third.ship(&lines(&["0"], "2026-11-25T00:00:02Z"), 0);
    assert_eq!((messages(&next).len(), next.counts.shipped), (1, 1));
    // A clock that is set back begins no day anew, unless it was years ahead.
    assert!(third.due("2026-11-24T12:00:00Z".parse().unwrap(), 0).is_empty());
    assert!(!third.due("2025-11-24T12:00:00Z".parse().unwrap(), 0).is_empty());
}

#[test]
fn the_end_of_a_day_is_told_in_the_stream_that_was_written_to_also_after_a_restart() {
    let rules = ShippedLog { daily_limit: 40, time: LineTime::Read, ..log() };
    let mut kept = BTreeMap::new();
    let first = shipper(rules.clone(), &kept).ship(&lines(&["0123456789"; 2], READ), 0);
    keep(&mut kept, &first);
    let turned = shipper(rules, &kept).due("2026-11-25T00:00:01Z".parse().unwrap(), 0);
    assert_eq!(turned.events.len(), 1);
    assert_eq!(turned.events[0].0, first.events[0].0);
}

#[test]
fn a_line_without_a_time_has_that_of_the_line_before_it_also_of_another_batch() {
    let mut shipper = new(log());
    shipper.ship(&lines(&["2026-11-24 11:00:00 a"], READ), 0);
    let told = messages(&shipper.ship(&lines(&[" at b"], READ), 0));
    assert_eq!(told, [("2026-11-24T11:00:00Z".to_owned(), " at b".to_owned())]);
    // Not for ever: a log whose lines have no times is of when it was read.
    for later in ["2026-11-24T12:01:00Z", "2026-11-24T12:01:04Z"] {
        assert_eq!(messages(&shipper.ship(&lines(&["c"], later), 0))[0].0, later);
    }
}

#[test]
fn unfinished_events_of_many_files_do_not_fill_the_memory() {
    let rules = ShippedLog { daily_limit: u64::MAX, ..joined() };
    let (mut shipper, long) = (new(rules), "z".repeat(60_000));
    let mut finished = 0;
    for file in 0..200 {
        let of_file = LogLines {
            log: format!("/var/log/shop/{file}.log").into(),
            ..lines(&["2026-11-24 11:00:00 x", &long], READ)
        };
        finished += shipper.ship(&of_file, 0).counts.shipped;
        let held: usize = shipper.open.values().map(|open| open.text.len()).sum();
        assert!(held <= UNFINISHED, "{held}");
    }
    assert!(finished > 100, "{finished}");
}

#[test]
fn entries_of_the_journal_keep_their_time_and_writer() {
    let mut of_journal = lines(&["hello"], READ);
    let time = "2026-11-24T11:59:59.25Z".parse().unwrap();
    of_journal.lines[0].writer = Some(Writer { time, program: "shop".into(), pid: Some(7) });
    let shipment = new(log()).ship(&of_journal, 0);
    assert_eq!(messages(&shipment), [(time.to_string(), "shop[7]: hello".to_owned())]);
}

#[test]
fn what_others_write_between_is_no_part_of_an_event() {
    let mut of_journal = lines(&["2026 boom", " at a", "Stopping shop", " at b", "2027 end"], READ);
    for (line, program) in of_journal.lines.iter_mut().zip(["shop", "shop", "systemd", "shop", "shop"]) {
        line.writer = Some(Writer { time: READ.parse().unwrap(), program: program.into(), pid: Some(7) });
    }
    let shipment = new(ShippedLog { first_line: Some("^20".into()), ..log() }).ship(&of_journal, 0);
    let texts: Vec<String> = messages(&shipment).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["shop[7]: 2026 boom\n at a", "systemd[7]: Stopping shop", "shop[7]:  at b"]);
}

#[test]
fn a_stream_has_a_name_that_cloudwatch_takes() {
    for (template, stream) in [
        ("{instance_id}", "i-1"),
        ("{hostname}-{name}", "web-shop"),
        ("a:b*c/{file}", "a_b_c/a.log"),
        ("{unknown}", "{unknown}"),
    ] {
        let shipper = new(ShippedLog { stream: template.into(), ..log() });
        assert_eq!(shipper.stream("/var/log/shop/a.log"), stream);
    }
}

#[test]
fn what_was_kept_by_nobody_is_begun_anew() {
    let strange =
        [("day", "x"), ("open /a", "no time"), ("open /b", "1\nthere"), ("at /a", "\u{1}"), ("else", "")];
    let kept = strange.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
    let (shipper, at) = Shipper::new(log(), StreamNames::default(), kept, 5);
    assert_eq!((shipper.day, shipper.open.len(), at.len()), (Day::default(), 1, 1));
}
