//! What the state file costs: `cargo bench --bench state_file [-- FOLDER]`; without a folder, a temporary one.
#![expect(clippy::print_stdout, reason = "prints its measurement")]

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use vpcwatch::model::record::{Dimension, MetricDatum};
use vpcwatch::model::spool::{ClockEra, Destination, Entry, Kind, Payload, StoredEvent};
use vpcwatch::store::{Order, Store, TakeLimits, ValueKey};

const LINES: u32 = 1_000_000;
const LINES_A_COMMIT: u32 = 10_000;
const MINUTES: u32 = 1_440;
const LIMIT: u64 = 256 * 1024 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo passes --bench.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let folder = folder.unwrap_or_else(|| temporary.path().to_owned());
    let path = folder.join("bench.redb");
    let (mut store, opened) = Store::open(&path, "i-bench", LIMIT)?;
    println!("{}: {opened:?}", path.display());
    report("at first", &store);

    let logs = Destination::Logs { group: "/vpcwatch/bench".into(), stream: "i-bench".into() };
    let metrics = Destination::Metrics { namespace: "VpcWatch".into() };
    let mut shed = 0;

    let started = Instant::now();
    for commit in 0..LINES / LINES_A_COMMIT {
        let first = commit * LINES_A_COMMIT;
        let entry = Entry {
            destination: logs.clone(),
            kind: Kind::Logs,
            era: ClockEra::default(),
            payload: Payload::Logs((first..first + LINES_A_COMMIT).map(line).collect()),
        };
        let cursor = (ValueKey::Cursor("bench".into()), Some(first.to_le_bytes().to_vec()));
        shed += store.append(vec![entry], vec![cursor]).shed.len();
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{LINES} lines of 160 B: {seconds:.2} s, {:.0} lines/s", f64::from(LINES) / seconds);
    report("after the lines", &store);

    let started = Instant::now();
    for minute in 0..MINUTES {
        let entry = Entry {
            destination: metrics.clone(),
            kind: Kind::Metrics,
            era: ClockEra::default(),
            payload: Payload::Metrics((0..20).map(|number| datum(minute, number)).collect()),
        };
        shed += store.append(vec![entry], Vec::new()).shed.len();
    }
    println!("{MINUTES} minutes of 20 metrics: {:.2} s", started.elapsed().as_secs_f64());
    report("after the metrics", &store);

    let started = Instant::now();
    drop(store);
    let closed = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let (mut store, _) = Store::open(&path, "i-bench", LIMIT)?;
    println!("closed in {closed:.2} s, opened in {:.2} s", started.elapsed().as_secs_f64());

    let started = Instant::now();
    let mut drained = 0;
    let mut batches = 0;
    for (destination, order) in [(&logs, Order::Oldest), (&metrics, Order::Newest)] {
        loop {
            let frames =
                store.take(destination, order, TakeLimits { records: 10_000, bytes: 1_000_000, span: None });
            if frames.is_empty() {
                break;
            }
            let ids: Vec<u64> = frames.iter().map(|frame| frame.id).collect();
            store.sending(&ids);
            drained += frames.iter().map(|frame| frame.entry.payload.len()).sum::<usize>();
            batches += 1;
            store.settle(&ids, Vec::new());
        }
    }
    println!("drained {drained} records in {batches} batches: {:.2} s", started.elapsed().as_secs_f64());
    report("after the drain", &store);
    let started = Instant::now();
    store.compact();
    println!("compacted: {:.3} s", started.elapsed().as_secs_f64());
    report("after compacting", &store);

    let started = Instant::now();
    for number in 0..200 {
        let entry = Entry {
            destination: logs.clone(),
            kind: Kind::Logs,
            era: ClockEra::default(),
            payload: Payload::Logs(vec![line(number)]),
        };
        shed += store.append(vec![entry], Vec::new()).shed.len();
    }
    println!("200 durable commits of one record: {:.3} s", started.elapsed().as_secs_f64());
    println!("shed: {shed}; trouble: {:?}", store.trouble());
    drop(store);
    std::fs::remove_file(path)?;
    Ok(())
}

fn line(number: u32) -> StoredEvent {
    StoredEvent { timestamp: at(number / 1000), message: format!("{number:0>160}") }
}

fn datum(minute: u32, number: u32) -> MetricDatum {
    MetricDatum {
        namespace: "VpcWatch".into(),
        metric_name: Cow::Owned(format!("netstat_tcp_metric_{number}")),
        dimensions: vec![Dimension { name: "InstanceId".into(), value: "i-0123456789abcdef0".into() }],
        timestamp: at(minute * 60),
        values: (0..60).map(|second| f64::from(second * 7919 + number) / 13.0).collect(),
        counts: vec![1.0; 60],
        unit: Cow::Borrowed("Count"),
        storage_resolution: 60,
        urgent: false,
    }
}

fn at(second: u32) -> Timestamp {
    Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1_780_000_000 + i64::from(second))
}

#[expect(clippy::cast_precision_loss, reason = "megabytes")]
fn report(when: &str, store: &Store) {
    let usage = store.usage();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "  {when}: file {:.1} MB, frames {:.1} MB, resident {}",
        megabytes(usage.file_bytes),
        megabytes(usage.payload_bytes),
        resident(Path::new("/proc/self/status"))
    );
}

fn resident(status: &Path) -> String {
    let status = std::fs::read_to_string(status).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned()).unwrap_or_default()
    };
    format!("{} (peak {})", field("VmRSS:"), field("VmHWM:"))
}
