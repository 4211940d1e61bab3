//! What lies between redb and the disk: keeps the file within its bound, and reserves what it grows by.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// The file grows and shrinks by regions of this size. It must hold the largest value's page, 512 KiB.
pub(super) const REGION: u64 = 4096 * REGION_PAGES as u64;
const REGION_PAGES: u32 = 256;

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

/// The file as redb sees it. It grows by regions and not beyond its bound; its blocks are reserved as it grows, so
/// that a full disk is met there, and not when a page is written, after which redb would have to be repaired.
pub(super) struct Disk {
    file: FileBackend,
    handle: File,
    limit: u64,
    gate: Gate,
    full: Arc<AtomicBool>,
    /// The length that was set last, for whoever looks whether somebody else changed it.
    expected: Arc<AtomicU64>,
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
const THEIR_PAGES: [u8; 4] = (1u32 << 20).to_le_bytes();
/// What we have it write, when the file is made. It reads it back, and from then on a full file gets one more region.
const OUR_PAGES: [u8; 4] = REGION_PAGES.to_le_bytes();

impl Disk {
    pub(super) fn new(
        handle: &File,
        limit: u64,
        gate: &Gate,
        full: Arc<AtomicBool>,
        expected: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        gate(Access::Open)?;
        full.store(false, Ordering::Relaxed);
        expected.store(handle.metadata()?.len(), Ordering::Relaxed);
        let backend = FileBackend::new(handle.try_clone()?).map_err(io::Error::other)?;
        Ok(Disk {
            file: backend,
            handle: handle.try_clone()?,
            limit,
            gate: gate.clone(),
            full,
            expected,
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
        self.file.set_len(length)?;
        self.expected.store(length, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.gate)(Access::Sync)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        (self.gate)(Access::Write)?;
        if self.new && offset == 0 && data.get(REGION_PAGES_AT) == Some(THEIR_PAGES.as_slice()) {
            let mut header = data.to_vec();
            if let Some(pages) = header.get_mut(REGION_PAGES_AT) {
                pages.copy_from_slice(&OUR_PAGES);
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
