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
    has_local: bool,
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
            has_local: false,
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

    /// Whether any segment came to or from the local side.
    pub fn has_local(&self) -> bool {
        self.has_local
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
        self.has_local |= local.has(segment.source) || local.has(segment.destination);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A pcapng file of either byte order: a section, an interface, and these frames a second apart.
    fn pcapng(frames: &[Vec<u8>], big_endian: bool) -> Vec<u8> {
        let word = |number: u32| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        let half = |number: u16| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        let block = |kind: u32, body: &[u8]| {
            let body = [body, &vec![0; (4 - body.len() % 4) % 4]].concat();
            let length = word(u32::try_from(body.len()).unwrap() + 12);
            [&word(kind)[..], &length, &body, &length].concat()
        };
        let section = [&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat();
        let interface = [&half(101)[..], &half(0), &word(0)].concat();
        let mut file = [block(0x0a0d_0d0a, &section), block(1, &interface)].concat();
        for (number, frame) in (0..).zip(frames) {
            let (time, length) =
                (1_000_000_000_000_000 + number * 1_000_000u64, word(frame.len().try_into().unwrap()));
            let [high, low] = [time >> 32, time & 0xffff_ffff].map(|half| word(half.try_into().unwrap()));
            file.extend(block(6, &[&word(0)[..], &high, &low, &length, &length, frame].concat()));
        }
        file
    }

    /// A pcap file of the same.
    fn pcap(frames: &[Vec<u8>], big_endian: bool) -> Vec<u8> {
        let word = |number: u32| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        let half = |number: u16| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        let mut file = word(0xa1b2_c3d4).to_vec();
        file.extend([half(2), half(4)].concat());
        file.extend([0, 0, 65_535, 101].map(word).concat());
        for (number, frame) in (0..).zip(frames) {
            let length = frame.len().try_into().unwrap();
            file.extend([1_000_000_000 + number, 0, length, length].map(word).concat());
            file.extend(frame);
        }
        file
    }

    /// The SYN of one of two clients, or other bytes.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let syn = |client: bool, flags: u8| {
            let mut bytes =
                vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, u8::from(client) + 2];
            bytes.extend([3, 0xe8, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
            bytes
        };
        prop_oneof![
            (any::<bool>(), 0u8..64).prop_map(move |(client, flags)| syn(client, flags)),
            proptest::collection::vec(any::<u8>(), 0..60),
        ]
    }

    fn packets(file: &[u8]) -> (u64, Option<String>) {
        let mut capture = Capture::read("x", file, None).expect("the beginning is good");
        let error = capture.by_ref().find_map(Result::err);
        (capture.packets(), error.map(|error| error.to_string()))
    }

    proptest! {
        #[test]
        fn every_packet_of_a_good_file_is_read(
            frames in proptest::collection::vec(frame(), 0..20),
            big_endian: bool,
        ) {
            for file in [pcap(&frames, big_endian), pcapng(&frames, big_endian)] {
                prop_assert_eq!(packets(&file), (frames.len() as u64, None));
            }
        }

        #[test]
        fn a_file_that_is_cut_or_damaged_ends_in_one_error_at_most(
            frames in proptest::collection::vec(frame(), 1..20),
            big_endian: bool,
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            length: prop::sample::Index,
        ) {
            for mut file in [pcap(&frames, big_endian), pcapng(&frames, big_endian)] {
                for (at, value) in &damage {
                    let at = at.index(file.len());
                    file[at] = *value;
                }
                file.truncate(length.index(file.len() + 1));
                let Ok(capture) = Capture::read("x", &file[..], None) else { continue };
                // Twenty packets may be years apart: each silence gives two minutes of snapshots.
                let mut items = capture.take(20 * 130);
                let _ = items.find(Result::is_err);
                prop_assert!(items.next().is_none());
            }
        }
    }

    /// A reader that fails once it is empty, and is interrupted now and then.
    struct Failing<'a>(&'a [u8], bool);

    impl Read for Failing<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            match (self.1, self.0.is_empty()) {
                (true, _) => Err(io::ErrorKind::Interrupted.into()),
                (_, true) => Err(io::Error::other("the disk is gone")),
                _ => self.0.read(into.get_mut(..1).expect("room")),
            }
        }
    }

    #[test]
    fn a_reader_that_fails_is_told_after_what_it_gave() {
        let file = pcap(&[vec![0; 30], vec![0; 30]], false);
        let mut capture = Capture::read("x", Failing(&file, false), None).unwrap();
        let items: Vec<_> = capture.by_ref().collect();
        assert_eq!(
            (capture.packets(), items.len()),
            (2, 4),
            "three snapshots: a beginning, a second and the rest"
        );
        let error = items.into_iter().find_map(Result::err).unwrap().to_string();
        assert_eq!(
            error,
            "x, at packet 3 (byte 116): cannot be read: the disk is gone; what stands before it was read"
        );
    }
}
