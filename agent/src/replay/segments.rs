//! Frames taken apart: link header, VLAN tags, IP, TCP. Pure, and indifferent to what is in the bytes: everything that is
//! no TCP segment, or not enough of one, is `None`.

use std::net::{IpAddr, Ipv6Addr};

use pnet::packet::ethernet::{EtherType, EtherTypes, EthernetPacket};
use pnet::packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols as Protocols};
use pnet::packet::ipv4::Ipv4Packet;
use pnet::packet::ipv6::Ipv6Packet;
use pnet::packet::sll::SLLPacket;
use pnet::packet::sll2::SLL2Packet;
use pnet::packet::tcp::{TcpFlags, TcpPacket};
use pnet::packet::vlan::VlanPacket;

/// What a frame begins with (<https://www.tcpdump.org/linktypes.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Ethernet, with or without VLAN tags.
    Ethernet,
    /// Linux "cooked" capture, as of `tcpdump -i any`.
    Cooked,
    /// Its second version.
    Cooked2,
    /// An IP header of either version.
    Ip,
    /// BSD loopback: the address family in the byte order of the host or of the network.
    Loopback,
}

impl Link {
    /// The link type of that number, if we read it.
    pub fn of_number(number: u16) -> Option<Link> {
        Some(match number {
            0 | 108 => Link::Loopback,
            1 => Link::Ethernet,
            // 12 and 14 are what LINKTYPE_RAW is on OpenBSD and others.
            12 | 14 | 101 | 228 | 229 => Link::Ip,
            113 => Link::Cooked,
            276 => Link::Cooked2,
            _ => return None,
        })
    }
}

/// Which way a packet went, where the capture says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It was sent to the host that captured it.
    ToUs,
    /// The host sent it.
    FromUs,
}

/// The header of a TCP segment, with the addresses it travelled between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Who sent it; a v4-mapped address as IPv4.
    pub source: IpAddr,
    /// From this port.
    pub source_port: u16,
    /// To whom; a v4-mapped address as IPv4.
    pub destination: IpAddr,
    /// To this port.
    pub destination_port: u16,
    /// As in the header, [`TcpFlags`].
    pub flags: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number, which means something with the flag ACK.
    pub acknowledgement: u32,
    /// Which way it went, where the capture says so.
    pub way: Option<Way>,
}

/// Length of a cooked header, of either version. pnet takes shorter ones, and then reads beyond their end.
const COOKED: usize = 16;
const COOKED2: usize = 20;
/// Tags of a frame that are looked behind; two are usual at most (`QinQ`).
const MAX_TAGS: usize = 4;
/// IPv6 extension headers that are looked behind.
const MAX_EXTENSIONS: usize = 8;
/// TCP's header up to its flags: what a capture with a short snapshot length must have of it.
const UP_TO_FLAGS: usize = 14;

impl Segment {
    /// The TCP segment in a frame. Nothing for other packets, for fragments without a TCP header, and for the outgoing half of
    /// what `tcpdump -i any` sees twice on the loopback interface.
    pub fn of(link: Link, frame: &[u8]) -> Option<Segment> {
        match link {
            Link::Ethernet => {
                let header = EthernetPacket::new(frame)?;
                tagged(header.get_ethertype(), frame.get(EthernetPacket::minimum_packet_size()..)?)
            }
            Link::Cooked => {
                let rest = frame.get(COOKED..)?;
                let header = SLLPacket::new(frame)?;
                let from = (header.get_packet_type(), header.get_link_layer_address_type());
                cooked(from, header.get_protocol(), rest)
            }
            Link::Cooked2 => {
                let rest = frame.get(COOKED2..)?;
                let header = SLL2Packet::new(frame)?;
                let from = (header.get_packet_type().into(), header.get_arphrd_type());
                cooked(from, header.get_protocol_type(), rest)
            }
            Link::Ip => ip(frame),
            // The family's number differs between systems, and the IP header tells the version anyhow.
            Link::Loopback => ip(frame.get(4..)?),
        }
    }

    /// Whether it asks for a connection: SYN without ACK, and nothing that contradicts it.
    pub fn is_syn(&self) -> bool {
        self.flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN) == TcpFlags::SYN
    }

    /// Whether it answers such a one.
    pub fn is_answer(&self) -> bool {
        let both = TcpFlags::SYN | TcpFlags::ACK;
        self.flags & (both | TcpFlags::RST | TcpFlags::FIN) == both
    }

    /// Whether it resets a connection.
    pub fn is_reset(&self) -> bool {
        self.flags & TcpFlags::RST != 0
    }

    /// Whether it belongs to a connection that its sender takes for established.
    pub fn is_acknowledgement(&self) -> bool {
        self.flags & (TcpFlags::ACK | TcpFlags::SYN | TcpFlags::RST) == TcpFlags::ACK
    }
}

/// What is behind a cooked header of that packet type and device type
/// (<https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html>). Loopback (`ARPHRD_LOOPBACK`, 772) shows each packet going out
/// and coming in: the first is passed over.
fn cooked(from: (u16, u16), kind: EtherType, rest: &[u8]) -> Option<Segment> {
    let way = match from {
        (4, 772) => return None,
        (_, 772) => None,
        (0, _) => Some(Way::ToUs),
        (4, _) => Some(Way::FromUs),
        _ => None,
    };
    Some(Segment { way, ..tagged(kind, rest)? })
}

/// What is behind an Ethernet type, and behind VLAN tags.
fn tagged(mut kind: EtherType, mut rest: &[u8]) -> Option<Segment> {
    for _ in 0..=MAX_TAGS {
        match kind {
            EtherTypes::Ipv4 => return ipv4(rest),
            EtherTypes::Ipv6 => return ipv6(rest),
            EtherTypes::Vlan | EtherTypes::PBridge | EtherTypes::QinQ => {
                kind = VlanPacket::new(rest)?.get_ethertype();
                rest = rest.get(VlanPacket::minimum_packet_size()..)?;
            }
            _ => return None,
        }
    }
    None
}

fn ip(packet: &[u8]) -> Option<Segment> {
    match packet.first()? >> 4 {
        4 => ipv4(packet),
        6 => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Segment> {
    let header = Ipv4Packet::new(packet)?;
    let length = usize::from(header.get_header_length()) * 4;
    let begins = header.get_version() == 4
        && length >= Ipv4Packet::minimum_packet_size()
        && header.get_fragment_offset() == 0
        && header.get_next_level_protocol() == Protocols::Tcp;
    begins.then_some(())?;
    tcp(header.get_source().into(), header.get_destination().into(), packet.get(length..)?)
}

fn ipv6(packet: &[u8]) -> Option<Segment> {
    let header = Ipv6Packet::new(packet)?;
    if header.get_version() != 6 {
        return None;
    }
    let mut next = header.get_next_header();
    let mut rest = packet.get(Ipv6Packet::minimum_packet_size()..)?;
    for _ in 0..=MAX_EXTENSIONS {
        if next == Protocols::Tcp {
            return tcp(canonical(header.get_source()), canonical(header.get_destination()), rest);
        }
        let length = extension(next, rest)?;
        next = IpNextHeaderProtocol(*rest.first()?);
        rest = rest.get(length..)?;
    }
    None
}

fn canonical(address: Ipv6Addr) -> IpAddr {
    address.to_canonical()
}

/// Length of an IPv6 extension header (RFC 8200 section 4, RFC 4302); `None` for what is none, and for fragments but the first.
fn extension(kind: IpNextHeaderProtocol, header: &[u8]) -> Option<usize> {
    let length = usize::from(*header.get(1)?);
    match kind {
        Protocols::Hopopt | Protocols::Ipv6Route | Protocols::Ipv6Opts => Some((length + 1) * 8),
        Protocols::Ah => Some((length + 2) * 4),
        Protocols::Ipv6Frag => {
            let offset = u16::from_be_bytes([*header.get(2)?, *header.get(3)?]) >> 3;
            (offset == 0).then_some(8)
        }
        _ => None,
    }
}

fn tcp(source: IpAddr, destination: IpAddr, bytes: &[u8]) -> Option<Segment> {
    let mut header = [0; 20];
    if bytes.len() < UP_TO_FLAGS {
        return None;
    }
    let held = bytes.len().min(header.len());
    header.get_mut(..held)?.copy_from_slice(bytes.get(..held)?);
    let header = TcpPacket::new(&header)?;
    Some(Segment {
        source,
        source_port: header.get_source(),
        destination,
        destination_port: header.get_destination(),
        flags: header.get_flags(),
        sequence: header.get_sequence(),
        acknowledgement: header.get_acknowledgement(),
        way: None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 10.0.0.1:1000 to 10.0.0.2:80, SYN, sequence 7, up to and with the flags.
    fn ipv4_syn() -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        bytes.extend([3, 0xe8, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 2]);
        bytes
    }

    /// The same between `2001:db8::1` and `2001:db8::2`, behind these extension headers.
    fn ipv6_syn(first: u8, extensions: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 20, first, 64];
        for last in [1, 2] {
            bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        bytes.extend(extensions);
        bytes.extend(ipv4_syn().split_off(20));
        bytes
    }

    fn behind(header: &[u8], packet: &[u8]) -> Vec<u8> {
        [header, packet].concat()
    }

    fn ethernet(kinds: &[u8], packet: &[u8]) -> Vec<u8> {
        behind(&[&[2; 12], kinds].concat(), packet)
    }

    fn cooked1(packet_type: u8, device: u16, kind: u16) -> Vec<u8> {
        let mut header = vec![0, packet_type];
        header.extend(device.to_be_bytes());
        header.extend([0, 6, 1, 2, 3, 4, 5, 6, 0, 0]);
        header.extend(kind.to_be_bytes());
        header
    }

    fn cooked2(packet_type: u8, device: u16) -> Vec<u8> {
        let mut header = vec![8, 0, 0, 0, 0, 0, 0, 3];
        header.extend(device.to_be_bytes());
        header.extend([packet_type, 6, 1, 2, 3, 4, 5, 6, 0, 0]);
        header
    }

    #[test]
    fn a_segment_is_found_behind_every_link_header() {
        let vlan = [0x81, 0, 0, 5, 8, 0];
        let q_in_q = [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0];
        let to_us = Some(Way::ToUs);
        for (name, link, frame, way) in [
            ("Ethernet", 1, ethernet(&[8, 0], &ipv4_syn()), None),
            ("VLAN", 1, ethernet(&vlan, &ipv4_syn()), None),
            ("QinQ", 1, ethernet(&q_in_q, &ipv4_syn()), None),
            ("cooked, to us", 113, behind(&cooked1(0, 1, 0x800), &ipv4_syn()), to_us),
            ("cooked, from us", 113, behind(&cooked1(4, 1, 0x800), &ipv4_syn()), Some(Way::FromUs)),
            ("cooked, promiscuous", 113, behind(&cooked1(3, 1, 0x800), &ipv4_syn()), None),
            ("cooked, loopback", 113, behind(&cooked1(0, 772, 0x800), &ipv4_syn()), None),
            ("cooked, version 2", 276, behind(&cooked2(0, 1), &ipv4_syn()), to_us),
            ("raw", 101, ipv4_syn(), None),
            ("raw IPv4", 228, ipv4_syn(), None),
            ("BSD loopback, little endian", 0, behind(&[2, 0, 0, 0], &ipv4_syn()), None),
            ("BSD loopback, big endian", 108, behind(&[0, 0, 0, 2], &ipv4_syn()), None),
        ] {
            let segment = Segment::of(Link::of_number(link).unwrap(), &frame).expect(name);
            assert_eq!(
                (segment.source_port, segment.destination_port, segment.way),
                (1000, 80, way),
                "{name}"
            );
            assert_eq!(segment.source, IpAddr::from([10, 0, 0, 1]), "{name}");
            assert_eq!(segment.destination, IpAddr::from([10, 0, 0, 2]), "{name}");
            assert!(segment.is_syn() && segment.sequence == 7, "{name}");
        }
    }

    #[test]
    fn ipv6_is_looked_through_to_tcp() {
        for (name, first, extensions) in [
            ("plain", 6, [].as_slice()),
            ("hop by hop", 0, &[6, 0, 1, 4, 0, 0, 0, 0]),
            ("authentication", 51, &[6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("first fragment", 44, &[6, 0, 0, 1, 0, 0, 0, 9]),
        ] {
            let segment = Segment::of(Link::Ip, &ipv6_syn(first, extensions)).expect(name);
            assert_eq!(segment.source.to_string(), "2001:db8::1", "{name}");
            assert_eq!((segment.destination_port, segment.is_syn()), (80, true), "{name}");
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mut packet = ipv6_syn(6, &[]);
        packet.splice(8..24, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);
        assert_eq!(Segment::of(Link::Ip, &packet).unwrap().source, IpAddr::from([10, 0, 0, 1]));
    }

    #[test]
    fn what_is_no_tcp_header_is_nothing() {
        let with = |at: usize, value: u8| {
            let mut packet = ipv4_syn();
            packet[at] = value;
            packet
        };
        let extensions = |count: usize| [0, 0, 1, 4, 0, 0, 0, 0].repeat(count);
        for (name, link, frame) in [
            ("empty", Link::Ethernet, vec![]),
            ("ARP", Link::Ethernet, ethernet(&[8, 6], &ipv4_syn())),
            (
                "five tags",
                Link::Ethernet,
                ethernet(&[[0x81, 0, 0, 5].repeat(5), vec![8, 0]].concat(), &ipv4_syn()),
            ),
            ("UDP", Link::Ip, with(9, 17)),
            ("later fragment", Link::Ip, with(7, 1)),
            ("IP header too short", Link::Ip, with(0, 0x44)),
            ("IP header beyond the end", Link::Ip, with(0, 0x4f)),
            ("IP version 5", Link::Ip, with(0, 0x55)),
            ("cut before the flags", Link::Ip, ipv4_syn()[..33].to_vec()),
            ("later IPv6 fragment", Link::Ip, ipv6_syn(44, &[6, 0, 0, 8, 0, 0, 0, 9])),
            ("endless extensions", Link::Ip, ipv6_syn(0, &extensions(40))),
            ("loopback's own echo", Link::Cooked, behind(&cooked1(4, 772, 0x800), &ipv4_syn())),
            ("loopback's own echo, 2", Link::Cooked2, behind(&cooked2(4, 772), &ipv4_syn())),
        ] {
            assert_eq!(Segment::of(link, &frame), None, "{name}");
        }
    }

    #[test]
    fn kinds_of_segments_exclude_one_another() {
        for flags in 0..=255 {
            let mut packet = ipv4_syn();
            packet[33] = flags;
            let segment = Segment::of(Link::Ip, &packet).unwrap();
            let kinds =
                [segment.is_syn(), segment.is_answer(), segment.is_reset(), segment.is_acknowledgement()];
            assert!(kinds.iter().filter(|kind| **kind).count() <= 1, "{flags:#x}: {kinds:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_do(number in 0u16..300, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(link) = Link::of_number(number) {
                let _ = Segment::of(link, &bytes);
            }
        }

        #[test]
        fn a_damaged_or_cut_frame_does(at in 0usize..54, value: u8, length in 0usize..80, six: bool) {
            let packet = if six { ipv6_syn(0, &[6, 0, 1, 4, 0, 0, 0, 0]) } else { ipv4_syn() };
            let mut frame = ethernet(if six { &[0x86, 0xdd] } else { &[8, 0] }, &packet);
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
            frame.truncate(length);
            let _ = Segment::of(Link::Ethernet, &frame);
        }
    }
}
