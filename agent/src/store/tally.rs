//! The accounts: what lies where, and what it takes of the file.

use jiff::Timestamp;

use super::frame::Meta;
use crate::model::spool::{Destination, Kind};

/// What lies for one destination.
pub(super) struct Queue {
    pub(super) destination: Destination,
    pub(super) tallies: [Tally; Kind::ALL.len()],
}

/// Of one destination and kind.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) frames: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Of the file: pages.
    pub(super) cost: u64,
    /// From the oldest to the newest timestamp since it was last empty.
    pub(super) span: Option<(Timestamp, Timestamp)>,
}

impl Tally {
    pub(super) fn add(&mut self, meta: &Meta) {
        self.frames += 1;
        self.records += u64::from(meta.records);
        self.bytes += u64::from(meta.bytes);
        self.cost += cost(meta);
        let (oldest, newest) = self.span.unwrap_or((meta.oldest, meta.newest));
        self.span = Some((oldest.min(meta.oldest), newest.max(meta.newest)));
    }

    pub(super) fn remove(&mut self, meta: &Meta) {
        self.frames = self.frames.saturating_sub(1);
        self.records = self.records.saturating_sub(meta.records.into());
        self.bytes = self.bytes.saturating_sub(meta.bytes.into());
        self.cost = self.cost.saturating_sub(cost(meta));
        if self.frames == 0 {
            *self = Tally::default();
        }
    }
}

/// What a frame takes of the file: small ones share a page that is at least half full, larger ones have their own,
/// or several of 64 KiB. Each has a row of the index.
pub(super) fn cost(meta: &Meta) -> u64 {
    const ROW: u64 = 2 * 40;
    const PAGE: u64 = 64 * 1024;
    let bytes = u64::from(meta.bytes) + 22;
    let last = bytes % PAGE;
    ROW + bytes - last + if last <= 2048 { 2 * (last + 8) } else { last.next_power_of_two().max(4096) }
}
