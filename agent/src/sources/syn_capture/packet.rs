//! What a captured packet says: pure, from its network header on. Agrees with [`super::filter`] on what is a SYN.

use std::net::IpAddr;

use pnet::packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet::packet::ipv4::Ipv4Packet;
use pnet::packet::ipv6::Ipv6Packet;
use pnet::packet::tcp::{TcpFlags, TcpPacket};

use super::filter::EXTENSION_HEADERS;

/// A packet that begins a handshake, or answers one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opening {
    /// Who sent it; a v4-mapped one as IPv4.
    pub source: IpAddr,
    /// To whom; a v4-mapped one as IPv4.
    pub destination: IpAddr,
    /// The port it was sent to.
    pub port: u16,
    /// SYN-ACK, else SYN.
    pub answer: bool,
}

/// Reads a packet from its network header on; `None` if it has no SYN, or could not be one that a host takes.
pub(super) fn parse(bytes: &[u8]) -> Option<Opening> {
    let (source, destination, segment) = match bytes.first()? >> 4 {
        4 => tcp_in_v4(bytes)?,
        6 => tcp_in_v6(bytes)?,
        _ => return None,
    };
    let segment = TcpPacket::new(segment)?;
    let flags = segment.get_flags();
    let opens = flags & (TcpFlags::SYN | TcpFlags::RST | TcpFlags::FIN) == TcpFlags::SYN;
    (opens && segment.get_data_offset() >= 5).then(|| Opening {
        source: source.to_canonical(),
        destination: destination.to_canonical(),
        port: segment.get_destination(),
        answer: flags & TcpFlags::ACK != 0,
    })
}

fn tcp_in_v4(bytes: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let packet = Ipv4Packet::new(bytes)?;
    let words = usize::from(packet.get_header_length());
    let is_tcp = packet.get_next_level_protocol() == IpNextHeaderProtocols::Tcp;
    if words < 5 || !is_tcp || packet.get_fragment_offset() != 0 {
        return None;
    }
    Some((packet.get_source().into(), packet.get_destination().into(), bytes.get(4 * words..)?))
}

fn tcp_in_v6(bytes: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let packet = Ipv6Packet::new(bytes)?;
    let (mut next, mut rest) = (packet.get_next_header(), bytes.get(Ipv6Packet::minimum_packet_size()..)?);
    for _ in 0..EXTENSION_HEADERS {
        if !matches!(next, IpNextHeaderProtocols::Hopopt | IpNextHeaderProtocols::Ipv6Opts) {
            break;
        }
        let [following, length, ..] = rest else { return None };
        next = IpNextHeaderProtocol::new(*following);
        rest = rest.get(8 * (1 + usize::from(*length))..)?;
    }
    let addresses = (packet.get_source().into(), packet.get_destination().into());
    (next == IpNextHeaderProtocols::Tcp).then_some((addresses.0, addresses.1, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::filter::interpreter::{Ancillary, passes};
    use super::super::filter::{Choice, Family, Program};
    use super::*;

    const INTERFACE: u32 = 7;
    const RECEIVED: Ancillary = Ancillary { packet_type: 0, interface: INTERFACE, random: u32::MAX };

    /// IPv4 from 192.0.2.1 to 198.51.100.2 with that many words of header, then TCP from port 1024 to 80.
    fn v4(words: u8, flags: u8) -> Vec<u8> {
        let mut packet = vec![0x40 | words, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2];
        packet.resize(4 * usize::from(words), 1);
        packet.extend(tcp(flags));
        packet
    }

    /// IPv6 from `2001:db8::1` to `2001:db8::2`, these extension headers, then TCP.
    fn v6(extensions: &[(u8, u8)], flags: u8) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 20, extensions.first().map_or(6, |first| first.0), 64];
        for last in [1, 2] {
            packet.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        for (n, (_, length)) in extensions.iter().enumerate() {
            let next = extensions.get(n + 1).map_or(6, |next| next.0);
            packet.extend([next, *length, 1, 4, 0, 0, 0, 0]);
            packet.extend(vec![0; 8 * usize::from(*length)]);
        }
        packet.extend(tcp(flags));
        packet
    }

    fn tcp(flags: u8) -> [u8; 20] {
        [4, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 250, 240, 0, 0, 0, 0]
    }

    fn with(mut packet: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
        packet[at] = byte;
        packet
    }

    fn cut(mut packet: Vec<u8>, length: usize) -> Vec<u8> {
        packet.truncate(length);
        packet
    }

    fn family(packet: &[u8]) -> Family {
        if packet.first().is_some_and(|first| first >> 4 == 6) { Family::V6 } else { Family::V4 }
    }

    /// Whether the filter passes it to the counter, and to the sample.
    fn filtered(packet: &[u8], known: Ancillary) -> (bool, bool) {
        let by = |choice| passes(&Program::new(family(packet), choice, INTERFACE), packet, known);
        (by(Choice::EverySyn), by(Choice::OneIn(1)))
    }

    /// Parser and filter agree, and this is what they agree on.
    #[track_caller]
    fn agreed(packet: &[u8]) -> Option<Opening> {
        let opening = parse(packet);
        let expected = (opening.is_some_and(|opening| !opening.answer), opening.is_some());
        assert_eq!(filtered(packet, RECEIVED), expected, "{packet:02x?}");
        opening
    }

    const SYN: u8 = 2;
    const SYN_ACK: u8 = 18;

    #[test]
    fn who_and_whither() {
        let opening = |source: &str, destination: &str, answer| {
            let [source, destination] = [source, destination].map(|text| text.parse().unwrap());
            Some(Opening { source, destination, port: 80, answer })
        };
        assert_eq!(agreed(&v4(5, SYN)), opening("192.0.2.1", "198.51.100.2", false));
        assert_eq!(agreed(&v4(5, SYN_ACK)), opening("192.0.2.1", "198.51.100.2", true));
        assert_eq!(agreed(&v6(&[], SYN)), opening("2001:db8::1", "2001:db8::2", false));
        assert_eq!(agreed(&v6(&[], SYN_ACK)), opening("2001:db8::1", "2001:db8::2", true));
        let mut mapped = v6(&[], SYN);
        mapped[8..24].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1]);
        assert_eq!(agreed(&mapped), opening("192.0.2.1", "2001:db8::2", false));
    }

    #[test]
    fn what_is_a_syn() {
        let taken: [(&str, Vec<u8>); 12] = [
            ("IPv4", v4(5, SYN)),
            ("IPv4 options", v4(9, SYN)),
            ("the longest IPv4 header", v4(15, SYN)),
            ("padded by the link layer", [v4(5, SYN), vec![0; 6]].concat()),
            ("ECN set up", v4(5, SYN | 0xc0)),
            ("PSH and URG do not matter", v4(5, SYN | 0x28)),
            ("first of fragments, do not fragment", with(v4(5, SYN), 6, 0x60)),
            ("IPv6", v6(&[], SYN)),
            ("hop-by-hop options", v6(&[(0, 0)], SYN)),
            ("long destination options", v6(&[(60, 12)], SYN)),
            ("both", v6(&[(0, 0), (60, 1)], SYN)),
            ("the longest options", v6(&[(60, 255), (60, 255)], SYN)),
        ];
        for (what, packet) in taken {
            assert!(agreed(&packet).is_some(), "{what}");
        }
        let refused: [(&str, Vec<u8>); 22] = [
            ("nothing", vec![]),
            ("version only", vec![0x45]),
            ("IPv4 without TCP", cut(v4(5, SYN), 20)),
            ("cut within flags", cut(v4(5, SYN), 33)),
            ("cut within the TCP header", cut(v4(5, SYN), 39)),
            ("options cut off", cut(v4(15, SYN), 60)),
            ("UDP", with(v4(5, SYN), 9, 17)),
            ("a later fragment", with(v4(5, SYN), 7, 1)),
            ("a header of no length", with(v4(5, SYN), 0, 0x40)),
            ("a header of four words", with(v4(5, SYN), 0, 0x44)),
            ("a version that is none", with(v4(5, SYN), 0, 0x55)),
            ("a TCP header of four words", with(v4(5, SYN), 32, 0x4f)),
            ("ACK", v4(5, 16)),
            ("no flags", v4(5, 0)),
            ("all flags", v4(5, 255)),
            ("SYN and FIN", v4(5, SYN | 1)),
            ("SYN and RST", v4(5, SYN | 4)),
            ("IPv6 and FIN", v6(&[], SYN | 1)),
            ("IPv6 cut", cut(v6(&[], SYN), 59)),
            ("IPv6 options cut", cut(v6(&[(0, 3)], SYN), 50)),
            ("a later IPv6 fragment", with(v6(&[(44, 0)], SYN), 43, 8)),
            ("three extension headers", v6(&[(0, 0), (60, 0), (60, 0)], SYN)),
        ];
        for (what, packet) in refused {
            assert_eq!(agreed(&packet), None, "{what}");
        }
    }

    #[test]
    fn only_what_this_interface_received_for_this_host() {
        for packet in [v4(5, SYN), v6(&[], SYN)] {
            let of_type = |packet_type| filtered(&packet, Ancillary { packet_type, ..RECEIVED });
            for (packet_type, passes) in [(0, true), (1, true), (2, true), (3, false), (4, false)] {
                assert_eq!(of_type(packet_type), (passes, passes), "{packet_type}");
            }
            let elsewhere = Ancillary { interface: INTERFACE + 1, ..RECEIVED };
            assert_eq!(filtered(&packet, elsewhere), (false, false));
        }
    }

    #[test]
    fn one_in_so_many_by_the_kernels_random_number() {
        for packet in [v4(5, SYN), v6(&[(0, 0)], SYN_ACK)] {
            for one_in in [1, 2, 64, 1 << 20] {
                let program = Program::new(family(&packet), Choice::OneIn(one_in), INTERFACE);
                // Evenly spread numbers stand in for the kernel's.
                let numbers = (0..1u32 << 12).map(|n| n << 20);
                let kept =
                    numbers.filter(|n| passes(&program, &packet, Ancillary { random: *n, ..RECEIVED }));
                assert_eq!(kept.count(), ((1 << 12) / one_in as usize).max(1), "{one_in}");
            }
            let nothing = Program::new(family(&packet), Choice::Nothing, INTERFACE);
            assert!(!passes(&nothing, &packet, RECEIVED));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_the_filter_reads_them(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            agreed(&bytes);
        }

        /// Bytes near a SYN, which are judged deeper.
        #[test]
        fn damaged_syns_are_read_as_the_filter_reads_them(
            seed in prop_oneof![
                Just(v4(5, SYN)), Just(v4(8, SYN_ACK)), Just(v6(&[], SYN)), Just(v6(&[(0, 0), (60, 1)], SYN_ACK)),
            ],
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            length in 0..120usize,
        ) {
            let mut packet = seed;
            for (at, byte) in damage {
                let at = at.index(packet.len());
                packet[at] = byte;
            }
            agreed(&cut(packet, length));
        }
    }
}
