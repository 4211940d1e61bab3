//! Lines of every format, and what they tell.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::model::log_line::{Grammar, LogLine, LogLines};
use crate::model::login::Count;
use crate::model::web_log::{LatencyField, Requests, TimeUnit, WebLog};

const READ: &str = "2026-06-08T09:09:00Z";

/// `combined 200 123 192.0.2.4 /users/{id}`; `-` for what is not known, `none: why` of what is no request.
fn told(reader: &mut AccessReader, log: &WebLog, line: &str) -> String {
    let explained = reader.explain(log, &"log".into(), line, READ.parse().unwrap());
    let Some(format) = explained.format else { return "none".into() };
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    format!(
        "{} {} {} {} {}",
        format.as_str(),
        or_none(explained.status.map(|status| status.to_string())),
        or_none(explained.latency.map(|latency| latency.to_string())),
        or_none(explained.source.map(|source| source.to_string())),
        or_none(explained.template),
    )
}

/// Every line of `tests/fixtures/access`: what is expected, a tab, the line.
#[test]
fn every_labelled_line_is_right() {
    let labelled = include_str!("../../../../tests/fixtures/access/labelled.txt");
    let (mut reader, log, mut wrong) = (AccessReader::default(), WebLog::recognised("log"), Vec::new());
    for line in labelled.lines().filter(|line| !line.is_empty() && !line.starts_with("## ")) {
        let (expected, line) = line.split_once('\t').unwrap();
        let found = told(&mut reader, &log, line);
        if found != expected {
            wrong.push(format!("{line}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Ten lines and more of each format are labelled.
#[test]
fn every_format_is_labelled() {
    let labelled = include_str!("../../../../tests/fixtures/access/labelled.txt");
    for format in Format::ALL {
        let own = labelled.lines().filter(|line| line.split(' ').next() == Some(format.as_str())).count();
        assert!(own >= 10, "{}: {own}", format.as_str());
    }
}

fn lines(texts: &[&str]) -> LogLines {
    let line = |text: &&str| LogLine { text: (*text).to_owned(), ..LogLine::default() };
    LogLines {
        log: "/var/log/x".into(),
        grammar: Grammar::Auto,
        lines: texts.iter().map(line).collect(),
        read: READ.parse().unwrap(),
        is_behind: false,
        zone: TimeZone::UTC,
        cursor: None,
    }
}

fn combined(source: &str, user: &str, second: u32, status: u16) -> String {
    format!(
        "{source} - {user} [08/Jun/2026:09:08:{second:02} +0000] \"GET /a HTTP/1.1\" {status} 5 \"-\" \"x\" 0.250"
    )
}

#[test]
fn requests_are_counted_by_log() {
    let mut reader = AccessReader::default();
    let texts = [200, 304, 404, 401, 403, 500, 503].map(|status| combined("192.0.2.4", "-", 1, status));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(reader.logins(&WebLog::recognised("shop"), &lines(&texts)), []);
    let mut expected =
        Requests { requests: 7, client_errors: 3, server_errors: 2, unauthorized: 2, ..Requests::default() };
    expected.latency.add_times(binned(250.0), 7);
    assert_eq!(reader.take(), [("shop".into(), expected)]);
    assert_eq!(reader.take(), [("shop".into(), Requests::default())]);
    assert_eq!((reader.take_unread(), reader.take_remarks().count()), (Some(0), 0));
}

use crate::model::web_log::binned;

#[test]
fn what_is_wrong_is_counted_and_said_once() {
    let mut reader = AccessReader::default();
    let ahead = combined("192.0.2.4", "-", 1, 200).replace("2026", "2027");
    let long = format!("192.0.2.4 - - [08/Jun/2026:09:08:53 +0000] \"GET /{}", "a".repeat(1 << 20));
    let negative = combined("192.0.2.4", "-", 1, 200).replace("0.250", "-0.250");
    let json =
        r#"{"remote_addr":"192.0.2.4","request_method":"GET","uri":"/","status":200,"request_time":0.5}"#;
    let good = combined("192.0.2.4", "-", 1, 200);
    let texts = ["nonsense", &long, &ahead, &negative, json, &good, json, "nonsense", &ahead, &negative];
    reader.logins(&WebLog::recognised("shop"), &lines(&texts));
    let (_, counts) = reader.take().remove(0);
    assert_eq!((counts.requests, counts.latency.count()), (7, 5));
    assert_eq!(reader.take_unread(), Some(3));
    let remarks: Vec<String> = reader.take_remarks().collect();
    assert_eq!(remarks.len(), 5, "{remarks:#?}");
    for said in ["are not understood", "ahead of this host", "negative", "changes", "times are missing"] {
        assert!(remarks.iter().any(|remark| remark.contains(said)), "{said}: {remarks:#?}");
    }
    assert!(remarks.iter().all(|remark| remark.len() < 500));
}

#[test]
fn a_burst_of_refusals_is_a_failed_login() {
    let mut reader = AccessReader::default();
    let log = WebLog::recognised("shop");
    let mut attempts = |source: &str, user: &str, status, count: u32| {
        let texts: Vec<String> =
            (0..count).map(|number| combined(source, user, number % 60, status)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let logins = reader.logins(&log, &lines(&texts));
        let of = |login: &crate::model::login::Login| match login.count {
            Count::Daemon(count) => count,
            _ => 0,
        };
        assert!(logins.iter().all(|login| login.source == source.parse().ok()));
        logins.iter().map(of).sum::<u32>()
    };
    assert_eq!(attempts("192.0.2.1", "-", 403, 19), 0);
    assert_eq!(attempts("192.0.2.2", "-", 401, 30), 30);
    assert_eq!(attempts("192.0.2.3", "bob", 401, 2), 2);
    assert_eq!(attempts("2001:db8::4", "bob", 403, 30), 30);
    assert_eq!(attempts("192.0.2.5", "-", 404, 50), 0);
}

#[test]
fn what_is_told_of_a_log_is_believed() {
    let mut reader = AccessReader::default();
    let rule = |field| Some(LatencyRule { field, unit: TimeUnit::Microseconds });
    let line = r#"192.0.2.4 - - [08/Jun/2026:09:08:53 +0000] "GET / HTTP/1.1" 200 5 "-" "x" 1500"#;
    let log = WebLog { latency: rule(LatencyField::Last), ..WebLog::recognised("a") };
    assert_eq!(told(&mut reader, &log, line), "combined 200 1.5 192.0.2.4 /");
    let log = WebLog { latency: rule(LatencyField::Word(4)), ..WebLog::recognised("a") };
    assert_eq!(told(&mut reader, &log, line), "combined 200 1.5 192.0.2.4 /");
    let json = r#"{"took":1500,"status":"200","request":"GET /9 HTTP/1.1"}"#;
    let log = WebLog { latency: rule(LatencyField::Key("took".into())), ..WebLog::recognised("a") };
    assert_eq!(told(&mut reader, &log, json), "json 200 1.5 - /{id}");
    let log = WebLog { format: Some(Format::Json), ..WebLog::recognised("a") };
    assert_eq!(told(&mut reader, &log, line), "none");
    assert_eq!(told(&mut reader, &log, json), "json 200 - - /{id}");
}

/// Pieces that lines are made of, whole or not.
const PIECES: &[&str] = &[
    "192.0.2.4",
    "2001:db8::4",
    " - - ",
    "[08/Jun/2026:09:08:53 +0000]",
    "\"GET / HTTP/1.1\"",
    " 200 ",
    "\"",
    "\\",
    "[",
    "]",
    "{",
    "}",
    "{\"status\":200,",
    "\"request\":",
    "\"uri\":\"\\u0041\",",
    "#Fields: date time sc-status\n",
    "2026-06-08",
    "09:08:53",
    "\t",
    " ",
    "0.123",
    "-0.1",
    "1e999",
    "ms",
    "https ",
    "h2 ",
    "10/0/30/69/109",
    " s/<NOSRV> ",
    ":443",
    "\u{b5}s",
    "\u{0}",
    "é",
    "rt=",
    "\"DownstreamStatus\":",
    "99999999999999999999",
    "] \"",
    "\" 200 ",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn nothing_panics(text in any::<String>(), pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24)) {
        let mut reader = AccessReader::default();
        for format in Format::ALL.into_iter().map(Some).chain([None]) {
            let log = WebLog { format, ..WebLog::recognised("a") };
            for line in [text.clone(), pieces.concat(), pieces.join(&text)] {
                let explained = reader.explain(&log, &"log".into(), &line, READ.parse().unwrap());
                prop_assert!(explained.latency.is_none_or(|latency| (0.0..=1e12).contains(&latency)));
                prop_assert!(explained.format.is_none() || format.is_none() || explained.format == format);
                reader.logins(&log, &lines(&[&line]));
            }
        }
    }
}
