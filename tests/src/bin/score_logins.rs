//! Scores the parsers of login lines on a corpus: JSON lines {service, line, expect: failure|success|none, ip, tier}.
//! `cargo run --release -p vpcwatch-tests --bin score-logins -- FILE --misses`
//!
//! Of tier `core` the outcome must be right and the address too, of `probe` and the others either outcome is. With
//! `--by-service` each line is read by the grammar of its own service where there is one; else all by `auto`.
#![expect(clippy::print_stdout, reason = "prints its measurement")]

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use vpcwatch::model::log_line::Grammar;
use vpcwatch::parse::{self, LoginReader};

#[derive(Parser)]
struct Arguments {
    /// The corpus.
    corpus: PathBuf,
    /// Prints each line that was judged wrong.
    #[arg(long)]
    misses: bool,
    /// Reads each line by its own service's grammar.
    #[arg(long)]
    by_service: bool,
    /// Only lines of these services.
    #[arg(long, value_delimiter = ',')]
    services: Vec<String>,
    /// Which tier is strict.
    #[arg(long, default_value = "core")]
    tier: String,
}

#[derive(Deserialize)]
struct Line {
    service: String,
    #[serde(rename = "line")]
    text: String,
    expect: String,
    ip: Option<String>,
    #[serde(default)]
    tier: String,
}

#[derive(Default)]
struct Score {
    lines: u32,
    logins: u32,
    found: u32,
    false_positives: u32,
    wrong_outcomes: u32,
    wrong_addresses: u32,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let text = fs::read_to_string(&arguments.corpus)
        .with_context(|| format!("failed to read {}", arguments.corpus.display()))?;
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut reader = LoginReader::default();
    for (number, line) in text.lines().enumerate() {
        let line: Line = serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
        let is_asked = arguments.services.is_empty() || arguments.services.contains(&line.service);
        if line.tier != arguments.tier || !is_asked {
            continue;
        }
        let wrong =
            judge(&mut reader, &line, arguments.by_service, scores.entry(line.service.clone()).or_default());
        if let Some(wrong) = wrong.filter(|_| arguments.misses) {
            println!("{wrong}: {}: {}", line.service, line.text);
        }
    }
    print(&scores);
    Ok(())
}

fn judge(reader: &mut LoginReader, line: &Line, by_service: bool, score: &mut Score) -> Option<String> {
    let own = by_service.then(|| parse::grammar(&line.service)).flatten();
    let grammar = own.unwrap_or(Grammar::Auto);
    let found = reader.explain(&grammar, &line.text, Timestamp::UNIX_EPOCH, &TimeZone::UTC);
    let outcome = found.login.as_ref().map_or("none", |login| login.outcome.as_str());
    let source = found.login.as_ref().and_then(|login| login.source);
    let is_login = line.expect != "none";
    score.lines += 1;
    score.logins += u32::from(is_login);
    if outcome != line.expect {
        score.false_positives += u32::from(!is_login);
        score.wrong_outcomes += u32::from(is_login && outcome != "none");
        return Some(format!("{outcome}, not {} ({})", line.expect, found.note));
    }
    if !is_login {
        return None;
    }
    score.found += 1;
    let expected = line.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()).map(|ip| ip.to_canonical());
    score.wrong_addresses += u32::from(source != expected);
    (source != expected).then(|| format!("{source:?}, not {expected:?}"))
}

fn print(scores: &BTreeMap<String, Score>) {
    let mut total = Score::default();
    println!(
        "{:24} {:>6} {:>7} {:>6} {:>7} {:>6} {:>6} {:>6}",
        "service", "lines", "logins", "found", "recall", "false", "wrong", "where"
    );
    for (service, score) in scores {
        row(service, score);
        total.lines += score.lines;
        total.logins += score.logins;
        total.found += score.found;
        total.false_positives += score.false_positives;
        total.wrong_outcomes += score.wrong_outcomes;
        total.wrong_addresses += score.wrong_addresses;
    }
    row("total", &total);
}

fn row(service: &str, score: &Score) {
    let recall = if score.logins == 0 { 1.0 } else { f64::from(score.found) / f64::from(score.logins) };
    println!(
        "{service:24} {:>6} {:>7} {:>6} {recall:>7.3} {:>6} {:>6} {:>6}",
        score.lines,
        score.logins,
        score.found,
        score.false_positives,
        score.wrong_outcomes,
        score.wrong_addresses
    );
}
