//! The SYN-flood detector over recordings of a real kernel: found or not, how soon, as what, and closed again.

use std::collections::BTreeSet;

use serde_json::Value;
use vpcwatch::model::record::Record;
use vpcwatch_tests::{fixture, golden, recording};

use crate::agent::{self, lines, printed};

fn replay(row: &str) -> Vec<Value> {
    let file = fixture(&format!("floods/{row}.jsonl"));
    lines(&printed(&agent::run(&["replay", "--output", "json", "--recording", file.to_str().unwrap()]), 0))
}

/// Seconds from the recording's first snapshot to a time of a finding.
fn seconds(row: &str, time: &Value) -> f64 {
    let (_, snapshots) = recording::read(&fixture(&format!("floods/{row}.jsonl"))).unwrap();
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    time.duration_since(snapshots[0].time).as_secs_f64()
}

fn kinds(findings: &[Value]) -> BTreeSet<&str> {
    findings.iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

#[test]
fn floods_are_found_within_two_seconds_and_a_weak_one_within_five() {
    for (row, length, delay) in [
        ("spoofed-20", 60.0, 5.0),
        ("spoofed-100", 30.0, 2.0),
        ("spoofed-1000", 20.0, 2.0),
        ("spoofed-1000-backlog-4096", 30.0, 2.0),
        ("spoofed-1000-syncookies-0", 20.0, 2.0),
        ("spoofed-1000-syncookies-2", 20.0, 2.0),
        ("one-source-500", 20.0, 2.0),
        ("live-sources-500", 20.0, 2.0),
    ] {
        let findings = replay(row);
        assert_eq!(kinds(&findings), BTreeSet::from(["syn_flood"]), "{row}");
        let states: Vec<_> = findings.iter().map(|finding| finding["state"].as_str().unwrap()).collect();
        assert!(
            states[0] == "open" && states.iter().filter(|state| **state == "closed").count() == 1,
            "{row}: {states:?}"
        );
        // The attacker's program needs some tenths of a second to start, and a snapshot ends a second.
        let opened = seconds(row, &findings[0]["began"]) - 5.0;
        assert!((0.0..=delay).contains(&opened), "{row}: opened after {opened} s");
        let closed = seconds(row, &findings[findings.len() - 1]["ended"]) - 5.0 - length;
        assert!((0.0..=60.0).contains(&closed), "{row}: closed {closed} s after the end");
    }
}

#[test]
fn look_alikes_are_no_floods() {
    for (row, expected) in [
        ("benign", None),
        ("scan-300", None),
        ("backscatter-500", None),
        ("stray-acks-500", None),
        ("flash-crowd-600", Some("flash_crowd")),
        ("slow-program", Some("slow_accept")),
    ] {
        assert_eq!(kinds(&replay(row)), expected.into_iter().collect(), "{row}");
    }
}

#[test]
fn findings_as_people_read_them() {
    for row in ["spoofed-1000", "live-sources-500", "slow-program", "flash-crowd-600"] {
        let file = fixture(&format!("floods/{row}.jsonl"));
        let text = printed(&agent::run(&["replay", "--recording", file.to_str().unwrap()]), 0);
        golden::check(&format!("floods/{row}.txt"), &text);
    }
}

#[test]
fn a_finding_is_published_at_once_as_a_log_event_and_a_metric() {
    let (_, snapshots) = recording::read(&fixture("floods/spoofed-1000.jsonl")).unwrap();
    let records = recording::run(&snapshots, &[]).unwrap();
    let text = recording::print(&records, vpcwatch::sinks::stdout::Output::Json).unwrap();
    golden::check("floods/spoofed-1000.jsonl", &text);
    let lines = lines(&text);
    let events: Vec<Value> = lines
        .iter()
        .filter(|line| line["logGroupName"] == "/vpcwatch/findings")
        .map(|line| serde_json::from_str(line["message"].as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(events[0]["kind"], "syn_flood");
    let open = lines.iter().position(|line| line["logGroupName"] == "/vpcwatch/findings").unwrap();
    assert_eq!(lines[open + 1]["MetricName"], "syn_flood_active");
    assert_eq!(lines[open + 1]["Values"], serde_json::json!([1]));
}

#[test]
fn every_kind_has_its_metric_where_that_is_chosen() {
    for (row, set, metric, expected) in [
        ("slow-program", "full", "slow_accept_active", &[1.0][..]),
        ("slow-program", "standard", "slow_accept_active", &[]),
        ("flash-crowd-600", "full", "flash_crowd_active", &[1.0]),
        ("spoofed-100", "essential", "syn_flood_active", &[1.0]),
    ] {
        let (_, snapshots) = recording::read(&fixture(&format!("floods/{row}.jsonl"))).unwrap();
        let records = recording::run(&snapshots, &[("metrics.set", set)]).unwrap();
        let at_once = records.iter().filter_map(|record| match record {
            Record::Metric(datum) if datum.urgent && datum.metric_name == metric => Some(datum),
            _ => None,
        });
        let values: Vec<f64> = at_once.flat_map(|datum| datum.values.clone()).collect();
        assert_eq!(values, expected, "{row}, {set}");
    }
}

#[test]
fn what_is_no_recording_is_refused_and_a_torn_one_is_read_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read_to_string(fixture("floods/spoofed-1000.jsonl")).unwrap();
    let newer = whole.replacen("\"version\":1", "\"version\":2", 1);
    for (name, text, message, findings) in [
        ("foreign", "hello\nworld\n", "is not a recording of vpcwatch", 0),
        ("empty", "", "is not a recording of vpcwatch", 0),
        ("newer", newer.as_str(), "is a recording of version 2", 0),
        ("torn", &whole[..40_000], "ends within it; what stands before it was read", 1),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let output = agent::run(&["replay", "--output", "json", "--recording", file.to_str().unwrap()]);
        assert_eq!(lines(&printed(&output, 1)).len(), findings, "{name}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(message), "{name}: {output:?}");
    }
    printed(&agent::run(&["replay", "--recording", "/nonexistent"]), 1);
}
