//! Shipped logs into the state file. Each log has a reader on a thread of its own, which also makes the events.
//!
//! Lines never crowd out findings and metrics: where those that wait take their share of the state file, nothing more is read.
//! The logs keep what is written meanwhile, as long as their rotation does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::{Ended, on_a_thread};
use crate::aws::ServerClock;
use crate::host::clock::{EraClock, Monotonic, wall};
use crate::host::paths::Paths;
use crate::model::meters::Loss;
use crate::model::shipped::{Origin, ShippedLog, StreamNames};
use crate::model::spool::{Entry, Kind, Payload};
use crate::service::board::Board;
use crate::shipping::{Counts, Shipment, Shipper, prefix};
use crate::sinks::deliver::Wake;
use crate::store::service::{StoreGone, StoreHandle};
use crate::store::{IN_MEMORY, ValueKey, ValueKind};
use crate::tail::{self, Cursors, Read, Tail};

/// Of the state file's limit, lines that wait may take one part in so many.
pub(super) const SHARE_OF_LINES: u64 = 2;
/// The same of the memory that holds what cannot be written.
const SHARE_IN_MEMORY: u64 = IN_MEMORY as u64 / 4;
/// Shipments that may wait for whoever takes them: a reader works while the state file does.
pub(super) const SHIPPED: usize = 2;
/// Shipments that are stored at once: a transaction costs the same for one and for many.
const AT_ONCE: usize = 32;
/// Bytes after which it is asked again how many wait.
const ASK_EACH: u64 = 1 << 20;
/// How long a reader waits at a time for something to read; so long it may take until it stops.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long is waited for room.
const NO_ROOM: Duration = Duration::from_millis(500);

/// What a reader has.
#[derive(Debug)]
pub(super) enum Shipped {
    /// Something to store, of the log of that name.
    Shipment(Arc<str>, Shipment),
    /// Something to tell of it.
    Told(Arc<str>, Read),
}

/// Starts a reader for each log; `kept` is what the state file has of all of them.
pub(super) fn readers(
    logs: &[ShippedLog],
    names: &StreamNames,
    paths: &Paths,
    kept: &BTreeMap<String, Vec<u8>>,
    to: &mpsc::Sender<Shipped>,
) -> anyhow::Result<Vec<Ended>> {
    let mut threads = Vec::new();
    for log in logs {
        let prefix = prefix(&log.name);
        let own = kept
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())));
        let clock = Monotonic::start();
        let (shipper, at) = Shipper::new(log.clone(), names.clone(), own, clock.milliseconds());
        let at: Cursors = at.into_iter().collect();
        let (tail, what) = tail_of(log, paths, at);
        tracing::info!("log {} ({what}) is shipped to {}", log.name, log.group);
        let (to, name) = (to.clone(), Arc::clone(&log.name));
        threads.push(on_a_thread("ship", move || {
            read(tail, shipper, &name, &clock, &to);
            Ok(())
        })?);
    }
    Ok(threads)
}

/// What reads that log, and what that is for people.
pub(super) fn tail_of(log: &ShippedLog, paths: &Paths, at: Cursors) -> (Box<dyn Tail>, String) {
    match &log.from {
        Origin::Files(files) => (tail::of_files(files, paths, at), files.join(", ")),
        Origin::Units(units) => {
            (tail::of_units(units, paths, &at), format!("the journal of {}", units.join(", ")))
        }
    }
}

/// Reads until nobody listens.
fn read(
    mut tail: Box<dyn Tail>,
    mut shipper: Shipper,
    name: &Arc<str>,
    clock: &Monotonic,
    to: &mpsc::Sender<Shipped>,
) {
    let mut told = Counts::default();
    while !to.is_closed() {
        let mut all = Vec::new();
        for read in tail.read(PATIENCE) {
            all.push(match read {
                Read::Lines(lines) => {
                    Shipped::Shipment(Arc::clone(name), shipper.ship(&lines, clock.milliseconds()))
                }
                other => Shipped::Told(Arc::clone(name), other),
            });
        }
        all.push(Shipped::Shipment(Arc::clone(name), shipper.due(wall(), clock.milliseconds())));
        for shipped in all {
            if let Shipped::Shipment(_, shipment) = &shipped {
                tell_once(name, &mut told, shipment.counts);
                if shipment.is_empty() {
                    continue;
                }
            }
            if to.blocking_send(shipped).is_err() {
                return;
            }
        }
    }
}

/// What an operator should know of lines is said when it first happens.
fn tell_once(name: &str, told: &mut Counts, now: Counts) {
    if now.cut > 0 && told.cut == 0 {
        tracing::warn!(
            "log {name}: a line was longer than {} KiB and was cut there; so are others like it",
            tail::LINE / 1024
        );
    }
    if now.mistimed > 0 && told.mistimed == 0 {
        tracing::warn!(
            "log {name}: a line claims to be of the future, or older than CloudWatch Logs takes, and goes out with the time when it was read; look at its time and zone"
        );
    }
    if now.over_limit > 0 && told.over_limit == 0 {
        tracing::warn!("log {name}: the day's limit is reached, what is beyond is not sent; see daily_limit");
    }
    told.cut += now.cut;
    told.mistimed += now.mistimed;
    // Once a day: a shipment without it is of another day, or of a log that says nothing.
    told.over_limit = if now.shipped > 0 { 0 } else { told.over_limit } + now.over_limit;
}

/// Stores what is shipped.
pub(super) struct Ship {
    pub(super) paths: Paths,
    pub(super) logs: watch::Receiver<Arc<Vec<ShippedLog>>>,
    pub(super) names: StreamNames,
    /// Bytes of lines that may wait.
    pub(super) room: u64,
    pub(super) store: StoreHandle,
    pub(super) board: Arc<Board>,
    pub(super) server_clock: Arc<ServerClock>,
    /// Counts what is stored.
    pub(super) wake: watch::Sender<Wake>,
}

impl Ship {
    /// Reads and stores until told to stop.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) -> anyhow::Result<()> {
        loop {
            let logs = Arc::clone(&self.logs.borrow_and_update());
            // Of the state file, not of memory: after a reload it holds what the readers before had stored.
            let kept = self.kept(&logs).await?;
            let (to, mut from) = mpsc::channel(SHIPPED);
            let mut threads = readers(&logs, &self.names, &self.paths, &kept, &to)?;
            drop(to);
            let is_stopped = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => true,
                () = changed(&mut self.logs, &logs) => false,
                gone = store(&self.store, &self.board, &self.server_clock, &self.wake, self.room, &mut from) => {
                    return Err(gone.into());
                }
            };
            drop(from);
            for thread in &mut threads {
                Ended::wait(thread).await?;
            }
            if is_stopped {
                return Ok(());
            }
            // What is still wrong the new readers tell again.
            let told = self.board.troubles().into_keys();
            let is_theirs = |told: &String| logs.iter().any(|log| told.starts_with(&place(&log.name, "")));
            told.filter(is_theirs).for_each(|told| self.board.well(&told));
        }
    }

    /// What the state file has of these logs. What it has of others is of no more use: it goes.
    async fn kept(&self, logs: &[ShippedLog]) -> Result<BTreeMap<String, Vec<u8>>, StoreGone> {
        let stored = self.store.values(ValueKind::Cursor).await?;
        let prefixes: Vec<String> = logs.iter().map(|log| prefix(&log.name)).collect();
        let (mut kept, mut gone) = (BTreeMap::new(), Vec::new());
        for (key, value) in stored {
            match key {
                ValueKey::Cursor(key) if prefixes.iter().any(|prefix| key.starts_with(prefix)) => {
                    kept.insert(key, value);
                }
                ValueKey::Cursor(key) if crate::shipping::is_of_a_shipped_log(&key) => {
                    gone.push((ValueKey::Cursor(key), None));
                }
                _ => {}
            }
        }
        if !gone.is_empty() {
            self.store.append(Vec::new(), gone).await?;
        }
        Ok(kept)
    }
}

/// Until other logs are to be shipped.
async fn changed(logs: &mut watch::Receiver<Arc<Vec<ShippedLog>>>, from: &Arc<Vec<ShippedLog>>) {
    if logs.wait_for(|now| **now != **from).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Stores what comes, as long as there is room; ends with the state file.
async fn store(
    store: &StoreHandle,
    board: &Board,
    server_clock: &ServerClock,
    wake: &watch::Sender<Wake>,
    room: u64,
    from: &mut mpsc::Receiver<Shipped>,
) -> StoreGone {
    let mut clock = EraClock::start();
    let mut since_asked = ASK_EACH;
    let mut next = Vec::with_capacity(AT_ONCE);
    loop {
        if since_asked >= ASK_EACH {
            since_asked = 0;
            if let Err(gone) = wait_for_room(store, board, room).await {
                return gone;
            }
        }
        if from.recv_many(&mut next, AT_ONCE).await == 0 {
            // No log is shipped, now.
            return std::future::pending().await;
        }
        let era = clock.now(server_clock.offset_ms());
        let (mut entries, mut values, mut over_limit) = (Vec::new(), BTreeMap::new(), 0);
        for shipped in next.drain(..) {
            let (name, shipment) = match shipped {
                Shipped::Shipment(name, shipment) => (name, shipment),
                Shipped::Told(name, read) => {
                    tell(&name, read, Some(board));
                    continue;
                }
            };
            since_asked += shipment.counts.bytes;
            over_limit += shipment.counts.over_limit;
            let prefix = prefix(&name);
            values.extend(shipment.kept.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
            entries.extend(shipment.events.into_iter().map(|(destination, events)| Entry {
                destination,
                kind: Kind::Lines,
                era: era.clone(),
                payload: Payload::Logs(events),
            }));
        }
        let is_to_send = !entries.is_empty();
        let values = values.into_iter().map(|(key, value)| (ValueKey::Cursor(key), value)).collect();
        match store.append(entries, values).await {
            Ok(appended) => {
                board.shed(appended.shed);
                // Not before: what is read again is counted again.
                board.count(|meters| meters.count_lost(Loss::DailyLimit, over_limit));
            }
            Err(gone) => return gone,
        }
        if is_to_send {
            wake.send_modify(|wake| wake.stored += 1);
        }
    }
}

/// Waits until lines that wait take less than their share.
async fn wait_for_room(store: &StoreHandle, board: &Board, room: u64) -> Result<(), StoreGone> {
    const PLACE: &str = "shipped logs";
    let mut is_told = false;
    loop {
        let waiting = store.destinations().await?;
        let lines = waiting.iter().filter(|waiting| waiting.kind == Kind::Lines).map(|waiting| waiting.bytes);
        let room = if store.trouble().await?.is_some() { room.min(SHARE_IN_MEMORY) } else { room };
        if lines.sum::<u64>() < room {
            // Also of readers before a reload.
            board.well(PLACE);
            if is_told {
                tracing::info!("shipped logs are read again");
            }
            return Ok(());
        }
        if !is_told {
            is_told = true;
            let what = "lines that wait take their share of the state file; their logs are read on when some were sent";
            tracing::warn!("{what}");
            board.trouble(PLACE, what);
        }
        sleep(NO_ROOM).await;
    }
}

/// Tells the operator.
pub(super) fn tell(name: &str, read: Read, board: Option<&Board>) {
    match read {
        Read::Trouble { log, what } => {
            let of = if what.contains(log.as_str()) { String::new() } else { format!("{log}: ") };
            tracing::warn!("log {name}: {of}{what}");
            if let Some(board) = board {
                board.trouble(&place(name, &log), &what);
            }
        }
        Read::Well { log } => {
            tracing::info!("log {name}: {log} is read again");
            if let Some(board) = board {
                board.well(&place(name, &log));
            }
        }
        Read::Gap { log, what } => {
            tracing::warn!("log {name}: lines of {log} may be lost: {what}");
            if let Some(board) = board {
                board.count(|meters| meters.log_gaps += 1);
            }
        }
        Read::Lines(_) => {}
    }
}

fn place(name: &str, log: &str) -> String {
    format!("shipped log {name}: {log}")
}
