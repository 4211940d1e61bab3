//! What rotation made of a log: its older files in the same folder, in the order in which they were written.
//!
//! Names are those of logrotate, newsyslog, multilog libraries and their like: `secure.1` (the larger the number the
//! older), `secure-20261123`, `access.log.2026-11-23`, `access-20261123.log` (the larger the newer), `secure.old`. Where two
//! names are of different forms, the time of modification decides.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::fingerprint::Likeness;
use super::place::Mark;
use super::reading::{Id, Reading, modified};

/// Endings of compressed files: they are never read as they are.
const COMPRESSED: [&str; 8] = ["gz", "xz", "bz2", "zst", "lz4", "lzma", "lzo", "Z"];
/// Files between the one that was read and the present one that are opened at once: more wait for their turn.
const AT_ONCE: usize = 32;
/// A folder in which files are being renamed is listed so many times at most, until two lists are alike.
const LISTINGS: usize = 8;

/// Whether a name is that of a compressed file.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.extension().and_then(OsStr::to_str).is_some_and(|ending| COMPRESSED.contains(&ending))
}

/// How a rotated file's name tells its age.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Age {
    /// A small number: the larger the older.
    Number(u32),
    /// A date, a time or a serial number: the larger the newer.
    Date(Vec<(usize, String)>),
}

impl Age {
    /// Of a rotated file, from its name and the log's; nothing if it is not a name of a rotated file.
    fn of(name: &str, log: &str) -> Option<Self> {
        let suffix = suffix(name, log)?;
        if suffix == ".old" {
            return Some(Age::Number(0));
        }
        let rest = suffix.strip_prefix(['.', '-', '_'])?;
        let is_stamp = rest.chars().all(|letter| letter.is_ascii_digit() || "-_.:TZ+".contains(letter));
        if !is_stamp || !rest.contains(|letter: char| letter.is_ascii_digit()) {
            return None;
        }
        match rest.parse() {
            Ok(number) if rest.len() < 6 => Some(Age::Number(number)),
            _ => Some(Age::Date(digits(rest))),
        }
    }

    fn order(&self, other: &Age) -> Option<Ordering> {
        match (self, other) {
            (Age::Number(one), Age::Number(other)) => Some(other.cmp(one)),
            (Age::Date(one), Age::Date(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

/// What rotation added to a log's name: behind it, or before its ending.
fn suffix<'a>(name: &'a str, log: &str) -> Option<&'a str> {
    if let Some(suffix) = name.strip_prefix(log) {
        return Some(suffix);
    }
    let (stem, ending) = log.rsplit_once('.')?;
    name.strip_prefix(stem)?.strip_suffix(ending)?.strip_suffix('.')
}

/// Runs of digits by value: longer ones are larger, once leading zeros are off.
fn digits(text: &str) -> Vec<(usize, String)> {
    let runs = text.split(|letter: char| !letter.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.map(|run| run.trim_start_matches('0')).map(|run| (run.len(), run.to_owned())).collect()
}

/// A file beside a log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sibling {
    path: PathBuf,
    inode: u64,
    /// Nothing: its name does not say that it was rotated.
    age: Option<Age>,
    is_compressed: bool,
}

/// A rotated file, with its metadata.
struct Rotated {
    sibling: Sibling,
    metadata: Metadata,
}

impl Rotated {
    fn modified(&self) -> i64 {
        modified(&self.metadata)
    }

    /// Older is less.
    fn order(&self, other: &Rotated) -> Ordering {
        let ages = self.sibling.age.as_ref().zip(other.sibling.age.as_ref());
        ages.and_then(|(one, other)| one.order(other))
            .unwrap_or_else(|| self.modified().cmp(&other.modified()))
    }
}

/// Files beside a log that share the beginning of its name.
fn listing(log: &Path) -> io::Result<Vec<Sibling>> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name().and_then(OsStr::to_str)) else {
        return Ok(Vec::new());
    };
    let stem = name.split_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem });
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let Some(other) = path.file_name().and_then(OsStr::to_str) else { continue };
        if other == name || !other.starts_with(stem) {
            continue;
        }
        let is_compressed = is_compressed(&path);
        let plain =
            if is_compressed { other.rsplit_once('.').map_or(other, |(plain, _)| plain) } else { other };
        let age = Age::of(plain, name);
        found.push(Sibling { inode: entry.ino(), age, is_compressed, path });
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// The same, at a moment at which nothing was being renamed there, if there is one.
fn settled_listing(log: &Path) -> io::Result<Vec<Sibling>> {
    let mut last = listing(log)?;
    for _ in 1..LISTINGS {
        let next = listing(log)?;
        if next == last {
            break;
        }
        last = next;
    }
    Ok(last)
}

/// The file that was read last.
pub(super) enum Last<'a> {
    /// It is open still, and no longer at the log's path.
    Open(&'a Mark),
    /// It is not at hand: reading stood here.
    Lost(&'a Mark),
    /// It was truncated, and nothing read of it since: whatever is newer came after it.
    Emptied(&'a Mark),
}

impl Last<'_> {
    fn mark(&self) -> &Mark {
        let (Last::Open(mark) | Last::Lost(mark) | Last::Emptied(mark)) = self;
        mark
    }
}

/// What was written between two looks at a log.
#[derive(Debug, Default)]
pub(super) struct Between {
    /// The file that was lost, or its copy, to be finished from where reading stood.
    pub(super) rest: Option<Reading>,
    /// Whether it is read elsewhere.
    pub(super) is_elsewhere: bool,
    /// Whole files after it, oldest first.
    pub(super) whole: Vec<Reading>,
    /// Whether there are more of them than were opened.
    pub(super) has_more: bool,
    /// What cannot be read any more.
    pub(super) gap: Option<String>,
}

/// Finds what was written to a log after that file and before the present one, where files of `taken` are read elsewhere.
/// Fails if a folder or file cannot be read now, and would be worth another try.
pub(super) fn between(
    log: &Path,
    last: &Last<'_>,
    present: Option<Id>,
    taken: &HashSet<Id>,
    is_own_log: &dyn Fn(&Path) -> bool,
    now: Instant,
) -> io::Result<Between> {
    let siblings = settled_listing(log)?;
    let mut found = Between::default();
    let mut origin = origin(&siblings, last, &mut found, taken, now)?;
    let mut rotated = Vec::new();
    for sibling in siblings.into_iter().filter(|sibling| sibling.age.is_some()) {
        // One that is gone by now makes the listing one of the past: it may have been renamed.
        let metadata = fs::metadata(&sibling.path)?;
        if !metadata.is_file() {
            continue;
        }
        rotated.push(Rotated { sibling, metadata });
    }
    let until = rotated.iter().position(|file| Some(Id::of(&file.metadata)) == present);
    let until = until.map(|at| rotated.swap_remove(at));
    if let Some(at) =
        origin.as_ref().and_then(|path| rotated.iter().position(|file| file.sibling.path == *path))
    {
        let origin = rotated.swap_remove(at);
        rotated.retain(|file| file.order(&origin).is_gt());
    } else {
        origin = None;
        rotated.retain(|file| file.modified() > last.mark().modified);
    }
    if let Some(until) = until {
        rotated.retain(|file| file.order(&until).is_lt());
    }
    rotated.sort_by(Rotated::order);
    found.has_more = rotated.len() > AT_ONCE;
    for file in rotated.into_iter().take(AT_ONCE) {
        if file.sibling.is_compressed {
            found.gap = Some(format!("{} was compressed before it was read", file.sibling.path.display()));
        } else if !taken.contains(&Id::of(&file.metadata)) && !is_own_log(&file.sibling.path) {
            let opened = Reading::open(&file.sibling.path, now)?;
            // The listing is of the past if another file is there: the next look will find better.
            if opened.id != Id::of(&file.metadata) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            found.whole.push(opened);
        }
    }
    let is_lost =
        matches!(last, Last::Lost(mark) if !mark.is_finished) && found.rest.is_none() && !found.is_elsewhere;
    if found.gap.is_none() && is_lost {
        found.gap = Some(
            "what was read last is no longer there: what it said after that, if anything, is lost".into(),
        );
    } else if found.gap.is_none()
        && origin.is_none()
        && matches!(last, Last::Open(_))
        && !found.whole.is_empty()
        && found.rest.is_none()
    {
        found.gap =
            Some("it was rotated several times at once, and rotated files may have been removed".into());
    }
    Ok(found)
}

/// When the newest rotated file of a log was modified, or 0: what is newer came after this moment.
pub(super) fn newest(log: &Path) -> io::Result<i64> {
    let siblings = listing(log)?.into_iter().filter(|sibling| sibling.age.is_some());
    let times = siblings.filter_map(|sibling| Some(modified(&fs::metadata(&sibling.path).ok()?)));
    Ok(times.max().unwrap_or(0))
}

/// Finds the file in which reading stood there, or a copy of it, among the rotated ones.
pub(super) fn find(log: &Path, mark: &Mark, taken: &HashSet<Id>, now: Instant) -> io::Result<Between> {
    let mut found = Between::default();
    if origin(&settled_listing(log)?, &Last::Lost(mark), &mut found, taken, now)?.is_none() {
        found.gap = Some("a rotated file is gone before all of it was read".into());
    }
    Ok(found)
}

/// Whether a file of that path would be a rotated form of that log.
pub(super) fn is_rotated_form(path: &Path, log: &Path) -> bool {
    let name = |path: &Path| path.file_name().and_then(OsStr::to_str).map(str::to_owned);
    let names = name(path).zip(name(log));
    path.parent() == log.parent() && names.is_some_and(|(one, log)| Age::of(&one, &log).is_some())
}

/// Where the file that was read last is now. If it was lost, it is opened, if it is found.
fn origin(
    siblings: &[Sibling],
    last: &Last<'_>,
    found: &mut Between,
    taken: &HashSet<Id>,
    now: Instant,
) -> io::Result<Option<PathBuf>> {
    let by_inode = siblings.iter().filter(|sibling| sibling.inode == last.mark().inode);
    let mark = match last {
        Last::Open(_) => return Ok(by_inode.map(|sibling| sibling.path.clone()).next()),
        Last::Lost(mark) => *mark,
        Last::Emptied(_) => return Ok(None),
    };
    let others = siblings.iter().filter(|sibling| sibling.age.is_some() && sibling.inode != mark.inode);
    for sibling in by_inode.chain(others).filter(|sibling| !sibling.is_compressed) {
        if !fs::metadata(&sibling.path).is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let opened = Reading::open(&sibling.path, now)?;
        let is_taken = taken.contains(&opened.id);
        match opened.resume(mark) {
            Ok(rest) => {
                found.is_elsewhere = is_taken;
                found.rest = Some(rest).filter(|_| !is_taken && !mark.is_finished);
                return Ok(Some(sibling.path.clone()));
            }
            Err(Likeness::Beginning) => return Ok(Some(sibling.path.clone())),
            Err(_) => {}
        }
    }
    Ok(None)
}
