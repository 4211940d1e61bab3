//! `benign-days`: false alarms a day on simulated hosts that nobody floods. Prints, for each profile of load, the findings
//! of all seeds by kind and severity, and those above `notice` a day.
#![expect(clippy::print_stdout, reason = "a program for measurements; what it prints is its answer")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use clap::Parser;
use vpcwatch::detectors;
use vpcwatch::model::event::Event;
use vpcwatch::model::finding::{Severity, State};
use vpcwatch::model::settings::DetectorSettings;
use vpcwatch_tests::benign_days::{DAY, PROFILES, Profile, Week};

/// False alarms a day on simulated hosts that nobody floods.
#[derive(Debug, Parser)]
struct Arguments {
    /// Beginnings of profiles' names; all, if none is named
    profiles: Vec<String>,
    /// Days of each host
    #[arg(long, default_value_t = 7)]
    days: u64,
    /// Hosts of each profile
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Let the agent see SYNs, too
    #[arg(long)]
    capture: bool,
    /// Hosts at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Print each finding above `notice` with its evidence
    #[arg(long)]
    verbose: bool,
}

/// What was said of one host.
#[derive(Debug, Default)]
struct Said {
    /// Findings by kind and their worst severity.
    findings: BTreeMap<String, (&'static str, Severity)>,
    /// False alarms of each day.
    alarms: Vec<u64>,
}

fn main() {
    let arguments = Arguments::parse();
    let begun = Instant::now();
    let is_chosen = |profile: &&Profile| {
        arguments.profiles.is_empty()
            || arguments.profiles.iter().any(|name| profile.name.starts_with(name.as_str()))
    };
    let profiles: Vec<Profile> = PROFILES.iter().filter(is_chosen).copied().collect();
    let weeks: Vec<(Profile, u64)> =
        profiles.iter().flat_map(|profile| (1..=arguments.seeds).map(|seed| (*profile, seed))).collect();
    let waiting = Mutex::new(weeks);
    let said: Mutex<Vec<(&str, Said)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                while let Some((profile, seed)) = waiting.lock().ok().and_then(|mut weeks| weeks.pop()) {
                    let heard = live(profile, seed, &arguments);
                    if let Ok(mut said) = said.lock() {
                        said.push((profile.name, heard));
                    }
                }
            });
        }
    });
    let said = said.into_inner().unwrap_or_default();
    println!(
        "| profile | days | findings (above `notice` in bold) | false alarms a day | worst day |\n|---|---|---|---|---|"
    );
    let mut all = Vec::new();
    for profile in &profiles {
        let of_profile: Vec<&Said> =
            said.iter().filter(|(name, _)| *name == profile.name).map(|(_, said)| said).collect();
        let alarms: Vec<u64> = of_profile.iter().flat_map(|said| said.alarms.iter().copied()).collect();
        println!("{}", line(profile.name, &kinds(&of_profile), &alarms));
        all.extend(alarms);
    }
    println!("{}", line("all", "", &all));
    println!(
        "\n{} days with {} in {:.0} s",
        all.len(),
        if arguments.capture { "captured SYNs" } else { "counters alone" },
        begun.elapsed().as_secs_f64()
    );
}

fn live(profile: Profile, seed: u64, arguments: &Arguments) -> Said {
    let mut week = Week::new(profile, seed, arguments.capture);
    let mut detectors = detectors::all(&DetectorSettings::default(), seed);
    let mut said = Said::default();
    for _ in 0..arguments.days {
        let mut alarms = 0;
        for _ in 0..DAY {
            let event = Event::Snapshot(Arc::new(week.next_second()));
            for finding in detectors.iter_mut().flat_map(|detector| detector.observe(&event)) {
                let kind = finding.kind.as_str();
                let worst = said.findings.entry(finding.id.clone()).or_insert((kind, Severity::Notice));
                let was_alarm = worst.1 > Severity::Notice;
                worst.1 = worst.1.max(finding.severity);
                let is_false = !profile.true_kinds.contains(&kind);
                alarms += u64::from(is_false && !was_alarm && worst.1 > Severity::Notice);
                if arguments.verbose && finding.state == State::Open && finding.severity > Severity::Notice {
                    println!("{} seed {seed} {} {finding:?}", profile.name, finding.began);
                }
            }
        }
        said.alarms.push(alarms);
    }
    said
}

/// How many of each kind, with their severity.
fn kinds(said: &[&Said]) -> String {
    let mut counts: BTreeMap<(&str, bool), u64> = BTreeMap::new();
    for (kind, severity) in said.iter().flat_map(|said| said.findings.values()) {
        *counts.entry((kind, *severity > Severity::Notice)).or_default() += 1;
    }
    let word = |((kind, is_alarm), count): (&(&str, bool), &u64)| {
        if *is_alarm { format!("**{count} {kind}**") } else { format!("{count} {kind}") }
    };
    if counts.is_empty() { "nothing".into() } else { counts.iter().map(word).collect::<Vec<_>>().join(", ") }
}

fn line(name: &str, kinds: &str, alarms: &[u64]) -> String {
    let (days, sum, worst) = (alarms.len(), alarms.iter().sum::<u64>(), alarms.iter().max().unwrap_or(&0));
    #[expect(clippy::cast_precision_loss, reason = "counts of findings")]
    let a_day = sum as f64 / days.max(1) as f64;
    format!("| {name} | {days} | {kinds} | {a_day:.2} | {worst} |")
}
