//! Spool to CloudWatch: takes frames from the state file, makes requests of them, sends, and settles what was taken.
//! The one place that decides what is tried again, when, and what is given up.
//!
//! - A record leaves the state file only when CloudWatch took it, proved it invalid, or would refuse it for its age.
//! - What happened last goes first; what is left over from an outage follows at a bounded rate.
//! - A destination that fails waits alone, longer each time; others go on.
//! - Frames are marked before they are written to the network: after a crash it is known which may arrive twice.

mod correction;
mod requests;
mod schedule;

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::aws::{Failure, ServerClock};
use crate::host::clock::{EraClock, wall};
use crate::model::meters::Loss;
use crate::model::spool::{Destination, Kind, Payload};
use crate::service::board::Board;
use crate::store::service::{StoreGone, StoreHandle};
use crate::store::{Order, TakeLimits};
use requests::{Item, Parted, entries, items, part, shifted};

pub use schedule::Schedule;

/// What one request may carry, from the service's documentation.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Records.
    pub records: usize,
    /// Bytes, as [`Sink::bytes`] counts them.
    pub bytes: usize,
    /// Time between its oldest and its newest record.
    pub span: Duration,
    /// How old a record may be.
    pub age: Duration,
    /// How far ahead of time a record may be.
    pub ahead: Duration,
}

/// What a request that was taken left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Records that the service refused for their age.
    pub too_old: usize,
    /// Records that the service refused for being ahead of time.
    pub too_new: usize,
}

/// One service.
#[expect(async_fn_in_trait, reason = "all of it runs on one thread")]
pub trait Sink: Debug {
    /// What it takes.
    type Record: Clone + Debug;

    /// What one request may carry.
    const LIMITS: Limits;

    /// Records of a frame; none if it is for another service.
    fn unpack(payload: Payload) -> Vec<Self::Record>;

    /// The other way.
    fn pack(records: Vec<Self::Record>) -> Payload;

    /// When it happened.
    fn time(record: &mut Self::Record) -> &mut Timestamp;

    /// What it takes of [`Limits::bytes`].
    fn bytes(record: &Self::Record) -> usize;

    /// For a message about this record.
    fn name(record: &Self::Record) -> String;

    /// Sends one request.
    async fn send(&self, destination: &Destination, records: &[Self::Record]) -> Result<Accepted, Failure>;

    /// Looks for region and credentials again, before a further try where they were missing.
    async fn reconnect(&self);
}

/// Between two requests of a backlog: a day's metrics and a million log lines are through in two minutes, and a fleet
/// that comes back from an outage stays far below the quotas.
const BACKLOG_PAUSE: Duration = Duration::from_millis(500);
/// First wait after a failure, doubled each time, up to the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The same where an operator has to do something first.
const WAITING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));
/// Requests spent on finding invalid records before the next pause.
const PROBES: u32 = 64;
/// What is taken from the state file at once.
const TAKE_BYTES: usize = 1 << 20;
/// From so many waiting bytes on, a flush is not waited for.
const FULL_REQUEST: u64 = 1 << 20;

/// How a destination has failed.
#[derive(Debug)]
struct Wait {
    until: Instant,
    failures: u32,
    /// Told to the operator; told again when it changes.
    told: std::mem::Discriminant<Failure>,
    reconnect: bool,
}

/// How a batch fared.
enum Progress {
    /// There was nothing.
    Nothing,
    /// Everything taken was settled.
    Settled {
        /// Whether more waits.
        more: bool,
    },
    /// A part may be settled; the rest waits.
    Failed(Failure),
}

/// Delivers to one service.
#[derive(Debug)]
pub struct Deliver<S> {
    sink: S,
    kinds: &'static [Kind],
    store: StoreHandle,
    board: Arc<Board>,
    server_clock: Arc<ServerClock>,
    era: EraClock,
    waits: HashMap<Destination, Wait>,
    /// Destinations that have more than a flush took.
    behind: HashSet<Destination>,
}

impl<S: Sink> Deliver<S> {
    /// Delivers records of these kinds.
    pub fn new(
        sink: S,
        kinds: &'static [Kind],
        store: StoreHandle,
        board: Arc<Board>,
        server_clock: Arc<ServerClock>,
        era: EraClock,
    ) -> Self {
        Deliver {
            sink,
            kinds,
            store,
            board,
            server_clock,
            era,
            waits: HashMap::new(),
            behind: HashSet::new(),
        }
    }

    /// Delivers until `stop`; then as much as goes without a failure.
    ///
    /// `wake` counts urgent records that were put into the state file, `schedule` may change.
    pub async fn run(
        mut self,
        mut wake: watch::Receiver<Wake>,
        mut schedule: watch::Receiver<Schedule>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), StoreGone> {
        let mut urgent = wake.borrow_and_update().urgent;
        let mut stopping = *stop.borrow_and_update();
        let next_flush = |schedule: &mut watch::Receiver<Schedule>| {
            Instant::now() + schedule.borrow_and_update().until_flush(wall())
        };
        let mut flush_at = next_flush(&mut schedule);
        let mut backlog_at = Instant::now();
        // What an earlier run left is a backlog.
        for waiting in self.pending().await? {
            self.behind.insert(waiting.0);
        }
        loop {
            let mut flush = stopping;
            if !stopping {
                tokio::select! {
                    biased;
                    changed = stop.changed() => stopping = changed.is_err() || *stop.borrow(),
                    Ok(()) = wake.changed() => {
                        let now = *wake.borrow_and_update();
                        flush = now.urgent != urgent;
                        urgent = now.urgent;
                    }
                    Ok(()) = schedule.changed() => flush_at = next_flush(&mut schedule),
                    () = sleep_until(self.next(flush_at, backlog_at)) => {}
                }
            }
            let now = Instant::now();
            if now >= flush_at {
                flush = true;
                flush_at = next_flush(&mut schedule);
                self.expire().await?;
            }
            if flush || stopping {
                self.flush().await?;
            } else if now >= backlog_at {
                self.backlog().await?;
                backlog_at = Instant::now() + BACKLOG_PAUSE;
            }
            while stopping && self.backlog().await? {}
            if stopping {
                return Ok(());
            }
        }
    }

    /// When there is something to do next.
    fn next(&self, flush_at: Instant, backlog_at: Instant) -> Instant {
        let of = |destination: &Destination| {
            self.waits.get(destination).map_or(backlog_at, |wait| wait.until.max(backlog_at))
        };
        let backlog = self.behind.iter().map(of).min();
        flush_at.min(backlog.unwrap_or(flush_at))
    }

    /// Destinations with something waiting, findings first: with frames and bytes.
    async fn pending(&self) -> Result<Vec<(Destination, Kind, u64)>, StoreGone> {
        let mut waiting: Vec<_> = self.store.destinations().await?;
        waiting.retain(|stats| self.kinds.contains(&stats.kind) && stats.frames > 0);
        waiting.sort_by_key(|stats| stats.kind);
        Ok(waiting.into_iter().map(|stats| (stats.destination, stats.kind, stats.bytes)).collect())
    }

    fn is_ready(&self, destination: &Destination) -> bool {
        self.waits.get(destination).is_none_or(|wait| wait.until <= Instant::now())
    }

    /// Sends what happened last, to every destination.
    async fn flush(&mut self) -> Result<(), StoreGone> {
        for (destination, _, _) in self.pending().await? {
            if self.is_ready(&destination) {
                self.step(&destination, Order::Newest).await?;
            }
        }
        Ok(())
    }

    /// Sends one batch of what is left over; tells whether it did.
    async fn backlog(&mut self) -> Result<bool, StoreGone> {
        for (destination, _, bytes) in self.pending().await? {
            let due = self.behind.contains(&destination) || bytes >= FULL_REQUEST;
            if due && self.is_ready(&destination) {
                // After a failure it is not known how long the outage was: what happened last goes first again.
                let order = if self.waits.contains_key(&destination) { Order::Newest } else { Order::Oldest };
                return Ok(matches!(self.step(&destination, order).await?, Progress::Settled { .. }));
            }
        }
        Ok(false)
    }

    async fn step(&mut self, destination: &Destination, order: Order) -> Result<Progress, StoreGone> {
        if self.waits.get(destination).is_some_and(|wait| wait.reconnect) {
            self.sink.reconnect().await;
        }
        let progress = self.send_batch(destination, order).await?;
        match &progress {
            Progress::Nothing => {
                self.behind.remove(destination);
            }
            Progress::Settled { more } => {
                if *more {
                    self.behind.insert(destination.clone());
                } else {
                    self.behind.remove(destination);
                }
                if self.waits.remove(destination).is_some() {
                    self.board.well(&place(destination));
                    tracing::info!("{}: CloudWatch takes it again", place(destination));
                }
            }
            Progress::Failed(failure) => self.failed(destination, failure),
        }
        Ok(progress)
    }

    /// Waits, alone and longer each time; says so once.
    fn failed(&mut self, destination: &Destination, failure: &Failure) {
        let why = failure.why();
        let throttled = matches!(failure, Failure::Retry { throttled: true, .. });
        let is_waiting = matches!(failure, Failure::Waiting { .. });
        let (first, longest) = if is_waiting { WAITING } else { RETRY };
        self.behind.insert(destination.clone());
        let kind = std::mem::discriminant(failure);
        let before = self.waits.get(destination);
        let failures = before.map_or(1, |wait| wait.failures + 1);
        if before.is_none_or(|wait| wait.told != kind) {
            tracing::warn!("{}: {why}; nothing is lost, it is kept and tried again", place(destination));
        }
        self.board.trouble(&place(destination), why);
        self.board.count(|meters| {
            meters.failures += 1;
            meters.throttled += u64::from(throttled);
        });
        let wait = first.saturating_mul(1 << (failures - 1).min(10)).min(longest).mul_f64(jitter());
        let reconnect = is_waiting || matches!(failure, Failure::Retry { expired: true, .. });
        let until = Instant::now() + wait;
        self.waits.insert(destination.clone(), Wait { until, failures, told: kind, reconnect });
    }

    /// Sheds what CloudWatch would refuse for its age.
    async fn expire(&mut self) -> Result<(), StoreGone> {
        let age = i64::try_from(S::LIMITS.age.as_millis()).unwrap_or(i64::MAX);
        let before = shifted(now(&self.server_clock), -age);
        for (destination, _, _) in self.pending().await? {
            let which = move |other: &Destination, _| *other == destination;
            self.board.shed(self.store.expire(which, before).await?);
        }
        Ok(())
    }

    /// Takes frames, sends them in as many requests as they need, and settles what was taken.
    async fn send_batch(&mut self, destination: &Destination, order: Order) -> Result<Progress, StoreGone> {
        let limits = TakeLimits { records: S::LIMITS.records, bytes: TAKE_BYTES, span: Some(S::LIMITS.span) };
        let frames = self.store.take(destination.clone(), order, limits).await?;
        let Some(kind) = frames.first().map(|frame| frame.entry.kind) else { return Ok(Progress::Nothing) };
        let ids: Vec<u64> = frames.iter().map(|frame| frame.id).collect();
        self.store.sending(ids.clone()).await?;
        let items = items::<S>(frames, &self.era.now(self.server_clock.offset_ms()));
        let Parted { requests: mut left, lost } = part::<S>(items, now(&self.server_clock));
        lost.iter().for_each(|(item, cause)| self.lose(destination, kind, item, *cause));
        left.reverse();
        let (mut settled_any, mut probes, mut failure) = (!lost.is_empty(), 0, None);
        while let Some(request) = left.pop() {
            match self.send(destination, kind, &request).await {
                Ok(()) => settled_any = true,
                Err(Failure::Rejected { why }) => {
                    settled_any = true;
                    probes += 1;
                    if let [bad] = request.as_slice() {
                        self.reject(destination, kind, bad, &why);
                    } else {
                        let mut first = request;
                        let second = first.split_off(first.len() / 2);
                        left.extend([second, first]);
                    }
                    if probes >= PROBES {
                        break;
                    }
                }
                Err(other) => {
                    left.push(request);
                    failure = Some(other);
                    break;
                }
            }
        }
        let leftover: Vec<Item<S::Record>> = left.into_iter().rev().flatten().collect();
        if !settled_any && failure.is_some() {
            self.store.unsent(ids).await?;
        } else {
            self.store.settle(ids, entries::<S>(destination, kind, leftover)).await?;
        }
        if let Some(failure) = failure {
            return Ok(Progress::Failed(failure));
        }
        let waiting = self.pending().await?;
        Ok(Progress::Settled { more: waiting.iter().any(|(other, _, _)| other == destination) })
    }

    async fn send(
        &self,
        destination: &Destination,
        kind: Kind,
        request: &[Item<S::Record>],
    ) -> Result<(), Failure> {
        let records: Vec<S::Record> = request.iter().map(|item| item.record.clone()).collect();
        let begun = Instant::now();
        let result = self.sink.send(destination, &records).await;
        let count = records.len() as u64;
        match &result {
            Ok(accepted) => {
                let (too_old, too_new) = (accepted.too_old as u64, accepted.too_new as u64);
                let latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.board.count(|meters| {
                    meters.requests += 1;
                    meters.count_sent(kind, count.saturating_sub(too_old + too_new));
                    if kind == Kind::Metrics {
                        meters.last_publish = Some(wall());
                        meters.publish_latency_ms = Some(latency_ms);
                    }
                    meters.clock_offset_ms = self.server_clock.offset_ms();
                });
                for (cause, records) in [(Loss::TooOld, accepted.too_old), (Loss::TooNew, accepted.too_new)] {
                    self.board.lost(destination, kind, cause, records as u64);
                }
            }
            Err(Failure::Retry { ambiguous: true, .. }) => self.board.count(|meters| {
                meters.ambiguous += 1;
                meters.ambiguous_records += count;
            }),
            Err(_) => {}
        }
        result.map(|_| ())
    }

    fn lose(&self, destination: &Destination, kind: Kind, item: &Item<S::Record>, cause: Loss) {
        tracing::debug!("{}: lost, {}: {}", place(destination), cause.as_str(), S::name(&item.record));
        self.board.lost(destination, kind, cause, 1);
    }

    /// A record that CloudWatch proved invalid.
    fn reject(&self, destination: &Destination, kind: Kind, item: &Item<S::Record>, why: &str) {
        tracing::error!(
            "{}: given up, for CloudWatch refuses it: {why}; {}",
            place(destination),
            S::name(&item.record)
        );
        self.board.lost(destination, kind, Loss::Rejected, 1);
    }
}

/// What was put into the state file since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wake {
    /// Times that something was put in.
    pub stored: u64,
    /// Times that something urgent was.
    pub urgent: u64,
}

/// Where it goes, for people.
pub fn place(destination: &Destination) -> String {
    match destination {
        Destination::Metrics { namespace } => format!("metrics of namespace {namespace}"),
        Destination::Logs { group, stream } => format!("log stream {group} {stream}"),
    }
}

/// The time by CloudWatch's clock.
fn now(clock: &ServerClock) -> Timestamp {
    shifted(wall(), clock.offset_ms())
}

/// From a half to the whole: hosts that failed together do not come back together.
fn jitter() -> f64 {
    0.5 + fastrand::f64() / 2.0
}
