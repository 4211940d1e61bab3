//! A frame's bytes: records of one destination, kind and clock era, packed until a page of the file is full.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | version of this form, 1 |
//! | 1 | 0: metric data, 1: log events |
//! | 8 | [`ClockEra::wall_less_boottime_ms`], little-endian as all numbers here |
//! | 8 | [`ClockEra::offset_ms`] |
//! | 2 + n | [`ClockEra::boot`]: length, UTF-8 |
//! | rest | metric data: a JSON array of [`MetricDatum`]; log events, each: 8 milliseconds since the epoch, 4 length, UTF-8 |

use jiff::Timestamp;

use crate::model::record::MetricDatum;
use crate::model::spool::{ClockEra, Destination, Entry, Kind, Payload, StoredEvent};

/// What a frame may take: with redb's 22 bytes about it, a page of exactly 64 KiB. One large record takes more, and
/// lies in pieces of this size.
pub(super) const FRAME: usize = 64 * 1024 - 22;
/// What one record may take: CloudWatch takes 1 MiB.
const RECORD: usize = 1024 * 1024 + 64 * 1024;

const VERSION: u8 = 1;
const METRICS: u8 = 0;
const LOGS: u8 = 1;

/// What the index knows of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) kind: Kind,
    pub(super) records: u32,
    pub(super) bytes: u32,
    pub(super) oldest: Timestamp,
    pub(super) newest: Timestamp,
}

/// A frame that has no id yet.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) destination: Destination,
    pub(super) meta: Meta,
    pub(super) bytes: Vec<u8>,
}

/// Packs entries into frames, in order. The second are records too large to be stored.
pub(super) fn pack(entries: Vec<Entry>) -> (Vec<Packed>, Vec<Packed>) {
    let mut packer = Packer::default();
    for Entry { destination, kind, era, payload } in entries {
        let header = header(&era, &payload);
        match payload {
            Payload::Logs(events) => {
                for event in &events {
                    packer.add(&destination, kind, &header, event.timestamp, |to| log_event(event, to));
                }
            }
            Payload::Metrics(data) => {
                for datum in &data {
                    packer.add(&destination, kind, &header, datum.timestamp, |to| json(datum, to));
                }
            }
        }
    }
    packer.close();
    (packer.frames, packer.too_large)
}

#[derive(Default)]
struct Packer {
    frames: Vec<Packed>,
    too_large: Vec<Packed>,
    open: Option<Packed>,
    header: Vec<u8>,
}

impl Packer {
    /// Writes a record to the open frame. What does not fit there moves to a new one.
    fn add(
        &mut self,
        destination: &Destination,
        kind: Kind,
        header: &[u8],
        at: Timestamp,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let same = |open: &Packed| &open.destination == destination && open.meta.kind == kind;
        if self.header != header || !self.open.as_ref().is_some_and(same) {
            self.close();
            header.clone_into(&mut self.header);
        }
        let empty = || Packed {
            destination: destination.clone(),
            meta: Meta { kind, records: 0, bytes: 0, oldest: at, newest: at },
            bytes: header.to_vec(),
        };
        let mut open = self.open.take().unwrap_or_else(empty);
        let before = open.bytes.len();
        write(&mut open.bytes);
        if open.bytes.len() > FRAME && open.meta.records > 0 {
            let mut next = empty();
            next.bytes.extend(open.bytes.drain(before..));
            self.frames.push(closed(std::mem::replace(&mut open, next)));
        }
        open.meta.records += 1;
        open.meta.oldest = open.meta.oldest.min(at);
        open.meta.newest = open.meta.newest.max(at);
        if open.bytes.len() > RECORD {
            self.too_large.push(open);
        } else {
            self.open = Some(open);
        }
    }

    fn close(&mut self) {
        self.frames.extend(self.open.take().map(closed));
    }
}

fn closed(mut frame: Packed) -> Packed {
    if frame.bytes.get(1) == Some(&METRICS)
        && let Some(comma) = frame.bytes.last_mut()
    {
        *comma = b']';
    }
    frame.meta.bytes = u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX);
    frame.bytes.shrink_to_fit();
    frame
}

fn header(era: &ClockEra, payload: &Payload) -> Vec<u8> {
    let mut header = vec![VERSION, if matches!(payload, Payload::Metrics(_)) { METRICS } else { LOGS }];
    header.extend(era.wall_less_boottime_ms.to_le_bytes());
    header.extend(era.offset_ms.to_le_bytes());
    let (length, boot) = u16::try_from(era.boot.len()).map_or((0, ""), |length| (length, era.boot.as_str()));
    header.extend(length.to_le_bytes());
    header.extend(boot.as_bytes());
    if matches!(payload, Payload::Metrics(_)) {
        header.push(b'[');
    }
    header
}

/// One element of the array and what parts it from the next; [`closed`] makes the last of these the array's end.
fn json(datum: &MetricDatum, to: &mut Vec<u8>) {
    // Writing to memory fails only for keys that are not strings, of which there are none.
    let _ = serde_json::to_writer(&mut *to, datum);
    to.push(b',');
}

fn log_event(event: &StoredEvent, to: &mut Vec<u8>) {
    to.extend(event.timestamp.as_millisecond().to_le_bytes());
    to.extend(u32::try_from(event.message.len()).unwrap_or(u32::MAX).to_le_bytes());
    to.extend(event.message.as_bytes());
}

/// Reads a frame; `None` if these bytes are not one.
pub(super) fn unpack(bytes: &[u8], destination: Destination, kind: Kind) -> Option<Entry> {
    let mut rest = bytes;
    let &[version, form] = take(&mut rest)?;
    let wall_less_boottime_ms = i64::from_le_bytes(*take(&mut rest)?);
    let offset_ms = i64::from_le_bytes(*take(&mut rest)?);
    let length = u16::from_le_bytes(*take(&mut rest)?);
    let boot = text(&mut rest, length.into())?;
    let payload = match (version, form) {
        (VERSION, METRICS) => Payload::Metrics(serde_json::from_slice(rest).ok()?),
        (VERSION, LOGS) => {
            let mut events = Vec::new();
            while !rest.is_empty() {
                let timestamp = Timestamp::from_millisecond(i64::from_le_bytes(*take(&mut rest)?)).ok()?;
                let length = u32::from_le_bytes(*take(&mut rest)?);
                let message = text(&mut rest, usize::try_from(length).ok()?)?;
                events.push(StoredEvent { timestamp, message });
            }
            Payload::Logs(events)
        }
        _ => return None,
    };
    Some(Entry { destination, kind, era: ClockEra { boot, wall_less_boottime_ms, offset_ms }, payload })
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(first)
}

fn text(rest: &mut &[u8], length: usize) -> Option<String> {
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(std::str::from_utf8(text).ok()?.to_owned())
}
