//! How what waits comes into the file: room first, then all of it in one transaction, and again when that failed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use super::disk::REGION;
use super::file::{self, Changes, Key, Refusal, StateFile};
use super::frame::Meta;
use super::tally::{self, Queue, Tally};
use super::types::{Cause, Order};
use super::{IN_MEMORY, Store};
use crate::model::spool::Kind;

/// An attempt on a large file reads all of it. Attempts that take longer than this are spaced by ten times as much.
const CHEAP: Duration = Duration::from_millis(50);

impl Store {
    pub(super) fn cost(&self) -> u64 {
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
            cost = cost.saturating_sub(tally::cost(&meta));
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
    pub(super) fn flush(&mut self) {
        let too_soon =
            self.failed.is_some_and(|(when, took)| took > CHEAP && when.elapsed() < took.saturating_mul(10));
        if !self.memory_only && !too_soon {
            let started = Instant::now();
            for _ in 0..4 {
                let Err(error) = self.write() else {
                    self.failed = None;
                    break;
                };
                let full = self.file.as_ref().is_some_and(StateFile::is_full);
                self.fail(error, started.elapsed());
                if !full {
                    break;
                }
                // Growth was refused: pages lie less densely than was reckoned with, so there may be fewer of them.
                self.budget = (self.cost() / 8 * 7).max(self.place.limit / 8);
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
        let mut trouble = None;
        if self.file.as_ref().is_some_and(|file| !file.is_in_place()) {
            trouble = self.file.as_ref().and_then(|file| file.put_back().err());
            if trouble.is_none() {
                self.file = None;
                self.reopen()?;
            }
        }
        self.make_room(self.budget);
        self.write_dropped()?;
        if let Some(file) = self.file.as_ref().filter(|_| !self.waiting.is_empty()) {
            let room = file.length().saturating_sub(self.cost() + 2 * REGION);
            let reserved =
                if self.waiting_bytes as u64 * 2 < room { Ok(()) } else { file.reserve(self.waiting_bytes) };
            let now = if reserved.is_ok() { std::mem::take(&mut self.waiting) } else { self.settled() };
            let bytes: usize = now.frames.values().map(|(_, bytes)| bytes.len()).sum();
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
            if let Some(file) = &self.file
                && let Err(error) = file.write(&now, self.next_id)
            {
                self.waiting_bytes += bytes;
                self.waiting.put_back(now);
                return Err(describe(&self.place.path, error));
            }
            self.replacing.retain(|key| self.waiting.frames.contains_key(key));
            trouble = reserved.err().map(|error| file::cure(&self.place.path, &error)).or(trouble);
        }
        self.trouble = trouble;
        Ok(())
    }

    /// Of what waits, what frees room: removals, with what takes the place of a part of them. Other frames, and the
    /// cursors that moved with them, go on waiting.
    fn settled(&mut self) -> Changes {
        let removed = std::mem::take(&mut self.waiting.removed);
        let (frames, new) = std::mem::take(&mut self.waiting.frames)
            .into_iter()
            .partition(|(key, _)| self.replacing.contains(key));
        self.waiting.frames = new;
        let (here, marks) = std::mem::take(&mut self.waiting.marks)
            .into_iter()
            .partition(|(key, _)| self.waiting.frames.contains_key(key));
        self.waiting.marks = here;
        Changes { removed, frames, marks, ..Changes::default() }
    }

    /// Apart and first: pages are free when the transaction that freed them has ended.
    fn write_dropped(&mut self) -> Result<(), String> {
        let Some(file) = self.file.as_ref().filter(|_| !self.dropped.is_empty()) else { return Ok(()) };
        let changes = Changes { removed: std::mem::take(&mut self.dropped), ..Changes::default() };
        file.write(&changes, self.next_id).map_err(|error| {
            self.dropped = changes.removed;
            describe(&self.place.path, error)
        })
    }

    /// Opens the file again after a failure.
    fn reopen(&mut self) -> Result<(), String> {
        if self.file.is_some() {
            return Ok(());
        }
        match StateFile::open(&self.place, false) {
            Ok((file, aside)) => {
                if let Some((path, why)) = aside {
                    tracing::error!("the state file was set aside as {}: {why}", path.display());
                }
                self.file = Some(file);
                let before = std::mem::take(&mut self.queues);
                if let Err(error) = self.recount() {
                    self.queues = before;
                    return Err(describe(&self.place.path, error));
                }
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
    pub(super) fn recount(&mut self) -> Result<(), redb::Error> {
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
    pub(super) fn fail(&mut self, why: String, took: Duration) {
        self.file = None;
        self.failed = Some((Instant::now(), took));
        self.trouble = Some(why);
    }

    pub(super) fn fail_reading(&mut self, error: redb::Error) {
        let why = describe(&self.place.path, error);
        self.fail(why, Duration::ZERO);
    }
}

pub(super) fn describe(path: &Path, error: redb::Error) -> String {
    match error {
        redb::Error::Io(error) => file::cure(path, &error),
        error => {
            format!("the state file {} cannot be used: {error}; vpcwatch goes on trying", path.display())
        }
    }
}
