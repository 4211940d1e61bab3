//! Spool to CloudWatch: takes frames from the state file, makes requests of them, sends, and settles what was taken.
//! The one place that decides what is tried again, when, and what is given up.
//!
//! - A record leaves the state file only when CloudWatch took it, proved it invalid, or would refuse it for its age.
//! - What happened last goes first; what is left over from an outage follows at a bounded rate.
//! - A destination that fails waits alone, longer each time; others go on.
//! - Frames are marked before they are written to the network: after a crash it is known which may arrive twice.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::correction::correction_ms;
use crate::aws::{Failure, ServerClock};
use crate::host::clock::{EraClock, wall};
use crate::model::meters::Loss;
use crate::model::spool::{ClockEra, Destination, Entry, Frame, Kind, Payload};
use crate::service::board::Board;
use crate::store::service::{StoreGone, StoreHandle};
use crate::store::{Order, TakeLimits};

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

/// When metrics and logs are flushed: at one second of each interval, another for each host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    interval_ms: i64,
    offset_ms: i64,
}

/// An interval is closed by the first snapshot after its end, and stored: before that there is nothing to flush.
const CLOSED_AFTER_MS: i64 = 2_000;

impl Schedule {
    /// The schedule of the host of that name.
    pub fn of(name: &str, interval_seconds: u32) -> Self {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let interval_ms = i64::from(interval_seconds.max(1)) * 1000;
        let room = u64::try_from(interval_ms - CLOSED_AFTER_MS).unwrap_or(0);
        let spread = hasher.finish().checked_rem(room).and_then(|ms| i64::try_from(ms).ok());
        Schedule { interval_ms, offset_ms: spread.map_or(0, |ms| ms + CLOSED_AFTER_MS) }
    }

    /// From `now` to the next flush: more than nothing, and at most an interval.
    fn until_flush(&self, now: Timestamp) -> Duration {
        let past = (now.as_millisecond() - self.offset_ms).rem_euclid(self.interval_ms);
        Duration::from_millis(u64::try_from(self.interval_ms - past).unwrap_or(1))
    }
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

/// A record on its way, with what it takes to put it back as it was.
#[derive(Debug, Clone)]
struct Item<R> {
    record: R,
    shift_ms: i64,
    era: Arc<ClockEra>,
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
        let (why, throttled, (first, longest)) = match failure {
            Failure::Retry { why, throttled, .. } => (why.as_str(), *throttled, RETRY),
            Failure::Waiting { why } => (why.as_str(), false, WAITING),
            Failure::Missing { why } | Failure::Rejected { why } => (why.as_str(), false, RETRY),
            Failure::Exists => ("made by someone else", false, RETRY),
        };
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
        let reconnect = matches!(failure, Failure::Waiting { .. } | Failure::Retry { expired: true, .. });
        let until = Instant::now() + wait;
        self.waits.insert(destination.clone(), Wait { until, failures, told: kind, reconnect });
    }

    /// Sheds what CloudWatch would refuse for its age.
    async fn expire(&mut self) -> Result<(), StoreGone> {
        let before = now(&self.server_clock).saturating_sub(signed(S::LIMITS.age)).unwrap_or(Timestamp::MIN);
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
        let items = self.items(frames);
        let mut left: Vec<Vec<Item<S::Record>>> = self.requests(destination, kind, items);
        left.reverse();
        let (mut settled_any, mut probes, mut failure) = (false, 0, None);
        while let Some(request) = left.pop() {
            match self.send(destination, kind, &request).await {
                Ok(()) => settled_any = true,
                Err(Failure::Rejected { why }) => {
                    settled_any = true;
                    probes += 1;
                    match halves(request) {
                        Err(bad) => bad.iter().for_each(|bad| self.reject(destination, kind, bad, &why)),
                        Ok((first, second)) => left.extend([second, first]),
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
            self.store.settle(ids, entries::<S>(destination, kind, leftover.clone())).await?;
        }
        Ok(match failure {
            Some(failure) => Progress::Failed(failure),
            None => {
                let waiting = self.pending().await?;
                Progress::Settled { more: waiting.iter().any(|(other, _, _)| other == destination) }
            }
        })
    }

    /// Records with their times corrected, oldest first.
    fn items(&mut self, frames: Vec<Frame>) -> Vec<Item<S::Record>> {
        let offset_ms = self.server_clock.offset_ms();
        let now = self.era.now(offset_ms);
        let mut items = Vec::new();
        for frame in frames {
            let shift_ms = correction_ms(&frame.entry.era, &now);
            let era = Arc::new(frame.entry.era);
            for mut record in S::unpack(frame.entry.payload) {
                shift(S::time(&mut record), shift_ms);
                items.push(Item { record, shift_ms, era: Arc::clone(&era) });
            }
        }
        items.sort_by_key(|item| *S::time(&mut item.record.clone()));
        items
    }

    /// Parts records into requests. What no request may carry is given up here, and counted.
    fn requests(
        &self,
        destination: &Destination,
        kind: Kind,
        items: Vec<Item<S::Record>>,
    ) -> Vec<Vec<Item<S::Record>>> {
        let now = now(&self.server_clock);
        let oldest = now.saturating_sub(signed(S::LIMITS.age)).unwrap_or(Timestamp::MIN);
        let newest = now.saturating_add(signed(S::LIMITS.ahead)).unwrap_or(Timestamp::MAX);
        let mut requests: Vec<Vec<Item<S::Record>>> = Vec::new();
        let (mut bytes, mut from) = (0, Timestamp::MIN);
        for mut item in items {
            let (time, size) = (*S::time(&mut item.record), S::bytes(&item.record));
            let refused = match time {
                time if time < oldest => Some(Loss::TooOld),
                time if time > newest => Some(Loss::TooNew),
                _ if size > S::LIMITS.bytes => Some(Loss::Rejected),
                _ => None,
            };
            if let Some(cause) = refused {
                self.lose(destination, kind, &item, cause);
                continue;
            }
            let fits = requests.last().is_some_and(|request| {
                let span = time.duration_since(from);
                request.len() < S::LIMITS.records
                    && bytes + size <= S::LIMITS.bytes
                    && span.unsigned_abs() < S::LIMITS.span
            });
            match requests.last_mut().filter(|_| fits) {
                Some(request) => {
                    request.push(item);
                    bytes += size;
                }
                None => {
                    requests.push(vec![item]);
                    (bytes, from) = (size, time);
                }
            }
        }
        requests
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

/// Two halves, or the one record that there is.
fn halves<R>(mut request: Vec<Item<R>>) -> Result<(Vec<Item<R>>, Vec<Item<R>>), Option<Item<R>>> {
    if request.len() < 2 {
        return Err(request.pop());
    }
    let second = request.split_off(request.len() / 2);
    Ok((request, second))
}

/// What is left, as it was put in.
fn entries<S: Sink>(destination: &Destination, kind: Kind, items: Vec<Item<S::Record>>) -> Vec<Entry> {
    let mut entries: Vec<(Arc<ClockEra>, Vec<S::Record>)> = Vec::new();
    for mut item in items {
        shift(S::time(&mut item.record), -item.shift_ms);
        match entries.last_mut().filter(|(era, _)| *era == item.era) {
            Some((_, records)) => records.push(item.record),
            None => entries.push((item.era, vec![item.record])),
        }
    }
    let entry = |(era, records): (Arc<ClockEra>, Vec<S::Record>)| Entry {
        destination: destination.clone(),
        kind,
        era: ClockEra::clone(&era),
        payload: S::pack(records),
    };
    entries.into_iter().map(entry).collect()
}

fn shift(time: &mut Timestamp, ms: i64) {
    *time = time.saturating_add(SignedDuration::from_millis(ms)).unwrap_or(*time);
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// The time by CloudWatch's clock.
fn now(clock: &ServerClock) -> Timestamp {
    let mut now = wall();
    shift(&mut now, clock.offset_ms());
    now
}

/// From a half to the whole: hosts that failed together do not come back together.
fn jitter() -> f64 {
    0.5 + fastrand::f64() / 2.0
}
