//! Packet captures made of scenarios: each a list of packets to and from one host, put into frames by pnet and into files by
//! a library that the agent does not use.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, Endianness, TsResolution};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::MutableIpv4Packet;
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet::packet::tcp::{MutableTcpPacket, TcpFlags};

/// When scenarios begin, seconds since 1970.
pub const BEGAN: u64 = 1_790_000_000;
const SYN: u8 = TcpFlags::SYN;
const ACK: u8 = TcpFlags::ACK;
const RST: u8 = TcpFlags::RST;

/// One TCP segment without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Microseconds from [`BEGAN`].
    pub at: u64,
    /// Who sends it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// As in the header.
    pub flags: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
}

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Link {
    Ethernet,
    Vlan,
    QinQ,
    Cooked,
    Cooked2,
    Raw,
    Loopback,
}

impl Link {
    /// All of them.
    pub const ALL: [Link; 7] =
        [Link::Ethernet, Link::Vlan, Link::QinQ, Link::Cooked, Link::Cooked2, Link::Raw, Link::Loopback];

    fn number(self) -> DataLink {
        match self {
            Link::Ethernet | Link::Vlan | Link::QinQ => DataLink::ETHERNET,
            Link::Cooked => DataLink::LINUX_SLL,
            Link::Cooked2 => DataLink::LINUX_SLL2,
            Link::Raw => DataLink::RAW,
            Link::Loopback => DataLink::NULL,
        }
    }

    fn header(self, packet: &Packet) -> Vec<u8> {
        let (kind, family) = if packet.from.is_ipv4() { (0x0800u16, 2) } else { (0x86dd, 10) };
        let kind = kind.to_be_bytes();
        let ours = [HOST, HOST6].contains(&packet.from.ip());
        let way = if ours { 4 } else { 0 };
        let parts: &[&[u8]] = match self {
            Link::Ethernet => &[&[2; 12], &kind],
            Link::Vlan => &[&[2; 12], &[0x81, 0, 0, 100], &kind],
            Link::QinQ => &[&[2; 12], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 100], &kind],
            Link::Cooked => &[&[0, way, 0, 1, 0, 6], &[2; 8], &kind],
            Link::Cooked2 => &[&kind, &[0, 0, 0, 0, 0, 2, 0, 1, way, 6], &[2; 8]],
            Link::Raw => &[],
            Link::Loopback => &[&[family, 0, 0, 0]],
        };
        parts.concat()
    }
}

/// The host that scenarios are about.
pub const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));
/// Its other address.
pub const HOST6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5));

impl Packet {
    /// Its frame.
    pub fn frame(&self, link: Link) -> anyhow::Result<Vec<u8>> {
        let mut frame = link.header(self);
        let begins = frame.len();
        let length = if self.from.is_ipv4() { 20 } else { 40 };
        frame.resize(begins + length + 20, 0);
        let (ip, tcp) = frame.split_at_mut(begins + length);
        let ip = ip.get_mut(begins..).context("the header's place")?;
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut header = MutableIpv4Packet::new(ip).context("20 bytes")?;
                header.set_version(4);
                header.set_header_length(5);
                header.set_total_length(40);
                header.set_ttl(60);
                header.set_next_level_protocol(IpNextHeaderProtocols::Tcp);
                header.set_source(from);
                header.set_destination(to);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut header = MutableIpv6Packet::new(ip).context("40 bytes")?;
                header.set_version(6);
                header.set_payload_length(20);
                header.set_next_header(IpNextHeaderProtocols::Tcp);
                header.set_source(from);
                header.set_destination(to);
            }
            _ => anyhow::bail!("addresses of two families"),
        }
        let mut header = MutableTcpPacket::new(tcp).context("20 bytes")?;
        header.set_source(self.from.port());
        header.set_destination(self.to.port());
        header.set_sequence(self.sequence);
        header.set_acknowledgement(self.acknowledgement);
        header.set_data_offset(5);
        header.set_flags(self.flags);
        Ok(frame)
    }

    fn time(&self) -> Duration {
        Duration::from_secs(BEGAN) + Duration::from_micros(self.at)
    }
}

/// How a pcap file is written.
#[derive(Debug, Clone, Copy)]
pub struct Pcap {
    /// What its frames begin with.
    pub link: Link,
    /// Byte order.
    pub endianness: Endianness,
    /// Microseconds or nanoseconds.
    pub resolution: TsResolution,
    /// Bytes of each frame that are kept.
    pub snapshot_length: usize,
}

impl Default for Pcap {
    fn default() -> Self {
        Pcap {
            link: Link::Ethernet,
            endianness: Endianness::Little,
            resolution: TsResolution::MicroSecond,
            snapshot_length: 65_535,
        }
    }
}

/// A pcap file of these packets.
pub fn pcap(packets: &[Packet], form: Pcap) -> anyhow::Result<Vec<u8>> {
    let header = PcapHeader {
        datalink: form.link.number(),
        endianness: form.endianness,
        ts_resolution: form.resolution,
        ..PcapHeader::default()
    };
    let mut file = PcapWriter::with_header(Vec::new(), header)?;
    for packet in packets {
        let mut frame = packet.frame(form.link)?;
        let length = u32::try_from(frame.len())?;
        frame.truncate(form.snapshot_length);
        file.write_packet(&PcapPacket::new_owned(packet.time(), length, frame))?;
    }
    Ok(file.into_writer())
}

/// An interface of a pcapng file: its name, link type, and the power of ten of units in a second.
pub type Interface<'a> = (&'a str, Link, u8);

/// A pcapng file of these packets, each captured at the interface of that number.
pub fn pcapng(
    interfaces: &[Interface],
    packets: &[(usize, Packet)],
    endianness: Endianness,
) -> anyhow::Result<Vec<u8>> {
    let mut file = PcapNgWriter::with_endianness(Vec::new(), endianness)?;
    for (name, link, power) in interfaces {
        let mut block = InterfaceDescriptionBlock::new(link.number(), 0);
        block.options.push(InterfaceDescriptionOption::IfName((*name).into()));
        block.options.push(InterfaceDescriptionOption::IfTsResol(*power));
        file.write_pcapng_block(block)?;
    }
    for (number, packet) in packets {
        let (_, link, power) = interfaces.get(*number).context("no such interface")?;
        let frame = packet.frame(*link)?;
        let ticks = packet.time().as_nanos() / 10u128.pow(9 - u32::from(*power));
        file.write_pcapng_block(EnhancedPacketBlock {
            interface_id: u32::try_from(*number)?,
            timestamp: Duration::from_nanos(u64::try_from(ticks)?), // written as it is, in the interface's units
            original_len: u32::try_from(frame.len())?,
            data: frame.into(),
            options: Vec::new(),
        })?;
    }
    Ok(file.into_inner())
}

/// A client of that number: its address is one of the range for benchmarks (RFC 2544, RFC 5180).
pub fn client(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::new([198, 18 + (a & 1), b, c].into(), 40_000)
}

/// The same, of the other family.
pub fn client6(number: u32) -> SocketAddr {
    let [a, b, c, d] = number.to_be_bytes().map(u16::from);
    SocketAddr::new([0x2001, 2, 0, (a << 8) | b, 0, 0, 0, (c << 8) | d].into(), 40_000)
}

/// The host's port 80, at the address of a client's family.
pub fn server(client: SocketAddr) -> SocketAddr {
    SocketAddr::new(if client.is_ipv4() { HOST } else { HOST6 }, 80)
}

/// Who does what, in the words of `Packet`s.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// Microseconds from [`BEGAN`].
    pub at: u64,
    /// Who asks.
    pub client: SocketAddr,
    /// Who is asked.
    pub server: SocketAddr,
}

impl Exchange {
    /// What a client does with the host's port 80.
    pub fn with(client: SocketAddr, at: u64) -> Self {
        Exchange { at, client, server: server(client) }
    }

    fn up(self, after: u64, flags: u8, sequence: u32, acknowledgement: u32) -> Packet {
        let Exchange { at, client, server } = self;
        Packet { at: at + after, from: client, to: server, flags, sequence, acknowledgement }
    }

    fn down(self, after: u64, flags: u8, sequence: u32, acknowledgement: u32) -> Packet {
        let Exchange { at, client, server } = self;
        Packet { at: at + after, from: server, to: client, flags, sequence, acknowledgement }
    }

    /// A SYN and the SYN-ACK, with nothing after it: a forged source.
    pub fn unanswered(self) -> Vec<Packet> {
        vec![self.up(0, SYN, 100, 0), self.down(20, SYN | ACK, 900, 101)]
    }

    /// A connection that is opened, used, and closed.
    pub fn served(self) -> Vec<Packet> {
        [
            self.unanswered(),
            vec![
                self.up(10_000, ACK, 101, 901),
                self.up(10_100, ACK | TcpFlags::PSH, 101, 901),
                self.down(12_000, ACK | TcpFlags::FIN, 901, 101),
                self.up(22_000, ACK | TcpFlags::FIN, 101, 902),
            ],
        ]
        .concat()
    }

    /// A source that is real and did not mean to ask.
    pub fn live_source(self) -> Vec<Packet> {
        [self.unanswered(), vec![self.up(10_000, RST, 101, 0)]].concat()
    }

    /// A closed port.
    pub fn closed(self) -> Vec<Packet> {
        vec![self.up(0, SYN, 100, 0), self.down(20, RST | ACK, 0, 101)]
    }

    /// A program that accepts too slowly: the host does not take the client's acknowledgement.
    pub fn kept_waiting(self) -> Vec<Packet> {
        let again = [self.down(1_000_000, SYN | ACK, 900, 101), self.up(1_010_000, ACK, 101, 901)];
        [self.unanswered(), vec![self.up(10_000, ACK, 101, 901)], again.to_vec()].concat()
    }

    /// A SYN that the host drops, and again a second later.
    pub fn dropped_and_repeated(self) -> Vec<Packet> {
        let again = Exchange { at: self.at + 1_000_000, ..self };
        [vec![self.up(0, SYN, 100, 0)], again.served()].concat()
    }

    /// The answer to a SYN that another sent in the host's name; the host's "client" is then the victim.
    pub fn backscatter(self) -> Vec<Packet> {
        vec![self.up(0, SYN | ACK, 100, 555), self.down(20, RST, 555, 0)]
    }

    /// A segment of no connection.
    pub fn stray(self) -> Vec<Packet> {
        vec![self.up(0, ACK, 100, 555), self.down(20, RST, 555, 0)]
    }
}

/// So many exchanges a second, evenly, over these seconds.
pub fn each_second(
    rate: u32,
    seconds: std::ops::Range<u64>,
    exchange: impl Fn(u32, u64) -> Vec<Packet>,
) -> Vec<Packet> {
    let times = seconds.flat_map(|second| {
        (0..rate).map(move |number| second * 1_000_000 + u64::from(number) * 1_000_000 / u64::from(rate))
    });
    (0..).zip(times).flat_map(|(number, at)| exchange(number, at)).collect()
}

/// All of them, in the order of time.
pub fn together(all: &[Vec<Packet>]) -> Vec<Packet> {
    let mut packets = all.concat();
    packets.sort_by_key(|packet| packet.at);
    packets
}

/// What a capture of one direction alone has.
pub fn received(packets: &[Packet]) -> Vec<Packet> {
    let ours = |packet: &&Packet| [HOST, HOST6].contains(&packet.to.ip());
    packets.iter().filter(ours).copied().collect()
}
