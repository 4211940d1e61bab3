//! Packet captures as files: pcap (both byte orders, microseconds and nanoseconds) and pcapng, read a block at a time in
//! constant memory. The formats are pcap-parser's; reading, bounds and what an error says are ours: a length that a file claims
//! is believed only up to [`MAX_BLOCK`], and nothing is allocated for it before it is.
//!
//! <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html>, <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html>

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use pcap_parser::nom::Err as Stopped;
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{
    Block, InterfaceDescriptionBlock, LegacyPcapBlock, PcapError, SHB_MAGIC, parse_block_be, parse_block_le,
    parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};

use super::segments::Link;

/// The longest packet or block that is read. Captures stop at 256 KiB a packet; other blocks of pcapng (names, secrets) may be
/// longer, and Wireshark takes 16 MiB as well.
const MAX_BLOCK: usize = 16 * 1024 * 1024;
/// What is read at once.
const BUFFER: usize = 256 * 1024;
/// Interfaces of a section; more is no capture of a host.
const MAX_INTERFACES: usize = 4096;
/// Of an interface's name; Windows' are some fifty characters.
const MAX_NAME: usize = 64;
/// What the interface of a file is called that does not name it.
const NAMELESS: &str = "capture";

/// Why a packet capture cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {cause}{}", if *packets > 0 { "; what stands before it was read" } else { "" })]
pub struct CaptureError {
    place: String,
    packets: u64,
    /// What is wrong.
    pub cause: Cause,
}

impl CaptureError {
    pub(super) fn unreadable(name: &str, error: io::Error) -> Self {
        CaptureError { place: name.into(), packets: 0, cause: Cause::Io(error) }
    }
}

/// What is wrong with a packet capture.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// It could not be opened or read.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// It is something else.
    #[error("not a packet capture (pcap or pcapng){0}")]
    Foreign(&'static str),
    /// Its format is of a later version.
    #[error("{format} of version {version}, this vpcwatch reads version {known}")]
    Newer {
        /// pcap or pcapng.
        format: &'static str,
        /// Its version.
        version: u16,
        /// Ours.
        known: u16,
    },
    /// Its frames are of a kind that we do not read.
    #[error("link type {0}: read are Ethernet, Linux cooked capture, raw IP and BSD loopback")]
    Link(LinkNumber),
    /// Frames of one of its interfaces are of such a kind.
    #[error(
        "{packets} packets of interface {interface}, link type {link}, were passed over; all others were read"
    )]
    Passed {
        /// The interface's name.
        interface: Arc<str>,
        /// Its link type.
        link: LinkNumber,
        /// Packets of all such interfaces.
        packets: u64,
    },
    /// It ends too early.
    #[error("the capture ends within it; its writer was stopped, or its copy is not complete")]
    Cut,
    /// It contradicts itself.
    #[error("damaged: {0}")]
    Damaged(String),
}

/// A link type, with its name where it is a common one (<https://www.tcpdump.org/linktypes.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkNumber(pub u16);

impl fmt::Display for LinkNumber {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = match self.0 {
            6 => "Token Ring",
            9 | 50 => "PPP",
            51 => "PPPoE",
            105 => "IEEE 802.11",
            119 => "IEEE 802.11 with Prism header",
            127 => "IEEE 802.11 with radiotap header",
            187 | 201 => "Bluetooth",
            189 | 220 | 249 => "USB",
            195 | 230 => "IEEE 802.15.4",
            239 => "NFLOG",
            252 => "Wireshark's upper PDUs",
            253 => "netlink",
            _ => return write!(f, "{}", self.0),
        };
        write!(f, "{} ({name})", self.0)
    }
}

/// One packet of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was captured; nothing where the file does not tell (simple packet blocks), or no calendar does.
    pub time: Option<Timestamp>,
    /// Where it was captured.
    pub interface: Arc<str>,
    /// What its frame begins with.
    pub link: Link,
    /// Its bytes, as far as they were captured.
    pub frame: &'a [u8],
}

/// A packet capture, read a packet at a time.
#[derive(Debug)]
pub struct CaptureFile<R> {
    name: String,
    input: Input<R>,
    format: Format,
    /// Packets so far.
    packets: u64,
    /// Bytes of the block that was handed out last, still in the input's buffer.
    last: usize,
    /// What had to be passed over: the first such interface, and the packets of all.
    passed: Option<(Arc<str>, LinkNumber, u64)>,
}

#[derive(Debug)]
enum Format {
    Pcap { interface: Interface, big_endian: bool, header: usize, parse: ParseFrame },
    Pcapng { big_endian: bool, interfaces: Vec<Interface> },
}

/// An interface that packets were captured at.
#[derive(Debug, Clone)]
struct Interface {
    name: Arc<str>,
    link: u16,
    /// Units of its time stamps in a second.
    units: u64,
    /// Seconds that are added to them.
    offset: i64,
}

type ParseFrame = for<'a> fn(&'a [u8]) -> Parsed<'a, LegacyPcapBlock<'a>>;
type Parsed<'a, T> = Result<(&'a [u8], T), Stopped<PcapError<&'a [u8]>>>;

/// A packet's place in the buffer.
#[derive(Debug)]
struct Found {
    time: Option<Timestamp>,
    interface: Interface,
    frame: Range<usize>,
}

impl<R: Read> CaptureFile<R> {
    /// Reads the beginning of a capture; `name` is what errors call it.
    pub fn open(name: &str, reader: R) -> Result<Self, CaptureError> {
        let mut input = Input::new(reader);
        match format(&mut input) {
            Ok(format) => {
                Ok(CaptureFile { name: name.into(), input, format, packets: 0, last: 0, passed: None })
            }
            Err(cause) => Err(CaptureError { place: name.into(), packets: 0, cause }),
        }
    }

    /// Packets that were read so far, of whatever kind.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// The next packet; nothing at the end.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        let found = loop {
            let found = self.find().map_err(|cause| self.error(cause))?;
            let Some(found) = found else { return self.end() };
            self.packets += 1;
            match Link::of_number(found.interface.link) {
                Some(link) => break (found, link),
                None => self.pass_over(&found.interface),
            }
        };
        let (Found { time, interface, frame }, link) = found;
        let frame = self.input.held().get(frame).unwrap_or_default();
        Ok(Some(Packet { time, interface: interface.name, link, frame }))
    }

    fn pass_over(&mut self, interface: &Interface) {
        let link = LinkNumber(interface.link);
        self.passed.get_or_insert_with(|| (Arc::clone(&interface.name), link, 0)).2 += 1;
    }

    fn end(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        let Some((interface, link, packets)) = self.passed.take() else { return Ok(None) };
        let cause = Cause::Passed { interface, link, packets };
        Err(CaptureError { place: self.name.clone(), packets: 0, cause })
    }

    fn error(&self, cause: Cause) -> CaptureError {
        let (packet, byte) = (self.packets + 1, self.input.offset);
        let place = format!("{}, at packet {packet} (byte {byte})", self.name);
        CaptureError { place, packets: self.packets, cause }
    }

    fn find(&mut self) -> Result<Option<Found>, Cause> {
        loop {
            self.input.pass(std::mem::take(&mut self.last));
            let length = match &self.format {
                Format::Pcap { big_endian, header, .. } => self.input.record(*header, *big_endian)?,
                Format::Pcapng { big_endian, .. } => self.input.block(*big_endian)?,
            };
            let Some(length) = length else { return Ok(None) };
            self.last = length;
            let block = self.input.held().get(..length).unwrap_or_default();
            let found = match &mut self.format {
                Format::Pcap { interface, header, parse, .. } => {
                    Some(record(interface, *header, parse(block))?)
                }
                Format::Pcapng { big_endian, interfaces } => in_block(block, big_endian, interfaces)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }
}

/// What the first bytes of other files say they are.
const FOREIGN: [(&[u8], &str); 4] = [
    (&[0x1f, 0x8b], ": it is compressed; zcat FILE | vpcwatch replay --pcap -"),
    (&[0x28, 0xb5, 0x2f, 0xfd], ": it is compressed; zstdcat FILE | vpcwatch replay --pcap -"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], ": it is compressed; xzcat FILE | vpcwatch replay --pcap -"),
    (b"{\"format\":\"vpcwatch-recording\"", ": it is a recording; vpcwatch replay --recording FILE"),
];
const PCAP_HEADER: usize = 24;

fn format(input: &mut Input<impl Read>) -> Result<Format, Cause> {
    let whole = input.hold(PCAP_HEADER)?;
    let held = input.held();
    if held.starts_with(&SHB_MAGIC.to_le_bytes()) {
        return Ok(Format::Pcapng { big_endian: false, interfaces: Vec::new() });
    }
    let Some((_, header)) = whole.then(|| parse_pcap_header(held).ok()).flatten() else {
        let known = FOREIGN.iter().find(|(begins, _)| held.starts_with(begins));
        return Err(Cause::Foreign(known.map_or("", |(_, hint)| hint)));
    };
    if header.version_major != 2 {
        return Err(Cause::Newer { format: "pcap", version: header.version_major, known: 2 });
    }
    // The upper bits tell of checksums behind the frames.
    let [low, high, ..] = header.network.0.to_le_bytes();
    let link = u16::from_le_bytes([low, high]);
    if Link::of_number(link).is_none() {
        return Err(Cause::Link(LinkNumber(link)));
    }
    let big_endian = header.is_bigendian();
    let (parse, length): (ParseFrame, usize) = match (header.is_modified_format(), big_endian) {
        (true, _) => (parse_pcap_frame_modified, 24),
        (false, true) => (parse_pcap_frame_be, 16),
        (false, false) => (parse_pcap_frame, 16),
    };
    let units = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
    input.pass(PCAP_HEADER);
    let interface = Interface { name: NAMELESS.into(), link, units, offset: 0 };
    Ok(Format::Pcap { interface, big_endian, header: length, parse })
}

/// A packet of a pcap file.
fn record(interface: &Interface, header: usize, parsed: Parsed<LegacyPcapBlock>) -> Result<Found, Cause> {
    let (_, packet) = parsed.map_err(|_| damaged("a packet that does not fit into its record"))?;
    let ticks = u64::from(packet.ts_sec) * interface.units + u64::from(packet.ts_usec);
    let frame = header..header + packet.data.len();
    Ok(Found { time: interface.time(ticks), interface: interface.clone(), frame })
}

/// Takes in a block of a pcapng file; gives the packet that is in it, if one is.
fn in_block(
    bytes: &[u8],
    big_endian: &mut bool,
    interfaces: &mut Vec<Interface>,
) -> Result<Option<Found>, Cause> {
    let parse = if *big_endian { parse_block_be } else { parse_block_le };
    let (_, block) = parse(bytes).map_err(|_| damaged("a block whose parts do not fit into it"))?;
    match block {
        Block::SectionHeader(section) => {
            if section.major_version != 1 {
                return Err(Cause::Newer { format: "pcapng", version: section.major_version, known: 1 });
            }
            *big_endian = section.big_endian();
            interfaces.clear();
        }
        Block::InterfaceDescription(described) => {
            if interfaces.len() >= MAX_INTERFACES {
                return Err(damaged(&format!("more than {MAX_INTERFACES} interfaces")));
            }
            interfaces.push(interface(&described, interfaces.len(), *big_endian)?);
        }
        Block::EnhancedPacket(packet) => {
            let interface = described(interfaces, packet.if_id)?;
            let time = interface.time(u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low));
            return Ok(Some(Found { time, interface, frame: 28..28 + packet.packet_data().len() }));
        }
        Block::SimplePacket(packet) => {
            let interface = described(interfaces, 0)?;
            return Ok(Some(Found { time: None, interface, frame: 12..12 + packet.packet_data().len() }));
        }
        Block::Unknown(block) if [2, 2u32.swap_bytes()].contains(&block.block_type) => {
            return Err(damaged(
                "packet blocks of a kind given up in 2009; editcap -F pcapng OLD NEW rewrites them",
            ));
        }
        _ => {}
    }
    Ok(None)
}

fn described(interfaces: &[Interface], number: u32) -> Result<Interface, Cause> {
    let interface = usize::try_from(number).ok().and_then(|number| interfaces.get(number));
    interface
        .cloned()
        .ok_or_else(|| damaged(&format!("a packet of interface {number}, which is not described")))
}

fn interface(
    described: &InterfaceDescriptionBlock,
    number: usize,
    big_endian: bool,
) -> Result<Interface, Cause> {
    let name = described.if_name().and_then(Result::ok).unwrap_or_default();
    let name: String = name.chars().filter(|letter| !letter.is_control()).take(MAX_NAME).collect();
    let name = match (name.is_empty(), number) {
        (false, _) => name,
        (true, 0) => NAMELESS.into(),
        (true, _) => format!("{NAMELESS} {number}"),
    };
    let units = units(described.if_tsresol).ok_or_else(|| damaged("times finer than anything can be"))?;
    // pcap-parser reads it as little endian, whatever the section is.
    let offset = described.if_tsoffset;
    let offset = if big_endian { offset.swap_bytes() } else { offset };
    let link = u16::try_from(described.linktype.0).unwrap_or(u16::MAX);
    Ok(Interface { name: name.into(), link, units, offset })
}

/// Units in a second by `if_tsresol`: a power of ten, or with the highest bit of two.
fn units(resolution: u8) -> Option<u64> {
    let power = u32::from(resolution & 0x7f);
    if resolution & 0x80 == 0 { 10u64.checked_pow(power) } else { 1u64.checked_shl(power) }
}

impl Interface {
    fn time(&self, ticks: u64) -> Option<Timestamp> {
        let second = i64::try_from(ticks / self.units).ok()?.checked_add(self.offset)?;
        let part = u128::from(ticks % self.units) * 1_000_000_000 / u128::from(self.units);
        Timestamp::new(second, i32::try_from(part).ok()?).ok()
    }
}

fn damaged(what: &str) -> Cause {
    Cause::Damaged(what.into())
}

/// Bytes of a reader, held as far as the block that is looked at needs.
#[derive(Debug)]
struct Input<R> {
    reader: R,
    buffer: Vec<u8>,
    held: Range<usize>,
    /// Bytes before those that are held.
    offset: u64,
}

impl<R: Read> Input<R> {
    fn new(reader: R) -> Self {
        Input { reader, buffer: vec![0; BUFFER], held: 0..0, offset: 0 }
    }

    fn held(&self) -> &[u8] {
        self.buffer.get(self.held.clone()).unwrap_or_default()
    }

    /// Lets go of so many bytes.
    fn pass(&mut self, length: usize) {
        let length = length.min(self.held.len());
        self.held.start += length;
        self.offset += length as u64;
    }

    /// Reads until so many bytes are held; false if the input ends before.
    fn hold(&mut self, length: usize) -> Result<bool, Cause> {
        if self.held.len() >= length {
            return Ok(true);
        }
        self.buffer.copy_within(self.held.clone(), 0);
        self.held = 0..self.held.len();
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        while self.held.len() < length {
            let space = self.buffer.get_mut(self.held.end..).unwrap_or_default();
            match self.reader.read(space) {
                Ok(0) => return Ok(false),
                Ok(read) => self.held.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Cause::Io(error)),
            }
        }
        Ok(true)
    }

    /// Holds the first `fixed` bytes of a block and then all that they say it has; gives its length, or nothing at the end.
    fn whole(
        &mut self,
        fixed: usize,
        length: impl Fn(&[u8]) -> Result<usize, Cause>,
    ) -> Result<Option<usize>, Cause> {
        if !self.hold(fixed)? {
            return if self.held.is_empty() { Ok(None) } else { Err(Cause::Cut) };
        }
        let length = length(self.held())?;
        if length > MAX_BLOCK {
            return Err(damaged(&format!("{length} bytes in one block; {MAX_BLOCK} are read at most")));
        }
        if self.hold(length)? { Ok(Some(length)) } else { Err(Cause::Cut) }
    }

    /// Holds the next record of a pcap file.
    fn record(&mut self, header: usize, big_endian: bool) -> Result<Option<usize>, Cause> {
        self.whole(header, |held| Ok(header.saturating_add(number(held, 8, big_endian))))
    }

    /// Holds the next block of a pcapng file. A section header tells its own byte order.
    fn block(&mut self, big_endian: bool) -> Result<Option<usize>, Cause> {
        self.whole(12, |held| {
            let big_endian = match (number(held, 0, false), number(held, 8, true)) {
                (0x0a0d_0d0a, 0x1a2b_3c4d) => true,
                (0x0a0d_0d0a, 0x4d3c_2b1a) => false,
                (0x0a0d_0d0a, _) => return Err(damaged("a section of no known byte order")),
                _ => big_endian,
            };
            match number(held, 4, big_endian) {
                length if length < 12 || length % 4 != 0 => {
                    Err(damaged(&format!("a block of {length} bytes")))
                }
                length => Ok(length),
            }
        })
    }
}

fn number(bytes: &[u8], at: usize, big_endian: bool) -> usize {
    let Some(bytes) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else { return 0 };
    let number = if big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_ten_or_of_two() {
        for (resolution, expected) in [
            (0, Some(1)),
            (6, Some(1_000_000)),
            (19, Some(10_000_000_000_000_000_000)),
            (20, None),
            (0x80, Some(1)),
            (0x8a, Some(1024)),
            (0xbf, Some(1 << 63)),
            (0xc0, None),
        ] {
            assert_eq!(units(resolution), expected, "{resolution:#x}");
        }
    }

    #[test]
    fn times_are_in_an_interfaces_units_and_from_its_offset() {
        let time = |units: u64, offset: i64, ticks: u64| {
            let interface = Interface { name: NAMELESS.into(), link: 1, units, offset };
            interface.time(ticks).map(Timestamp::as_nanosecond)
        };
        assert_eq!(time(1_000_000, 0, 1_500_001), Some(1_500_001_000));
        assert_eq!(time(1024, 0, 1536), Some(1_500_000_000));
        assert_eq!(time(1 << 63, 0, 3 << 62), Some(1_500_000_000));
        assert_eq!(time(1000, 100, 1500), Some(101_500_000_000));
        assert_eq!(time(1000, -100, 1500), Some(-98_500_000_000));
        assert_eq!(time(1, 0, u64::MAX), None);
        assert_eq!(time(1, i64::MAX, 1), None);
    }

    #[test]
    fn an_offset_is_in_the_sections_byte_order() {
        // An interface description of the other byte order than ours, with if_tsoffset 3600.
        let offset = [&14u16.to_be_bytes()[..], &8u16.to_be_bytes(), &3600i64.to_be_bytes()].concat();
        let body = [&[0, 1, 0, 0, 0, 0, 0, 0][..], &offset, &[0; 4]].concat();
        let length = u32::try_from(body.len() + 12).unwrap().to_be_bytes();
        let block = [&1u32.to_be_bytes()[..], &length, &body, &length].concat();
        let mut interfaces = Vec::new();
        assert!(in_block(&block, &mut true, &mut interfaces).unwrap().is_none());
        assert_eq!((interfaces[0].offset, interfaces[0].link), (3600, 1));
    }
}
