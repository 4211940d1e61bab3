//! Files, through rotation and truncation: each line once, in order, from where reading left off.
//!
//! # Where reading begins
//!
//! - A file with a stored place is read on from there, whatever it is called by now.
//! - A file that is there when its pattern is read for the first time is read from its end.
//! - A file that appears later is read from its beginning; also one that appeared while the agent was down, for that a
//!   pattern was read before is itself stored (the key `pattern ...`).
//! - Compressed files are never read, and names that are not UTF-8 are not either.
//!
//! # What a log is
//!
//! A log is a path; its key in the state file is that path on the host. Its place holds every file that was there and is not
//! finished, so rotated names need no keys. Files are told by inode *and* by what they say (`fingerprint`).
//!
//! | what happens | what is done |
//! |---|---|
//! | renamed, created anew | the old one is read to its end by its descriptor, and for [`LATE`](log::LATE) after its last growth; the new one from its beginning |
//! | rotated several times between two looks, or while the agent was down | the files between are found by the names that rotation gives, and read in that order (`rotation`) |
//! | copied and truncated | the rest is read in the copy, if there is one; then the file from its beginning |
//! | truncated, and nothing left | [`Read::Gap`] |
//! | removed, or compressed before it was read | read to its end while it is open; else [`Read::Gap`] |
//! | a symbolic link leads elsewhere | like a renamed file; rotated files are sought beside the target |
//! | one file under several names | read once |
//! | a pattern matches rotated files too | a renamed file goes on as what it is; a copy is left out |
//!
//! Known limits: a pattern that matches the copies of copy-and-truncate may read one twice after a kill (name the log itself);
//! what a writer adds between copy and truncation is lost to all; a log of less than 64 bytes is not known again in a copy; what
//! rotation moves to another folder is read to its end only while it is open.
//!
//! # Lines
//!
//! A line is handed on when it has its end; without one only once its file was rotated and has been quiet for [`LATE`](log::LATE). One that is
//! longer than [`LINE`](super::LINE) is handed on as soon as that much is there, marked, and its rest left out. Empty lines
//! and rows of NUL are left out.

mod access;
mod fingerprint;
mod log;
mod place;
mod reading;
mod rotation;
mod scan;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use self::log::Log;
use self::place::{Mark, Place};
use self::reading::{Budget, CHUNK, Id, Reading, Taken};
use self::rotation::{Between, Last};
use self::scan::Rule;
use self::watch::Watch;
use super::{BATCH_BYTES, BATCH_LINES, FileRule, Read, Tail};
use crate::host::clock::wall;
use crate::host::paths::Paths;
use crate::model::log_line::{Cursor, LogLines};

/// Logs read at once: with their rotated files well within the 1024 descriptors that a service has unless it asks for more.
const MOST_LOGS: usize = 400;
/// Everything is looked at so often, although the kernel tells what happens: it can tell only what it is asked for.
const SCAN: Duration = Duration::from_secs(10);
/// The same, where the kernel cannot tell.
const POLL: Duration = Duration::from_secs(2);
/// Least time between two looks while nothing is left to be read: a busy log is read twenty times a second, not once a line.
const PACE: Duration = Duration::from_millis(50);
/// Bytes of files gone through in one turn, what is left out included.
const SCANNED: usize = 4 << 20;

/// Reads files.
#[derive(Debug)]
pub struct Files {
    rules: Vec<Rule>,
    paths: Paths,
    zone: TimeZone,
    stored: HashMap<String, Vec<u8>>,
    logs: BTreeMap<String, Log>,
    /// Keys that the state file may have.
    keys: HashSet<String>,
    watch: Option<Watch>,
    /// What is wrong, by log or pattern.
    troubles: BTreeMap<String, String>,
    told: Vec<Read>,
    is_scan_due: bool,
    next_scan: Option<Instant>,
    /// Whether the kernel tells everything that is of interest.
    is_told_all: bool,
    /// When everything there was had been read.
    caught_up: Option<Instant>,
    /// The log that was served last.
    served: String,
    /// Matching files that are left out, for there are too many.
    left_out: HashSet<String>,
    buffer: Vec<u8>,
}

impl Files {
    /// Reads what these rules name, below that root, on from the places that were stored under the keys of their cursors.
    /// Of several rules that name a file the first counts. `zone` is that of times without one.
    pub fn new(
        rules: Vec<FileRule>,
        paths: Paths,
        cursors: HashMap<String, Vec<u8>>,
        zone: TimeZone,
    ) -> Self {
        let rules = rules.into_iter().map(|rule| Rule::new(rule, &paths)).collect();
        Files {
            rules,
            paths,
            zone,
            stored: cursors,
            logs: BTreeMap::new(),
            keys: HashSet::new(),
            watch: Watch::new(),
            troubles: BTreeMap::new(),
            told: Vec::new(),
            is_scan_due: true,
            next_scan: None,
            is_told_all: false,
            caught_up: None,
            served: String::new(),
            left_out: HashSet::new(),
            buffer: vec![0; CHUNK],
        }
    }

    /// One look, at everything or at what is due, and what there is to tell.
    fn turn(&mut self, now: Instant, at_everything: bool) -> Vec<Read> {
        self.restore(now);
        let happened = self.watch.as_mut().map(Watch::happened).unwrap_or_default();
        let is_periodic = self.next_scan.is_none_or(|next| now >= next);
        let at_everything = at_everything || is_periodic || happened.is_unknown;
        if at_everything || happened.in_folders || self.is_scan_due {
            self.scan(now);
        }
        for file in self.logs.values_mut().flat_map(|log| &mut log.files) {
            file.is_due |= at_everything || happened.files.contains(&file.id);
        }
        self.look(now);
        self.take(now);
        self.finish(now);
        self.tell();
        std::mem::take(&mut self.told)
    }

    /// Looks at the files that are due.
    fn look(&mut self, now: Instant) {
        let mut failed = Vec::new();
        for log in self.logs.values_mut() {
            for file in log.files.iter_mut().filter(|file| file.is_due) {
                if let Err(error) = file.look(now) {
                    failed.push((log.name.to_string(), error.to_string()));
                }
            }
        }
        for (log, what) in failed {
            self.trouble(&log, format!("{log}: {what}"));
        }
    }

    /// Takes lines of the logs that have some, each in its turn and as much as the others.
    fn take(&mut self, now: Instant) {
        let mut budget = Budget { lines: BATCH_LINES, bytes: BATCH_BYTES, scanned: SCANNED };
        loop {
            let ready: Vec<String> =
                self.logs.iter().filter(|(_, log)| log.has_more()).map(|(name, _)| name.clone()).collect();
            if ready.is_empty() {
                self.caught_up = Some(now);
                return;
            }
            let share = |whole: usize| (whole / ready.len()).max(1);
            let (after, before): (Vec<_>, Vec<_>) = ready.iter().partition(|name| **name > self.served);
            for name in after.into_iter().chain(before) {
                if budget.is_spent() {
                    self.caught_up = None;
                    return;
                }
                let mut part = Budget {
                    lines: share(BATCH_LINES).min(budget.lines),
                    bytes: share(BATCH_BYTES).min(budget.bytes),
                    scanned: share(SCANNED).min(budget.scanned),
                };
                let whole = part;
                self.served.clone_from(name);
                self.take_of(name, &mut part, now);
                budget.lines -= whole.lines - part.lines;
                budget.bytes -= whole.bytes - part.bytes;
                // A turn costs something even if it gives nothing, so that this ends.
                budget.scanned = budget.scanned.saturating_sub((whole.scanned - part.scanned).max(1024));
            }
        }
    }

    /// Takes lines of one log: its oldest files first.
    fn take_of(&mut self, name: &str, budget: &mut Budget, now: Instant) {
        let Some(log) = self.logs.get_mut(name) else { return };
        for at in 0..log.files.len() {
            let Some(file) = log.files.get_mut(at).filter(|file| file.has_more) else { continue };
            if let Some(mark) = file.was_refilled() {
                return self.fill_in(name, at, &Last::Emptied(&mark), now);
            }
            let before = budget.scanned;
            let taken = file.take(&mut log.lines, budget, &mut self.buffer, false);
            log.is_moved |= budget.scanned < before;
            match taken {
                Ok(Taken::All) => {}
                Ok(Taken::Some) => return,
                Ok(Taken::Truncated) => return self.truncated(name, at, now),
                Err(error) => {
                    file.has_more = false;
                    let what = format!("{name}: {error}");
                    return self.trouble(name, what);
                }
            }
        }
    }

    /// A file lost what had been read of it: the rest may stand in a copy.
    fn truncated(&mut self, name: &str, at: usize, now: Instant) {
        let file = self.logs.get_mut(name).and_then(|log| log.files.get_mut(at));
        let Some(file) = file else { return };
        let mark = file.mark();
        file.begin();
        self.fill_in(name, at, &Last::Lost(&mark), now);
    }

    /// Puts copies that rotation made of a file before that file.
    fn fill_in(&mut self, name: &str, at: usize, last: &Last<'_>, now: Instant) {
        let elsewhere = self.elsewhere(true);
        let Some(log) = self.logs.get(name) else { return };
        let present = log.files.get(at).map(|file| file.id);
        let own = |path: &Path| self.is_log(path);
        let found = rotation::between(&log.real, last, present, &elsewhere, &own, now);
        let mut found = found.unwrap_or_else(|error| Between {
            gap: Some(format!("its copy cannot be read: {error}")),
            ..Between::default()
        });
        let more = found.has_more.then(|| "it was copied and truncated too often since".into());
        if let Some(gap) = found.gap.take().or(more) {
            let what = format!("{name} was truncated: {gap}");
            self.told.push(Read::Gap { log: name.into(), what });
        }
        let Some(log) = self.logs.get_mut(name) else { return };
        for (offset, mut copy) in found.rest.into_iter().chain(found.whole).enumerate() {
            copy.rotated = Some(now);
            log.files.insert(at + offset, copy);
        }
        log.is_moved = true;
    }

    /// Closes rotated files that are finished, or gives them to the log that their name is of by now.
    fn finish(&mut self, now: Instant) {
        let names: Vec<String> = self.logs.keys().cloned().collect();
        for name in names {
            while let Some(log) = self.logs.get_mut(&name) {
                let Some(at) = log.finished(now) else { break };
                let Some(file) = log.files.get_mut(at) else { break };
                // A last look: late writers.
                if file.look(now).is_ok() && file.has_more {
                    break;
                }
                let mut budget = Budget { lines: 1, bytes: 1, scanned: CHUNK };
                if file.take(&mut log.lines, &mut budget, &mut self.buffer, true).is_err() {
                    file.has_more = false;
                }
                let file = log.files.remove(at);
                log.is_moved = true;
                // A path that was named as such may come back: what is there then came after this file. Of others, the key goes.
                let is_named = self.rules.get(log.rule).is_some_and(|rule| !rule.has_wildcards());
                if is_named && log.files.is_empty() {
                    log.lost = Some(Mark { is_finished: true, ..file.mark() });
                }
                self.hand_over(&name, file);
            }
        }
    }

    /// Gives a file to the log at whose path it lies, if there is one.
    fn hand_over(&mut self, from: &str, file: Reading) {
        let heir = self
            .logs
            .values_mut()
            .find(|log| log.at_path == Some(file.id) && *log.name != *from && log.has_no_present());
        if let Some(heir) = heir {
            let mark = file.mark();
            heir.add(file, None);
            if let Some(log) = self.logs.get_mut(from) {
                log.given.push(mark);
            }
        }
    }

    /// Tells lines and places.
    fn tell(&mut self) {
        for first in [true, false] {
            for log in self.logs.values_mut().filter(|log| log.is_first == first && log.has_news()) {
                (log.is_moved, log.is_told_behind) = (false, log.has_more());
                let cursor = log.cursor();
                self.keys.insert(cursor.log.clone());
                let grammar = self.rules.get(log.rule).map(|rule| rule.grammar.clone()).unwrap_or_default();
                self.told.push(Read::Lines(LogLines {
                    log: log.name.clone(),
                    grammar,
                    lines: std::mem::take(&mut log.lines),
                    read: wall(),
                    is_behind: log.is_told_behind,
                    zone: self.zone.clone(),
                    cursor: Some(cursor),
                }));
            }
        }
        for log in self.logs.values_mut() {
            log.is_first = false;
            // What was given away leaves this place in the next turn, behind the place that has it now.
            log.is_moved |= !std::mem::take(&mut log.given).is_empty();
        }
        self.logs.retain(|_, log| !log.is_gone());
        let gone: Vec<String> =
            self.keys.iter().filter(|key| !self.logs.contains_key(*key)).cloned().collect();
        for key in gone {
            self.keys.remove(&key);
            self.tell_place(key, Vec::new());
        }
        for at in 0..self.rules.len() {
            let Some(rule) = self.rules.get_mut(at) else { continue };
            if !rule.is_stored {
                rule.is_stored = true;
                let key = rule.key();
                self.tell_place(key, Place::of(Vec::new(), false).bytes());
            }
        }
    }

    /// Tells a place without lines.
    fn tell_place(&mut self, log: String, place: Vec<u8>) {
        self.told.push(Read::Lines(LogLines {
            log: log.as_str().into(),
            grammar: crate::model::log_line::Grammar::default(),
            lines: Vec::new(),
            read: wall(),
            is_behind: false,
            zone: self.zone.clone(),
            cursor: Some(Cursor { log, place }),
        }));
    }

    /// Files that are read by some log; without those that are left out as copies, if so.
    fn elsewhere(&self, without_copies: bool) -> HashSet<Id> {
        let files = self.logs.values().flat_map(|log| &log.files);
        files.filter(|file| !(without_copies && file.is_left_out())).map(|file| file.id).collect()
    }

    /// Whether a log of that path is read for itself.
    fn is_log(&self, path: &Path) -> bool {
        let log = self.paths.on_host(path);
        log.to_str().is_some_and(|name| self.logs.contains_key(name))
    }

    fn trouble(&mut self, log: &str, what: String) {
        if self.troubles.get(log) != Some(&what) {
            self.troubles.insert(log.into(), what.clone());
            self.told.push(Read::Trouble { log: log.into(), what });
        }
    }

    fn well(&mut self, log: &str) {
        if self.troubles.remove(log).is_some() {
            self.told.push(Read::Well { log: log.into() });
        }
    }

    /// When there is something to do though nothing happens.
    fn next_due(&self, now: Instant) -> Instant {
        let finish = self.logs.values().filter_map(|log| log.next_finish(now)).min();
        let finish = finish.map(|after| now + after.max(PACE));
        let behind = self.logs.values().any(Log::has_more).then_some(now);
        let again = self.is_scan_due.then(|| now + PACE);
        [finish, self.next_scan, behind, again].into_iter().flatten().min().unwrap_or(now)
    }

    fn wait(&self, patience: Duration) {
        match &self.watch {
            Some(watch) => watch.wait(patience),
            None => std::thread::sleep(patience),
        }
    }
}

impl Tail for Files {
    /// With no patience it looks at everything at once; else at what the kernel says has changed.
    fn read(&mut self, patience: Duration) -> Vec<Read> {
        let end = Instant::now() + patience;
        loop {
            let now = Instant::now();
            let paced = self.caught_up.map(|then| (then + PACE).min(end).saturating_duration_since(now));
            if let Some(pause) = paced.filter(|pause| !patience.is_zero() && !pause.is_zero()) {
                std::thread::sleep(pause);
            }
            let now = Instant::now();
            let is_first = self.next_scan.is_none();
            let told = self.turn(now, patience.is_zero() || is_first);
            if !told.is_empty() || now >= end {
                return told;
            }
            let until = self.next_due(now).min(end);
            self.wait(until.saturating_duration_since(Instant::now()));
        }
    }
}
