//! Puts numbered records into a state file and delivers them, until all are through: so that loss and doubling can be
//! counted, whatever is done to this program or to the service meanwhile.
//!
//! `deliver-numbered FOLDER COUNT [POISON]`: each number is a metric datum `numbered` with that value, and a log
//! event of group `/numbered`. The next number is kept in the state file, in the transaction that stores the records.
//! The metric of the number POISON is named `poison` instead. Prints `stored N` once the numbers below N are stored,
//! `trouble TEXT` while the disk is in trouble, `ambiguous N` for records that may arrive twice, and at the end `lost N`.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::watch;
use tracing_subscriber::filter::LevelFilter;
use vpcwatch::app::Delivery;
use vpcwatch::aws::{Aws, AwsSettings, Link, ServerClock};
use vpcwatch::host::clock::{EraClock, wall};
use vpcwatch::model::record::{Dimension, MetricDatum};
use vpcwatch::model::spool::{ClockEra, Destination, Entry, Kind, Payload, StoredEvent};
use vpcwatch::service::board::Board;
use vpcwatch::sinks::deliver::{Schedule, Wake};
use vpcwatch::store::service::{self, StoreHandle};
use vpcwatch::store::{Store, ValueKey};

/// Numbers that are stored in one transaction.
const AT_ONCE: u64 = 7;
const STATE_LIMIT: u64 = 64 << 20;

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(LevelFilter::WARN).init();
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("usage: deliver-numbered FOLDER COUNT [POISON]");
    let folder = PathBuf::from(next()?);
    let count: u64 = next()?.parse()?;
    let poison = next().ok().map(|text| text.parse()).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(deliver(&folder, count, poison))
}

async fn deliver(folder: &Path, count: u64, poison: Option<u64>) -> anyhow::Result<()> {
    let (store, opened) = Store::open(&folder.join("state.redb"), "numbered", STATE_LIMIT)?;
    println_out(&format!("ambiguous {}", opened.ambiguous))?;
    let (handle, calls) = service::channel();
    std::thread::Builder::new().spawn(move || service::serve(store, calls))?;
    let (board, server_clock) = (Arc::new(Board::default()), Arc::new(ServerClock::default()));
    let aws = Aws::new(AwsSettings::default(), false)?;
    let link = Arc::new(Link::new(aws, None, Arc::clone(&server_clock)).await);
    let (wake, woken) = watch::channel(Wake::default());
    let (_schedule, schedule) = watch::channel(Schedule::of("numbered", 1));
    let (drain, drained) = watch::channel(false);
    let (_retention, retention) = watch::channel(HashMap::new());
    let delivery = Delivery {
        store: handle.clone(),
        link,
        server_clock,
        board: Arc::clone(&board),
        retention,
        lines_wake: woken.clone(),
        name: "numbered".into(),
        wake: woken,
        schedule,
        drain: drained,
    };
    let feeding = async {
        feed(&handle, &wake, &board, &mut EraClock::start(), count, poison).await?;
        while waiting(&handle).await? > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drain.send(true).map_err(|_| anyhow!("delivery ended early"))
    };
    let (fed, delivered) = tokio::join!(feeding, delivery.run());
    fed?;
    delivered?;
    let meters = board.meters();
    let lost = meters.lost_in_all();
    println_out(&format!("ambiguous {}", meters.ambiguous_records))?;
    println_out(&format!("lost {lost}"))
}

/// Stores what is missing up to `count`.
async fn feed(
    store: &StoreHandle,
    wake: &watch::Sender<Wake>,
    board: &Board,
    clock: &mut EraClock,
    count: u64,
    poison: Option<u64>,
) -> anyhow::Result<()> {
    let key = || ValueKey::Mark("next".into());
    let stored = store.value(key()).await?;
    let mut next = match stored {
        Some(text) => String::from_utf8(text)?.parse()?,
        None => 0,
    };
    while next < count {
        let numbers = next..(next + AT_ONCE).min(count);
        let entries = entries(numbers.clone(), &clock.now(0), poison);
        next = numbers.end;
        let appended = store.append(entries, vec![(key(), Some(next.to_string().into_bytes()))]).await?;
        board.shed(appended.shed);
        wake.send_modify(|wake| wake.stored += 1);
        if let Some(trouble) = store.trouble().await? {
            println_out(&format!("trouble {trouble}"))?;
        }
        println_out(&format!("stored {next}"))?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

async fn waiting(store: &StoreHandle) -> anyhow::Result<u64> {
    Ok(store.destinations().await?.iter().map(|waiting| waiting.records).sum())
}

#[expect(clippy::cast_precision_loss, reason = "numbers are small")]
fn entries(numbers: std::ops::Range<u64>, era: &ClockEra, poison: Option<u64>) -> Vec<Entry> {
    let datum = |number: u64| MetricDatum {
        namespace: "Numbered".into(),
        metric_name: if poison == Some(number) { "poison" } else { "numbered" }.into(),
        dimensions: vec![Dimension { name: "host".into(), value: "numbered".into() }],
        timestamp: wall(),
        values: vec![number as f64],
        counts: vec![1.0],
        unit: "Count".into(),
        storage_resolution: 60,
        urgent: false,
    };
    let event = |number: u64| StoredEvent { timestamp: wall(), message: format!("number {number}") };
    let metrics = Destination::Metrics { namespace: "Numbered".into() };
    let logs = Destination::Logs { group: "/numbered".into(), stream: "numbered".into() };
    let entry = |destination, kind, payload| Entry { destination, kind, era: era.clone(), payload };
    vec![
        entry(metrics, Kind::Metrics, Payload::Metrics(numbers.clone().map(datum).collect())),
        entry(logs, Kind::Logs, Payload::Logs(numbers.map(event).collect())),
    ]
}

fn println_out(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}
