//! A real flood, and two that only look like one, against a real listener: the short form of what is measured by hand.

use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use vpcwatch_tests::namespace::Pair;

use super::{DryRun, begin};

const PORT: u16 = 80;

fn listen(pair: &Pair, backlog: i32) -> TcpListener {
    super::listen(&pair.host, &format!("0.0.0.0:{PORT}"), backlog, false).into()
}

/// Findings that a run printed, as they were when they opened.
fn opened(lines: &[Value]) -> Vec<Value> {
    let events = lines.iter().filter(|line| line["logGroupName"] == "/vpcwatch/findings");
    let finding = |line: &Value| serde_json::from_str(line["message"].as_str().unwrap()).unwrap();
    events.map(finding).filter(|finding: &Value| finding["state"] == "open").collect()
}

fn kinds(lines: &[Value]) -> Vec<String> {
    opened(lines).iter().map(|finding| finding["kind"].as_str().unwrap().to_owned()).collect()
}

/// Does something every tenth of a second for that long.
fn for_seconds(seconds: u64, mut work: impl FnMut(u64)) {
    let begun = Instant::now();
    for tenth in 0..seconds * 10 {
        work(tenth);
        std::thread::sleep(
            (begun + Duration::from_millis(100) * u32::try_from(tenth + 1).unwrap())
                .saturating_duration_since(Instant::now()),
        );
    }
}

/// What opens in a flood of 300 SYNs a second, each from another address.
fn flood_of_made_up_sources(more: &[&str]) -> Vec<Value> {
    let pair = Pair::new().unwrap();
    let _listener = listen(&pair, 128);
    let run = DryRun::start(&pair.host, more);
    for_seconds(8, |tenth| {
        if tenth >= 30 {
            let source = |n: u64| {
                IpAddr::from([198, 18, u8::try_from(tenth % 256).unwrap(), u8::try_from(n).unwrap()])
            };
            pair.syns(&(0..30).map(source).collect::<Vec<_>>(), [10, 9, 0, 2].into(), PORT).unwrap();
        }
    });
    opened(&run.stop())
}

#[test]
fn a_flood_of_made_up_sources_is_found_and_named() {
    let findings = flood_of_made_up_sources(&[]);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!((&findings[0]["kind"], &findings[0]["verdict"]), (&"syn_flood".into(), &"spoofed".into()));
    assert_eq!(findings[0]["where"]["interface"], "eth0");
    assert_eq!(findings[0]["where"]["port"], PORT);
    let distinct = findings[0]["who"]["distinct_sources"].as_u64().unwrap();
    assert!(distinct > 50, "{findings:#?}");
}

#[test]
fn a_flood_is_found_without_capture_too() {
    let findings = flood_of_made_up_sources(&["--set", "syn_flood.capture=false"]);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0]["verdict"], "sources_unknown");
    assert!(findings[0].get("who").is_none());
}

#[test]
fn a_scan_is_found_and_is_no_flood() {
    let pair = Pair::new().unwrap();
    let _listener = listen(&pair, 128);
    let run = DryRun::start(&pair.host, &[]);
    for_seconds(6, |tenth| {
        if tenth >= 20 {
            let port = 1000 + u16::try_from(tenth).unwrap();
            pair.syns(&[[198, 18, 0, 7].into()], [10, 9, 0, 2].into(), port).unwrap();
        }
    });
    let findings = opened(&run.stop());
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0]["kind"], "port_scan");
    assert_eq!(findings[0]["who"]["top_sources"][0]["source"], "198.18.0.7");
}

#[test]
fn a_crowd_that_is_served_is_no_flood() {
    let pair = Pair::new().unwrap();
    let listener = listen(&pair, 512);
    let run = DryRun::start(&pair.host, &[]);
    for_seconds(8, |tenth| {
        let count = if tenth >= 30 { 30 } else { 2 };
        let connect = || (0..count).map(|_| Ok(TcpStream::connect(("10.9.0.2", PORT))?)).collect();
        let clients: Vec<TcpStream> = pair.peer.inside(connect).unwrap();
        clients.iter().for_each(|_| drop(listener.accept().unwrap()));
    });
    let lines = run.stop();
    assert!(!kinds(&lines).contains(&"syn_flood".to_owned()));
    let (accepted, _) = crate::agent::total(&lines, "tcp_passive_opens");
    assert!(accepted > 500, "the crowd did not come: {accepted}");
}

#[test]
fn a_program_that_accepts_too_slowly_is_no_flood() {
    let pair = Pair::new().unwrap();
    let listener = listen(&pair, 16);
    listener.set_nonblocking(true).unwrap();
    let run = DryRun::start(&pair.host, &[]);
    let mut waiting = Vec::new();
    for_seconds(8, |tenth| {
        if tenth >= 30 {
            waiting.extend(begin(&pair.peer, &format!("10.9.0.2:{PORT}"), 20));
        }
        let _ = listener.accept(); // one at a time, if there is any
    });
    let kinds = kinds(&run.stop());
    assert!(kinds.contains(&"slow_accept".to_owned()), "{kinds:?}");
    assert!(!kinds.contains(&"syn_flood".to_owned()), "{kinds:?}");
}
