//! What the store is asked with, and what it answers.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::spool::{Destination, Kind};

/// The key of a small value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueKey {
    /// How far a log was read.
    Cursor(String),
    /// What a detector has learned.
    Baseline(String),
    /// What provisioning did last.
    Mark(String),
}

/// What a small value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// [`ValueKey::Cursor`].
    Cursor,
    /// [`ValueKey::Baseline`].
    Baseline,
    /// [`ValueKey::Mark`].
    Mark,
}

impl ValueKey {
    pub(super) fn kind(&self) -> ValueKind {
        match self {
            ValueKey::Cursor(_) => ValueKind::Cursor,
            ValueKey::Baseline(_) => ValueKind::Baseline,
            ValueKey::Mark(_) => ValueKind::Mark,
        }
    }

    pub(super) fn name(&self) -> &str {
        let (ValueKey::Cursor(name) | ValueKey::Baseline(name) | ValueKey::Mark(name)) = self;
        name
    }
}

impl ValueKind {
    pub(super) fn key(self, name: String) -> ValueKey {
        match self {
            ValueKind::Cursor => ValueKey::Cursor(name),
            ValueKind::Baseline => ValueKey::Baseline(name),
            ValueKind::Mark => ValueKey::Mark(name),
        }
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two agents would send everything twice.
    #[error("the state file {0} is in use by another vpcwatch; stop that one, or name another state.folder")]
    Locked(PathBuf),
}

/// What opening met.
#[derive(Debug, Default)]
pub struct Opened {
    /// The file that was there and is not used.
    pub set_aside: Option<SetAside>,
    /// Records that were being sent when the agent last ended: CloudWatch may have them already.
    pub ambiguous: u64,
    /// Why nothing is written to disk, and the cure.
    pub memory_only: Option<String>,
}

/// A file that is not used.
#[derive(Debug)]
pub struct SetAside {
    /// What it is called now.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// What an append did.
#[derive(Debug, Default)]
pub struct Appended {
    /// Everything given up since this was last told.
    pub shed: Vec<Shed>,
}

/// Records given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shed {
    /// Where they should have gone.
    pub destination: Destination,
    /// What they were.
    pub kind: Kind,
    /// Why.
    pub cause: Cause,
    /// How many.
    pub records: u64,
    /// The oldest one's timestamp.
    pub oldest: Timestamp,
    /// The newest one's timestamp.
    pub newest: Timestamp,
}

/// Why records were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// No room: in the file, or in memory while the disk is in trouble.
    Full,
    /// One record larger than anything CloudWatch takes.
    TooLarge,
    /// The file was damaged.
    Damaged,
}

/// What waits for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationStats {
    /// Where it goes.
    pub destination: Destination,
    /// What its oldest frame is.
    pub kind: Kind,
    /// Frames.
    pub frames: u64,
    /// Records.
    pub records: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// The oldest timestamp of its oldest frame.
    pub oldest: Timestamp,
}

/// Which frames to take first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The newest, backwards.
    Newest,
    /// The oldest, forwards.
    Oldest,
}

/// How much to take at once.
#[derive(Debug, Clone, Copy)]
pub struct TakeLimits {
    /// Records.
    pub records: usize,
    /// Bytes of frames.
    pub bytes: usize,
    /// Between the oldest and the newest timestamp.
    pub span: Option<Duration>,
}

/// How full it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Length of the file; zero without one.
    pub file_bytes: u64,
    /// Bytes of frames.
    pub payload_bytes: u64,
    /// Records that could not be written to the file yet: they are in memory alone.
    pub unwritten: u64,
    /// What the file's length does not exceed.
    pub limit_bytes: u64,
    /// Records that wait.
    pub records: Vec<(Kind, u64)>,
}
