//! The state file: the one ACID file that holds what waits for CloudWatch and what the agent must not forget.
//! Receives entries from the pipeline; hands frames to delivery; never sends, retries or spawns.
//!
//! # On disk, version 1
//!
//! A redb database (<https://docs.rs/redb>) that only its owner may read, of these tables:
//!
//! | table | key | value |
//! |---|---|---|
//! | `about` | `version`, `owner`, `next-id` | text: 1; the instance's id; the id that the next frame gets |
//! | `destinations` | number (u32) | the [`Destination`] as JSON |
//! | `index` | number, frame's id (u64) | kind, records, bytes, oldest and newest timestamp (ms) |
//! | `frames` | the same | the frame's bytes, at most 64 KiB with the page's own unless it is one large record: see [`frame`] |
//! | `sending` | the same | nothing: this frame was about to be sent |
//! | `values` | 0 cursor, 1 baseline, 2 mark (u8); name | the value's bytes |
//!
//! redb's pages are 4 KiB times a power of two, a frame of more than 2 KiB has one of its own, and the file grows by
//! regions of 2 MiB, which is the one field of redb's header that we choose and redb's interface does not let us.
//!
//! # Invariants
//!
//! - Each call is one transaction: a log's cursor moves with the lines that it passed, a batch that was sent in part
//!   leaves with its leftover in place. What was returned from is on the disk (`fsync`), unless [`Store::trouble`]
//!   says otherwise.
//! - Ids rise and are never used twice. Frames of a destination lie in the order of their ids.
//! - The file's length never exceeds the limit. Page-rounded sizes of all frames stay below it by a margin for what a
//!   transaction copies; growth past it is refused, whatever the sum says. When there is no room, the oldest frame of
//!   the kind that takes the most goes, and is told ([`Shed`]). A frame goes before the append that needs its room, so
//!   a crash between the two loses it untold.
//! - Every change is first made in memory ([`file::Changes`]) and then written; a transaction that failed stays there,
//!   where reads see it, and is written with the next. So a disk in trouble costs at most what exceeds
//!   [`IN_MEMORY`], and nothing is sent twice for it in this run. Frames that are in the file cannot be read while it
//!   cannot be opened; they are not lost.
//!
//! # Opening
//!
//! Every page's checksum is verified, which reads the file once, and rolls back a transaction that was not finished. A
//! file that fails, that is of a newer version or of another owner is renamed beside itself, never deleted, and a new
//! one begun. A file that another agent has open is left alone. Without a file that can be written to, all is kept
//! in memory, bounded. Frames marked as being sent are counted, and sent again: CloudWatch may have them already.
//!
//! # What is lost
//!
//! By kill -9: nothing that a call returned from; a call under way happened wholly or not at all. By a power cut: the
//! same, if the disk keeps what it acknowledged; if not, the file may fail its checksums and is set aside.

mod file;
mod frame;
pub mod service;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::file::{Changes, Gate, Key, Place, REGION, Refusal, StateFile};
use self::frame::{Meta, Packed};
use crate::model::spool::{Destination, Entry, Frame, Kind};

/// What the file is allowed at least: below, a few frames would fill it.
pub const LEAST_LIMIT: u64 = 8 * 1024 * 1024;
/// Bytes of frames kept in memory when they cannot be written: some minutes of a busy host, in a process that should
/// stay small.
pub const IN_MEMORY: usize = 4 * 1024 * 1024;
/// What a value may take: baselines are some kilobytes.
const VALUE: usize = 1024 * 1024;

/// The key of a small value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueKey {
    /// How far a log was read.
    Cursor(String),
    /// What a detector has learned.
    Baseline(String),
    /// What provisioning did last.
    Mark(String),
}

/// What a small value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// [`ValueKey::Cursor`].
    Cursor,
    /// [`ValueKey::Baseline`].
    Baseline,
    /// [`ValueKey::Mark`].
    Mark,
}

impl ValueKey {
    fn kind(&self) -> ValueKind {
        match self {
            ValueKey::Cursor(_) => ValueKind::Cursor,
            ValueKey::Baseline(_) => ValueKind::Baseline,
            ValueKey::Mark(_) => ValueKind::Mark,
        }
    }

    fn name(&self) -> &str {
        let (ValueKey::Cursor(name) | ValueKey::Baseline(name) | ValueKey::Mark(name)) = self;
        name
    }
}

impl ValueKind {
    fn key(self, name: String) -> ValueKey {
        match self {
            ValueKind::Cursor => ValueKey::Cursor(name),
            ValueKind::Baseline => ValueKey::Baseline(name),
            ValueKind::Mark => ValueKey::Mark(name),
        }
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two agents would send everything twice.
    #[error("the state file {0} is in use by another vpcwatch; stop that one, or name another file")]
    Locked(PathBuf),
}

/// What opening met.
#[derive(Debug, Default)]
pub struct Opened {
    /// The file that was there and is not used.
    pub set_aside: Option<SetAside>,
    /// Records that were being sent when the agent last ended: CloudWatch may have them already.
    pub ambiguous: u64,
    /// Why nothing is written to disk, and the cure.
    pub memory_only: Option<String>,
}

/// A file that is not used.
#[derive(Debug)]
pub struct SetAside {
    /// What it is called now.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// What an append did.
#[derive(Debug, Default)]
pub struct Appended {
    /// Everything given up since this was last told.
    pub shed: Vec<Shed>,
}

/// Records given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shed {
    /// Where they should have gone.
    pub destination: Destination,
    /// What they were.
    pub kind: Kind,
    /// Why.
    pub cause: Cause,
    /// How many.
    pub records: u64,
    /// The oldest one's timestamp.
    pub oldest: Timestamp,
    /// The newest one's timestamp.
    pub newest: Timestamp,
}

/// Why records were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// No room: in the file, or in memory while the disk is in trouble.
    Full,
    /// CloudWatch would refuse them by now.
    TooOld,
    /// One record larger than anything CloudWatch takes.
    TooLarge,
    /// The file was damaged.
    Damaged,
}

/// What waits for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationStats {
    /// Where it goes.
    pub destination: Destination,
    /// What its oldest frame is.
    pub kind: Kind,
    /// Frames.
    pub frames: u64,
    /// Records.
    pub records: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// The oldest timestamp of its oldest frame.
    pub oldest: Timestamp,
}

/// Which frames to take first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The newest, backwards.
    Newest,
    /// The oldest, forwards.
    Oldest,
}

/// How much to take at once.
#[derive(Debug, Clone, Copy)]
pub struct TakeLimits {
    /// Records.
    pub records: usize,
    /// Bytes of frames.
    pub bytes: usize,
    /// Between the oldest and the newest timestamp.
    pub span: Option<Duration>,
}

/// How full it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Length of the file; zero without one.
    pub file_bytes: u64,
    /// Bytes of frames.
    pub payload_bytes: u64,
    /// What the file's length does not exceed.
    pub limit_bytes: u64,
    /// Records that wait.
    pub records: Vec<(Kind, u64)>,
    /// Timestamp of the oldest of them.
    pub oldest: Option<Timestamp>,
}

/// The state file, and what could not be written to it yet.
pub struct Store {
    place: Place,
    /// None in memory-only mode, and while the file cannot be opened.
    file: Option<StateFile>,
    memory_only: bool,
    trouble: Option<String>,
    /// When the last attempt to write failed, and how long it took.
    failed: Option<(Instant, Duration)>,
    /// What was changed and not yet written.
    waiting: Changes,
    waiting_bytes: usize,
    /// Frames given up that the file still holds.
    dropped: BTreeSet<Key>,
    /// What is being sent, by id.
    marked: BTreeMap<u64, (u32, Meta)>,
    next_id: u64,
    numbers: BTreeMap<Destination, u32>,
    queues: BTreeMap<u32, Queue>,
    /// What page-rounded sizes may add up to.
    budget: u64,
    shed: BTreeMap<(u32, usize, Cause), Shed>,
}

struct Queue {
    destination: Destination,
    tallies: [Tally; Kind::ALL.len()],
}

/// Of one destination and kind.
#[derive(Clone, Copy, Default)]
struct Tally {
    frames: u64,
    records: u64,
    bytes: u64,
    /// Of the file: pages.
    cost: u64,
    /// From the oldest to the newest timestamp since it was last empty.
    span: Option<(Timestamp, Timestamp)>,
}

impl Tally {
    fn add(&mut self, meta: &Meta) {
        self.frames += 1;
        self.records += u64::from(meta.records);
        self.bytes += u64::from(meta.bytes);
        self.cost += cost(meta);
        let (oldest, newest) = self.span.unwrap_or((meta.oldest, meta.newest));
        self.span = Some((oldest.min(meta.oldest), newest.max(meta.newest)));
    }

    fn remove(&mut self, meta: &Meta) {
        self.frames = self.frames.saturating_sub(1);
        self.records = self.records.saturating_sub(meta.records.into());
        self.bytes = self.bytes.saturating_sub(meta.bytes.into());
        self.cost = self.cost.saturating_sub(cost(meta));
        if self.frames == 0 {
            *self = Tally::default();
        }
    }
}

/// What a frame takes of the file: small ones share a page that is at least half full, larger ones have their own.
/// Each has a row of the index.
fn cost(meta: &Meta) -> u64 {
    const ROW: u64 = 2 * 40;
    let bytes = u64::from(meta.bytes) + 20;
    ROW + if bytes <= 2048 { 2 * (bytes + 8) } else { bytes.next_power_of_two().max(4096) }
}

impl Store {
    /// Opens the state file of this owner (instance or machine), or begins a new one; its folder must exist.
    pub fn open(path: &Path, owner: &str, limit_bytes: u64) -> Result<(Store, Opened), OpenError> {
        Self::open_behind(path, owner, limit_bytes, Arc::new(|_| Ok(())))
    }

    fn open_behind(path: &Path, owner: &str, limit: u64, gate: Gate) -> Result<(Store, Opened), OpenError> {
        let limit = limit.max(LEAST_LIMIT);
        let mut store = Store {
            place: Place { path: path.to_owned(), owner: owner.to_owned(), limit, gate },
            file: None,
            memory_only: false,
            trouble: None,
            failed: None,
            waiting: Changes::default(),
            waiting_bytes: 0,
            dropped: BTreeSet::new(),
            marked: BTreeMap::new(),
            next_id: 1,
            numbers: BTreeMap::new(),
            queues: BTreeMap::new(),
            budget: limit - 2 * REGION - limit / 16,
            shed: BTreeMap::new(),
        };
        let mut opened = Opened::default();
        let why = match StateFile::open(&store.place) {
            Ok((file, aside)) => {
                opened.set_aside = aside.map(|(path, why)| SetAside { path, why });
                store.file = Some(file);
                store.begin(&mut opened).err().map(|error| describe(path, error))
            }
            Err(Refusal::Locked) => return Err(OpenError::Locked(path.to_owned())),
            Err(Refusal::Disk(why)) => Some(why),
        };
        if let Some(why) = why {
            let why = format!("{why}, then restart vpcwatch; until then all is kept in memory");
            store.file = None;
            store.memory_only = true;
            opened.memory_only = Some(why.clone());
            store.trouble = Some(why);
        }
        Ok((store, opened))
    }

    /// Learns what the file holds. A file from a time with a higher limit is cut down to this one.
    fn begin(&mut self, opened: &mut Opened) -> Result<(), redb::Error> {
        self.recount()?;
        if let Some(file) = &self.file {
            let rows = file.index()?;
            for key in file.marked()? {
                if let Some(row) = rows.get(key)? {
                    opened.ambiguous += u64::from(file::meta(row.value())?.records);
                }
                self.waiting.marks.insert(key, false);
            }
        }
        self.flush();
        if self.file.as_ref().is_some_and(|file| file.length() > self.place.limit) {
            self.compact();
        }
        Ok(())
    }

    /// Stores entries and sets values (`None` removes), all or nothing.
    pub fn append(&mut self, entries: Vec<Entry>, values: Vec<(ValueKey, Option<Vec<u8>>)>) -> Appended {
        self.put(entries, std::iter::empty());
        for (key, value) in values {
            if value.as_ref().is_none_or(|value| value.len() <= VALUE) {
                self.waiting.values.insert(key, value);
            } else {
                tracing::error!(?key, "a value above 1 MiB was not stored");
            }
        }
        self.flush();
        Appended { shed: self.take_shed() }
    }

    /// The frames of a destination until the next would exceed a limit, at least one. They stay where they are.
    pub fn take(&mut self, destination: &Destination, order: Order, limits: TakeLimits) -> Vec<Frame> {
        let Some(&number) = self.numbers.get(destination) else { return Vec::new() };
        let mut chosen: Vec<(Key, Meta)> = Vec::new();
        let (mut records, mut bytes) = (0usize, 0usize);
        let mut span: Option<(Timestamp, Timestamp)> = None;
        let walked = self.walk(number, order, |key, meta| {
            records = records.saturating_add(meta.records as usize);
            bytes = bytes.saturating_add(meta.bytes as usize);
            let (oldest, newest) = span.unwrap_or((meta.oldest, meta.newest));
            let (oldest, newest) = (oldest.min(meta.oldest), newest.max(meta.newest));
            span = Some((oldest, newest));
            let too_long =
                limits.span.is_some_and(|most| newest.duration_since(oldest).unsigned_abs() > most);
            if !chosen.is_empty() && (records > limits.records || bytes > limits.bytes || too_long) {
                return ControlFlow::Break(());
            }
            chosen.push((key, *meta));
            ControlFlow::Continue(())
        });
        if let Err(error) = walked {
            self.fail_reading(error);
        }
        let mut frames = Vec::new();
        for (key, meta) in chosen {
            match self.frame(key) {
                Ok(bytes) => {
                    match bytes.and_then(|bytes| frame::unpack(&bytes, destination.clone(), meta.kind)) {
                        Some(entry) => frames.push(Frame { id: key.1, entry }),
                        None => self.give_up(key, &meta, Cause::Damaged),
                    }
                }
                Err(error) => self.fail_reading(error),
            }
        }
        frames
    }

    fn frame(&self, key: Key) -> Result<Option<Vec<u8>>, redb::Error> {
        match (self.waiting.frames.get(&key), &self.file) {
            (Some((_, bytes)), _) => Ok(Some(bytes.clone())),
            (None, Some(file)) => file.frame(key),
            (None, None) => Ok(None),
        }
    }

    /// These frames are about to be written to the network: if the agent dies now, CloudWatch may have them.
    pub fn sending(&mut self, ids: &[u64]) {
        for (key, meta) in self.locate(ids) {
            self.marked.insert(key.1, (key.0, meta));
            self.waiting.marks.insert(key, true);
        }
        self.flush();
    }

    /// Nothing of these frames was taken; they are not being sent any more.
    pub fn unsent(&mut self, ids: &[u64]) {
        for id in ids {
            if let Some((number, _)) = self.marked.remove(id) {
                self.waiting.marks.insert((number, *id), false);
            }
        }
        self.flush();
    }

    /// These frames are done with, but for the leftover, which takes their place in its order.
    pub fn settle(&mut self, ids: &[u64], leftover: Vec<Entry>) {
        let mut keys = BTreeSet::new();
        for (key, meta) in self.locate(ids) {
            self.forget(key, &meta);
            self.waiting.removed.insert(key);
            keys.insert(key);
        }
        self.put(leftover, keys.into_iter());
        self.flush();
    }

    /// Gives up the frames that hold nothing newer than `before`, of those destinations and kinds.
    pub fn expire(&mut self, which: impl Fn(&Destination, Kind) -> bool, before: Timestamp) -> Vec<Shed> {
        let mut expired = Vec::new();
        for (&number, queue) in &self.queues {
            if !Kind::ALL.into_iter().any(|kind| which(&queue.destination, kind)) {
                continue;
            }
            let walked = self.walk(number, Order::Oldest, |key, meta| {
                if meta.newest < before && which(&queue.destination, meta.kind) {
                    expired.push((key, *meta));
                }
                ControlFlow::Continue(())
            });
            if walked.is_err() {
                break; // The next to write meets it and says so.
            }
        }
        for (key, meta) in expired {
            self.give_up(key, &meta, Cause::TooOld);
        }
        self.flush();
        self.take_shed()
    }

    /// A value.
    pub fn value(&mut self, key: &ValueKey) -> Option<Vec<u8>> {
        match (self.waiting.values.get(key), &self.file) {
            (Some(value), _) => value.clone(),
            (None, Some(file)) => match file.value(key) {
                Ok(value) => value,
                Err(error) => {
                    self.fail_reading(error);
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// Every value of a kind, by name.
    pub fn values(&mut self, kind: ValueKind) -> Vec<(ValueKey, Vec<u8>)> {
        let mut values = BTreeMap::new();
        match self.file.as_ref().map_or(Ok(Vec::new()), |file| file.values(kind)) {
            Ok(stored) => values.extend(stored.into_iter().map(|(key, value)| (key, Some(value)))),
            Err(error) => self.fail_reading(error),
        }
        let waiting = self.waiting.values.iter().filter(|(key, _)| key.kind() == kind);
        values.extend(waiting.map(|(key, value)| (key.clone(), value.clone())));
        values.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// What waits, by destination.
    pub fn destinations(&mut self) -> Vec<DestinationStats> {
        let mut all = Vec::new();
        for (&number, queue) in &self.queues {
            let mut first = None;
            let _ = self.walk(number, Order::Oldest, |_, meta| {
                first = Some(*meta);
                ControlFlow::Break(())
            });
            let sum = |of: fn(&Tally) -> u64| queue.tallies.iter().map(of).sum();
            if let Some(first) = first {
                all.push(DestinationStats {
                    destination: queue.destination.clone(),
                    kind: first.kind,
                    frames: sum(|tally| tally.frames),
                    records: sum(|tally| tally.records),
                    bytes: sum(|tally| tally.bytes),
                    oldest: first.oldest,
                });
            }
        }
        all
    }

    /// How full it is.
    pub fn usage(&self) -> Usage {
        let tallies = || self.queues.values().flat_map(|queue| queue.tallies.iter().zip(Kind::ALL));
        Usage {
            file_bytes: self.file.as_ref().map_or(0, StateFile::length),
            payload_bytes: tallies().map(|(tally, _)| tally.bytes).sum(),
            limit_bytes: self.place.limit,
            records: Kind::ALL
                .into_iter()
                .map(|kind| {
                    (kind, tallies().filter(|(_, of)| *of == kind).map(|(tally, _)| tally.records).sum())
                })
                .collect(),
            oldest: tallies().filter_map(|(tally, _)| Some(tally.span?.0)).min(),
        }
    }

    /// Why nothing is written to the file at present, and the cure; `None` when all is well.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Makes the file shorter, if more than half of it is free. To be called when there is nothing to send.
    pub fn compact(&mut self) {
        let needed = self.cost() + REGION;
        let Some(file) = &mut self.file else { return };
        let length = file.length();
        if length > self.place.limit || length / 2 > needed {
            if let Err(error) = file.compact() {
                self.fail_reading(error);
            }
        }
    }

    /// Adds entries to what waits to be written, under these keys while there are any.
    fn put(&mut self, entries: Vec<Entry>, keys: impl Iterator<Item = Key>) {
        let mut keys = keys.peekable();
        let (frames, too_large) = frame::pack(entries);
        for Packed { destination, meta, .. } in too_large {
            let number = self.number(destination);
            self.tell(number, &meta, Cause::TooLarge, meta.records.into());
        }
        for Packed { destination, meta, bytes } in frames {
            let number = self.number(destination);
            let key = keys.next_if(|key| key.0 == number).unwrap_or_else(|| {
                self.next_id += 1;
                (number, self.next_id - 1)
            });
            if self.waiting.removed.remove(&key) {
                self.waiting.marks.insert(key, false);
            }
            if let Some(tally) = self.tally(number, meta.kind) {
                tally.add(&meta);
            }
            self.waiting_bytes += bytes.len();
            self.waiting.frames.insert(key, (meta, bytes));
        }
    }

    fn number(&mut self, destination: Destination) -> u32 {
        if let Some(number) = self.numbers.get(&destination) {
            return *number;
        }
        let number = self.queues.last_key_value().map_or(0, |(last, _)| last + 1);
        self.waiting.destinations.insert(number, destination.clone());
        self.name(number, destination);
        number
    }

    fn name(&mut self, number: u32, destination: Destination) {
        self.numbers.insert(destination.clone(), number);
        self.queues.insert(number, Queue { destination, tallies: Default::default() });
    }

    fn tally(&mut self, number: u32, kind: Kind) -> Option<&mut Tally> {
        self.queues.get_mut(&number)?.tallies.get_mut(kind as usize)
    }

    /// Visits the frames of a destination, those of the file and those that wait to be written.
    fn walk(
        &self,
        number: u32,
        order: Order,
        mut visit: impl FnMut(Key, &Meta) -> ControlFlow<()>,
    ) -> Result<(), redb::Error> {
        let span = (number, 0)..=(number, u64::MAX);
        let mut waiting = ordered(self.waiting.frames.range(span.clone()), order).peekable();
        if let Some(file) = &self.file {
            for row in ordered(file.index()?.range(span)?, order) {
                let (key, row) = row?;
                let (key, meta) = (key.value(), file::meta(row.value())?);
                let comes_first = |other: Key| if order == Order::Oldest { other < key } else { other > key };
                while let Some((&key, (meta, _))) = waiting.next_if(|(other, _)| comes_first(**other)) {
                    if visit(key, meta).is_break() {
                        return Ok(());
                    }
                }
                let gone = self.waiting.removed.contains(&key) || self.dropped.contains(&key);
                let replaced = waiting.peek().is_some_and(|(other, _)| **other == key);
                if !gone && !replaced && visit(key, &meta).is_break() {
                    return Ok(());
                }
            }
        }
        let _ = waiting.try_for_each(|(&key, (meta, _))| visit(key, meta));
        Ok(())
    }

    /// Finds frames by id; what was given up meanwhile is not found.
    fn locate(&mut self, ids: &[u64]) -> Vec<(Key, Meta)> {
        let mut found = Vec::new();
        for &id in ids {
            if let Some((number, meta)) = self.marked.get(&id) {
                found.push(((*number, id), *meta));
                continue;
            }
            for &number in self.queues.keys() {
                match self.find((number, id)) {
                    Ok(Some(meta)) => found.push(((number, id), meta)),
                    Ok(None) => {}
                    Err(error) => {
                        self.fail_reading(error);
                        return found;
                    }
                }
            }
        }
        found
    }

    fn find(&self, key: Key) -> Result<Option<Meta>, redb::Error> {
        if let Some((meta, _)) = self.waiting.frames.get(&key) {
            return Ok(Some(*meta));
        }
        let gone = self.waiting.removed.contains(&key) || self.dropped.contains(&key);
        let Some(file) = self.file.as_ref().filter(|_| !gone) else { return Ok(None) };
        Ok(file.index()?.get(key)?.map(|row| file::meta(row.value())).transpose()?)
    }

    /// Takes a frame out of the accounts and out of what waits.
    fn forget(&mut self, key: Key, meta: &Meta) {
        if let Some(tally) = self.tally(key.0, meta.kind) {
            tally.remove(meta);
        }
        if let Some((_, bytes)) = self.waiting.frames.remove(&key) {
            self.waiting_bytes -= bytes.len();
        }
        self.waiting.marks.remove(&key);
        self.marked.remove(&key.1);
    }

    fn give_up(&mut self, key: Key, meta: &Meta, cause: Cause) {
        self.forget(key, meta);
        self.dropped.insert(key);
        self.tell(key.0, meta, cause, meta.records.into());
    }

    fn tell(&mut self, number: u32, meta: &Meta, cause: Cause, records: u64) {
        let Some(queue) = self.queues.get(&number) else { return };
        let told = self.shed.entry((number, meta.kind as usize, cause)).or_insert_with(|| Shed {
            destination: queue.destination.clone(),
            kind: meta.kind,
            cause,
            records: 0,
            oldest: meta.oldest,
            newest: meta.newest,
        });
        told.records += records;
        told.oldest = told.oldest.min(meta.oldest);
        told.newest = told.newest.max(meta.newest);
    }

    fn take_shed(&mut self) -> Vec<Shed> {
        std::mem::take(&mut self.shed).into_values().collect()
    }

    fn cost(&self) -> u64 {
        self.queues.values().flat_map(|queue| &queue.tallies).map(|tally| tally.cost).sum()
    }

    /// Gives up the oldest frames of whichever kind takes the most, until what is left keeps to the budget.
    fn make_room(&mut self, budget: u64) {
        let mut cost = self.cost();
        while cost > budget {
            let of = |kind: Kind| -> u64 {
                self.queues
                    .values()
                    .filter_map(|queue| queue.tallies.get(kind as usize))
                    .map(|tally| tally.cost)
                    .sum()
            };
            let Some(kind) = Kind::ALL.into_iter().max_by_key(|kind| of(*kind)) else { return };
            let Some((key, meta)) = self.oldest(kind, false).or_else(|| self.oldest(kind, true)) else {
                return;
            };
            self.give_up(key, &meta, Cause::Full);
            cost = cost.saturating_sub(self::cost(&meta));
        }
    }

    /// The frame of this kind that came first; frames that are being sent only where they are meant.
    fn oldest(&self, kind: Kind, sending: bool) -> Option<(Key, Meta)> {
        let mut oldest: Option<(Key, Meta)> = None;
        for (&number, queue) in &self.queues {
            if queue.tallies.get(kind as usize).is_none_or(|tally| tally.frames == 0) {
                continue;
            }
            let _ = self.walk(number, Order::Oldest, |key, meta| {
                if meta.kind != kind || self.marked.contains_key(&key.1) != sending {
                    return ControlFlow::Continue(());
                }
                if oldest.is_none_or(|(other, _)| key.1 < other.1) {
                    oldest = Some((key, *meta));
                }
                ControlFlow::Break(())
            });
        }
        oldest
    }

    /// Writes what waits; what cannot be written goes on waiting, within its bound.
    fn flush(&mut self) {
        self.make_room(self.budget);
        // An attempt on a large file reads all of it; so attempts are spaced by what they cost.
        let too_soon = self.failed.is_some_and(|(when, took)| {
            took > Duration::from_millis(50) && when.elapsed() < took.saturating_mul(10)
        });
        if !self.memory_only && !too_soon {
            let started = Instant::now();
            for _ in 0..4 {
                match self.write() {
                    Ok(()) => {
                        self.failed = None;
                        break;
                    }
                    Err(error) => {
                        let full = self.file.as_ref().is_some_and(StateFile::is_full);
                        self.fail(error, started.elapsed());
                        if !full {
                            break;
                        }
                        // Pages lie less densely than was reckoned with.
                        self.budget = (self.budget - self.budget / 16).max(self.place.limit / 8);
                        self.make_room(self.cost() - self.cost() / 8);
                    }
                }
            }
        }
        while self.waiting_bytes > IN_MEMORY {
            let waiting = || self.waiting.frames.iter().map(|(key, (meta, _))| (key.1, *key, *meta));
            let idle = waiting().filter(|(id, ..)| !self.marked.contains_key(id)).min_by_key(|(id, ..)| *id);
            let Some((_, key, meta)) = idle.or_else(|| waiting().min_by_key(|(id, ..)| *id)) else { break };
            self.give_up(key, &meta, Cause::Full);
        }
        if self.memory_only {
            self.waiting.removed.clear();
            self.waiting.marks.clear();
            self.dropped.clear();
        }
    }

    fn write(&mut self) -> Result<(), String> {
        self.reopen()?;
        let mut missing = None;
        if let Some(file) = self.file.take_if(|file| !file.is_in_place()) {
            match file.put_back() {
                Ok(()) => self.reopen()?,
                Err((file, why)) => {
                    self.file = Some(file);
                    missing = Some(why);
                }
            }
        }
        let Some(file) = &self.file else { return Ok(()) };
        let describe = |error| describe(&self.place.path, error);
        if !self.dropped.is_empty() {
            // Apart and first: pages are free when the transaction that freed them has ended.
            let removed = std::mem::take(&mut self.dropped);
            let changes = Changes { removed, ..Changes::default() };
            let written = file.write(&changes, self.next_id);
            if let Err(error) = written {
                self.dropped = changes.removed;
                return Err(describe(error));
            }
        }
        if !self.waiting.is_empty() {
            file.write(&self.waiting, self.next_id).map_err(describe)?;
            self.waiting = Changes::default();
            self.waiting_bytes = 0;
        }
        self.trouble = missing;
        Ok(())
    }

    /// Opens the file again after a failure.
    fn reopen(&mut self) -> Result<(), String> {
        if self.file.is_some() {
            return Ok(());
        }
        match StateFile::open(&self.place) {
            Ok((file, aside)) => {
                if let Some((path, why)) = aside {
                    tracing::error!("the state file was set aside as {}: {why}", path.display());
                }
                self.file = Some(file);
                let before = std::mem::take(&mut self.queues);
                self.recount().map_err(|error| describe(&self.place.path, error))?;
                self.tell_missing(&before);
                Ok(())
            }
            Err(Refusal::Locked) => Err(format!(
                "the state file {} is in use by another vpcwatch; stop that one",
                self.place.path.display()
            )),
            Err(Refusal::Disk(why)) => Err(why),
        }
    }

    /// Counts anew what is in the file and what waits.
    fn recount(&mut self) -> Result<(), redb::Error> {
        let Some(file) = &self.file else { return Ok(()) };
        let (next_id, mut names) = file.names()?;
        self.next_id = self.next_id.max(next_id);
        // Known before, and not in a file that was begun anew.
        for (destination, &number) in &self.numbers {
            if !names.iter().any(|(known, _)| *known == number) {
                self.waiting.destinations.insert(number, destination.clone());
                names.push((number, destination.clone()));
            }
        }
        self.queues.clear();
        for (number, destination) in names {
            self.name(number, destination);
        }
        for number in self.queues.keys().copied().collect::<Vec<_>>() {
            let mut tallies = [Tally::default(); Kind::ALL.len()];
            self.walk(number, Order::Oldest, |_, meta| {
                tallies.get_mut(meta.kind as usize).into_iter().for_each(|tally| tally.add(meta));
                ControlFlow::Continue(())
            })?;
            if let Some(queue) = self.queues.get_mut(&number) {
                queue.tallies = tallies;
            }
        }
        Ok(())
    }

    /// Tells what was counted before and is not there any more.
    fn tell_missing(&mut self, before: &BTreeMap<u32, Queue>) {
        for (&number, queue) in before {
            for (kind, was) in Kind::ALL.into_iter().zip(queue.tallies) {
                let now = self.tally(number, kind).map_or(0, |tally| tally.records);
                if let (Some((oldest, newest)), true) = (was.span, was.records > now) {
                    let meta = Meta { kind, records: 0, bytes: 0, oldest, newest };
                    self.tell(number, &meta, Cause::Damaged, was.records - now);
                }
            }
        }
    }

    /// A failed access: redb refuses all after it, so the file is closed, to be opened again with the next write.
    fn fail(&mut self, why: String, took: Duration) {
        self.file = None;
        self.failed = Some((Instant::now(), took));
        self.trouble = Some(why);
    }

    fn fail_reading(&mut self, error: redb::Error) {
        let why = describe(&self.place.path, error);
        self.fail(why, Duration::ZERO);
    }
}

fn describe(path: &Path, error: redb::Error) -> String {
    match error {
        redb::Error::Io(error) => file::cure(path, &error),
        error => {
            format!("the state file {} cannot be used: {error}; vpcwatch goes on trying", path.display())
        }
    }
}

fn ordered<'a, T>(
    rows: impl DoubleEndedIterator<Item = T> + 'a,
    order: Order,
) -> Box<dyn Iterator<Item = T> + 'a> {
    match order {
        Order::Oldest => Box::new(rows),
        Order::Newest => Box::new(rows.rev()),
    }
}
