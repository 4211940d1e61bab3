//! One log: what is at a path, and the older files that were there and are not finished.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::place::{Mark, Place};
use super::reading::{Id, Reading};
use crate::model::log_line::{Cursor, LogLine};

/// How long a rotated file is kept open after its last growth: writers go on with it until they are told.
pub(super) const LATE: Duration = Duration::from_secs(5);
/// Rotated files of one log kept open for late writers; where more come, the oldest counts as finished.
const KEPT: usize = 16;

/// One log.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and they come in any combination"
)]
pub(super) struct Log {
    /// Its path on the host: the key of its cursor.
    pub(super) name: Arc<str>,
    /// Where it is opened.
    pub(super) path: PathBuf,
    /// The same without symbolic links, as of the last opening: beside it lie its rotated files.
    pub(super) real: PathBuf,
    /// By which rule it is read.
    pub(super) rule: usize,
    /// Its files, oldest first. The last is the present one, if that is not rotated.
    pub(super) files: Vec<Reading>,
    /// What is at its path.
    pub(super) at_path: Option<Id>,
    /// Where reading stood in a file that is not found yet.
    pub(super) lost: Option<Mark>,
    /// The inode of a file that was truncated while nobody read it.
    pub(super) truncated: Option<u64>,
    /// Whether there are files between the last and the present one that are not open yet.
    pub(super) is_catching_up: bool,
    /// Whether the present file could not be read at start: what is in it then is left out.
    pub(super) is_from_end: bool,
    /// Lines taken in this turn.
    pub(super) lines: Vec<LogLine>,
    /// Whether its place has moved since it was told.
    pub(super) is_moved: bool,
    /// Whether it was told that there is more to read.
    pub(super) is_told_behind: bool,
    /// Whether it is told before others: it has a copy, known as such only as long as what it was copied from is there.
    pub(super) is_first: bool,
    /// Files that another log took over in this turn: they stay in this place until the other one's may be stored.
    pub(super) given: Vec<Mark>,
}

impl Log {
    pub(super) fn new(name: &str, path: PathBuf, rule: usize) -> Self {
        Log {
            name: name.into(),
            real: path.canonicalize().unwrap_or_else(|_| path.clone()),
            path,
            rule,
            files: Vec::new(),
            at_path: None,
            lost: None,
            truncated: None,
            is_catching_up: false,
            is_from_end: false,
            lines: Vec::new(),
            is_moved: false,
            is_told_behind: false,
            is_first: false,
            given: Vec::new(),
        }
    }

    /// The file at its path, if that is read here.
    pub(super) fn present(&mut self) -> Option<&mut Reading> {
        self.files.last_mut().filter(|file| file.rotated.is_none())
    }

    /// Whether nothing at its path is read here.
    pub(super) fn has_no_present(&self) -> bool {
        self.files.last().is_none_or(|file| file.rotated.is_some())
    }

    /// The present file is no longer at the path.
    pub(super) fn rotate(&mut self, now: Instant) {
        if let Some(file) = self.present() {
            (file.rotated, file.is_due) = (Some(now), true);
        }
    }

    /// Adds a file behind those it has.
    pub(super) fn add(&mut self, mut file: Reading, rotated: Option<Instant>) {
        file.rotated = rotated;
        self.files.push(file);
        self.is_moved = true;
    }

    /// Makes a rotated file the present one again, if it is one of its own.
    pub(super) fn take_back(&mut self, id: Id, now: Instant) -> bool {
        let Some(at) = self.files.iter().position(|file| file.id == id) else { return false };
        self.rotate(now);
        let file = self.files.remove(at);
        self.add(file, None);
        true
    }

    /// Whether there is more to take.
    pub(super) fn has_more(&self) -> bool {
        self.files.iter().any(|file| file.has_more)
    }

    /// The rotated file that can be finished now, if one can.
    pub(super) fn finished(&self, now: Instant) -> Option<usize> {
        let rotated = self.files.iter().filter(|file| file.rotated.is_some()).count();
        let held = self.is_catching_up.then(|| self.files.len().saturating_sub(1));
        self.files.iter().enumerate().find_map(|(at, file)| {
            let is_quiet = file.is_quiet_for(now)? >= LATE || rotated > KEPT;
            (is_quiet && !file.has_more && !file.is_due && held != Some(at)).then_some(at)
        })
    }

    /// When the next rotated file may be finished.
    pub(super) fn next_finish(&self, now: Instant) -> Option<Duration> {
        let quiet = self.files.iter().filter_map(|file| file.is_quiet_for(now));
        quiet.map(|quiet| LATE.saturating_sub(quiet)).min()
    }

    /// Whether something is to be told: its place has moved, or all was read, though it was told that there is more.
    pub(super) fn has_news(&self) -> bool {
        self.is_moved || (self.is_told_behind && !self.has_more())
    }

    /// Whether nothing is to be expected of it.
    pub(super) fn is_gone(&self) -> bool {
        self.files.is_empty() && self.at_path.is_none() && self.lost.is_none()
    }

    /// Where reading stands.
    pub(super) fn cursor(&self) -> Cursor {
        let open = self.files.iter().map(Reading::mark);
        let marks = self.given.iter().cloned().chain(open).chain(self.lost.clone()).collect();
        Cursor { log: self.name.to_string(), place: Place::of(marks, self.is_from_end).bytes() }
    }
}
