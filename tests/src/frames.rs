//! Ethernet frames with one TCP segment and nothing in it: what attackers, scanners and victims of others send.

use std::net::IpAddr;

use pnet::datalink::MacAddr;
use pnet::packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::{self, MutableIpv4Packet};
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet::packet::tcp::{self, MutableTcpPacket, TcpFlags, TcpOption};

const ETHERNET: usize = 14;

/// A TCP segment without data.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// Source address and port.
    pub from: (IpAddr, u16),
    /// Destination address and port.
    pub to: (IpAddr, u16),
    /// `TcpFlags`.
    pub flags: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
}

impl Segment {
    /// As an Ethernet frame, checksums right; a SYN has the options that Linux sends. `None` if the families differ.
    pub fn frame(&self, from_mac: MacAddr, to_mac: MacAddr) -> Option<Vec<u8>> {
        let is_v4 = self.from.0.is_ipv4();
        let header = if is_v4 { 20 } else { 40 };
        let is_syn = self.flags == TcpFlags::SYN;
        let length: u16 = if is_syn { 40 } else { 20 };
        let mut frame = vec![0; ETHERNET + header + usize::from(length)];

        let mut ethernet = MutableEthernetPacket::new(&mut frame)?;
        ethernet.set_source(from_mac);
        ethernet.set_destination(to_mac);
        ethernet.set_ethertype(if is_v4 { EtherTypes::Ipv4 } else { EtherTypes::Ipv6 });

        let mut segment = MutableTcpPacket::new(frame.get_mut(ETHERNET + header..)?)?;
        segment.set_source(self.from.1);
        segment.set_destination(self.to.1);
        segment.set_sequence(self.sequence);
        segment.set_acknowledgement(self.acknowledgement);
        segment.set_data_offset(if is_syn { 10 } else { 5 });
        segment.set_flags(self.flags);
        segment.set_window(64_240);
        if is_syn {
            segment.set_options(&[
                TcpOption::mss(1460),
                TcpOption::sack_perm(),
                TcpOption::timestamp(self.sequence, 0),
                TcpOption::nop(),
                TcpOption::wscale(7),
            ]);
        }
        let checksum = match (&self.from.0, &self.to.0) {
            (IpAddr::V4(from), IpAddr::V4(to)) => tcp::ipv4_checksum(&segment.to_immutable(), from, to),
            (IpAddr::V6(from), IpAddr::V6(to)) => tcp::ipv6_checksum(&segment.to_immutable(), from, to),
            _ => return None,
        };
        segment.set_checksum(checksum);
        self.network_header(frame.get_mut(ETHERNET..)?, length)?;
        Some(frame)
    }

    fn network_header(&self, packet: &mut [u8], length: u16) -> Option<()> {
        match (self.from.0, self.to.0) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut ip = MutableIpv4Packet::new(packet)?;
                ip.set_version(4);
                ip.set_header_length(5);
                ip.set_total_length(20 + length);
                ip.set_ttl(64);
                ip.set_next_level_protocol(IpNextHeaderProtocols::Tcp);
                ip.set_source(from);
                ip.set_destination(to);
                let checksum = ipv4::checksum(&ip.to_immutable());
                ip.set_checksum(checksum);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut ip = MutableIpv6Packet::new(packet)?;
                ip.set_version(6);
                ip.set_payload_length(length);
                ip.set_next_header(IpNextHeaderProtocols::Tcp);
                ip.set_hop_limit(64);
                ip.set_source(from);
                ip.set_destination(to);
            }
            _ => return None,
        }
        Some(())
    }
}
