//! One open file: where reading stands in it, and the lines behind that place.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::fingerprint::{Likeness, Read, TAIL};
use super::place::Mark;
use crate::host::paths::open_regular;
use crate::model::log_line::LogLine;
use crate::tail::LINE;

/// What is read of a file at once: the longest line, its end (`\r\n`), and what stands before it.
pub(super) const CHUNK: usize = TAIL + LINE + 2;

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id {
    device: u64,
    pub(super) inode: u64,
}

impl Id {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Id { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// How much may still be taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) lines: usize,
    /// Of text handed on.
    pub(super) bytes: usize,
    /// Of the file, what is left out included.
    pub(super) scanned: usize,
}

impl Budget {
    pub(super) fn is_spent(self) -> bool {
        self.lines == 0 || self.bytes == 0 || self.scanned == 0
    }

    fn pay(&mut self, line: &LogLine) {
        self.lines = self.lines.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(line.text.len());
    }
}

/// How taking lines ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// At the file's end.
    All,
    /// The budget is spent.
    Some,
    /// What was read before is no longer there.
    Truncated,
}

/// An open file.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and they come in any combination"
)]
pub(super) struct Reading {
    file: File,
    pub(super) id: Id,
    born: Option<i64>,
    position: u64,
    read: Read,
    is_skipping: bool,
    is_copy: bool,
    /// When it was truncated, as its time of modification, if nothing has been read of it since.
    emptied: Option<i64>,
    /// Size and time of modification when it was last looked at.
    looked: (u64, i64),
    /// Whether there may be more to take.
    pub(super) has_more: bool,
    /// Whether it is to be looked at.
    pub(super) is_due: bool,
    /// Since when it is no longer at its log's path.
    pub(super) rotated: Option<Instant>,
    grown: Instant,
    /// Whether the kernel tells when it changes.
    pub(super) is_watched: bool,
    /// Whether it could not be read when that was last tried.
    pub(super) has_failed: bool,
}

impl Reading {
    /// Opens a file, to be read from its beginning.
    pub(super) fn open(path: &Path, now: Instant) -> io::Result<Self> {
        let file = open_regular(path)?;
        let metadata = file.metadata()?;
        Ok(Reading {
            file,
            id: Id::of(&metadata),
            born: born(&metadata),
            position: 0,
            read: Read::default(),
            is_skipping: false,
            is_copy: false,
            emptied: None,
            looked: (0, modified(&metadata)),
            has_more: true,
            is_due: true,
            rotated: None,
            grown: now,
            is_watched: false,
            has_failed: false,
        })
    }

    /// Goes on from a place, if this is the file it was in.
    pub(super) fn resume(mut self, mark: &Mark) -> Result<Self, Likeness> {
        let is_born_then = mark.born.is_none() || self.born.is_none() || mark.born == self.born;
        let is_same_inode = mark.inode == self.id.inode && is_born_then;
        let likeness = mark.print.likeness(&self.file, mark.at, is_same_inode);
        let read = Read::before(&self.file, mark.at).filter(|_| likeness == Likeness::Same);
        let Some(read) = read else { return Err(likeness) };
        (self.position, self.read) = (mark.at, read);
        (self.is_skipping, self.is_copy, self.emptied) = (mark.is_skipping, mark.is_copy, mark.emptied);
        Ok(self)
    }

    /// Leaves out what is there. A line that has begun is read when it ends.
    pub(super) fn go_to_end(&mut self) -> io::Result<()> {
        let size = self.file.metadata()?.size();
        let from = size.saturating_sub(LINE as u64);
        let mut bytes = vec![0; usize::try_from(size - from).unwrap_or(0)];
        let found = self.file.read_at(&mut bytes, from)?;
        bytes.truncate(found);
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map(|end| from + end as u64 + 1);
        self.is_skipping = end.is_none() && from > 0;
        self.position = end.unwrap_or(if self.is_skipping { size } else { 0 });
        self.read = Read::before(&self.file, self.position).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(())
    }

    /// Never hands on anything of it: it is a copy of what is read elsewhere.
    pub(super) fn leave_out(&mut self) -> io::Result<()> {
        (self.is_copy, self.has_more) = (true, false);
        self.go_to_end()
    }

    /// Whether it is left out as a copy.
    pub(super) fn is_left_out(&self) -> bool {
        self.is_copy
    }

    /// Whether it begins like that file.
    pub(super) fn begins_like(&self, other: &Reading) -> bool {
        other.read.begins(&self.file)
    }

    /// Begins anew: it was truncated.
    pub(super) fn begin(&mut self) {
        (self.position, self.read, self.is_skipping) = (0, Read::default(), false);
        (self.has_more, self.emptied) = (true, Some(self.looked.1));
    }

    /// Whether it was written to since it was truncated and read to the end, which is nothing: it may have been copied and
    /// truncated once more. Asked once a change; gives where reading stood then.
    pub(super) fn was_refilled(&mut self) -> Option<Mark> {
        let emptied = self.emptied.filter(|emptied| *emptied != self.looked.1)?;
        self.emptied = Some(self.looked.1);
        Some(Mark { modified: emptied, ..self.mark() })
    }

    /// Where reading stands.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            inode: self.id.inode,
            born: self.born,
            at: self.position,
            modified: self.looked.1,
            print: self.read.print(),
            is_skipping: self.is_skipping,
            is_copy: self.is_copy,
            emptied: self.emptied,
            is_finished: false,
        }
    }

    /// The file itself.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// How long it has been quiet since it was rotated; nothing while it is at its path.
    pub(super) fn is_quiet_for(&self, now: Instant) -> Option<Duration> {
        self.rotated.map(|rotated| now.saturating_duration_since(rotated.max(self.grown)))
    }

    /// Looks whether it changed.
    pub(super) fn look(&mut self, now: Instant) -> io::Result<()> {
        self.is_due = false;
        let metadata = self.file.metadata()?;
        let looked = (metadata.size(), modified(&metadata));
        if looked != self.looked {
            (self.looked, self.has_more, self.grown) = (looked, true, now);
        }
        if self.is_copy && std::mem::take(&mut self.has_more) { self.go_to_end() } else { Ok(()) }
    }

    /// Takes lines as far as the budget goes. A line without an end is one only if the file is `finished`.
    pub(super) fn take(
        &mut self,
        lines: &mut Vec<LogLine>,
        budget: &mut Budget,
        buffer: &mut [u8],
        finished: bool,
    ) -> io::Result<Taken> {
        if self.is_copy {
            return Ok(Taken::All);
        }
        loop {
            if budget.is_spent() {
                return Ok(Taken::Some);
            }
            let before = self.read.tail().len();
            let from = self.position.saturating_sub(before as u64);
            let found = read_fully(&self.file, buffer, from);
            self.has_failed = found.is_err();
            let found = found?;
            let found = buffer.get(..found).unwrap_or_default();
            // What was there before is there still, or the file was truncated, whatever its size is now.
            let Some(data) = found.strip_prefix(self.read.tail()) else {
                return Ok(Taken::Truncated);
            };
            let used = self.lines_of(data, lines, budget, finished);
            if used == 0 {
                self.has_more = false;
                return Ok(Taken::All);
            }
            budget.scanned = budget.scanned.saturating_sub(used);
            self.position += used as u64;
            self.emptied = None;
            self.read.go_on(data.get(..used).unwrap_or_default());
        }
    }

    /// Takes lines of what was read at the place, and says how many bytes they are: none if all is waited for.
    fn lines_of(
        &mut self,
        data: &[u8],
        lines: &mut Vec<LogLine>,
        budget: &mut Budget,
        finished: bool,
    ) -> usize {
        let mut used = 0;
        for line in data.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n");
            let is_too_long = line.len() >= LINE + 2;
            if text.is_none() && !self.is_skipping && !is_too_long && !finished {
                break;
            }
            if !self.is_skipping {
                let line = line_of(text.unwrap_or(line));
                budget.pay(&line);
                lines.push(line);
            }
            // Rows of NUL are what a writer without O_APPEND leaves behind after a truncation: no line begins there.
            let is_hole = text.is_none() && line.iter().all(|byte| *byte == 0);
            self.is_skipping = text.is_none() && (self.is_skipping || is_too_long) && !is_hole;
            used += line.len();
            if budget.is_spent() {
                break;
            }
        }
        used
    }
}

/// One line of these bytes, which have no end.
fn line_of(bytes: &[u8]) -> LogLine {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let is_cut = bytes.len() > LINE;
    let bytes = bytes.get(..LINE).unwrap_or(bytes);
    let begin = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(bytes.get(begin..).unwrap_or_default()).into_owned();
    LogLine { text, writer: None, is_cut }
}

fn born(metadata: &Metadata) -> Option<i64> {
    let since = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok()
}

/// When a file was modified, in microseconds.
pub(super) fn modified(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000).saturating_add(metadata.mtime_nsec() / 1000)
}

/// Reads until the buffer is full or the file ends.
fn read_fully(file: &File, buffer: &mut [u8], from: u64) -> io::Result<usize> {
    let mut found = 0;
    while let Some(rest) = buffer.get_mut(found..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + found as u64) {
            Ok(0) => break,
            Ok(more) => found += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
