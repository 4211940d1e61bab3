//! The tables on disk, how the file is opened or set aside, and what keeps it within its bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use redb::backends::FileBackend;
use redb::{
    BackendError, Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable,
    StorageBackend, StorageError, TableDefinition,
};

use super::frame::Meta;
use super::{ValueKey, ValueKind};
use crate::host::clock;
use crate::model::spool::{Destination, Kind};

/// A frame's place: number of its destination, id.
pub(super) type Key = (u32, u64);
type Row = (u8, u32, u32, i64, i64);

const ABOUT: TableDefinition<&str, &str> = TableDefinition::new("about");
const DESTINATIONS: TableDefinition<u32, &str> = TableDefinition::new("destinations");
const INDEX: TableDefinition<Key, Row> = TableDefinition::new("index");
const FRAMES: TableDefinition<Key, &[u8]> = TableDefinition::new("frames");
const SENDING: TableDefinition<Key, ()> = TableDefinition::new("sending");
const VALUES: TableDefinition<(u8, &str), &[u8]> = TableDefinition::new("values");

/// The version that we write.
const VERSION: u32 = 1;
/// Of redb's page cache and its buffer of pages not yet written. Nothing is read twice here; more made nothing faster.
const CACHE: usize = 2 * 1024 * 1024;
/// The file grows and shrinks by regions of this size. It must hold the largest frame's page, 2 MiB.
pub(super) const REGION: u64 = 2 * 1024 * 1024;

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

/// An access that a [`Gate`] is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Open,
    Read,
    Write,
    Grow,
    Sync,
}

/// Asked before each access to the disk: where tests put their faults.
pub(super) type Gate = Arc<dyn Fn(Access) -> io::Result<()> + Send + Sync>;

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
    /// Opens the file, or begins a new one. The second is the old one's new name and why it was set aside.
    pub(super) fn open(place: &Place) -> Result<(Self, Option<(PathBuf, String)>), Refusal> {
        let mut aside = None;
        loop {
            match Self::try_open(place) {
                Trial::Usable(file) => return Ok((*file, aside)),
                Trial::Refused(refusal) => return Err(refusal),
                Trial::Unusable(unusable) if aside.is_none() => {
                    let name = set_aside(&place.path, unusable.label).map_err(|error| {
                        Refusal::Disk(format!(
                            "{}: {}, and it cannot be renamed: {error}; move it away, then restart vpcwatch",
                            place.path.display(),
                            unusable.why
                        ))
                    })?;
                    aside = Some((name, unusable.why));
                }
                Trial::Unusable(unusable) => return Err(Refusal::Disk(unusable.why)),
            }
        }
    }

    fn try_open(place: &Place) -> Trial {
        let path = &place.path;
        let handle = match open_file(path) {
            Ok(handle) => handle,
            Err(error) => return Trial::Refused(Refusal::Disk(cure(path, &error))),
        };
        let full = Arc::new(AtomicBool::new(false));
        let disk = Disk::new(&handle, place, full.clone());
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
            Err(DatabaseError::Storage(StorageError::Io(error))) if !damage(&error) => {
                return Trial::Refused(Refusal::Disk(cure(path, &error)));
            }
            Err(error) => return Trial::Unusable(unreadable(error)),
        };
        let file = StateFile { place: place.clone(), database, handle, full };
        match file.check_about() {
            Ok(None) => Trial::Usable(Box::new(file)),
            Ok(Some(unusable)) => Trial::Unusable(unusable),
            Err(redb::Error::Io(error)) if !damage(&error) => {
                Trial::Refused(Refusal::Disk(cure(path, &error)))
            }
            Err(error) => Trial::Unusable(unreadable(error)),
        }
    }

    /// Whose it is; a file that holds nothing becomes ours.
    fn check_about(&self) -> Result<Option<Unusable>, redb::Error> {
        let transaction = self.database.begin_write()?;
        let fresh = transaction.list_tables()?.next().is_none();
        {
            let mut about = transaction.open_table(ABOUT)?;
            if fresh {
                about.insert("version", VERSION.to_string().as_str())?;
                about.insert("owner", self.place.owner.as_str())?;
            }
            let read = |key| Ok::<_, redb::Error>(about.get(key)?.map(|text| text.value().to_owned()));
            let version = read("version")?.and_then(|version| version.parse::<u32>().ok());
            let owner = read("owner")?;
            match (version, owner) {
                (Some(version), _) if version > VERSION => {
                    return Ok(Some(Unusable {
                        label: "newer-version",
                        why: format!("it is of version {version}, this vpcwatch reads up to {VERSION}"),
                    }));
                }
                (Some(_), Some(owner)) if owner == self.place.owner => {}
                (Some(_), Some(owner)) => {
                    return Ok(Some(Unusable {
                        label: "other-instance",
                        why: format!("it belongs to {owner}, this is {}", self.place.owner),
                    }));
                }
                _ => return Ok(Some(unreadable("it does not say what it is"))),
            }
        }
        transaction.open_table(DESTINATIONS)?;
        transaction.open_table(INDEX)?;
        transaction.open_table(FRAMES)?;
        transaction.open_table(SENDING)?;
        transaction.open_table(VALUES)?;
        transaction.commit()?;
        Ok(None)
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
                index.remove(key)?;
                frames.remove(key)?;
                sending.remove(key)?;
            }
            for (key, (meta, bytes)) in &changes.frames {
                index.insert(key, row(meta))?;
                frames.insert(key, bytes.as_slice())?;
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

    pub(super) fn frame(&self, key: Key) -> Result<Option<Vec<u8>>, redb::Error> {
        let table = self.database.begin_read()?.open_table(FRAMES)?;
        Ok(table.get(key)?.map(|bytes| bytes.value().to_vec()))
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

    /// Puts a copy of a file that was deleted under us back into its place, and closes the old one. What stands there
    /// by now is not touched.
    pub(super) fn put_back(self) -> Result<(), (Self, String)> {
        let path = self.place.path.clone();
        let mut new = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(new) => new,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let path = path.display();
                return Err((
                    self,
                    format!("{path} was replaced by another file; remove it, or restart vpcwatch"),
                ));
            }
            Err(error) => {
                let why = format!("{} was deleted, and {}", path.display(), cure(&path, &error));
                return Err((self, why));
            }
        };
        let StateFile { place, database, handle, full } = self;
        drop(database);
        let mut old = &handle;
        let copied = io::Seek::rewind(&mut old).and_then(|()| io::copy(&mut old, &mut new));
        match copied.and_then(|_| new.sync_all()) {
            Ok(()) => Ok(()),
            Err(error) => {
                let _ = std::fs::remove_file(&path);
                let why = format!("{} was deleted, and {}", path.display(), cure(&path, &error));
                // The deleted file is still there for whoever has it open.
                let reopened = Disk::new(&handle, &place, full.clone()).map_err(DatabaseError::from);
                match reopened.and_then(|disk| Builder::new().set_cache_size(CACHE).create_with_backend(disk))
                {
                    Ok(database) => Err((StateFile { place, database, handle, full }, why)),
                    Err(_) => Ok(()),
                }
            }
        }
    }
}

/// Of an error that means that the file's bytes, and not the way to them, are bad.
fn damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        || error.raw_os_error() == Some(libc::EIO)
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

/// The file as redb sees it. It grows by regions and not beyond its bound; its blocks are reserved as it grows, so
/// that a full disk is met there, and not when a page is written, after which redb would have to be repaired.
struct Disk {
    file: FileBackend,
    handle: File,
    limit: u64,
    gate: Gate,
    full: Arc<AtomicBool>,
    new: bool,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Disk")
            .field("file", &self.file)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Where redb's header says how many pages a region has (redb's `docs/design.md`, "Database header"), and what it
/// writes there: 4 GiB. A file of one such region is doubled when it is full.
const REGION_PAGES_AT: std::ops::Range<usize> = 20..24;
const REGION_PAGES: [u8; 4] = (1u32 << 20).to_le_bytes();
/// What we have it write, when the file is made. It reads it back, and from then on a full file gets one more region.
const OUR_REGION_PAGES: [u8; 4] = ((REGION / 4096) as u32).to_le_bytes();

impl Disk {
    fn new(handle: &File, place: &Place, full: Arc<AtomicBool>) -> io::Result<Self> {
        (place.gate)(Access::Open)?;
        full.store(false, Ordering::Relaxed);
        let backend = FileBackend::new(handle.try_clone()?).map_err(io::Error::other)?;
        Ok(Disk {
            file: backend,
            handle: handle.try_clone()?,
            limit: place.limit,
            gate: place.gate.clone(),
            full,
            new: handle.metadata()?.len() == 0,
        })
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        (self.gate)(Access::Read)?;
        self.file.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let now = self.len()?;
        if length > now {
            (self.gate)(Access::Grow)?;
            if length > self.limit {
                self.full.store(true, Ordering::Relaxed);
                return Err(io::Error::other("the state file is at its bound"));
            }
            let flags = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&self.handle, flags, now, length - now) {
                // Not every file system can reserve.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) | Ok(()) => {}
                Err(error) => {
                    // What it did reserve; redb would find a length that it did not set.
                    self.file.set_len(now)?;
                    return Err(error.into());
                }
            }
        }
        self.file.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.gate)(Access::Sync)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        (self.gate)(Access::Write)?;
        if self.new && offset == 0 && data.get(REGION_PAGES_AT) == Some(REGION_PAGES.as_slice()) {
            let mut header = data.to_vec();
            if let Some(pages) = header.get_mut(REGION_PAGES_AT) {
                pages.copy_from_slice(&OUR_REGION_PAGES);
            }
            return self.file.write(offset, &header);
        }
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
