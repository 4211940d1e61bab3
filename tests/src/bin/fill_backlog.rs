//! A state file as it is after a day without CloudWatch: 1,440 intervals of 20 metrics with 60 values each, and
//! 1,000,000 numbered log lines of 160 bytes, over the last 24 hours.
//!
//! `fill-backlog FOLDER OWNER`: OWNER is whose state it is, a host's name or machine id, or an instance id.

#![expect(clippy::print_stdout, reason = "a program that reports on standard output")]

use std::path::Path;

use anyhow::{Context, ensure};
use jiff::SignedDuration;
use vpcwatch::host::clock::{EraClock, wall};
use vpcwatch::model::record::{Dimension, MetricDatum};
use vpcwatch::model::spool::{Destination, Entry, Kind, Payload, StoredEvent};
use vpcwatch::store::Store;

const INTERVALS: u32 = 1_440;
const METRICS: u32 = 20;
const LINES: u32 = 1_000_000;
const LINE_BYTES: usize = 160;
/// `state.limit`'s default.
const LIMIT: u64 = 256 << 20;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("usage: fill-backlog FOLDER OWNER");
    let (folder, owner) = (next()?, next()?);
    let (mut store, _) = Store::open(&Path::new(&folder).join("state.redb"), &owner, LIMIT)?;
    let era = EraClock::start().now(0);
    let start = wall() - SignedDuration::from_hours(24);
    for interval in 0..INTERVALS {
        let time = start + SignedDuration::from_mins(interval.into());
        let datum = |metric: u32| MetricDatum {
            namespace: "VpcWatch".into(),
            metric_name: format!("metric_{metric}").into(),
            dimensions: vec![Dimension { name: "host".into(), value: owner.clone() }],
            timestamp: time,
            values: (0..60).map(|second| f64::from(interval * 60 + second * (metric + 1))).collect(),
            counts: vec![1.0; 60],
            unit: "Count".into(),
            storage_resolution: 60,
            urgent: false,
        };
        let (from, to) = (LINES / INTERVALS * interval, LINES / INTERVALS * (interval + 1));
        let to = if interval + 1 == INTERVALS { LINES } else { to };
        let lines = (from..to).map(|n| StoredEvent {
            timestamp: time,
            message: format!("{:-<LINE_BYTES$}", format!("line {n} of a log that was shipped ")),
        });
        let entry = |destination, kind, payload| Entry { destination, kind, era: era.clone(), payload };
        let metrics = Destination::Metrics { namespace: "VpcWatch".into() };
        let logs = Destination::Logs { group: "/shipped".into(), stream: owner.clone() };
        let entries = vec![
            entry(metrics, Kind::Metrics, Payload::Metrics((0..METRICS).map(datum).collect())),
            entry(logs, Kind::Logs, Payload::Logs(lines.collect())),
        ];
        let shed = store.append(entries, Vec::new()).shed;
        ensure!(shed.is_empty(), "it does not fit: {shed:?}");
    }
    let usage = store.usage();
    println!(
        "records {:?}, file {} of {} bytes, nothing shed",
        usage.records, usage.file_bytes, usage.limit_bytes
    );
    Ok(())
}
