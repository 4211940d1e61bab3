//! `alarm-on-flood AGENT`: a flood of a minute against a host in a network namespace, in real time, with the agent as
//! it runs everywhere, once a minute; and what CloudWatch's alarm on it does. See `tests/load/alarm_on_flood.sh`.
#![expect(clippy::print_stdout, reason = "a program for measurements; what it prints is its answer")]

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use vpcwatch::host::clock;
use vpcwatch_tests::alarm_evaluator::{Habits, Metrics, State};
use vpcwatch_tests::flooded_host::{FloodedHost, Told};

/// Until a host that has just started has sent two heartbeats.
const LEAD: Duration = Duration::from_secs(150);
const FLOOD_SECONDS: u32 = 60;
/// Until the alarm is over, whatever CloudWatch's habits.
const AFTER: Duration = Duration::from_secs(330);

fn main() -> anyhow::Result<()> {
    let agent = std::env::args().nth(1).context("usage: alarm-on-flood AGENT")?;
    let mut host = FloodedHost::start(Path::new(&agent), &[])?;
    let began = clock::wall();
    println!(
        "{:.0} s of quiet, {FLOOD_SECONDS} s of flood, {:.0} s of quiet",
        LEAD.as_secs_f64(),
        AFTER.as_secs_f64()
    );
    sleep(LEAD);
    let (first_syn, last_syn) = host.flood(FLOOD_SECONDS)?;
    sleep(AFTER);
    host.stop()?;
    let until = clock::wall();

    let since = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
    let (opened, closed) = (host.told("open")?, host.told("closed")?);
    let ([opened], [closed]) = (opened.as_slice(), closed.as_slice()) else {
        anyhow::bail!("not one finding: {opened:?} {closed:?}");
    };
    let kind = |told: &Told| told.finding.get("kind").cloned().unwrap_or_default();
    println!("{} told {:.1} s after the first SYN", kind(opened), since(first_syn, opened.at));
    println!("its end told {:.1} s after the last SYN", since(last_syn, closed.at));
    let arrivals = host.aws().arrivals();
    let active = arrivals.iter().find(|arrival| {
        arrival.datum.name == "syn_flood_active" && arrival.datum.values.iter().any(|(value, _)| *value > 0.0)
    });
    let active = active.context("no metric says so")?;
    println!("syn_flood_active came {:.1} s after the first SYN", since(first_syn, active.at));

    let alarm = host.alarm("syn-flood").context("the agent made no alarm")?;
    let metrics = Metrics::new(arrivals);
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for (further, second) in [1, 2, 5, 10].into_iter().flat_map(|further| (0..60).map(move |s| (further, s)))
    {
        let changes = metrics.changes(&alarm, Habits { further, second }, began, until)?;
        let rings: Vec<_> = changes.iter().filter(|change| change.to == State::Alarm).collect();
        let [ring] = rings.as_slice() else { anyhow::bail!("it rang {} times: {changes:?}", rings.len()) };
        let over = changes.last().filter(|change| change.to == State::Ok).context("it is not over")?;
        ensure!(ring.at > first_syn, "it rang before: {changes:?}");
        on.push(since(first_syn, ring.at));
        off.push(since(last_syn, over.at));
    }
    let spread = |seconds: &[f64]| {
        let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
        format!("{least:.0} to {:.0} s", seconds.iter().copied().fold(0.0, f64::max))
    };
    println!("ALARM {} after the first SYN, by the second at which CloudWatch looks", spread(&on));
    println!("OK {} after the last SYN", spread(&off));
    println!("violations of CloudWatch's rules: {}", host.aws().violations().len());
    Ok(())
}
