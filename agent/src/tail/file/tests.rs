//! Scenarios as tables: what is done to files, and the lines that are read. Time is given, so nothing waits.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use proptest::prelude::*;
use tempfile::TempDir;

use super::Files;
use crate::host::paths::Paths;
use crate::model::log_line::Grammar;
use crate::tail::{BATCH_LINES, FileRule, LINE, Read, Tail};

/// What is done. Names are of files in the folder of logs.
#[derive(Debug, Clone)]
enum Do {
    /// Writes behind the end; the file is made if it is not there.
    Append(&'static str, &'static str),
    /// Writes over what is there, in place.
    Write(&'static str, &'static str),
    Rename(&'static str, &'static str),
    Copy(&'static str, &'static str),
    Truncate(&'static str),
    Remove(&'static str),
    Folder(&'static str),
    Fifo(&'static str),
    Link(&'static str, &'static str),
    /// Looks, some seconds later.
    Look(u64),
    /// Stores the places told so far.
    Store,
    /// Begins again from what is stored; what was read since counts as not read.
    Kill,
}
use Do::*;

struct Stand {
    root: TempDir,
    rules: Vec<FileRule>,
    files: Option<Files>,
    now: Instant,
    stored: HashMap<String, Vec<u8>>,
    /// Told since the last storing.
    open: Vec<Read>,
    /// Told before it.
    kept: Vec<Read>,
}

impl Stand {
    fn new(patterns: &[&str]) -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("log")).unwrap();
        let rule = |pattern: &&str| FileRule {
            pattern: format!("/log/{pattern}"),
            grammar: Grammar::Service("sshd"),
        };
        Stand {
            root,
            rules: patterns.iter().map(rule).collect(),
            files: None,
            now: Instant::now(),
            stored: HashMap::new(),
            open: Vec::new(),
            kept: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("log").join(name)
    }

    fn files(&mut self) -> &mut Files {
        let paths = Paths::below(self.root.path());
        self.files
            .get_or_insert_with(|| Files::new(self.rules.clone(), paths, self.stored.clone(), TimeZone::UTC))
    }

    fn append(&self, name: &str, text: &[u8]) {
        let mut file = File::options().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text).unwrap();
    }

    /// Looks until nothing more is told.
    fn look(&mut self) {
        loop {
            let now = self.now;
            let told = self.files().turn(now, true);
            if told.is_empty() {
                break;
            }
            self.open.extend(told);
        }
    }

    /// Stores places as the state file does, as of that many things told.
    fn store(&mut self, told: usize) {
        for read in self.open.drain(..told) {
            if let Read::Lines(lines) = &read
                && let Some(cursor) = &lines.cursor
            {
                if cursor.place.is_empty() {
                    self.stored.remove(&cursor.log);
                } else {
                    self.stored.insert(cursor.log.clone(), cursor.place.clone());
                }
            }
            self.kept.push(read);
        }
    }

    fn kill(&mut self) {
        self.files = None;
        self.open.clear();
    }

    fn act(&mut self, action: &Do) {
        match action {
            Append(name, text) => self.append(name, text.as_bytes()),
            Write(name, text) => fs::write(self.path(name), text).unwrap(),
            Rename(from, to) => fs::rename(self.path(from), self.path(to)).unwrap(),
            Copy(from, to) => _ = fs::copy(self.path(from), self.path(to)).unwrap(),
            Truncate(name) => _ = File::create(self.path(name)).unwrap(),
            Remove(name) => fs::remove_file(self.path(name)).unwrap(),
            Folder(name) => fs::create_dir(self.path(name)).unwrap(),
            Fifo(name) => {
                let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                rustix::fs::mknodat(rustix::fs::CWD, self.path(name), rustix::fs::FileType::Fifo, mode, 0)
                    .unwrap();
            }
            Link(target, name) => symlink(self.path(target), self.path(name)).unwrap(),
            Look(seconds) => {
                self.now += Duration::from_secs(*seconds);
                self.look();
            }
            Store => self.store(self.open.len()),
            Kill => self.kill(),
        }
    }

    fn told(&self) -> impl Iterator<Item = &Read> {
        self.kept.iter().chain(&self.open)
    }

    /// Lines, as `name: text`, where the text of cut ones ends in `~`.
    fn lines(&self) -> Vec<String> {
        let batches =
            self.told().filter_map(|read| if let Read::Lines(lines) = read { Some(lines) } else { None });
        let text = |log: &str, line: &crate::model::log_line::LogLine| {
            let log = log.strip_prefix("/log/").unwrap_or(log);
            format!("{log}: {}{}", line.text, if line.is_cut { "~" } else { "" })
        };
        batches
            .flat_map(|batch| batch.lines.iter().map(|line| text(&batch.log, line)).collect::<Vec<_>>())
            .collect()
    }

    fn gaps(&self) -> Vec<&str> {
        self.told()
            .filter_map(|read| if let Read::Gap { what, .. } = read { Some(what.as_str()) } else { None })
            .collect()
    }

    /// Troubles and their ends.
    fn troubles(&self) -> Vec<String> {
        let told = self.told().filter_map(|read| match read {
            Read::Trouble { what, .. } => Some(what.clone()),
            Read::Well { log } => Some(format!("well: {log}")),
            _ => None,
        });
        told.collect()
    }
}

/// A scenario: what it shows, the patterns, what is done, the lines of logs, and how many gaps.
type Scenario = (&'static str, &'static [&'static str], &'static [Do], &'static [&'static str], usize);

const APP: &[&str] = &["app.log"];

const SCENARIOS: &[Scenario] = &[
    (
        "what is there at first is left out",
        APP,
        &[Append("app.log", "1\n"), Look(0), Append("app.log", "2\n"), Look(0)],
        &["app.log: 2"],
        0,
    ),
    (
        "a line that has begun at first is read when it ends",
        APP,
        &[Append("app.log", "1\n2a"), Look(0), Append("app.log", "2b\n"), Look(0)],
        &["app.log: 2a2b"],
        0,
    ),
    ("what appears later is new", APP, &[Look(0), Append("app.log", "1\n"), Look(0)], &["app.log: 1"], 0),
    (
        "what appears while it is down is new",
        APP,
        &[Look(0), Store, Kill, Append("app.log", "1\n"), Look(0)],
        &["app.log: 1"],
        0,
    ),
    (
        "a line is one when it has its end",
        APP,
        &[
            Look(0),
            Append("app.log", "1a"),
            Look(9),
            Append("app.log", "1b\r\n\n2"),
            Look(9),
            Append("app.log", "\n"),
            Look(0),
        ],
        &["app.log: 1a1b", "app.log: ", "app.log: 2"],
        0,
    ),
    (
        "renamed and created",
        APP,
        &[
            Look(0),
            Append("app.log", "1\n"),
            Look(0),
            Append("app.log", "2\n"),
            Rename("app.log", "app.log.1"),
            Append("app.log", "3\n"),
            Look(0),
        ],
        &["app.log: 1", "app.log: 2", "app.log: 3"],
        0,
    ),
    (
        "rotated before it was looked at for the first time",
        APP,
        &[
            Append("app.log.1", "old\n"),
            Look(0),
            Store,
            Kill,
            Rename("app.log.1", "app.log.3"),
            Append("app.log", "1\n"),
            Rename("app.log", "app.log.2"),
            Append("app.log", "2\n"),
            Rename("app.log", "app.log.1"),
            Append("app.log", "3\n"),
            Look(0),
        ],
        &["app.log: 1", "app.log: 2", "app.log: 3"],
        0,
    ),
    (
        "late writers",
        APP,
        &[
            Look(0),
            Append("app.log", "1\n"),
            Look(0),
            Rename("app.log", "app.log.1"),
            Append("app.log", "3\n"),
            Look(1),
            Append("app.log.1", "2\n"),
            Look(3),
            Append("app.log.1", "2b\n"),
            Look(4),
        ],
        &["app.log: 1", "app.log: 3", "app.log: 2", "app.log: 2b"],
        0,
    ),
    (
        "a last line without an end, of a file that was rotated",
        APP,
        &[
            Look(0),
            Append("app.log", "1\n2"),
            Look(0),
            Rename("app.log", "app.log.1"),
            Look(4),
            Append("app.log", "3\n"),
            Look(5),
        ],
        &["app.log: 1", "app.log: 3", "app.log: 2"],
        0,
    ),
    (
        "renamed three times between two looks, numbered",
        APP,
        &[
            Look(0),
            Append("app.log", "1\n"),
            Look(0),
            Append("app.log", "2\n"),
            Rename("app.log", "app.log.1"),
            Append("app.log", "3\n"),
            Rename("app.log.1", "app.log.2"),
            Rename("app.log", "app.log.1"),
            Append("app.log", "4\n"),
            Look(0),
        ],
        &["app.log: 1", "app.log: 2", "app.log: 3", "app.log: 4"],
        0,
    ),
    (
        "rotated twice while it is down, dated, and other logs beside it",
        &["secure"],
        &[
            Append("secure-20261101", "old\n"),
            Look(0),
            Append("secure-audit.log", "another\n"),
            Append("secure", "1\n"),
            Look(0),
            Store,
            Append("secure", "2\n"),
            Look(0),
            Kill,
            Append("secure", "3\n"),
            Rename("secure", "secure-20261108"),
            Append("secure", "4\n"),
            Rename("secure", "secure-20261115"),
            Append("secure", "5\n"),
            Look(0),
        ],
        &["secure: 1", "secure: 2", "secure: 3", "secure: 4", "secure: 5"],
        0,
    ),
    (
        "killed between renaming and creating",
        APP,
        &[
            Look(0),
            Append("app.log", "1\n"),
            Look(0),
            Store,
            Append("app.log", "2\n"),
            Rename("app.log", "app.log.1"),
            Kill,
            Look(0),
            Store,
            Kill,
            Append("app.log", "3\n"),
            Look(0),
        ],
        &["app.log: 1", "app.log: 2", "app.log: 3"],
        0,
    ),
    (
        "compressed before it was read",
        APP,
        &[
            Look(0),
            Append("app.log", "1\n"),
            Look(0),
            Store,
            Kill,
            Remove("app.log"),
            Append("app.log.1.gz", "\u{1f}\n"),
            Append("app.log", "3\n"),
            Look(0),
        ],
        &["app.log: 1", "app.log: 3"],
        1,
    ),
    (
        "copied and truncated",
        APP,
        &[
            Look(0),
            Append("app.log", "one, and as much as it takes to be known again: more than sixty-four bytes\n"),
            Look(0),
            Append("app.log", "2\n"),
            Copy("app.log", "app.log.1"),
            Truncate("app.log"),
            Append("app.log", "3\n"),
            Look(0),
        ],
        &[
            "app.log: one, and as much as it takes to be known again: more than sixty-four bytes",
            "app.log: 2",
            "app.log: 3",
        ],
        0,
    ),
    (
        "copied and truncated while it is down, and grown beyond the place",
        APP,
        &[
            Look(0),
            Append("app.log", "one, and as much as it takes to be known again: more than sixty-four bytes\n"),
            Look(0),
            Store,
            Kill,
            Append("app.log", "2\n"),
            Copy("app.log", "app.log.1"),
            Truncate("app.log"),
            Append(
                "app.log",
                "three, and more than there was before, so that the size does not tell what happened\n",
            ),
            Look(0),
        ],
        &[
            "app.log: one, and as much as it takes to be known again: more than sixty-four bytes",
            "app.log: 2",
            "app.log: three, and more than there was before, so that the size does not tell what happened",
        ],
        0,
    ),
    (
        "truncated, and grown beyond the place between two looks",
        APP,
        &[Look(0), Append("app.log", "1\n2\n"), Look(0), Write("app.log", "3\n4\n5\n"), Look(0)],
        &["app.log: 1", "app.log: 2", "app.log: 3", "app.log: 4", "app.log: 5"],
        1,
    ),
    (
        "truncated, by a writer that goes on where it was: a row of NUL",
        APP,
        &[Look(0), Append("app.log", "1\n2\n"), Look(0), Write("app.log", "\0\0\0\0\x003\n4\n"), Look(0)],
        &["app.log: 1", "app.log: 2", "app.log: 3", "app.log: 4"],
        1,
    ),
    (
        "removed and made anew",
        APP,
        &[
            Look(0),
            Append("app.log", "1\n"),
            Look(0),
            Append("app.log", "2\n"),
            Look(0),
            Remove("app.log"),
            Look(1),
            Append("app.log", "3\n"),
            Look(0),
        ],
        &["app.log: 1", "app.log: 2", "app.log: 3"],
        0,
    ),
    (
        "a link that leads elsewhere, and a target that is rotated",
        &["current"],
        &[
            Append("a.log", "0\n"),
            Link("a.log", "current"),
            Look(0),
            Append("a.log", "1\n"),
            Look(0),
            Append("a.log", "2\n"),
            Rename("a.log", "a.log.1"),
            Append("a.log", "3\n"),
            Look(0),
            Append("a.log", "4\n"),
            Remove("current"),
            Append("b.log", "5\n"),
            Link("b.log", "current"),
            Look(0),
        ],
        &["current: 1", "current: 2", "current: 3", "current: 4", "current: 5"],
        0,
    ),
    (
        "a pattern that matches rotated files too",
        &["app.log*"],
        &[
            Look(0),
            Append("app.log", "1\n"),
            Look(0),
            Rename("app.log", "app.log.1"),
            Append("app.log", "2\n"),
            Look(9),
            Look(9),
            Store,
            Kill,
            Append("app.log", "3\n"),
            Rename("app.log.1", "app.log.2"),
            Rename("app.log", "app.log.1"),
            Append("app.log", "4\n"),
            Look(0),
            Look(9),
            Look(9),
        ],
        &["app.log: 1", "app.log: 2", "app.log: 3", "app.log: 4"],
        0,
    ),
    (
        "a pattern that matches copies too",
        &["app.log*"],
        &[
            Look(0),
            Append("app.log", "one, and as much as it takes to be known again: more than sixty-four bytes\n"),
            Look(0),
            Append("app.log", "2\n"),
            Copy("app.log", "app.log.1"),
            Look(0),
            Truncate("app.log"),
            Append("app.log", "3\n"),
            Look(0),
            Store,
            Kill,
            Look(0),
        ],
        &[
            "app.log: one, and as much as it takes to be known again: more than sixty-four bytes",
            "app.log: 2",
            "app.log: 3",
        ],
        0,
    ),
    (
        "one file under two names",
        &["*.log"],
        &[Append("a.log", ""), Link("a.log", "b.log"), Look(0), Append("a.log", "1\n"), Look(0)],
        &["a.log: 1"],
        0,
    ),
    (
        "what is named like a log and is none",
        &["*.log"],
        &[
            Folder("a.log"),
            Fifo("b.log"),
            Look(0),
            Append("c.log", "1\n"),
            Append("d.log.gz", "2\n"),
            Look(0),
        ],
        &["c.log: 1"],
        0,
    ),
    (
        "bytes that are not UTF-8 stand as such",
        APP,
        &[Look(0), Copy("../bytes", "app.log"), Look(0)],
        &["app.log: a\u{fffd}b"],
        0,
    ),
];

#[test]
fn files_are_read_through_what_befalls_them() {
    for (name, patterns, actions, expected, gaps) in SCENARIOS {
        let mut stand = Stand::new(patterns);
        fs::write(stand.path("../bytes"), b"a\xffb\n").unwrap();
        for action in *actions {
            stand.act(action);
        }
        assert_eq!(stand.lines(), *expected, "{name}: gaps {:?}", stand.gaps());
        assert_eq!(stand.gaps().len(), *gaps, "{name}: {:?}", stand.gaps());
    }
}

/// How a log is rotated.
#[derive(Debug, Clone, Copy)]
struct Rotation {
    is_copied: bool,
    is_numbered: bool,
}

/// A writer of numbered lines whose log is rotated and whose reader is killed.
struct Numbered {
    stand: Stand,
    rotation: Rotation,
    /// Lines begun.
    lines: usize,
    /// Whether the last has no end yet.
    is_open: bool,
    rotations: usize,
    /// Stands for time: the kernel's own has ticks that are too coarse for a test.
    ticks: u64,
}

impl Numbered {
    fn new(pattern: &str, rotation: Rotation) -> Self {
        let mut stand = Stand::new(&[pattern]);
        stand.look();
        let mut log = Numbered { stand, rotation, lines: 0, is_open: false, rotations: 0, ticks: 0 };
        log.append(1, false);
        log.look(0);
        log.kill(4);
        log
    }

    fn line(number: usize) -> String {
        format!("line {number} of a log, which is as long as lines of logs are: more than sixty-four bytes")
    }

    fn write(&mut self, name: &str, text: &str) {
        self.stand.append(name, text.as_bytes());
        self.tick(name);
    }

    fn tick(&mut self, name: &str) {
        self.ticks += 1;
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + self.ticks);
        let file = File::options().write(true).open(self.stand.path(name)).unwrap();
        file.set_modified(time).unwrap();
    }

    fn end_line(&mut self, name: &str) {
        if std::mem::take(&mut self.is_open) {
            self.write(name, " and its end\n");
        }
    }

    fn append(&mut self, lines: usize, opens_one: bool) {
        self.end_line("app.log");
        let text: String = (self.lines + 1..=self.lines + lines)
            .map(|number| Self::line(number) + " and its end\n")
            .collect();
        self.write("app.log", &text);
        self.lines += lines;
        if opens_one {
            self.lines += 1;
            self.is_open = true;
            self.write("app.log", &Self::line(self.lines));
        }
    }

    fn rotate(&mut self) {
        if !self.stand.path("app.log").exists() {
            return;
        }
        self.rotations += 1;
        let older = if self.rotation.is_numbered {
            for number in (1..self.rotations).rev() {
                self.stand.act_rename(&format!("app.log.{number}"), &format!("app.log.{}", number + 1));
            }
            "app.log.1".to_owned()
        } else {
            format!("app.log-{:08}", 20_260_000 + self.rotations)
        };
        if self.rotation.is_copied {
            self.end_line("app.log");
            fs::copy(self.stand.path("app.log"), self.stand.path(&older)).unwrap();
            self.tick(&older);
            File::create(self.stand.path("app.log")).unwrap();
            self.tick("app.log");
        } else {
            self.stand.act_rename("app.log", &older);
            self.end_line(&older);
        }
    }

    /// Stores the places of a part of what was told, and begins again from there.
    fn kill(&mut self, part: usize) {
        self.stand.store(self.stand.open.len() * part / 4);
        self.stand.kill();
    }

    /// Looks once, as a reader does that is not fast enough for all that there is.
    fn look(&mut self, seconds: u64) {
        self.stand.now += Duration::from_secs(seconds);
        let now = self.stand.now;
        let told = self.stand.files().turn(now, true);
        self.stand.open.extend(told);
    }

    /// What was read in the end, and what was written.
    fn finish(mut self) -> (Vec<String>, Vec<String>, Vec<String>) {
        self.end_line("app.log");
        for _ in 0..3 {
            self.stand.now += Duration::from_secs(9);
            self.stand.look();
        }
        let lines = self.stand.lines();
        let read = lines.iter().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect();
        let written = (1..=self.lines).map(|number| Self::line(number) + " and its end").collect();
        (read, written, self.stand.gaps().into_iter().map(str::to_owned).collect())
    }
}

impl Stand {
    fn act_rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

/// What happens to a numbered log.
#[derive(Debug, Clone)]
enum Fate {
    Append { lines: usize, opens_one: bool },
    Rotate,
    Look { seconds: u64 },
    Kill { part: usize },
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (0..5_usize, any::<bool>()).prop_map(|(lines, opens_one)| Fate::Append { lines, opens_one }),
        3 => Just(Fate::Rotate),
        3 => (0..7_u64).prop_map(|seconds| Fate::Look { seconds }),
        2 => (0..5_usize).prop_map(|part| Fate::Kill { part }),
    ]
}

/// The same cases each time; others, and as many as asked for, with `PROPTEST_CASES`.
fn chances() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return config;
    }
    ProptestConfig { cases: 60, rng_seed: proptest::test_runner::RngSeed::Fixed(5), ..config }
}

proptest! {
    #![proptest_config(chances())]

    #[test]
    fn every_line_comes_once_and_in_order(
        fates in proptest::collection::vec(fate(), 1..40),
        is_copied: bool,
        is_numbered: bool,
        is_wide: bool,
    ) {
        // Copies that are logs of their own may come twice after a kill: see the head of `file`.
        let is_wide = is_wide && (!is_copied || !fates.iter().any(|fate| matches!(fate, Fate::Kill { .. })));
        let pattern = if is_wide { "app.log*" } else { "app.log" };
        let mut log = Numbered::new(pattern, Rotation { is_copied, is_numbered });
        for fate in &fates {
            match fate {
                Fate::Append { lines, opens_one } => log.append(*lines, *opens_one),
                Fate::Rotate => log.rotate(),
                Fate::Look { seconds } => log.look(*seconds),
                Fate::Kill { part } => log.kill(*part),
            }
        }
        let (mut read, mut written, gaps) = log.finish();
        // Logs of their own have an order of their own.
        if is_wide {
            read.sort();
            written.sort();
        }
        prop_assert_eq!(read, written);
        prop_assert_eq!(gaps, Vec::<String>::new());
    }
}

/// A thousand rotations, the reader killed at random: the short form of `tests/load/tailing.sh`.
#[test]
fn a_thousand_rotations_and_a_reader_that_is_killed() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut log = Numbered::new("app.log", Rotation { is_copied: false, is_numbered: false });
    for _ in 0..1000 {
        log.append(random.usize(0..20), random.bool());
        match random.u8(0..10) {
            0 => log.kill(random.usize(0..5)),
            1..6 => log.look(random.u64(0..3)),
            _ => {}
        }
        log.rotate();
        // Where nothing is removed, looking for a file among all that there were would be what takes the time.
        if log.rotations.is_multiple_of(50) {
            log.look(9);
            log.stand.look();
            log.look(9);
            log.stand.look();
            log.stand.store(log.stand.open.len());
            for number in (log.rotations.saturating_sub(100)..log.rotations.saturating_sub(5)).rev() {
                let _ = fs::remove_file(log.stand.path(&format!("app.log-{:08}", 20_260_000 + number)));
            }
        }
    }
    let (read, written, gaps) = log.finish();
    assert!(written.len() > 5000, "{}", written.len());
    assert!(read == written, "{} lines of {}", read.len(), written.len());
    assert_eq!(gaps, Vec::<String>::new());
}

#[test]
fn long_lines_are_cut_and_what_is_behind_them_is_read() {
    // The length of the first line, with its end, and whether it is cut.
    for (length, is_cut) in
        [(LINE, false), (LINE + 1, true), (LINE + 2, true), (3 * LINE, true), (100 << 20, true)]
    {
        for end in ["\n", "\r\n"] {
            let mut stand = Stand::new(APP);
            stand.look();
            let mut text = vec![b'x'; length];
            text.extend_from_slice(end.as_bytes());
            text.extend_from_slice(b"next\n");
            stand.append("app.log", &text);
            stand.look();
            let cut = if is_cut { "~" } else { "" };
            let first = format!("app.log: {}{cut}", "x".repeat(length.min(LINE)));
            assert!(stand.lines() == [first, "app.log: next".to_owned()], "{length} {end:?}");
        }
    }
}

#[test]
fn the_rest_of_a_cut_line_is_left_out_after_a_restart_too() {
    let mut stand = Stand::new(APP);
    stand.look();
    stand.append("app.log", &vec![b'x'; 2 * LINE]);
    stand.look();
    stand.store(stand.open.len());
    stand.kill();
    stand.append("app.log", b"rest\nnext\n");
    stand.look();
    let lines = stand.lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1], "app.log: next");
}

#[test]
fn a_file_of_any_bytes_is_lines_of_bounded_length() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut stand = Stand::new(APP);
    stand.look();
    let bytes: Vec<u8> =
        (0..1 << 20).map(|_| random.u8(..)).map(|byte| if byte == b'\n' { 0 } else { byte }).collect();
    stand.append("app.log", &bytes);
    stand.append("app.log", b"\nnext\n");
    stand.look();
    let lines = stand.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].len() <= 3 * LINE + 20 && lines[0].ends_with('~'));
    assert_eq!(lines[1], "app.log: next");
}

#[test]
fn a_wildcard_passes_over_hidden_names_and_those_that_are_not_utf8() {
    let mut stand = Stand::new(&["*.log"]);
    stand.look();
    let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"od\xffd.log");
    fs::write(stand.path("x").with_file_name::<&std::ffi::OsStr>(odd), "odd\n").unwrap();
    stand.append(".hidden.log", b"hidden\n");
    stand.append("seen.log", b"1\n\n2\n");
    stand.look();
    // Empty lines are lines: of an event that has several they are a part.
    assert_eq!(stand.lines(), ["seen.log: 1", "seen.log: ", "seen.log: 2"]);
}

#[test]
fn a_busy_log_does_not_keep_others_waiting() {
    let mut stand = Stand::new(&["*.log"]);
    stand.look();
    stand.append("busy.log", "a line\n".repeat(50 * BATCH_LINES).as_bytes());
    for quiet in 0..20 {
        stand.append(&format!("quiet-{quiet}.log"), b"1\n");
    }
    let now = stand.now;
    let told = stand.files().turn(now, true);
    let batches: Vec<_> = told
        .iter()
        .filter_map(|read| if let Read::Lines(lines) = read { Some(lines) } else { None })
        .collect();
    assert_eq!(
        batches.iter().filter(|batch| batch.log.contains("quiet") && batch.lines.len() == 1).count(),
        20
    );
    assert_eq!(batches.iter().map(|batch| batch.lines.len()).sum::<usize>(), BATCH_LINES);
    assert!(batches.iter().all(|batch| batch.is_behind == (&*batch.log == "/log/busy.log")));
    // Each further turn gives no more than a batch, and all of them everything.
    for _ in 0..50 {
        let told = stand.files().turn(now, false);
        let lines = told.iter().map(|read| if let Read::Lines(lines) = read { lines.lines.len() } else { 0 });
        assert!(lines.sum::<usize>() <= BATCH_LINES);
        stand.open.extend(told);
    }
    assert_eq!(stand.lines().len() + BATCH_LINES, 50 * BATCH_LINES + 20);
}

#[test]
fn more_files_than_may_be_open_are_told() {
    let mut stand = Stand::new(&["*.log"]);
    for number in 0..1000 {
        stand.append(&format!("{number}.log"), b"");
    }
    stand.look();
    assert_eq!(stand.files().logs.len(), super::MOST_LOGS);
    let troubles = stand.troubles();
    assert_eq!(troubles.len(), 1);
    assert!(
        troubles[0].starts_with(
            "at most 400 files are read: left out are those modified longest ago, 600 of /log/*.log"
        ),
        "{troubles:?}"
    );
    for number in 0..1000 {
        let _ = fs::remove_file(stand.path(&format!("{number}.log")));
    }
    stand.now += Duration::from_secs(9);
    stand.look();
    stand.now += Duration::from_secs(9);
    stand.look();
    assert_eq!(stand.troubles()[1..], ["well: files"]);
    stand.store(stand.open.len());
    assert_eq!(
        stand.stored.keys().collect::<Vec<_>>(),
        ["pattern /log/*.log"],
        "keys of files that are gone"
    );
}

#[test]
fn keys_do_not_grow_with_rotation() {
    for pattern in ["app.log", "*.log"] {
        let mut log = Numbered::new(pattern, Rotation { is_copied: false, is_numbered: true });
        for _ in 0..30 {
            log.append(3, false);
            log.look(2);
            log.rotate();
        }
        log.append(1, false);
        log.look(9);
        log.look(9);
        log.stand.store(log.stand.open.len());
        let mut keys: Vec<_> = log.stand.stored.keys().cloned().collect();
        keys.sort();
        assert_eq!(keys, ["/log/app.log".to_owned(), format!("pattern /log/{pattern}")]);
        assert!(log.stand.stored["/log/app.log"].len() < 300);
    }
}

#[test]
fn an_inode_that_went_to_a_new_file_is_not_read_on() {
    // What tells it: what the file says, or when it was made where the place is at the beginning of it.
    for (before, knows_birth) in [("1\n2\n", false), ("1\n2\n", true), ("", true)] {
        let mut stand = Stand::new(APP);
        stand.look();
        stand.append("app.log", before.as_bytes());
        stand.look();
        stand.store(stand.open.len());
        stand.kill();
        fs::remove_file(stand.path("app.log")).unwrap();
        let read = stand.lines().len();
        // One rotated file too: that of the place, if numbers were all that counts.
        stand.append("app.log.1", b"old\n");
        stand.append("app.log", b"3\n4\n5\n6\n");
        let inode = |name| std::os::unix::fs::MetadataExt::ino(&fs::metadata(stand.path(name)).unwrap());
        let named = if before.is_empty() { inode("app.log.1") } else { inode("app.log") };
        File::options()
            .write(true)
            .open(stand.path("app.log.1"))
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        let place = stand.stored.get_mut("/log/app.log").unwrap();
        let mut changed: serde_json::Value = serde_json::from_slice(place).unwrap();
        changed["files"][0]["inode"] = named.into();
        changed["files"][0]["born"] = if knows_birth { 7.into() } else { serde_json::Value::Null };
        *place = changed.to_string().into_bytes();
        stand.look();
        assert_eq!(
            stand.lines()[read..],
            ["app.log: 3", "app.log: 4", "app.log: 5", "app.log: 6"],
            "{before:?}"
        );
        assert_eq!(stand.gaps().len(), 1, "{before:?}");
    }
}

#[test]
fn stored_places_that_are_not_understood_begin_at_the_end() {
    for place in ["", "{", "{\"v\":2,\"files\":[]}", "[]"] {
        let mut stand = Stand::new(APP);
        stand.append("app.log", b"1\n");
        stand.stored.insert("/log/app.log".into(), place.into());
        stand.look();
        stand.append("app.log", b"2\n");
        stand.look();
        assert_eq!((stand.lines(), stand.gaps().len()), (vec!["app.log: 2".to_owned()], 1), "{place:?}");
    }
}

#[test]
fn what_may_not_be_read_is_told_with_its_cure_and_read_when_it_may() {
    let mut stand = Stand::new(APP);
    fs::create_dir(stand.root.path().join("etc")).unwrap();
    fs::write(stand.root.path().join("etc/passwd"), "vpcwatch:x:65534:65534::/:/bin/false\n").unwrap();
    fs::write(stand.root.path().join("etc/group"), "root:x:0:\nadm:x:4:syslog\n").unwrap();
    stand.append("app.log", b"1\n");
    let chmod = |path: PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for path in [stand.root.path().to_owned(), stand.path(""), stand.path("app.log")] {
        chmod(path, 0o755);
    }
    if !rustix::process::geteuid().is_root() {
        return; // Files of others, and their groups, are made by root alone.
    }
    std::os::unix::fs::chown(stand.path("app.log"), None, Some(4)).unwrap();
    let path = stand.path("app.log");
    let as_nobody = |stand: &mut Stand| {
        std::thread::scope(|scope| {
            let look = || {
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
                stand.now += Duration::from_secs(1);
                stand.look();
            };
            scope.spawn(look).join().unwrap();
        });
    };
    for mode in [0o640, 0o600, 0o644] {
        chmod(path.clone(), mode);
        as_nobody(&mut stand);
    }
    chmod(stand.path(""), 0o700);
    as_nobody(&mut stand);
    chmod(stand.path(""), 0o755);
    stand.append("app.log", b"2\n");
    as_nobody(&mut stand);
    let acl = "setfacl -m u:vpcwatch:r /log/app.log, and again in logrotate's postrotate, for each new file comes without it";
    let expected = [
        format!(
            "/log/app.log is readable by group adm only: usermod -a -G adm vpcwatch and restart, or {acl}"
        ),
        format!("/log/app.log is readable by its owner only, not by vpcwatch: {acl}"),
        "well: /log/app.log".to_owned(),
        "/log/app.log is in /log, which vpcwatch may not enter: setfacl -m u:vpcwatch:x /log".to_owned(),
        "well: /log/app.log".to_owned(),
    ];
    assert_eq!(stand.troubles(), expected);
    assert_eq!(stand.lines(), ["app.log: 2"], "from the end: it was there at first");
}

#[test]
fn a_path_where_nothing_is_is_told_after_a_while() {
    let mut stand = Stand::new(APP);
    for _ in 0..3 {
        stand.look();
        stand.now += Duration::from_secs(6);
    }
    assert_eq!(stand.troubles(), ["/log/app.log is not there; it is read when it appears"]);
    stand.append("app.log", b"1\n");
    stand.look();
    assert_eq!(stand.troubles()[1..], ["well: /log/app.log"]);
    assert_eq!(stand.lines(), ["app.log: 1"]);
}

#[test]
fn a_reader_with_patience_is_woken() {
    let mut stand = Stand::new(&["*.log"]);
    while !stand.files().read(Duration::ZERO).is_empty() {}
    let folder = stand.path("");
    let files = stand.files();
    for text in ["1\n", "2\n"] {
        let mut file = File::options().append(true).create(true).open(folder.join("new.log")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        // Everything is looked at anyhow after ten seconds, without a word of the kernel.
        let begun = Instant::now();
        let told = files.read(Duration::from_mins(1));
        assert!(told.iter().any(|read| matches!(read, Read::Lines(lines) if lines.lines.len() == 1)));
        assert!(begun.elapsed() + Duration::from_secs(2) < super::SCAN);
    }
}

/// A batch that ends where the whole lines end: nothing more is to be taken, and that has to be told.
#[test]
fn a_log_that_was_told_to_be_behind_is_told_to_be_read() {
    let mut stand = Stand::new(&["a"]);
    stand.append("a", b"");
    stand.look();
    stand.append("a", "x\n".repeat(BATCH_LINES).as_bytes());
    stand.append("a", b"the next");
    stand.open.clear();
    stand.look();
    let behind: Vec<_> = stand
        .open
        .iter()
        .map(|read| match read {
            Read::Lines(lines) => (lines.lines.len(), lines.is_behind),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(behind, [(BATCH_LINES, true), (0, false)]);
}

#[test]
fn whatever_part_of_what_was_told_is_stored_a_file_that_changes_its_log_is_read_once() {
    let mut part = 0;
    loop {
        let mut log = Numbered::new("app.log*", Rotation { is_copied: false, is_numbered: true });
        for _ in 0..4 {
            log.append(2, false);
            log.look(0);
            log.rotate();
            log.append(1, false);
            log.look(9);
            log.look(9);
        }
        let told = log.stand.open.len();
        log.stand.store(part.min(told));
        log.stand.kill();
        let (mut read, mut written, gaps) = log.finish();
        read.sort();
        written.sort();
        assert_eq!(read, written, "{part} of {told}: {gaps:?}");
        if part > told {
            assert!(told > 20, "{told}");
            break;
        }
        part += 1;
    }
}
