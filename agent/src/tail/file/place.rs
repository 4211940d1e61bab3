//! Where reading stands, as the state file keeps it: a small JSON text, versioned.

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;

/// The form written now. Another one is not understood: the log is then read like one that was never read.
const VERSION: u8 = 1;

/// Where reading one log stands: the files that were at its path and are not finished, oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Place {
    v: u8,
    /// Its files.
    pub(super) files: Vec<Mark>,
    /// Whether the file could not be read so far, and what was in it at first is not wanted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) is_from_end: bool,
}

/// Where reading one file stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Its inode. Device numbers are not kept: they may change from boot to boot.
    pub(super) inode: u64,
    /// When it was made, in microseconds, where the file system says so: an inode's number is soon given to another file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) born: Option<i64>,
    /// Bytes up to the end of the last line handed on.
    pub(super) at: u64,
    /// When it had been modified, as of the last look: microseconds.
    pub(super) modified: i64,
    /// What it says before that place.
    pub(super) print: Fingerprint,
    /// Whether the place is within a line of which the beginning was handed on, and the rest is left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) is_skipping: bool,
    /// When it was truncated, as its time of modification, if nothing has been read of it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) emptied: Option<i64>,
    /// Whether it was finished, and only tells what comes after it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) is_finished: bool,
    /// Whether it is a copy of what was read elsewhere.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) is_copy: bool,
}

impl Mark {
    /// Where nothing was there yet, and rotated files were no newer than that.
    pub(super) fn before_all(modified: i64) -> Self {
        Mark {
            inode: 0,
            born: None,
            at: 0,
            modified,
            print: Fingerprint::default(),
            is_skipping: false,
            emptied: None,
            is_finished: true,
            is_copy: false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Place {
    /// Of these files.
    pub(super) fn of(files: Vec<Mark>, is_from_end: bool) -> Self {
        Place { v: VERSION, files, is_from_end }
    }

    /// As it is stored.
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From what was stored; nothing if it is not understood.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|place: &Place| place.v == VERSION)
    }
}
