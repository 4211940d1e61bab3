//! `fleet-boot`: a fleet that boots within a minute, against the quotas of one account, in a time of its own. Prints when all
//! instances were provisioned, calls by kind, what was refused and lost, the steady state, and the price of it.
#![expect(clippy::print_stdout, reason = "a program for measurements; what it prints is its answer")]

use std::time::{Duration, Instant};

use clap::Parser;
use vpcwatch::config::{Config, Layers};
use vpcwatch::cost::{Usage, estimate, prices};
use vpcwatch::model::alarms::Scope;
use vpcwatch_tests::fleet_boot::{Calls, Fleet, Outcome, sum};

/// A fleet that boots within a minute, against the quotas of one account
#[derive(Debug, Parser)]
struct Arguments {
    /// How many instances
    instances: u32,
    /// `provision.scope`: fleet or instance
    #[arg(value_parser = scope)]
    scope: Scope,
    /// Minutes in which they have data to send
    #[arg(long, default_value_t = 3)]
    data_minutes: u64,
    /// From which minute on it is called the steady state
    #[arg(long)]
    steady_from: Option<usize>,
    /// Hours that they have until all are provisioned, at most
    #[arg(long, default_value_t = 24)]
    hours: u64,
    /// Hours that they are watched all the same: provisioning looks again once a day
    #[arg(long, default_value_t = 0)]
    watch_hours: u64,
    /// Of all that is random
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What a month's custom metrics cost: so many at so much each, and so on (<https://aws.amazon.com/cloudwatch/pricing/>, us-east-1).
const TIERS: [(f64, f64); 4] =
    [(10_000.0, prices::METRIC), (240_000.0, 0.10), (750_000.0, 0.05), (f64::INFINITY, 0.02)];

fn scope(text: &str) -> Result<Scope, String> {
    let found = [Scope::Fleet, Scope::Instance].into_iter().find(|scope| scope.as_str() == text);
    found.ok_or_else(|| "write fleet or instance".into())
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let begun = Instant::now();
    let fleet = Fleet {
        instances: arguments.instances,
        scope: arguments.scope.as_str(),
        sends: Duration::from_mins(arguments.data_minutes),
        watched: Duration::from_hours(arguments.watch_hours),
        at_most: Duration::from_hours(arguments.hours.max(arguments.watch_hours)),
        seed: arguments.seed,
    };
    let outcome = fleet.run()?;
    tell(&arguments, &outcome);
    if let Some(minute) = arguments.steady_from {
        tell_steady(&outcome, minute * 60, fleet.sends);
    }
    tell_price(arguments.instances, arguments.scope)?;
    println!("{:.0} s of this machine's time", begun.elapsed().as_secs_f64());
    Ok(())
}

fn tell(arguments: &Arguments, outcome: &Outcome) {
    let Arguments { instances, scope, seed, .. } = arguments;
    println!("{instances} instances, scope {}, seed {seed}", scope.as_str());
    let seconds = |at: Option<Duration>| at.map_or("never".into(), |at| format!("{} s", at.as_secs()));
    println!("alarms: {}, the last put at {}", outcome.alarms, seconds(outcome.made));
    let provisioned = outcome.provisioned.len();
    println!("half of the instances provisioned at {}", seconds(outcome.provisioned_at(0.5)));
    println!("provisioned: {provisioned}, the last at {}", seconds(outcome.provisioned_at(1.0)));
    let ((data, events), (data_lost, events_lost)) = (outcome.fed, outcome.lost);
    println!("data: {data_lost} of {data} lost; events: {events_lost} of {events} lost");
    for violation in &outcome.violations {
        println!("broke a rule: {violation}");
    }
    println!();
    let head = ["calls", "taken", "throttled", "other", "most/s", "first s", "last s"];
    let [name, columns @ ..] = head;
    println!("{name:<20}{}", columns.map(|column| format!("{column:>10}")).concat());
    for (name, calls) in &outcome.calls {
        let first = (0..calls.seconds()).find(|second| calls.in_second(*second) > 0).unwrap_or(0);
        let Calls { applied, throttled, refused } = calls;
        let columns = [
            sum(applied, 0),
            sum(throttled, 0),
            sum(refused, 0),
            calls.most(0..calls.seconds()).into(),
            first as u64,
            calls.seconds().saturating_sub(1) as u64,
        ];
        println!("{name:<20}{}", columns.map(|column| format!("{column:>10}")).concat());
    }
    println!();
}

/// Requests a second while nothing but the usual happens, and how they are spread over the minute.
fn tell_steady(outcome: &Outcome, from: usize, until: Duration) {
    let until = usize::try_from(until.as_secs()).unwrap_or(usize::MAX);
    println!("from {from} s to {until} s");
    println!("{:<20}{:>10}{:>10}   in a second of the minute", "calls", "a second", "most/s");
    for (name, calls) in &outcome.calls {
        let all: u64 = (from..until).map(|second| u64::from(calls.in_second(second))).sum();
        if all == 0 {
            continue;
        }
        let of_minute = |at: usize| -> u64 {
            (from..until).filter(|s| s % 60 == at).map(|s| u64::from(calls.in_second(s))).sum()
        };
        let share = |calls: Option<u64>| percent(calls.unwrap_or(0), all);
        let seconds = (0..60).map(of_minute);
        let (least, most) = (share(seconds.clone().min()), share(seconds.max()));
        let a_second = percent(all, (until - from) as u64) / 100.0;
        let peak = calls.most(from..until);
        println!(
            "{name:<20}{a_second:>10.2}{peak:>10}   {least:.2} to {most:.2} %, second 0: {:.2} %",
            share(Some(of_minute(0)))
        );
    }
    println!();
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls")]
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

/// `vpcwatch cost` for one instance with ENA and one interface, so many times, with the tiers of custom metrics.
fn tell_price(instances: u32, scope: Scope) -> anyhow::Result<()> {
    let config = Config::load(&Layers::new("/nonexistent".into(), None, Vec::new()))
        .map_err(|mistakes| anyhow::anyhow!("{mistakes}"))?;
    let usage = Usage {
        interfaces: 1,
        ena: true,
        scope,
        anomaly_bands: false,
        shipped_bytes_a_day: 0,
        dashboards: 0,
    };
    let one = estimate(&config.settings, &usage);
    let is_metric = |name: &str| name.ends_with(" metrics") && name != "alarm metrics";
    let (mut left, mut dollars) = (0.0, 0.0);
    for part in &one.parts {
        if is_metric(part.name) {
            left += part.quantity * f64::from(instances);
        } else if part.dollars > 0.0 {
            let all = part.dollars * f64::from(instances);
            println!("US$ {all:>10.0} a month: {}", part.name);
            dollars += all;
        }
    }
    let metrics = left;
    let mut of_metrics = 0.0;
    for (size, price) in TIERS {
        let of_tier = left.min(size);
        of_metrics += of_tier * price;
        left -= of_tier;
    }
    println!("US$ {of_metrics:>10.0} a month: {metrics:.0} custom metrics");
    let total = dollars + of_metrics;
    let each = total / f64::from(instances);
    println!("US$ {total:>10.0} a month in all, {each:.2} an instance (one alone: {:.2})", one.total);
    Ok(())
}
