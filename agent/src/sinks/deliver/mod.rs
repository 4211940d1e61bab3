//! Spool to CloudWatch: takes frames from the state file, makes requests of them, sends, and settles what was taken.
//! The one place that decides what is tried again, when, and what is given up.
//!
//! - A record leaves the state file only when CloudWatch took it, proved it invalid, or would refuse it for its age.
//! - What happened last goes first, but for shipped lines, which keep their order; what is left over from an outage follows at a
//!   bounded rate.
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
use crate::store::{DestinationStats, Order, TakeLimits};
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
    /// Between two requests of a backlog: a day is through in two minutes, and a fleet that comes back from an outage
    /// stays below the quotas of its account.
    pub pause: Duration,
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
    fn time(record: &Self::Record) -> Timestamp;

    /// Corrects that.
    fn set_time(record: &mut Self::Record, time: Timestamp);

    /// What it takes of [`Limits::bytes`].
    fn bytes(record: &Self::Record) -> usize;

    /// For a message about this record.
    fn name(record: &Self::Record) -> String;

    /// Sends one request.
    async fn send(&self, destination: &Destination, records: &[Self::Record]) -> Result<Accepted, Failure>;

    /// Looks for region and credentials again, before a further try where they were missing.
    async fn reconnect(&self);
}

/// First wait after a failure, doubled each time, up to the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The same where an operator has to do something first.
const WAITING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));
/// Requests spent on finding invalid records before the next pause.
const PROBES: u32 = 64;
/// What is taken from the state file at once.
const TAKE_BYTES: usize = 1 << 20;
/// How often that is halved at most: to 16 KiB.
const SMALLEST: u32 = 6;
/// From so many waiting bytes on, a flush is not waited for.
const FULL_REQUEST: u64 = 1 << 20;

/// While stopping, nobody waits longer for another try.
const STOPPING: Duration = Duration::from_secs(1);
/// Failures in a row after which credentials and region are looked for again, whatever the failures say.
const RECONNECT_EACH: u32 = 5;
/// Invalid records of one batch that are told one by one.
const TOLD_EACH: u32 = 3;

/// How a destination has failed.
#[derive(Debug)]
struct Wait {
    until: Instant,
    failures: u32,
    /// Told to the operator, without its numbers; told again when it changes.
    told: String,
    reconnect: bool,
    /// Only an operator can help.
    is_waiting: bool,
}

/// How a batch fared.
enum Progress {
    /// There was nothing.
    Nothing,
    /// CloudWatch answered; what is left is there to be taken again.
    Settled,
    /// A part may be settled; the rest waits.
    Failed(Failure),
}

/// Delivers to one service.
#[derive(Debug)]
pub struct Deliver<S> {
    sink: S,
    kinds: &'static [Kind],
    pause: Duration,
    /// What of a destination goes first, of what has just happened and after a failure.
    first: Order,
    store: StoreHandle,
    board: Arc<Board>,
    server_clock: Arc<ServerClock>,
    era: EraClock,
    waits: HashMap<Destination, Wait>,
    /// Destinations that have more than a flush took.
    behind: HashSet<Destination>,
    /// How often requests were halved, because answers did not come.
    smaller: HashMap<Destination, u32>,
    /// When each destination's backlog had its turn last, and how many turns there were.
    turns: HashMap<Destination, u64>,
    turn: u64,
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
            pause: S::LIMITS.pause,
            first: Order::Newest,
            store,
            board,
            server_clock,
            era,
            waits: HashMap::new(),
            behind: HashSet::new(),
            smaller: HashMap::new(),
            turns: HashMap::new(),
            turn: 0,
        }
    }

    /// Waits so long between two requests of a backlog.
    #[must_use]
    pub fn paced(self, pause: Duration) -> Self {
        Deliver { pause, ..self }
    }

    /// Keeps to the order in which records came, also where the newest would be of more use: a log is read from its beginning.
    #[must_use]
    pub fn in_order(self) -> Self {
        Deliver { first: Order::Oldest, ..self }
    }

    /// Delivers until `stop`; then what is left, until nothing is, or the caller has waited long enough.
    ///
    /// `wake` counts urgent records that were put into the state file, `schedule` may change.
    pub async fn run(
        mut self,
        mut wake: watch::Receiver<Wake>,
        mut schedule: watch::Receiver<Schedule>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), StoreGone> {
        let mut urgent = wake.borrow_and_update().urgent;
        let next_flush = |schedule: &mut watch::Receiver<Schedule>| {
            Instant::now() + schedule.borrow_and_update().until_flush(wall())
        };
        let mut flush_at = next_flush(&mut schedule);
        let mut backlog_at = Instant::now();
        // What an earlier run left is a backlog.
        for waiting in self.pending().await? {
            self.behind.insert(waiting.destination);
        }
        while !*stop.borrow_and_update() {
            let mut flush = false;
            tokio::select! {
                biased;
                changed = stop.changed() => if changed.is_err() { break } else { continue },
                Ok(()) = wake.changed() => {
                    let now = *wake.borrow_and_update();
                    flush = now.urgent != urgent;
                    urgent = now.urgent;
                }
                Ok(()) = schedule.changed() => flush_at = next_flush(&mut schedule),
                () = sleep_until(self.next(flush_at, backlog_at)) => {}
            }
            if Instant::now() >= flush_at {
                flush = true;
                flush_at = next_flush(&mut schedule);
            }
            if flush {
                self.flush().await?;
            } else if Instant::now() >= backlog_at && self.backlog().await? {
                backlog_at = Instant::now() + self.pause.mul_f64(jitter());
            }
        }
        self.drain().await
    }

    /// Sends what is left, as long as something else than an operator can help.
    async fn drain(&mut self) -> Result<(), StoreGone> {
        self.hurry();
        self.flush().await?;
        loop {
            while self.backlog().await? {
                self.hurry();
            }
            self.hurry();
            let pending = self.pending().await?;
            let hopeful = |destination| self.waits.get(destination).is_none_or(|wait| !wait.is_waiting);
            if !pending.iter().any(|waiting| hopeful(&waiting.destination)) {
                return Ok(());
            }
            self.behind.extend(pending.into_iter().map(|waiting| waiting.destination));
            sleep_until(self.next(Instant::now() + STOPPING, Instant::now())).await;
        }
    }

    /// While stopping, nobody waits long.
    fn hurry(&mut self) {
        let latest = Instant::now() + STOPPING;
        self.waits.values_mut().for_each(|wait| wait.until = wait.until.min(latest));
    }

    /// When there is something to do next.
    fn next(&self, flush_at: Instant, backlog_at: Instant) -> Instant {
        let of = |destination: &Destination| {
            self.waits.get(destination).map_or(backlog_at, |wait| wait.until.max(backlog_at))
        };
        let backlog = self.behind.iter().map(of).min();
        flush_at.min(backlog.unwrap_or(flush_at))
    }

    /// Destinations with something waiting, findings first.
    async fn pending(&mut self) -> Result<Vec<DestinationStats>, StoreGone> {
        let mut pending: Vec<_> = self.store.destinations().await?;
        pending.retain(|waiting| self.kinds.contains(&waiting.kind) && waiting.frames > 0);
        pending.sort_by_key(|waiting| waiting.kind);
        // What emptied by other ways than delivery is nobody's trouble any more.
        let there: HashSet<&Destination> = pending.iter().map(|waiting| &waiting.destination).collect();
        self.behind.retain(|destination| there.contains(destination));
        let board = &self.board;
        self.waits.retain(|destination, _| {
            there.contains(destination) || {
                board.well(&place(destination));
                false
            }
        });
        Ok(pending)
    }

    fn is_ready(&self, destination: &Destination) -> bool {
        self.waits.get(destination).is_none_or(|wait| wait.until <= Instant::now())
    }

    /// Sends what happened last, to every destination.
    async fn flush(&mut self) -> Result<(), StoreGone> {
        for waiting in self.pending().await? {
            if self.is_ready(&waiting.destination) {
                self.step(&waiting.destination, self.first).await?;
            }
        }
        Ok(())
    }

    /// Sends one batch of what is left over, of each destination in turn; tells whether there was something to send.
    async fn backlog(&mut self) -> Result<bool, StoreGone> {
        let mut pending = self.pending().await?;
        pending.retain(|waiting| {
            let is_due = self.behind.contains(&waiting.destination) || waiting.bytes >= FULL_REQUEST;
            is_due && self.is_ready(&waiting.destination)
        });
        let turns = |waiting: &DestinationStats| self.turns.get(&waiting.destination).copied().unwrap_or(0);
        let Some(destination) = pending.iter().min_by_key(|waiting| turns(waiting)) else { return Ok(false) };
        let destination = destination.destination.clone();
        self.turn += 1;
        self.turns.insert(destination.clone(), self.turn);
        // After a failure it is not known how long the outage was: what happened last goes first again.
        let order = if self.waits.contains_key(&destination) { self.first } else { Order::Oldest };
        self.step(&destination, order).await?;
        Ok(true)
    }

    async fn step(&mut self, destination: &Destination, order: Order) -> Result<(), StoreGone> {
        if self.waits.get(destination).is_some_and(|wait| wait.reconnect) {
            self.sink.reconnect().await;
        }
        match self.send_batch(destination, order).await? {
            // Nothing to be had, though it is there: the file cannot be read at present.
            Progress::Nothing => {
                let why = "what waits cannot be read from the state file at present";
                self.failed(destination, &Failure::again(why.into()));
            }
            Progress::Settled => {
                // Grows again step by step, or each success would be followed by a failure.
                self.smaller
                    .entry(destination.clone())
                    .and_modify(|smaller| *smaller = smaller.saturating_sub(1));
                self.behind.insert(destination.clone());
                if self.waits.remove(destination).is_some() {
                    self.board.well(&place(destination));
                    tracing::info!("{}: CloudWatch takes it again", place(destination));
                }
            }
            Progress::Failed(failure) => self.failed(destination, &failure),
        }
        Ok(())
    }

    /// Waits, alone and longer each time; says so once.
    fn failed(&mut self, destination: &Destination, failure: &Failure) {
        let why = failure.why();
        let is_waiting = matches!(failure, Failure::Waiting { .. });
        let (throttled, unanswered, expired) = match failure {
            Failure::Retry { throttled, ambiguous, expired, .. } => (*throttled, *ambiguous, *expired),
            _ => (false, false, false),
        };
        self.behind.insert(destination.clone());
        let told: String = why.chars().filter(|c| !c.is_ascii_digit()).collect();
        let before = self.waits.get(destination);
        if before.is_none_or(|wait| wait.told != told) {
            tracing::warn!("{}: {why}; it is kept and tried again", place(destination));
        }
        self.board.trouble(&place(destination), why);
        self.board.count(|meters| {
            meters.failures += 1;
            meters.throttled += u64::from(throttled);
        });
        let failures = before.map_or(1, |wait| wait.failures + 1);
        let (first, longest) = if is_waiting { WAITING } else { RETRY };
        let wait = first.saturating_mul(1 << (failures - 1).min(10)).min(longest).mul_f64(jitter());
        let wait = Wait {
            until: Instant::now() + wait,
            failures,
            told,
            reconnect: is_waiting || expired || failures.is_multiple_of(RECONNECT_EACH),
            is_waiting,
        };
        self.waits.insert(destination.clone(), wait);
        if unanswered {
            let smaller = self.smaller.entry(destination.clone()).or_default();
            *smaller = (*smaller + 1).min(SMALLEST);
        }
    }

    /// Takes frames, sends them in as many requests as they need, and settles what was taken.
    async fn send_batch(&mut self, destination: &Destination, order: Order) -> Result<Progress, StoreGone> {
        let bytes = TAKE_BYTES >> self.smaller.get(destination).copied().unwrap_or(0);
        let limits = TakeLimits { records: S::LIMITS.records, bytes, span: Some(S::LIMITS.span) };
        let mut frames = self.store.take(destination.clone(), order, limits).await?;
        // As they came: CloudWatch shows events of the same time in the order in which it took them.
        frames.sort_unstable_by_key(|frame| frame.id);
        if frames.is_empty() {
            return Ok(Progress::Nothing);
        }
        let ids: Vec<u64> = frames.iter().map(|frame| frame.id).collect();
        self.store.sending(ids.clone()).await?;
        let (is_known, offset_ms) = (self.server_clock.is_known(), self.server_clock.offset_ms());
        let items = items::<S>(frames, &self.era.now(offset_ms));
        let Parted { requests: mut left, lost } = part::<S>(items, is_known.then(|| now(offset_ms)));
        lost.iter().for_each(|(item, cause)| self.lose(destination, item, *cause));
        left.reverse();
        let (mut settled_any, mut probes, mut rejected) = (!lost.is_empty(), 0, 0);
        let (mut failure, mut stuck) = (None, Vec::new());
        while let Some(mut request) = left.pop() {
            match self.send(destination, &request).await {
                Ok(()) => settled_any = true,
                Err(Failure::Rejected { why, .. }) if self.is_other_time(is_known, offset_ms) => {
                    // Their times were not what we thought: all of it is judged anew, after a wait.
                    left.push(request);
                    failure = Some(Failure::again(why));
                    break;
                }
                Err(Failure::Rejected { why, proven }) => {
                    settled_any = true;
                    probes += 1;
                    if request.len() > 1 {
                        let second = request.split_off(request.len() / 2);
                        left.extend([second, request]);
                    } else if proven {
                        rejected += 1;
                        request.iter().for_each(|bad| self.reject(destination, bad, &why, rejected));
                    } else {
                        // Not to be given up for what somebody in between says, nor to stand in the others' way.
                        stuck.extend(request);
                        failure = Some(Failure::again(why));
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
        let leftover: Vec<Item<S::Record>> =
            stuck.into_iter().chain(left.into_iter().rev().flatten()).collect();
        if settled_any {
            self.store.settle(ids, entries::<S>(destination, leftover)).await?;
        } else {
            self.store.unsent(ids).await?;
        }
        Ok(failure.map_or(Progress::Settled, Progress::Failed))
    }

    /// Whether CloudWatch's clock turned out to be another than was reckoned with.
    fn is_other_time(&self, was_known: bool, offset_ms: i64) -> bool {
        const OTHER_MS: i64 = 2_000;
        self.server_clock.is_known() != was_known
            || (self.server_clock.offset_ms() - offset_ms).abs() >= OTHER_MS
    }

    async fn send(&self, destination: &Destination, request: &[Item<S::Record>]) -> Result<(), Failure> {
        let records: Vec<S::Record> = request.iter().map(|item| item.record.clone()).collect();
        let begun = Instant::now();
        let result = self.sink.send(destination, &records).await;
        let count = records.len() as u64;
        match &result {
            Ok(accepted) => {
                let latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.board.count(|meters| {
                    meters.requests += 1;
                    for item in request
                        .iter()
                        .take(request.len().saturating_sub(accepted.too_new))
                        .skip(accepted.too_old)
                    {
                        meters.count_sent(item.kind, 1);
                    }
                    if matches!(destination, Destination::Metrics { .. }) {
                        meters.last_publish = Some(wall());
                        meters.publish_latency_ms = Some(latency_ms);
                    }
                    meters.clock_offset_ms = self.server_clock.offset_ms();
                });
                let too_old = request.iter().take(accepted.too_old);
                let too_new = request.iter().skip(request.len().saturating_sub(accepted.too_new));
                too_old.for_each(|item| self.lose(destination, item, Loss::TooOld));
                too_new.for_each(|item| self.lose(destination, item, Loss::TooNew));
            }
            Err(Failure::Retry { ambiguous: true, .. }) => self.board.count(|meters| {
                meters.ambiguous += 1;
                meters.ambiguous_records += count;
            }),
            Err(_) => {}
        }
        result.map(|_| ())
    }

    fn lose(&self, destination: &Destination, item: &Item<S::Record>, cause: Loss) {
        tracing::debug!("{}: lost, {}: {}", place(destination), cause.as_str(), S::name(&item.record));
        self.board.lost(destination, item.kind, cause, 1);
    }

    /// A record that CloudWatch proved invalid: the `nth` of its batch. A sample of them is told.
    fn reject(&self, destination: &Destination, item: &Item<S::Record>, why: &str, nth: u32) {
        if nth <= TOLD_EACH {
            let more =
                if nth == TOLD_EACH { "; what else of its batch is refused is only counted" } else { "" };
            let name = S::name(&item.record);
            tracing::error!(
                "{}: given up, for CloudWatch refuses it: {why}; {name}{more}",
                place(destination)
            );
        }
        self.board.lost(destination, item.kind, Loss::Rejected, 1);
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
fn now(offset_ms: i64) -> Timestamp {
    shifted(wall(), offset_ms)
}

/// From a half to the whole: hosts that failed together do not come back together.
fn jitter() -> f64 {
    0.5 + fastrand::f64() / 2.0
}
