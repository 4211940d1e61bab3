//! The tables, and how the file is opened or set aside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jiff::Timestamp;
use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition,
};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::disk::{Access, Disk, Gate, REGION};
use super::frame::{FRAME, Meta};
use super::{ValueKey, ValueKind};
use crate::host::clock;
use crate::model::spool::{Destination, Kind};

/// A frame's place: number of its destination, id.
pub(super) type Key = (u32, u64);
type Row = (u8, u32, u32, i64, i64);

const ABOUT: TableDefinition<&str, &str> = TableDefinition::new("about");
const DESTINATIONS: TableDefinition<u32, &str> = TableDefinition::new("destinations");
const INDEX: TableDefinition<Key, Row> = TableDefinition::new("index");
const FRAMES: TableDefinition<(u32, u64, u16), &[u8]> = TableDefinition::new("frames");
const SENDING: TableDefinition<Key, ()> = TableDefinition::new("sending");
const VALUES: TableDefinition<(u8, &str), &[u8]> = TableDefinition::new("values");

/// The version that we write.
const VERSION: u32 = 1;
/// Of redb's page cache and its buffer of pages not yet written. Nothing is read twice here; more made nothing faster.
const CACHE: usize = 2 * 1024 * 1024;

/// What one transaction writes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) destinations: BTreeMap<u32, Destination>,
    pub(super) removed: BTreeSet<Key>,
    pub(super) frames: BTreeMap<Key, (Meta, Vec<u8>)>,
    pub(super) marks: BTreeMap<Key, bool>,
    pub(super) values: BTreeMap<ValueKey, Option<Vec<u8>>>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        let Changes { destinations, removed, frames, marks, values } = self;
        destinations.is_empty()
            && removed.is_empty()
            && frames.is_empty()
            && marks.is_empty()
            && values.is_empty()
    }
}

impl Changes {
    /// What could not be written waits again.
    pub(super) fn put_back(&mut self, unwritten: Changes) {
        let Changes { destinations, removed, frames, marks, values } = unwritten;
        self.destinations.extend(destinations);
        self.removed.extend(removed);
        self.frames.extend(frames);
        self.marks.extend(marks);
        self.values.extend(values);
    }
}

/// Where the state file is, and what it must keep to.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) owner: String,
    pub(super) limit: u64,
    pub(super) gate: Gate,
}

/// Why there is no state file to use.
pub(super) enum Refusal {
    /// Another agent has it open.
    Locked,
    /// The disk, or what stands there. With its cure.
    Disk(String),
}

/// The open file.
pub(super) struct StateFile {
    place: Place,
    database: Database,
    handle: File,
    /// Growth was refused: the file is at its bound.
    full: Arc<AtomicBool>,
    /// Its length, as redb set it.
    expected: Arc<AtomicU64>,
}

/// Why what stands there is of no use.
struct Unusable {
    /// Part of the name it gets.
    label: &'static str,
    why: String,
}

enum Trial {
    Usable(Box<StateFile>),
    Unusable(Unusable),
    Refused(Refusal),
}

impl StateFile {
    /// Opens the file, or begins a new one. The second is the old one's new name and why it was set aside. At the
    /// start a file whose blocks cannot be read is set aside; later the disk gets its chance to be well again.
    pub(super) fn open(place: &Place, at_start: bool) -> Result<(Self, Option<(PathBuf, String)>), Refusal> {
        let mut aside = None;
        loop {
            match Self::try_open(place, at_start) {
                Trial::Usable(file) => return Ok((*file, aside)),
                Trial::Refused(refusal) => return Err(refusal),
                Trial::Unusable(unusable) if aside.is_none() => {
                    let name = set_aside(&place.path, unusable.label).map_err(|error| {
                        Refusal::Disk(format!(
                            "{}: {}, and it cannot be renamed: {error}; move it away",
                            place.path.display(),
                            unusable.why
                        ))
                    })?;
                    aside = Some((name, unusable.why));
                }
                Trial::Unusable(unusable) => {
                    return Err(Refusal::Disk(format!(
                        "{}: a new file, and {}",
                        place.path.display(),
                        unusable.why
                    )));
                }
            }
        }
    }

    fn try_open(place: &Place, at_start: bool) -> Trial {
        let path = &place.path;
        let handle = match open_file(path) {
            Ok(handle) => handle,
            Err(error) => return Trial::Refused(Refusal::Disk(cure(path, &error))),
        };
        let (full, expected) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let disk = Disk::new(&handle, place.limit, &place.gate, full.clone(), expected.clone());
        // A page that is not as it was written is found now, where it can be answered by setting the file aside. Later
        // redb would trust it.
        let opened = disk.map_err(DatabaseError::from).and_then(|disk| {
            Builder::new().set_cache_size(CACHE).set_check_integrity_on_open(true).create_with_backend(disk)
        });
        let database = match opened {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) => {
                return Trial::Refused(Refusal::Locked);
            }
            Err(DatabaseError::Storage(StorageError::Io(error))) if !damage(&error, at_start) => {
                return Trial::Refused(Refusal::Disk(cure(path, &error)));
            }
            Err(error) => return Trial::Unusable(unreadable(error)),
        };
        let file = StateFile { place: place.clone(), database, handle, full, expected };
        match file.check_about() {
            Ok(None) => Trial::Usable(Box::new(file)),
            Ok(Some(unusable)) => Trial::Unusable(unusable),
            Err(redb::Error::Io(error)) if !damage(&error, at_start) => {
                Trial::Refused(Refusal::Disk(cure(path, &error)))
            }
            Err(error) => Trial::Unusable(unreadable(error)),
        }
    }

    /// Whose it is; a file that holds nothing becomes ours.
    fn check_about(&self) -> Result<Option<Unusable>, redb::Error> {
        let transaction = self.database.begin_read()?;
        if transaction.list_tables()?.next().is_none() {
            self.make_tables()?;
            return Ok(None);
        }
        let about = transaction.open_table(ABOUT)?;
        let read = |key| Ok::<_, redb::Error>(about.get(key)?.map(|text| text.value().to_owned()));
        let version = read("version")?.and_then(|version| version.parse::<u32>().ok());
        Ok(match (version, read("owner")?) {
            (Some(version), _) if version > VERSION => Some(Unusable {
                label: "newer-version",
                why: format!("it is of version {version}, this vpcwatch reads up to {VERSION}"),
            }),
            (Some(_), Some(owner)) if owner == self.place.owner => {
                self.names()?;
                self.index()?;
                None
            }
            (Some(_), Some(owner)) => Some(Unusable {
                label: "other-instance",
                why: format!("it belongs to {owner}, this is {}", self.place.owner),
            }),
            _ => Some(unreadable("it does not say what it is")),
        })
    }

    fn make_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut about = transaction.open_table(ABOUT)?;
            about.insert("version", VERSION.to_string().as_str())?;
            about.insert("owner", self.place.owner.as_str())?;
        }
        transaction.open_table(DESTINATIONS)?;
        transaction.open_table(INDEX)?;
        transaction.open_table(FRAMES)?;
        transaction.open_table(SENDING)?;
        transaction.open_table(VALUES)?;
        Ok(transaction.commit()?)
    }

    /// Writes all of it, or nothing. An error may also mean that all of it was written; doing it again does no harm.
    pub(super) fn write(&self, changes: &Changes, next_id: u64) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            transaction.open_table(ABOUT)?.insert("next-id", next_id.to_string().as_str())?;
            let mut destinations = transaction.open_table(DESTINATIONS)?;
            for (number, destination) in &changes.destinations {
                let text = serde_json::to_string(destination).unwrap_or_default();
                destinations.insert(number, text.as_str())?;
            }
            let mut index = transaction.open_table(INDEX)?;
            let mut frames = transaction.open_table(FRAMES)?;
            let mut sending = transaction.open_table(SENDING)?;
            for key in &changes.removed {
                let pieces = index.remove(key)?.map_or(0, |row| pieces(row.value().2));
                for piece in 0..pieces {
                    frames.remove((key.0, key.1, piece))?;
                }
                sending.remove(key)?;
            }
            for (key, (meta, bytes)) in &changes.frames {
                let before = index.insert(key, row(meta))?.map_or(0, |row| pieces(row.value().2));
                for piece in pieces(meta.bytes)..before {
                    frames.remove((key.0, key.1, piece))?;
                }
                for (piece, bytes) in (0..).zip(bytes.chunks(FRAME)) {
                    frames.insert((key.0, key.1, piece), bytes)?;
                }
            }
            for (key, mark) in &changes.marks {
                if *mark {
                    sending.insert(key, ())?
                } else {
                    sending.remove(key)?
                };
            }
            let mut values = transaction.open_table(VALUES)?;
            for (key, value) in &changes.values {
                let place = (key.kind() as u8, key.name());
                match value {
                    Some(value) => values.insert(place, value.as_slice())?,
                    None => values.remove(place)?,
                };
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// The id to go on from, and every destination's number.
    pub(super) fn names(&self) -> Result<(u64, Vec<(u32, Destination)>), redb::Error> {
        let transaction = self.database.begin_read()?;
        let about = transaction.open_table(ABOUT)?;
        let next = about.get("next-id")?.and_then(|text| text.value().parse().ok()).unwrap_or(1);
        let mut names = Vec::new();
        for row in transaction.open_table(DESTINATIONS)?.iter()? {
            let (number, text) = row?;
            let destination = serde_json::from_str(text.value())
                .map_err(|error| StorageError::Corrupted(error.to_string()))?;
            names.push((number.value(), destination));
        }
        Ok((next, names))
    }

    /// The frames that were being sent.
    pub(super) fn marked(&self) -> Result<Vec<Key>, redb::Error> {
        let table = self.database.begin_read()?.open_table(SENDING)?;
        table.iter()?.map(|row| Ok(row?.0.value())).collect()
    }

    pub(super) fn index(&self) -> Result<ReadOnlyTable<Key, Row>, redb::Error> {
        Ok(self.database.begin_read()?.open_table(INDEX)?)
    }

    pub(super) fn frame(&self, (number, id): Key) -> Result<Vec<u8>, redb::Error> {
        let table = self.database.begin_read()?.open_table(FRAMES)?;
        let mut bytes = Vec::new();
        for piece in table.range((number, id, 0)..=(number, id, u16::MAX))? {
            bytes.extend_from_slice(piece?.1.value());
        }
        Ok(bytes)
    }

    pub(super) fn value(&self, key: &ValueKey) -> Result<Option<Vec<u8>>, redb::Error> {
        let table = self.database.begin_read()?.open_table(VALUES)?;
        Ok(table.get((key.kind() as u8, key.name()))?.map(|bytes| bytes.value().to_vec()))
    }

    pub(super) fn values(&self, kind: ValueKind) -> Result<Vec<(ValueKey, Vec<u8>)>, redb::Error> {
        let table = self.database.begin_read()?.open_table(VALUES)?;
        let rows = table.range((kind as u8, "")..(kind as u8 + 1, ""))?;
        rows.map(|row| {
            let (key, value) = row?;
            Ok((kind.key(key.value().1.to_owned()), value.value().to_vec()))
        })
        .collect()
    }

    /// Reserves the blocks that the file may have to grow by for so many bytes, and a region more: what was begun can
    /// be ended, and what CloudWatch took can be settled, also when the disk is full.
    pub(super) fn reserve(&self, bytes: usize) -> io::Result<()> {
        (self.place.gate)(Access::Grow)?;
        let length = self.length();
        let wanted = (length + REGION + 2 * bytes as u64).min(self.place.limit);
        if wanted <= length {
            return Ok(()); // at its bound: there is room within, which shedding keeps free
        }
        match fallocate(&self.handle, FallocateFlags::KEEP_SIZE, length, wanted - length) {
            // Not every file system can reserve.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives free pages back to the disk.
    pub(super) fn compact(&mut self) -> Result<(), redb::Error> {
        Ok(self.database.compact().map(drop)?)
    }

    pub(super) fn length(&self) -> u64 {
        self.handle.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Whether the last failure was the bound and not the disk.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Whether the file is as long as it was: redb takes no notice, and goes astray when it is not.
    pub(super) fn is_whole(&self) -> bool {
        self.length() >= self.expected.load(Ordering::Relaxed)
    }

    /// Whether the path still leads to this file.
    pub(super) fn is_in_place(&self) -> bool {
        let same = |there: std::fs::Metadata, here: std::fs::Metadata| {
            (there.dev(), there.ino()) == (here.dev(), here.ino())
        };
        match (std::fs::metadata(&self.place.path), self.handle.metadata()) {
            (Ok(there), Ok(here)) => same(there, here),
            _ => false,
        }
    }

    /// Puts a copy of a file that was deleted under us into its place; it is what a kill -9 leaves, and as good. What
    /// stands there by now is not touched.
    pub(super) fn put_back(&self) -> Result<(), String> {
        let path = &self.place.path;
        let mut new = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(new) => new,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let path = path.display();
                return Err(format!(
                    "{path} was replaced by another file; move that away while vpcwatch runs, and what waits \
                     comes back (a restart would lose it)"
                ));
            }
            Err(error) => return Err(format!("{} was deleted: {}", path.display(), cure(path, &error))),
        };
        let mut old = &self.handle;
        let copied = io::Seek::rewind(&mut old).and_then(|()| io::copy(&mut old, &mut new));
        copied.and_then(|_| new.sync_all()).map_err(|error| {
            let _ = std::fs::remove_file(path);
            format!("{} was deleted: {}", path.display(), cure(path, &error))
        })
    }
}

/// Of an error that means that the file's bytes, and not the way to them, are bad.
fn damage(error: &io::Error, at_start: bool) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        || at_start && error.raw_os_error() == Some(libc::EIO)
}

fn unreadable(error: impl std::fmt::Display) -> Unusable {
    Unusable { label: "unreadable", why: format!("it cannot be read: {error}") }
}

fn open_file(path: &Path) -> io::Result<File> {
    // Looked at before it is opened: opening a pipe may wait, and opening a device may do something.
    let exists = match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(io::Error::other("it is not a regular file")),
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    if !exists && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        // So that a power cut does not lose the new file's name.
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

/// What is wrong with the file, and what to do about it.
pub(super) fn cure(path: &Path, error: &io::Error) -> String {
    use io::ErrorKind as E;
    let folder = path.parent().unwrap_or(path).display();
    let cure = match error.kind() {
        E::NotFound => format!("create the folder {folder} for the user that vpcwatch runs as"),
        E::NotADirectory => format!("{folder} has to be a folder"),
        E::PermissionDenied => format!("give the user that vpcwatch runs as write access to {folder}"),
        E::ReadOnlyFilesystem => format!("remount the file system of {folder} for writing"),
        E::StorageFull | E::QuotaExceeded => format!("make room on the file system of {folder}"),
        _ => "see the kernel's log (dmesg), or name another file".to_owned(),
    };
    format!("the state file {} cannot be used: {error}; {cure}", path.display())
}

fn set_aside(path: &Path, label: &str) -> io::Result<PathBuf> {
    let stamp = clock::wall().strftime("%Y%m%dT%H%M%SZ");
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for number in 1..1000 {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let aside = path.with_file_name(format!("{name}.set-aside-{label}-{stamp}{suffix}"));
        if std::fs::symlink_metadata(&aside).is_err() {
            std::fs::rename(path, &aside)?;
            return Ok(aside);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn pieces(bytes: u32) -> u16 {
    u16::try_from((bytes as usize).div_ceil(FRAME)).unwrap_or(u16::MAX)
}

fn row(meta: &Meta) -> Row {
    let milliseconds = Timestamp::as_millisecond;
    let Meta { kind, records, bytes, .. } = *meta;
    (kind as u8, records, bytes, milliseconds(meta.oldest), milliseconds(meta.newest))
}

pub(super) fn meta((kind, records, bytes, oldest, newest): Row) -> Result<Meta, StorageError> {
    let time = |milliseconds| {
        Timestamp::from_millisecond(milliseconds).map_err(|error| StorageError::Corrupted(error.to_string()))
    };
    let kind = Kind::ALL.into_iter().find(|known| *known as u8 == kind);
    let kind = kind.ok_or_else(|| StorageError::Corrupted("a kind unknown to this version".into()))?;
    Ok(Meta { kind, records, bytes, oldest: time(oldest)?, newest: time(newest)? })
}
