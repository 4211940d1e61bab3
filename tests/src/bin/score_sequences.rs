//! `score-sequences AGENT FOLDER`: replays each log of a folder of generated ones through an agent and compares what it finds
//! with the folder's `expected.json`: by the log's name, `expect`, a list of {kind, ip, `not_ip`, user, severity, note}, of which
//! all but kind may be missing. Prints a line for each log and how many are right in all; fails if one is not.
//!
//! A log is right if each expected kind was told of that address, user and severity (a kind that its note calls acceptable will
//! do), no address of `not_ip` was told of, and nothing above notice of an address that is not expected (where an expectation
//! names no address, as of many, any will do).
#![expect(clippy::print_stdout, reason = "a program; this is what it has to say")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
struct Log {
    expect: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    kind: String,
    ip: Option<String>,
    not_ip: Option<String>,
    user: Option<String>,
    severity: Option<String>,
    #[serde(default)]
    note: String,
}

/// What was said of one finding over its whole life.
#[derive(Debug, Default, PartialEq)]
struct Told {
    kind: String,
    severity: Severity,
    sources: Vec<String>,
    users: Vec<String>,
}

/// As the agent orders them; unknown words are above all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    #[default]
    Notice,
    Warning,
    Critical,
}

impl Severity {
    fn of(word: &str) -> Self {
        match word {
            "notice" => Severity::Notice,
            "warning" => Severity::Warning,
            _ => Severity::Critical,
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [agent, folder] = arguments.as_slice() else { bail!("usage: score-sequences AGENT FOLDER") };
    let expected = folder.join("expected.json");
    let text = std::fs::read_to_string(&expected).with_context(|| expected.display().to_string())?;
    let logs: BTreeMap<String, Log> = serde_json::from_str(&text).context("expected.json")?;
    let mut right = 0;
    for (name, log) in &logs {
        let flaws = match replay(agent, &folder.join(format!("{name}.log"))) {
            Ok(told) => flaws(&log.expect, &told),
            Err(error) => vec![format!("{error:#}")],
        };
        right += usize::from(flaws.is_empty());
        println!("{} {name}", if flaws.is_empty() { "ok   " } else { "WRONG" });
        flaws.iter().for_each(|flaw| println!("      {flaw}"));
    }
    println!("{right} of {}", logs.len());
    Ok(if right == logs.len() && !logs.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn replay(agent: &Path, log: &Path) -> anyhow::Result<Vec<Told>> {
    ensure!(log.exists(), "{} is not there", log.display());
    let output = Command::new(agent)
        .args(["replay", "--service", "sshd", "--output", "json", "--log"])
        .arg(log)
        .output()
        .with_context(|| agent.display().to_string())?;
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    told(&String::from_utf8(output.stdout)?)
}

/// The findings among lines of JSON, each once, with the most that was said of it.
fn told(text: &str) -> anyhow::Result<Vec<Told>> {
    let mut findings: BTreeMap<String, Told> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        // Findings stand alone, or as the message of a log event.
        let finding = match line.get("message").and_then(Value::as_str) {
            Some(message) => serde_json::from_str(message).unwrap_or_default(),
            None => line,
        };
        let word = |key: &str| finding.get(key).and_then(Value::as_str).unwrap_or_default();
        if word("kind").is_empty() {
            continue;
        }
        let told = findings.entry(word("id").to_owned()).or_default();
        word("kind").clone_into(&mut told.kind);
        told.severity = told.severity.max(Severity::of(word("severity")));
        let list = |path: &str| finding.pointer(path).and_then(Value::as_array).into_iter().flatten();
        for source in list("/who/top_sources").filter_map(|source| source.get("source")?.as_str()) {
            add(&mut told.sources, source);
        }
        for user in list("/who/users/top").filter_map(Value::as_str) {
            add(&mut told.users, user);
        }
    }
    Ok(findings.into_values().collect())
}

fn add(list: &mut Vec<String>, word: &str) {
    if !list.iter().any(|known| known == word) {
        list.push(word.to_owned());
    }
}

/// What is wrong with what was told; nothing, if all is right.
fn flaws(expected: &[Expected], told: &[Told]) -> Vec<String> {
    let missing = expected.iter().filter(|expected| !told.iter().any(|told| answers(expected, told)));
    let wrong = told.iter().filter(|told| is_wrong(expected, told));
    missing
        .map(|expected| format!("missing: {} {:?} {:?}", expected.kind, expected.ip, expected.user))
        .chain(wrong.map(|told| {
            format!("wrong: {} {:?} {:?} {:?}", told.kind, told.severity, told.sources, told.users)
        }))
        .collect()
}

/// Whether this finding is that one.
fn answers(expected: &Expected, told: &Told) -> bool {
    let same_kind =
        told.kind == expected.kind || expected.note.contains(&format!("{} also acceptable", told.kind));
    // An address behind which there is one finding leads the list.
    let same_source = expected.ip.as_ref().is_none_or(|ip| told.sources.first() == Some(ip));
    // Users that do not exist are masked.
    let same_user = expected.user.as_ref().is_none_or(|user| {
        told.users.is_empty() || told.users.iter().any(|told| told == user || told.contains('*'))
    });
    let severe = expected.severity.as_deref().map(Severity::of);
    same_kind && same_source && same_user && severe.is_none_or(|severity| told.severity == severity)
}

/// Whether somebody is blamed who must not be, or something is called worse than a notice that nobody expects.
fn is_wrong(expected: &[Expected], told: &Told) -> bool {
    let victim = |expected: &Expected| expected.not_ip.as_ref().is_some_and(|ip| told.sources.contains(ip));
    if expected.iter().any(victim) {
        return true;
    }
    // Of an attack that is expected more than one kind may be true: those who spray are also slow.
    let of_an_attack = expected.iter().any(|expected| {
        expected.severity.as_deref() != Some("notice")
            && expected.ip.as_ref().is_none_or(|ip| told.sources.first() == Some(ip))
    });
    told.severity > Severity::Notice && !of_an_attack && !expected.iter().any(|one| answers(one, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTACKER: &str = "198.51.100.7";

    fn expected(json: &str) -> Vec<Expected> {
        serde_json::from_str(json).unwrap()
    }

    fn line(kind: &str, severity: &str, source: &str, user: &str) -> String {
        format!(
            r#"{{"id":"{kind}-{source}","kind":"{kind}","severity":"{severity}","who":{{"top_sources":[{{"source":"{source}"}}],"users":{{"top":["{user}"]}}}}}}"#
        )
    }

    #[test]
    fn what_is_right_and_what_is_wrong() {
        let brute = format!(r#"[{{"kind":"brute_force","ip":"{ATTACKER}","user":"root"}}]"#);
        let victim = format!(r#"[{{"kind":"brute_force","ip":"{ATTACKER}","not_ip":"10.0.0.9"}}]"#);
        let job = r#"[{"kind":"repeated_failure_internal","ip":"10.0.0.9","severity":"notice","note":"slow_brute_force also acceptable"}]"#;
        let found = line("brute_force", "warning", ATTACKER, "root");
        for (expect, told_lines, flaw_count) in [
            ("[]", vec![], 0),
            ("[]", vec![line("brute_force", "notice", "10.0.0.9", "a")], 0),
            ("[]", vec![found.clone()], 1),
            (&*brute, vec![], 1),
            (&brute, vec![found.clone()], 0),
            (&brute, vec![line("brute_force", "warning", ATTACKER, "admin")], 1),
            (&brute, vec![line("brute_force", "warning", ATTACKER, "r***")], 0),
            (&brute, vec![line("brute_force", "warning", "10.0.0.9", "root")], 2),
            (&brute, vec![line("password_spray", "warning", ATTACKER, "root")], 1),
            (&brute, vec![found.clone(), line("slow_brute_force", "warning", ATTACKER, "root")], 0),
            (&brute, vec![found.clone(), line("brute_force", "warning", "10.0.0.9", "root")], 1),
            (&victim, vec![found.clone(), line("brute_force", "notice", "10.0.0.9", "root")], 1),
            (job, vec![line("repeated_failure_internal", "notice", "10.0.0.9", "b")], 0),
            (job, vec![line("slow_brute_force", "notice", "10.0.0.9", "b")], 0),
            (job, vec![line("repeated_failure_internal", "warning", "10.0.0.9", "b")], 2),
        ] {
            let flaws = flaws(&expected(expect), &told(&told_lines.join("\n")).unwrap());
            assert_eq!(flaws.len(), flaw_count, "{expect} {told_lines:?}: {flaws:?}");
        }
    }

    #[test]
    fn findings_of_log_events_are_read_and_count_once() {
        let update = line("brute_force", "critical", ATTACKER, "root");
        let event = serde_json::json!({"logGroupName": "/vpcwatch/findings", "message": update});
        let text = format!("{}\n{event}\n{{\"lines\":3}}", line("brute_force", "warning", ATTACKER, "admin"));
        let told = told(&text).unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].severity, &*told[0].users),
            (Severity::Critical, &["admin".into(), "root".into()][..])
        );
    }
}
