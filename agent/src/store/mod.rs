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
//! | `frames` | the same, piece (u16) | the frame's bytes, in pieces that fill a page of 64 KiB: see [`frame`] |
//! | `sending` | number, frame's id | nothing: this frame was about to be sent |
//! | `values` | 0 cursor, 1 baseline, 2 mark (u8); name | the value's bytes |
//!
//! A frame holds records of one destination until 64 KiB are full; one larger record is a frame of several pieces.
//! redb's pages are 4 KiB times a power of two, and a piece of more than 2 KiB has one of its own. The file grows by
//! regions of 1 MiB: redb doubles it unless its header says otherwise, and that field is ours ([`disk`]).
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

mod disk;
mod file;
mod frame;
pub mod service;
mod tally;
mod types;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::disk::{Gate, REGION};
use self::file::{Changes, Key, Place, Refusal, StateFile};
use self::frame::{Meta, Packed};
use self::tally::{Queue, Tally};
pub use self::types::{
    Appended, Cause, DestinationStats, OpenError, Opened, Order, SetAside, Shed, TakeLimits, Usage, ValueKey,
    ValueKind,
};
use self::writing::describe;
use crate::model::spool::{Destination, Entry, Frame, Kind};

/// What the file is allowed at least: below, a few frames would fill it.
pub const LEAST_LIMIT: u64 = 8 * 1024 * 1024;
/// Bytes of frames kept in memory when they cannot be written: some minutes of a busy host, in a process that should
/// stay small.
pub const IN_MEMORY: usize = 4 * 1024 * 1024;
/// What a value may take: baselines are some kilobytes.
const VALUE: usize = 256 * 1024;

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
    /// Frames that were taken, by id: they can be settled also while the file cannot be opened.
    taken: BTreeMap<u64, (u32, Meta)>,
    /// Frames that wait and take the place of others in the file.
    replacing: BTreeSet<Key>,
    /// What is being sent, by id.
    marked: BTreeMap<u64, (u32, Meta)>,
    next_id: u64,
    numbers: BTreeMap<Destination, u32>,
    queues: BTreeMap<u32, Queue>,
    /// What page-rounded sizes may add up to.
    budget: u64,
    shed: BTreeMap<(u32, usize, Cause), Shed>,
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
            taken: BTreeMap::new(),
            replacing: BTreeSet::new(),
            marked: BTreeMap::new(),
            next_id: 1,
            numbers: BTreeMap::new(),
            queues: BTreeMap::new(),
            budget: full_budget(limit),
            shed: BTreeMap::new(),
        };
        let mut opened = Opened::default();
        let why = match StateFile::open(&store.place, true) {
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

    /// Looks whether somebody cut the file while it is open. What it held is then told as lost, and the file is opened
    /// anew with the next write: it is set aside if it cannot be used. To be called before anything else.
    pub fn look(&mut self) {
        if self.file.as_ref().is_some_and(|file| !file.is_whole()) {
            self.fail(
                format!("the state file {} was cut short while it was in use", self.place.path.display()),
                Duration::ZERO,
            );
        }
    }

    /// Stores entries and sets values (`None` removes), all or nothing.
    pub fn append(&mut self, entries: Vec<Entry>, values: Vec<(ValueKey, Option<Vec<u8>>)>) -> Appended {
        self.put(entries, std::iter::empty());
        for (key, value) in values {
            if value.as_ref().is_none_or(|value| value.len() <= VALUE) {
                self.waiting.values.insert(key, value);
            } else {
                tracing::error!(?key, "a value above 256 KiB was not stored");
            }
        }
        self.flush();
        Appended { shed: self.take_shed() }
    }

    /// The frames of a destination until the next would exceed a limit, at least one. They stay where they are.
    pub fn take(&mut self, destination: &Destination, order: Order, limits: TakeLimits) -> Vec<Frame> {
        let Some(&number) = self.numbers.get(destination) else { return Vec::new() };
        if self.file.is_none() {
            self.flush(); // There may be more to take when it can be opened again.
        }
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
            let bytes = match (self.waiting.frames.get(&key), &self.file) {
                (Some((_, bytes)), _) => Ok(bytes.clone()),
                (None, Some(file)) => file.frame(key),
                (None, None) => continue,
            };
            match bytes.map(|bytes| frame::unpack(&bytes, destination.clone(), meta.kind)) {
                Ok(Some(entry)) => {
                    self.taken.insert(key.1, (key.0, meta));
                    frames.push(Frame { id: key.1, entry });
                }
                Ok(None) => self.give_up(key, &meta, Cause::Damaged),
                Err(error) => self.fail_reading(error),
            }
        }
        frames
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
            self.taken.remove(id);
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
            // Also what is in a file that cannot be opened at present is there.
            let counted = || {
                let (tally, kind) =
                    queue.tallies.iter().zip(Kind::ALL).find(|(tally, _)| tally.frames > 0)?;
                Some((kind, tally.span?.0))
            };
            let first = first.map(|meta| (meta.kind, meta.oldest)).or_else(counted);
            if let Some((kind, oldest)) = first {
                all.push(DestinationStats {
                    destination: queue.destination.clone(),
                    kind,
                    frames: sum(|tally| tally.frames),
                    records: sum(|tally| tally.records),
                    bytes: sum(|tally| tally.bytes),
                    oldest,
                });
            }
        }
        all
    }

    /// How full it is.
    pub fn usage(&self) -> Usage {
        let tallies = || self.queues.values().flat_map(|queue| queue.tallies.iter().zip(Kind::ALL));
        Usage {
            file_bytes: self.file_bytes(),
            payload_bytes: tallies().map(|(tally, _)| tally.bytes).sum(),
            limit_bytes: self.place.limit,
            unwritten: self.waiting.frames.values().map(|(meta, _)| u64::from(meta.records)).sum(),
            records: Kind::ALL
                .into_iter()
                .map(|kind| {
                    (kind, tallies().filter(|(_, of)| *of == kind).map(|(tally, _)| tally.records).sum())
                })
                .collect(),
        }
    }

    fn file_bytes(&self) -> u64 {
        let closed = || std::fs::metadata(&self.place.path).ok().filter(|_| !self.memory_only);
        self.file.as_ref().map_or_else(|| closed().map_or(0, |metadata| metadata.len()), StateFile::length)
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
        if (length > self.place.limit || length / 2 > needed)
            && let Err(error) = file.compact()
        {
            self.fail_reading(error);
        }
        // What was reckoned too densely is gone.
        self.budget = full_budget(self.place.limit);
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
                self.replacing.insert(key);
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
            if let Some((number, meta)) = self.marked.get(&id).or_else(|| self.taken.get(&id)) {
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
        self.taken.remove(&key.1);
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
}

/// What page-rounded sizes may add up to, so that what is written beside what it replaces stays within the limit.
fn full_budget(limit: u64) -> u64 {
    limit - 2 * REGION - limit / 16
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

#[cfg(test)]
mod tests;
