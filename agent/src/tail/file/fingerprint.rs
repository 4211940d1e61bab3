//! Tells whether a file is the one that was read: an inode's number goes to a new file as soon as the old one is gone, and
//! a file that was emptied and has grown again keeps its own.

use std::fs::File;
use std::hash::Hasher;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// Bytes of the beginning that are compared: lines of logs begin with their time, so a few of them do.
const HEAD: usize = 1024;
/// Bytes before the place that are compared.
pub(super) const TAIL: usize = 256;
/// From so many bytes on, a file of another inode that says the same is a copy.
const ENOUGH: u64 = 64;

/// What a file says before a place, as kept in the state file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    head: Sum,
    tail: Sum,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    len: u64,
    hash: u64,
}

impl Sum {
    fn of(bytes: &[u8]) -> Self {
        let mut hasher = SipHasher13::new();
        hasher.write(bytes);
        Sum { len: bytes.len() as u64, hash: hasher.finish() }
    }

    fn is_at(&self, file: &File, offset: u64, most: usize) -> bool {
        usize::try_from(self.len)
            .ok()
            .filter(|len| *len <= most)
            .and_then(|len| bytes_at(file, offset, len))
            .is_some_and(|bytes| Sum::of(&bytes) == *self)
    }
}

/// How far a file is the one of a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It says the same up to the place.
    Same,
    /// It begins the same, but says something else before the place, or ends before it.
    Beginning,
    /// It is another one.
    None,
}

impl Fingerprint {
    /// How far that file is the one of which this was taken at that place. Of a file with another inode more is asked.
    pub(super) fn likeness(&self, file: &File, at: u64, is_same_inode: bool) -> Likeness {
        if (!is_same_inode && at < ENOUGH) || !self.head.is_at(file, 0, HEAD) {
            return Likeness::None;
        }
        let is_same = at.checked_sub(self.tail.len).is_some_and(|from| self.tail.is_at(file, from, TAIL));
        if is_same { Likeness::Same } else { Likeness::Beginning }
    }
}

/// What was read before a place: enough of it to tell the file again.
#[derive(Debug, Default)]
pub(super) struct Read {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Read {
    /// Of a file of which all before that place counts as read.
    pub(super) fn before(file: &File, at: u64) -> Option<Self> {
        let head = usize::try_from(at.min(HEAD as u64)).ok()?;
        let tail = usize::try_from(at.min(TAIL as u64)).ok()?;
        Some(Read { head: bytes_at(file, 0, head)?, tail: bytes_at(file, at - tail as u64, tail)? })
    }

    /// Goes on behind these bytes.
    pub(super) fn go_on(&mut self, bytes: &[u8]) {
        let missing = HEAD - self.head.len();
        self.head.extend(bytes.iter().take(missing));
        let kept = TAIL.saturating_sub(bytes.len()).min(self.tail.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail.extend_from_slice(bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default());
    }

    /// The bytes just before the place.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Whether that file begins with all that is known of the beginning here, and that is enough to tell.
    pub(super) fn begins(&self, file: &File) -> bool {
        self.head.len() as u64 >= ENOUGH
            && bytes_at(file, 0, self.head.len()).is_some_and(|bytes| bytes == self.head)
    }

    /// As it is kept.
    pub(super) fn print(&self) -> Fingerprint {
        Fingerprint { head: Sum::of(&self.head), tail: Sum::of(&self.tail) }
    }
}

fn bytes_at(file: &File, offset: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}
