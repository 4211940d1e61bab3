//! Reads logs as they grow, hands on [`LogLines`] in order, each line once, with a cursor behind them. Never looks at
//! what lines say.
//!
//! - [`file`](mod@file): files and globs, through rotation and truncation.
//! - [`journal`]: systemd's journal, through `journalctl` as a child.
//!
//! Both block, so each runs on a thread of its own. When the consumer is slow they wait, and the log keeps what they have
//! not read.

pub mod file;
pub mod journal;

use std::collections::HashMap;
use std::time::Duration;

use self::file::Files;
use self::journal::{Journal, LineEnds};
use crate::host::clock::zone;
use crate::host::paths::Paths;
use crate::model::log_line::{Grammar, LogLines};

/// Lines read at once, at most: what the pipeline takes in within a few milliseconds.
pub const BATCH_LINES: usize = 1000;
/// Bytes of text read at once, at most (but for one line, which may be as long as [`LINE`]).
pub const BATCH_BYTES: usize = 256 * 1024;
/// The longest line; what is beyond is cut off. Daemons' own messages are shorter than 8 KiB.
pub const LINE: usize = 64 * 1024;

/// Which logs are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TailRules {
    /// Where the system's own logins are read: `logins.source`.
    pub system: SystemLog,
    /// Further files: `logins.files`.
    pub files: Vec<FileRule>,
    /// Units whose entries in the journal are read too, for patterns: `logins.units`.
    pub units: Vec<String>,
}

/// Where the system's own logins are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SystemLog {
    /// The journal if there is one, else the system's log file.
    #[default]
    Auto,
    /// The journal.
    Journal,
    /// `/var/log/secure` or `/var/log/auth.log`, whichever there is.
    Files,
    /// Nowhere.
    Off,
}

/// Files of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// An absolute path in which `*`, `?` and `[...]` stand for characters of one name.
    pub pattern: String,
    /// What their lines are.
    pub grammar: Grammar,
}

/// What reading a log met.
#[derive(Debug, Clone)]
pub enum Read {
    /// Lines, or only a cursor that moved.
    Lines(LogLines),
    /// Something is wrong with a log, and what to do; until [`Read::Well`] of the same log. Told when it begins and when it
    /// changes, not each time.
    Trouble {
        /// The log, as in [`LogLines::log`].
        log: String,
        /// What is wrong, with the path or call, and the cure.
        what: String,
    },
    /// What was wrong with this log is over.
    Well {
        /// The log.
        log: String,
    },
    /// Lines were lost before they could be read: the log was truncated or removed first.
    Gap {
        /// The log.
        log: String,
        /// What happened.
        what: String,
    },
}

/// A reader of logs.
pub trait Tail: Send {
    /// Gives what there is; waits for it `patience` at most, and gives nothing if nothing came.
    fn read(&mut self, patience: Duration) -> Vec<Read>;
}

/// How far each log was read, by [`Cursor::log`](crate::model::log_line::Cursor).
pub type Cursors = HashMap<String, Vec<u8>>;

/// A reader for each kind of log that the rules name, and what they read, for people. `cursors` are places that were
/// stored earlier, by their keys.
pub fn all(rules: &TailRules, paths: &Paths, cursors: &Cursors) -> (Vec<Box<dyn Tail>>, String) {
    let zone = zone(paths);
    let has_journal = match rules.system {
        SystemLog::Auto => journal::there_is_a_journal(paths),
        SystemLog::Journal => true,
        SystemLog::Files | SystemLog::Off => false,
    };
    let mut readers: Vec<Box<dyn Tail>> = Vec::new();
    let mut told = Vec::new();
    if has_journal {
        let matches = journal::matches(&rules.units, journal::machine_id(paths).as_deref());
        let place = cursors.get(journal::LOG).map(Vec::as_slice);
        readers.push(Box::new(Journal::new(journal::program(paths), matches, place, zone.clone())));
        told.push(journal::LOG.to_owned());
    }
    let mut files = match rules.system {
        SystemLog::Off | SystemLog::Journal => Vec::new(),
        SystemLog::Auto if has_journal => Vec::new(),
        SystemLog::Auto | SystemLog::Files => system_files(paths),
    };
    files.extend(rules.files.iter().cloned());
    let is_none = |path: &str| !paths.named(path).exists();
    let system = |file: &FileRule| Paths::system_logs().contains(&file.pattern.as_str());
    for file in &files {
        let later = if system(file) && is_none(&file.pattern) { " (not there yet)" } else { "" };
        told.push(format!("{}{later}", file.pattern));
    }
    if !files.is_empty() {
        readers.push(Box::new(Files::new(files, paths.clone(), cursors.clone(), zone)));
    }
    (readers, told.join(", "))
}

/// A reader of files for whoever wants nothing but their lines, on from places stored earlier.
pub fn of_files(patterns: &[String], paths: &Paths, cursors: Cursors) -> Box<dyn Tail> {
    let rule = |pattern: &String| FileRule { pattern: pattern.clone(), grammar: Grammar::Auto };
    Box::new(Files::new(patterns.iter().map(rule).collect(), paths.clone(), cursors, zone(paths)))
}

/// A reader of what the journal has of these units, on from a place stored earlier.
pub fn of_units(units: &[String], paths: &Paths, cursors: &Cursors) -> Box<dyn Tail> {
    let matches = journal::matches_of_units(units, journal::machine_id(paths).as_deref());
    let place = cursors.get(journal::LOG).map(Vec::as_slice);
    let journal = Journal::new(journal::program(paths), matches, place, zone(paths));
    Box::new(journal.with_line_ends(LineEnds::Kept))
}

/// The system's log file. Where there is none yet, each that there may be: it is read when it appears.
fn system_files(paths: &Paths) -> Vec<FileRule> {
    let rule = |path: &&str| FileRule { pattern: (*path).to_owned(), grammar: Grammar::Auto };
    let known = Paths::system_logs();
    match known.iter().find(|path| paths.named(path).exists()) {
        Some(there) => vec![rule(there)],
        None => known.iter().map(rule).collect(),
    }
}
