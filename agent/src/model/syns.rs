//! What packets tell of handshakes: SYNs captured by a running agent, and handshakes rebuilt from a packet capture.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// SYNs that one interface received since the snapshot before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SynSecond {
    /// The interface's name.
    pub interface: String,
    /// SYNs without ACK, to whomever they went: the kernel's own count, not an estimate.
    pub syns: u64,
    /// Of packets with SYN one in so many was looked at; at least 1.
    pub one_in: u32,
    /// Those that were looked at; at most [`SynSecond::MAX_SAMPLE`] by a running agent, and ten times as many of a packet
    /// capture. `one_in` times as many came, SYN-ACKs included.
    pub sample: Vec<SynPacket>,
}

impl SynSecond {
    /// Bound on the packets that are looked at in a second, whatever arrives.
    pub const MAX_SAMPLE: usize = 1000;
}

/// One packet with SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(IpAddr, u16, SynKind)", into = "(IpAddr, u16, SynKind)")]
pub struct SynPacket {
    /// Who sent it, or whose address was put there; a v4-mapped one as IPv4.
    pub source: IpAddr,
    /// The port it was sent to.
    pub port: u16,
    /// What it is.
    pub kind: SynKind,
}

/// What a packet with SYN is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SynKind {
    /// A SYN to an address of this host.
    Syn,
    /// A SYN to another host, which this one may forward.
    Forwarded,
    /// A SYN-ACK to an address of this host: the answer to its own SYN, or to one in its name.
    Answer,
}

impl From<(IpAddr, u16, SynKind)> for SynPacket {
    fn from((source, port, kind): (IpAddr, u16, SynKind)) -> Self {
        SynPacket { source, port, kind }
    }
}

impl From<SynPacket> for (IpAddr, u16, SynKind) {
    fn from(packet: SynPacket) -> Self {
        (packet.source, packet.port, packet.kind)
    }
}

/// Handshakes with this host since the snapshot before, rebuilt from a packet capture: what stands in for the kernel's
/// counters where there is no kernel to ask. A SYN that is sent again belongs to the handshake that it began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Handshakes {
    /// Begun by others towards this host.
    pub begun: u64,
    /// Completed: the SYN-ACK was acknowledged.
    pub completed: u64,
    /// Grown older than [`Handshakes::PATIENCE_MS`] without having been completed, reset or refused, at a port where this
    /// host answers.
    pub unanswered: u64,
    /// The same at a port where it never has: dropped, filtered, or its answers are not in the capture.
    pub unheeded: u64,
    /// Of those counted as unanswered before, completed after all.
    pub late: u64,
    /// Half-open ones that their client reset.
    pub reset: u64,
    /// Refused by this host with RST: a closed port.
    pub refused: u64,
    /// SYNs that a client sent again to a port where this host answers others, and SYN-ACKs sent again to a client that had
    /// acknowledged one: somebody really wants to connect, and is kept waiting.
    pub retried: u64,
    /// Half-open now.
    pub half_open: u64,
    /// SYN-ACKs and RSTs that arrived for no connection of this host.
    pub stray_answers: u64,
    /// Other segments that arrived for no connection and were answered with RST.
    pub stray_segments: u64,
}

impl Handshakes {
    /// What a client may take to complete a handshake before it counts as unanswered: more than any ordinary round
    /// trip, little enough to tell a flood within two seconds.
    pub const PATIENCE_MS: u64 = 500;
}
