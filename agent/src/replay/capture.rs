//! A packet capture as the snapshots of the host that it was made on: one at the first packet, then one for each second of the
//! capture's own time. After the last packet come as many as its handshakes need to grow old, two at most.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::capture_file::{CaptureError, CaptureFile};
use super::handshakes::Table;
use super::local_side::{Inferred, Local};
use super::seconds::{Second, Seconds};
use super::segments::Segment;
use super::syn_samples::Samples;
use crate::model::snapshot::Snapshot;

/// Packets that are looked at, and kept, before it is decided which side is this host;
const FIRST: usize = 10_000;
/// fewer, where they took so long to come: whoever watches a pipe waits for findings.
const FIRST_TIME: SignedDuration = SignedDuration::from_secs(30);
/// Snapshots after the last packet.
const TAIL: u32 = 2;

/// Reads a packet capture, a snapshot at a time. A capture that cannot be read further gives what can be told of the packets
/// before, then the error.
#[derive(Debug)]
pub struct Capture<R = Box<dyn Read>> {
    /// Nothing after its end.
    file: Option<CaptureFile<R>>,
    failed: Option<CaptureError>,
    /// Nothing until it is known.
    local: Option<Local>,
    /// Packets that were read to find that out.
    first: VecDeque<Seen>,
    /// The packet that time has gone on to, until the seconds before it have been handed out.
    next: Option<Seen>,
    seconds: Option<Seconds>,
    table: Table,
    samples: Samples,
    packets: u64,
    segments: u64,
    tail: u32,
}

/// A packet, as far as it matters.
#[derive(Debug)]
struct Seen {
    time: Option<Timestamp>,
    interface: Arc<str>,
    segment: Option<Segment>,
}

impl Capture {
    /// Opens a capture; `-` is standard input. Without `local` it is inferred from the first packets, and said.
    pub fn open(path: &Path, local: Option<Local>) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        if name == "-" {
            return Capture::read("standard input", Box::new(io::stdin().lock()), local);
        }
        let file = File::open(path).map_err(|error| CaptureError::unreadable(&name, error))?;
        Capture::read(&name, Box::new(file), local)
    }
}

impl<R: Read> Capture<R> {
    /// The same of any reader; `name` is what errors call it.
    pub fn read(name: &str, reader: R, local: Option<Local>) -> Result<Self, CaptureError> {
        Ok(Capture {
            file: Some(CaptureFile::open(name, reader)?),
            failed: None,
            local,
            first: VecDeque::new(),
            next: None,
            seconds: None,
            table: Table::default(),
            samples: Samples::default(),
            packets: 0,
            segments: 0,
            tail: 0,
        })
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// TCP segments among them.
    pub fn segments(&self) -> u64 {
        self.segments
    }

    fn packet(&mut self) -> Option<Seen> {
        if self.local.is_none() {
            self.infer();
        }
        self.first.pop_front().or_else(|| self.read_one())
    }

    fn read_one(&mut self) -> Option<Seen> {
        let packet = match self.file.as_mut()?.next_packet() {
            Ok(packet) => packet.map(|packet| Seen {
                time: packet.time,
                segment: Segment::of(packet.link, packet.frame),
                interface: packet.interface,
            }),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        };
        let Some(seen) = &packet else {
            self.file = None;
            return None;
        };
        self.packets += 1;
        self.segments += u64::from(seen.segment.is_some());
        packet
    }

    fn infer(&mut self) {
        let mut segments = Vec::new();
        while self.first.len() < FIRST {
            let Some(seen) = self.read_one() else { break };
            segments.extend(seen.segment);
            self.first.push_back(seen);
            if self.have_waited() && !segments.is_empty() {
                break;
            }
        }
        let inferred = Inferred::from(&segments);
        if !segments.is_empty() {
            tracing::info!("{inferred}");
        }
        self.local = Some(inferred.local());
    }

    fn have_waited(&self) -> bool {
        let time = |seen: Option<&Seen>| seen.and_then(|seen| seen.time);
        match (time(self.first.front()), time(self.first.back())) {
            (Some(first), Some(last)) => last.duration_since(first) > FIRST_TIME,
            _ => false,
        }
    }

    /// Goes on to a packet's time; the first packet is where time begins.
    fn go_on(&mut self, to: Option<Timestamp>) -> Option<Snapshot> {
        if let Some(seconds) = &mut self.seconds {
            seconds.advance(to);
            return None;
        }
        let seconds = self.seconds.insert(Seconds::from(to.unwrap_or(Timestamp::UNIX_EPOCH)));
        let begun = seconds.second();
        Some(self.snapshot(begun))
    }

    fn take_in(&mut self, seen: &Seen) {
        let (Some(segment), Some(local), Some(seconds)) = (&seen.segment, &self.local, &self.seconds) else {
            return;
        };
        if let Some(kind) = self.table.segment(segment, local, seconds.now_ms()) {
            self.samples.take_in(&seen.interface, segment.source, segment.destination_port, kind);
        }
    }

    fn snapshot(&mut self, second: Second) -> Snapshot {
        let handshakes = Some(self.table.second(second.monotonic_ms));
        let (syns, listeners) = (Some(self.samples.second()), Some(self.table.listeners()));
        Snapshot { listeners, syns, handshakes, ..Snapshot::at(second.time, second.monotonic_ms) }
    }

    fn after_the_last(&mut self) -> Option<Snapshot> {
        let goes_on = self.tail == 0 || self.tail < TAIL && self.table.waits();
        self.tail += 1;
        let second = self.seconds.as_mut().filter(|_| goes_on)?.end_one();
        Some(self.snapshot(second))
    }
}

impl<R: Read> Iterator for Capture<R> {
    type Item = Result<Snapshot, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(second) = self.seconds.as_mut().and_then(Seconds::ended) {
                return Some(Ok(self.snapshot(second)));
            }
            if let Some(seen) = self.next.take() {
                self.take_in(&seen);
            }
            let Some(seen) = self.packet() else {
                return self.after_the_last().map(Ok).or_else(|| self.failed.take().map(Err));
            };
            let begun = self.go_on(seen.time);
            self.next = Some(seen);
            if let Some(begun) = begun {
                return Some(Ok(begun));
            }
        }
    }
}
