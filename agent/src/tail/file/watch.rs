//! Waits until something happens to files or folders: by inotify(7), through rustix, so that quiet files cost nothing.
//! What the kernel cannot watch is looked at every few seconds.

use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};

use super::reading::{Id, Reading};

/// File systems on which others write without this kernel's knowledge (`statfs(2)`): NFS, SMB, CIFS, SMB2, FUSE, 9P, Ceph, AFS.
const REMOTE: [u64; 8] =
    [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997, 0x00c3_6400, 0x5346_414f];

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Happened {
    /// Names came or went, or rights changed, in a folder.
    pub(super) in_folders: bool,
    /// Files that were written to.
    pub(super) files: HashSet<Id>,
    /// So much that some of it was not told.
    pub(super) is_unknown: bool,
}

/// An inotify instance.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: OwnedFd,
    folders: HashMap<PathBuf, i32>,
    files: HashMap<i32, Id>,
}

impl Watch {
    /// None if the kernel has no more instances for this user.
    pub(super) fn new() -> Option<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        Some(Watch { inotify, folders: HashMap::new(), files: HashMap::new() })
    }

    /// Watches these folders and no others. Gives whether all of them are watched.
    pub(super) fn folders(&mut self, wanted: &HashSet<PathBuf>) -> bool {
        let inotify = &self.inotify;
        self.folders.retain(|folder, watch| {
            let is_wanted = wanted.contains(folder);
            if !is_wanted {
                // Fails only if the folder is gone, and the watch with it.
                let _ = remove_watch(inotify, *watch);
            }
            is_wanted
        });
        let names = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE | WatchFlags::ATTRIB;
        let itself = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        let mut are_all = true;
        for folder in wanted {
            // Asked for each time: the folder of that name may be another one.
            if let Ok(watch) = add_watch(inotify, folder, names | itself) {
                let before = self.folders.insert(folder.clone(), watch);
                if let Some(before) = before.filter(|before| *before != watch) {
                    let _ = remove_watch(inotify, before);
                }
            } else {
                self.folders.remove(folder);
                are_all = false;
            }
        }
        are_all
    }

    /// Watches an open file, whatever its name becomes, until it is removed.
    pub(super) fn file(&mut self, file: &Reading) -> bool {
        let is_local = rustix::fs::fstatfs(file.file())
            .is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| !REMOTE.contains(&kind)));
        let path = format!("/proc/self/fd/{}", file.file().as_raw_fd());
        let watched =
            is_local.then(|| add_watch(&self.inotify, Path::new(&path), WatchFlags::MODIFY).ok()).flatten();
        if let Some(watch) = watched {
            self.files.insert(watch, file.id);
        }
        watched.is_some()
    }

    /// No longer watches files but these.
    pub(super) fn only(&mut self, open: &HashSet<Id>) {
        let inotify = &self.inotify;
        self.files.retain(|watch, id| {
            let is_open = open.contains(id);
            if !is_open {
                let _ = remove_watch(inotify, *watch);
            }
            is_open
        });
    }

    /// What happened since the last call.
    pub(super) fn happened(&mut self) -> Happened {
        let mut happened = Happened::default();
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        while let Ok(event) = events.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                happened.is_unknown = true;
            } else if let Some(id) = self.files.get(&event.wd()) {
                happened.files.insert(*id);
                if event.events().contains(ReadFlags::IGNORED) {
                    self.files.remove(&event.wd());
                }
            } else if !event.events().contains(ReadFlags::IGNORED) {
                happened.in_folders = true;
            }
        }
        happened
    }

    /// Waits until something happens, at most so long.
    pub(super) fn wait(&self, patience: Duration) {
        let patience = Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        };
        // A signal may end it early, and the caller looks at its own clock.
        let _ = poll(&mut [PollFd::new(&self.inotify, PollFlags::IN)], Some(&patience));
    }
}
