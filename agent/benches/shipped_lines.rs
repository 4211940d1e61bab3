//! How fast lines are shipped, from a log file through the state file to what a request takes:
//! `cargo bench --bench shipped_lines [-- FOLDER]`; without a folder, a temporary one.
//!
//! One thread does all of it. The agent has one for reading and making events and one for the state file.
#![expect(clippy::print_stdout, reason = "prints its measurement")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vpcwatch::host::clock::wall;
use vpcwatch::host::paths::Paths;
use vpcwatch::model::shipped::{LineTime, Origin, ShippedLog, StreamNames};
use vpcwatch::model::spool::{ClockEra, Entry, Kind, Payload};
use vpcwatch::shipping::Shipper;
use vpcwatch::store::{Order, Store, TakeLimits, ValueKey};
use vpcwatch::tail::{self, Cursors, Read};

const LINES: usize = 1_000_000;
const LIMIT: u64 = 512 * 1024 * 1024;
/// Shipments stored at once, as the agent does at most.
const AT_ONCE: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo passes --bench.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let folder = folder.unwrap_or_else(|| temporary.path().to_owned());
    let plain = ShippedLog {
        name: "bench".into(),
        from: Origin::Files(vec!["/bench.log".into()]),
        group: "/vpcwatch/logs".into(),
        stream: "{instance_id}/{name}".into(),
        time: LineTime::Auto,
        zone: None,
        first_line: None,
        include: Vec::new(),
        exclude: Vec::new(),
        daily_limit: u64::MAX,
    };
    let filtered = ShippedLog { exclude: vec!["GET /health".into()], ..plain.clone() };
    let joined = ShippedLog { first_line: Some(r"^\d{4}-\d\d-\d\d".into()), ..plain.clone() };
    measure("each line an event", &folder, plain)?;
    measure("with a pattern that leaves out", &folder, filtered)?;
    measure("with a pattern of first lines", &folder, joined)?;
    Ok(())
}

fn measure(name: &str, folder: &Path, log: ShippedLog) -> Result<(), Box<dyn std::error::Error>> {
    let (root, state) = (folder.join("root"), folder.join("bench.redb"));
    std::fs::create_dir_all(&root)?;
    let file = root.join("bench.log");
    let (mut store, _) = Store::open(&state, "i-bench", LIMIT)?;
    let Origin::Files(files) = &log.from else { return Ok(()) };
    let mut tail = tail::of_files(files, &Paths::below(&root), Cursors::new());
    tail.read(Duration::ZERO); // a file that appears from now on is read from its beginning
    std::fs::write(&file, text())?;
    let (mut shipper, _) = Shipper::new(log, StreamNames::default(), [], 0);

    let (mut events, mut read, mut stored, mut idle) = (0, 0, Duration::ZERO, 0);
    let (mut entries, mut values, mut shipments) = (Vec::new(), Vec::new(), 0);
    let started = Instant::now();
    while idle < 2 {
        let reads = tail.read(Duration::from_millis(1));
        idle = if reads.is_empty() { idle + 1 } else { 0 };
        for lines in reads {
            let Read::Lines(lines) = lines else { continue };
            read += lines.lines.len();
            let shipment = shipper.ship(&lines, 0);
            shipments += 1;
            for (destination, of_it) in shipment.events {
                events += of_it.len();
                let payload = Payload::Logs(of_it);
                entries.push(Entry { destination, kind: Kind::Lines, era: ClockEra::default(), payload });
            }
            values.extend(shipment.kept.into_iter().map(|(key, value)| (ValueKey::Cursor(key), value)));
        }
        if shipments >= AT_ONCE || read == LINES {
            let begun = Instant::now();
            let told = store.append(std::mem::take(&mut entries), std::mem::take(&mut values));
            assert!(told.shed.is_empty(), "the state file is too small for this");
            stored += begun.elapsed();
            shipments = 0;
            if read == LINES {
                break;
            }
        }
    }
    let took = started.elapsed();

    let started = Instant::now();
    let (mut drained, mut requests) = (0, 0);
    for waiting in store.destinations() {
        loop {
            let limits = TakeLimits { records: 10_000, bytes: 1 << 20, span: None };
            let frames = store.take(&waiting.destination, Order::Oldest, limits);
            let ids: Vec<u64> = frames.iter().map(|frame| frame.id).collect();
            if ids.is_empty() {
                break;
            }
            drained += frames.iter().map(|frame| frame.entry.payload.len()).sum::<usize>();
            store.sending(&ids);
            store.settle(&ids, Vec::new());
            requests += 1;
        }
    }
    let out = started.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "a million")]
    let rate = |took: Duration| LINES as f64 / took.as_secs_f64();
    println!(
        "{name}: {read} lines in, {events} events, {drained} out in {requests} requests\n  in {:.0} lines/s (of {:.2} s, {:.2} s in the state file), out {:.0} lines/s, both {:.0} lines/s",
        rate(took),
        took.as_secs_f64(),
        stored.as_secs_f64(),
        rate(out),
        rate(took + out),
    );
    drop(store);
    std::fs::remove_file(&file)?;
    std::fs::remove_file(&state)?;
    Ok(())
}

/// Lines of an application, 120 bytes each or so.
fn text() -> String {
    let mut text = String::new();
    let first = wall().as_second() - 3600;
    for line in 0..LINES {
        let time = jiff::Timestamp::from_second(first + i64::try_from(line / 1000).unwrap_or(0));
        let time = time.unwrap_or_default();
        let path = if line % 10 == 0 { "/health" } else { "/shop/basket" };
        let _ = writeln!(
            text,
            "{time} INFO  [worker-{:02}] c.e.shop.Basket - GET {path}?item={line} answered 200 in {} ms for customer {:08}",
            line % 16,
            line % 97,
            line % 1_000_003
        );
    }
    text
}
