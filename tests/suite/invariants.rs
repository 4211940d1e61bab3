//! The house's rules, kept by reading the source: which stage may know of what.

use std::fs;
use std::path::{Path, PathBuf};

use vpcwatch_tests::tests;

fn source() -> PathBuf {
    tests().join("../agent/src")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}

/// The code of a file, without comments and without its tests.
fn code(path: &Path) -> String {
    if path.ends_with("tests.rs") {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Fails for each file below `rooms` (all, if empty) but `except` that has one of `words`.
fn forbid(rooms: &[&str], except: &[&str], words: &[&str], why: &str) {
    let mut found = Vec::new();
    for path in files(&source()) {
        let name = path.strip_prefix(source()).unwrap().display().to_string();
        let below = |list: &[&str]| list.iter().any(|room| name.starts_with(room));
        if (rooms.is_empty() || below(rooms)) && !below(except) {
            let code = code(&path);
            found.extend(
                words.iter().filter(|word| code.contains(**word)).map(|word| format!("{name}: {word}")),
            );
        }
    }
    assert!(found.is_empty(), "{why}: {found:#?}");
}

#[test]
fn the_middle_is_pure() {
    let rooms = [
        "model/",
        "pipeline/",
        "rates.rs",
        "parse/",
        "detectors/",
        "shipping/",
        "sources/walk_budget.rs",
        "sources/name_value.rs",
        "provision/compare.rs",
        "provision/dashboard.rs",
        "provision/desired.rs",
        "provision/mark.rs",
        "replay/segments.rs",
        "replay/local_side.rs",
        "replay/handshakes.rs",
        "replay/syn_samples.rs",
        "replay/seconds.rs",
    ];
    let words = [
        "std::fs",
        "std::io",
        "std::net::Tcp",
        "std::time::Instant",
        "tokio",
        "tracing",
        "aws_",
        "crate::host",
        "std::env",
    ];
    forbid(&rooms, &[], &words, "no I/O, clock, runtime or AWS type here");
}

#[test]
fn only_sources_tail_and_host_know_host_paths() {
    forbid(
        &[],
        &["sources/", "tail/", "host/"],
        &["\"/proc", "\"/sys", "\"/var/log", "\"proc/", "\"sys/"],
        "host paths",
    );
}

#[test]
fn data_flows_one_way() {
    forbid(
        &["model/"],
        &[],
        &["crate::sources", "crate::pipeline", "crate::sinks", "crate::config", "crate::app"],
        "model imports nothing",
    );
    forbid(
        &["sources/", "sampler.rs"],
        &[],
        &["crate::pipeline", "crate::sinks", "crate::config", "crate::app"],
        "sources feed, and ask nobody",
    );
    forbid(
        &["pipeline/"],
        &[],
        &["crate::sources", "crate::sinks", "crate::config", "crate::app"],
        "the pipeline knows model and rates",
    );
    forbid(
        &["store/"],
        &[],
        &["crate::sources", "crate::pipeline", "crate::sinks", "crate::config", "crate::app"],
        "the store knows model and the clock",
    );
    forbid(
        &["sinks/"],
        &[],
        &["crate::sources", "crate::pipeline", "crate::config", "crate::app"],
        "sinks take records",
    );
}

#[test]
fn only_the_rim_knows_the_sdk() {
    let rim = [
        "aws/",
        "sinks/cloudwatch_metrics.rs",
        "sinks/cloudwatch_logs.rs",
        "host/identity.rs",
        "check/permissions.rs",
        "provision/apply.rs",
        "provision/election.rs",
        "provision/silent.rs",
    ];
    forbid(&[], &rim, &["aws_sdk", "aws_config", "aws_smithy"], "types of the AWS SDK");
}

#[test]
fn unsafe_is_in_two_small_modules() {
    forbid(&[], &["host/ethtool.rs", "host/packet_statistics.rs"], &["unsafe"], "unsafe code");
}

#[test]
fn only_app_starts_threads_and_tasks() {
    forbid(
        &[],
        &["app/"],
        &["tokio::spawn", "thread::Builder", "thread::spawn", "spawn_blocking", "JoinSet"],
        "threads and tasks",
    );
}
