//! systemd's journal, through `journalctl --follow` as a child: the proven reader of a format that changes, compressed in
//! three ways, with indexes that one would have to follow.
//!
//! - `--merge --lines=all` with a place to begin is the only way that gives what was logged before the last boot (systemd
//!   247, 252 and 257); `--all`, or long messages are null.
//! - Without a place, reading begins with what is logged from now on, `--since`: the place is told at once, and begins the
//!   same again if nothing came, so that nothing is missed between two starts. `--lines=0` would begin anew each time.
//! - Before following, another journalctl is asked for the oldest entry, in a form in which it also says what it may not
//!   read (`--output=json` is quiet). Where the oldest is younger than all that was read, entries were lost.
//!
//! - `--cursor` gives the last entry again, and it is dropped by what it is; `--after-cursor` passes over two entries
//!   whatever they are (`sd_journal_next_skip` in journalctl.c), so one that nobody read is lost if the first is not the
//!   cursor's own: after a change of the matches, or when it was removed.
//!
//! Not seen: a child that is stopped (SIGSTOP) is as silent as a quiet journal; and entries that are removed while
//! journalctl is behind in reading them.

mod child;
mod entry;
mod matches;
mod place;

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::child::{Child, Filled, Line};
use self::entry::{Entry, FIELDS};
use self::place::Place;
use super::{BATCH_BYTES, BATCH_LINES, Read, Tail};
use crate::host::clock::wall;
use crate::host::paths::Paths;
use crate::model::log_line::{Cursor, Grammar, LogLine, LogLines};

pub use self::child::Program;
pub use self::entry::LineEnds;
pub use self::matches::{matches, matches_of_units};

/// What the journal is called in [`LogLines::log`] and as the key of its cursor.
pub const LOG: &str = "journal";

/// What journalctl says, and what helps.
const NO_RIGHT: &str = "the journal may not be read: put the agent into the group systemd-journal \
                        (SupplementaryGroups=systemd-journal in its unit), or set logins.source = \"files\"";
const NO_JOURNAL: &str = "there is no journal: start systemd-journald, or set logins.source = \"files\"";

/// How long is waited, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Before a journalctl that ended is started again; doubled each time.
    pub first: Duration,
    /// ... up to this.
    pub longest: Duration,
    /// Before trying again where journalctl, the journal, or the right to read it is missing.
    pub missing: Duration,
    /// After which a child that runs is believed to run well.
    pub settled: Duration,
    /// Without an entry for so long, all that is older was read.
    pub quiet: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            missing: Duration::from_secs(30),
            settled: Duration::from_secs(5),
            quiet: Duration::from_secs(10),
        }
    }
}

/// The program that gives the journal below this root.
pub fn program(paths: &Paths) -> Program {
    let arguments =
        if paths.is_live() { Vec::new() } else { vec![format!("--root={}", paths.root().display())] };
    Program { path: "journalctl".into(), arguments }
}

/// Whether this machine's journal has files, and journalctl is installed.
pub fn there_is_a_journal(paths: &Paths) -> bool {
    let Some(machine) = machine_id(paths) else { return false };
    let has_files = |folder: &std::path::PathBuf| {
        let files = fs::read_dir(folder.join(&machine));
        // One that may not be read is there: the reader says what helps.
        if files.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            return true;
        }
        files.is_ok_and(|mut files| {
            files.any(|file| {
                file.is_ok_and(|file| file.path().extension().is_some_and(|kind| kind == "journal"))
            })
        })
    };
    paths.journals().iter().any(has_files) && paths.journalctl().iter().any(|path| path.is_file())
}

/// This machine's id (machine-id(5)), for [`matches()`].
pub fn machine_id(paths: &Paths) -> Option<String> {
    let id = fs::read_to_string(paths.machine_id()).ok()?;
    let id = id.trim();
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.into())
}

/// Reads the journal.
pub struct Journal {
    log: Arc<str>,
    program: Program,
    matches: Vec<String>,
    line_ends: LineEnds,
    zone: TimeZone,
    pace: Pace,
    place: Place,
    /// Where the child begins, until it has given the entry there again.
    begin: Option<Place>,
    /// Whether the place was not handed on yet.
    is_moved: bool,
    /// The last of a run of pauses.
    pause: Duration,
    state: State,
    /// Told, and not yet over.
    trouble: Option<String>,
    /// Damage that was told.
    damage: Option<String>,
    /// Something to tell before anything else.
    first_words: Option<Read>,
}

enum State {
    Waiting { until: Instant },
    Asking { child: Child, since: Instant },
    Following { child: Child, since: Instant, last: Instant, again: Option<Instant> },
}

impl Journal {
    /// Reads entries that match, from a place that was told earlier, else from now on.
    pub fn new(program: Program, matches: Vec<String>, stored: Option<&[u8]>, zone: TimeZone) -> Self {
        let stored = stored.map(Place::read);
        let gap = matches!(stored, Some(None)).then(|| {
            gap("the place where reading it stood cannot be read; goes on with what is logged from now on".into())
        });
        let stored = stored.flatten();
        let pace = Pace::default();
        Journal {
            log: LOG.into(),
            program,
            matches,
            line_ends: LineEnds::Joined,
            zone,
            pace,
            begin: None,
            is_moved: stored.is_none(),
            place: stored.unwrap_or_else(|| Place { cursor: None, until_us: wall().as_microsecond() }),
            pause: pace.first,
            state: State::Waiting { until: Instant::now() },
            trouble: None,
            damage: None,
            first_words: gap,
        }
    }

    /// Does otherwise with line ends within messages, which are joined.
    pub fn with_line_ends(self, line_ends: LineEnds) -> Self {
        Journal { line_ends, ..self }
    }

    /// Waits otherwise.
    pub fn with_pace(self, pace: Pace) -> Self {
        Journal { pause: pace.first, pace, ..self }
    }

    /// One step: never waits.
    fn step(&mut self, told: &mut Vec<Read>) {
        told.extend(self.first_words.take());
        let now = Instant::now();
        match std::mem::replace(&mut self.state, State::Waiting { until: now }) {
            State::Waiting { until } if until > now => self.state = State::Waiting { until },
            State::Waiting { .. } => self.ask(told),
            State::Asking { child, since } => self.hear(child, since, told),
            State::Following { again: Some(again), .. } if again <= now => self.ask(told),
            State::Following { child, since, last, again } => self.take(child, since, last, again, told),
        }
        if std::mem::take(&mut self.is_moved) {
            told.push(Read::Lines(self.lines(Vec::new(), false)));
        }
    }

    fn start(&mut self, arguments: &[String], told: &mut Vec<Read>) -> Option<Child> {
        match Child::start(&self.program, arguments) {
            Ok(child) => Some(child),
            Err(error) => {
                let path = self.program.path.display();
                let what = if error.kind() == io::ErrorKind::NotFound {
                    format!("{path} is not there: install systemd, or set logins.source = \"files\"")
                } else {
                    format!("{path} does not start: {error}")
                };
                self.pause_for(self.pace.missing);
                self.tell(what, told);
                None
            }
        }
    }

    /// Starts asking for the oldest entry, and what may not be read.
    fn ask(&mut self, told: &mut Vec<Read>) {
        let arguments = ["--merge", "--no-pager", "--output=short-unix"].map(String::from);
        if let Some(child) = self.start(&arguments, told) {
            self.state = State::Asking { child, since: Instant::now() };
        }
    }

    /// The answer, if there is one yet.
    fn hear(&mut self, mut child: Child, since: Instant, told: &mut Vec<Read>) {
        let filled = child.fill();
        let oldest_us = oldest(&mut child);
        // A journal that is slow to open is not waited for: the entries matter more than whether some are missing.
        let is_over = filled == Filled::End || since.elapsed() > self.pace.longest;
        if oldest_us.is_none() && !is_over {
            self.state = State::Asking { child, since };
            return;
        }
        let (status, said) = child.end();
        let lack = lack(&said);
        self.tell_damage(&said, told);
        if let Some(lack) = lack {
            self.tell(lack.into(), told);
        } else if oldest_us.is_none() && !said.is_empty() && !is_damage(&said) {
            self.ended(&status, &said, told);
            return;
        }
        if let Some(oldest_us) = oldest_us.filter(|oldest| lack.is_none() && *oldest > self.place.until_us) {
            told.push(gap(format!(
                "what was logged between {} and {} may be lost: the journal begins only then",
                moment(self.place.until_us),
                moment(oldest_us)
            )));
            self.place.until_us = oldest_us;
        }
        self.follow(lack.is_some(), told);
    }

    fn follow(&mut self, is_lacking: bool, told: &mut Vec<Read>) {
        let mut arguments = ["--follow", "--merge", "--lines=all", "--all", "--no-pager", "--output=json"]
            .map(String::from)
            .to_vec();
        arguments.push(format!("--output-fields={FIELDS}"));
        arguments.push(self.place.argument());
        self.begin = Some(self.place.clone()).filter(|place| place.cursor.is_some());
        arguments.extend(self.matches.iter().cloned());
        if let Some(child) = self.start(&arguments, told) {
            let now = Instant::now();
            let again = is_lacking.then(|| now + self.pace.missing);
            self.state = State::Following { child, since: now, last: now, again };
        }
    }

    /// Takes what the child gives, up to a batch.
    fn take(
        &mut self,
        mut child: Child,
        mut since: Instant,
        mut last: Instant,
        again: Option<Instant>,
        told: &mut Vec<Read>,
    ) {
        let mut batch = Batch::default();
        let end = loop {
            if self.take_lines(&mut child, &mut batch, told) || batch.is_full() {
                break Filled::Some;
            }
            match child.fill() {
                Filled::Some => batch.raw += 1,
                stop => break stop,
            }
        };
        self.tell_damage(&child.said(), told);
        if batch.has_entry {
            last = Instant::now();
            self.pause = self.pace.first;
            let is_behind = batch.is_full() && (child.has_line() || child.fill() == Filled::Some);
            self.is_moved = false;
            told.push(Read::Lines(self.lines(batch.lines, is_behind)));
        }
        if end == Filled::End {
            let (status, said) = child.end();
            self.ended(&status, &said, told);
            return;
        }
        if batch.has_garbage {
            since = Instant::now();
        }
        let is_well = batch.has_entry && !batch.has_garbage;
        if again.is_none() && (is_well || since.elapsed() >= self.pace.settled) {
            self.pause = self.pace.first;
            told.extend(self.trouble.take().map(|_| Read::Well { log: LOG.into() }));
        }
        if last.elapsed() >= self.pace.quiet {
            let quiet_us = i64::try_from(self.pace.quiet.as_micros()).unwrap_or(0);
            self.place.until_us = wall().as_microsecond() - quiet_us;
            self.is_moved = true;
            last = Instant::now();
        }
        self.state = State::Following { child, since, last, again };
    }

    /// Takes lines until there is none, or the batch is full: then true.
    fn take_lines(&mut self, child: &mut Child, batch: &mut Batch, told: &mut Vec<Read>) -> bool {
        while !batch.is_full() {
            let Some(Line { bytes, is_cut }) = child.line() else { return false };
            let (entry, is_whole) = Entry::read(bytes);
            if !is_whole && !is_cut {
                batch.has_garbage = true;
                self.tell("journalctl gave what is no entry of a journal; passed over".into(), told);
                continue;
            }
            let is_begin = |begin: &Place| entry.cursor.as_ref().is_some_and(|cursor| begin.is_at(cursor));
            if self.begin.take_if(|begin| is_begin(begin)).is_some() {
                continue;
            }
            batch.has_entry = true;
            self.place.until_us = entry.time_us.unwrap_or(self.place.until_us);
            self.place.cursor = entry.cursor.clone().or_else(|| self.place.cursor.take());
            batch.add(entry.into_line(self.line_ends, is_cut));
        }
        true
    }

    fn lines(&self, lines: Vec<LogLine>, is_behind: bool) -> LogLines {
        LogLines {
            log: self.log.clone(),
            grammar: Grammar::Auto,
            lines,
            read: wall(),
            is_behind,
            zone: self.zone.clone(),
            cursor: Some(Cursor { log: LOG.into(), place: self.place.write() }),
        }
    }

    /// A child ended: tells why, and waits before the next.
    fn ended(&mut self, status: &str, said: &str, told: &mut Vec<Read>) {
        let is_refused = said.contains("Failed to seek to cursor");
        if self.place.cursor.is_some() && (is_refused || said.contains("Failed to iterate")) {
            self.place.cursor = None;
            self.place.until_us += 1;
            told.push(gap(format!(
                "its place was refused, entries may be missing; goes on by time ({said})"
            )));
        } else if let Some(lack) = lack(said) {
            self.pause_for(self.pace.missing);
            self.tell(lack.into(), told);
            return;
        } else {
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            self.tell(format!("journalctl ended ({status}){said}; it is started again"), told);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(self.pace.longest);
        self.pause_for(pause);
    }

    fn pause_for(&mut self, pause: Duration) {
        self.state = State::Waiting { until: Instant::now() + pause };
    }

    fn tell(&mut self, what: String, told: &mut Vec<Read>) {
        if self.trouble.as_ref() != Some(&what) {
            self.trouble = Some(what.clone());
            told.push(Read::Trouble { log: LOG.into(), what });
        }
    }

    /// A file of the journal that journalctl leaves out: it goes on with the others.
    fn tell_damage(&mut self, said: &str, told: &mut Vec<Read>) {
        if is_damage(said) && self.damage.as_deref() != Some(said) {
            self.damage = Some(said.into());
            told.push(gap(format!("journalctl leaves out what it cannot read: {said}")));
        }
    }

    /// When there may be something to do though nothing came.
    fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { until } => Some(*until),
            State::Asking { since, .. } => Some(*since + self.pace.longest),
            State::Following { since, last, again, .. } => {
                let settled = self.trouble.is_some().then(|| *since + self.pace.settled);
                let settled = settled.filter(|_| again.is_none());
                [settled, Some(*last + self.pace.quiet), *again].into_iter().flatten().min()
            }
        }
    }

    fn wait(&self, patience: Duration) {
        match &self.state {
            State::Waiting { .. } => std::thread::sleep(patience),
            State::Asking { child, .. } | State::Following { child, .. } => child.wait(patience),
        }
    }
}

impl Tail for Journal {
    fn read(&mut self, patience: Duration) -> Vec<Read> {
        let start = Instant::now();
        let mut told = Vec::new();
        loop {
            self.step(&mut told);
            let left = patience.saturating_sub(start.elapsed());
            if !told.is_empty() || left.is_zero() {
                return told;
            }
            let due = self.due().map_or(left, |due| due.saturating_duration_since(Instant::now()));
            self.wait(left.min(due));
        }
    }
}

/// What is handed on at once.
#[derive(Default)]
struct Batch {
    lines: Vec<LogLine>,
    bytes: usize,
    /// Pieces read for it: what gives no lines is bounded too.
    raw: usize,
    has_entry: bool,
    has_garbage: bool,
}

impl Batch {
    fn add(&mut self, line: Option<LogLine>) {
        self.bytes += line.as_ref().map_or(0, |line| line.text.len());
        self.lines.extend(line);
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= BATCH_LINES || self.bytes >= BATCH_BYTES || self.raw >= 32
    }
}

fn moment(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| format!("{time:.0}"))
}

fn gap(what: String) -> Read {
    Read::Gap { log: LOG.into(), what }
}

/// When the oldest entry was logged, in microseconds since 1970: `SECONDS.MICROSECONDS HOST PROGRAM: ...`.
fn oldest(child: &mut Child) -> Option<i64> {
    while let Some(line) = child.line() {
        let time =
            line.bytes.split(|byte| *byte == b' ').next().and_then(|time| std::str::from_utf8(time).ok());
        let time = time.and_then(|time| time.split_once('.'));
        let read = time
            .and_then(|(seconds, micro)| Some((seconds.parse::<i64>().ok()?, micro.parse::<i64>().ok()?)));
        // `-- Journal begins at ...` of older ones.
        if let Some((seconds, micro)) = read {
            return Some(seconds.saturating_mul(1_000_000).saturating_add(micro));
        }
    }
    None
}

/// What is lacking to read the journal at all, or as a whole (`journal_access_check_and_warn` in systemd).
fn lack(said: &str) -> Option<&'static str> {
    let is_closed = ["not seeing messages from other users", "insufficient permissions", "Permission denied"];
    if is_closed.iter().any(|words| said.contains(words)) {
        return Some(NO_RIGHT);
    }
    said.contains("No journal files were found").then_some(NO_JOURNAL)
}

fn is_damage(said: &str) -> bool {
    ["ignoring file", "corrupt", "truncated", "Bad message"].iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests;
