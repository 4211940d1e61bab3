//! Which side of a capture is this host. A capture does not say, unless it is a "cooked" one; but a host is an end of all that
//! it sees, so the fewest addresses of which one is in nearly every segment are its own. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::segments::{Segment, Way};

/// Addresses that are taken for this host's; more are a network's.
const MAX_ADDRESSES: usize = 64;
/// One segment in so many may be between others: broadcast, promiscuous mode.
const STRANGERS: usize = 100;

/// This host's addresses. Loopback is always among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local(Vec<IpNet>);

impl Local {
    /// These networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Local(networks)
    }

    /// Whether an address is this host's.
    pub fn has(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.0.iter().any(|network| network.contains(&address))
    }
}

/// What was found, and why it was believed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inferred {
    /// The addresses, the likeliest first.
    addresses: Vec<IpAddr>,
    /// Nothing but loopback: there both sides are this host.
    loopback: bool,
    syns: u64,
    answers: u64,
}

impl Inferred {
    /// Looks for this host among the ends of these segments.
    pub(super) fn from(segments: &[Segment]) -> Self {
        let marked = marked(segments);
        let addresses = if marked.is_empty() { cover(segments) } else { marked };
        let loopback = segments.iter().all(|segment| segment.source.is_loopback());
        let mut inferred = Inferred { addresses, loopback, syns: 0, answers: 0 };
        for segment in segments {
            let ours = |address| inferred.addresses.contains(&address);
            inferred.syns += u64::from(segment.is_syn() && ours(segment.destination));
            inferred.answers += u64::from(segment.is_answer() && ours(segment.source));
        }
        inferred
    }

    /// The same, to look addresses up.
    pub(super) fn local(&self) -> Local {
        Local(self.addresses.iter().map(|address| IpNet::from(*address)).collect())
    }
}

impl fmt::Display for Inferred {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        const SHOWN: usize = 4;
        if self.loopback {
            return write!(f, "nothing but loopback at first: both sides are this host");
        }
        if self.addresses.is_empty() {
            return write!(f, "no address looks like this host's; say --local CIDR");
        }
        let shown: Vec<String> = self.addresses.iter().take(SHOWN).map(ToString::to_string).collect();
        write!(f, "local side taken to be {}", shown.join(", "))?;
        if self.addresses.len() > SHOWN {
            write!(f, " and {} more", self.addresses.len() - SHOWN)?;
        }
        let (syns, answers) = (self.syns, self.answers);
        write!(f, " (at first received {syns} SYNs, answered {answers}); say --local CIDR if that is wrong")
    }
}

/// What the capture itself marks as this host's: the ends that come before its own network card, and never behind it. What it
/// only forwards is seen on both sides.
fn marked(segments: &[Segment]) -> Vec<IpAddr> {
    let (mut near, mut far) = (BTreeMap::<IpAddr, u64>::new(), BTreeSet::new());
    for segment in segments {
        let (ours, theirs) = match segment.way {
            Some(Way::ToUs) => (segment.destination, segment.source),
            Some(Way::FromUs) => (segment.source, segment.destination),
            None => continue,
        };
        *near.entry(ours).or_default() += 1;
        far.insert(theirs);
    }
    let mut near: Vec<_> = near.into_iter().filter(|(address, _)| !far.contains(address)).collect();
    near.sort_by_key(|(address, seen)| (Reverse(*seen), *address));
    near.into_iter().map(|(address, _)| address).take(MAX_ADDRESSES).collect()
}

/// What speaks for an address, the weightiest first.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Evidence {
    peers: usize,
    syns: u64,
    answers: u64,
    /// Of two addresses that only talk to one another the one with fewer ports is the server.
    few_ports: Reverse<usize>,
}

/// What is known of one address.
#[derive(Debug, Default)]
struct Side {
    peers: BTreeSet<IpAddr>,
    ports: BTreeSet<u16>,
    received: u64,
    syns: u64,
    answers: u64,
}

impl Side {
    fn evidence(&self) -> Evidence {
        Evidence {
            peers: self.peers.len(),
            syns: self.syns,
            answers: self.answers,
            few_ports: Reverse(self.ports.len()),
        }
    }

    /// Who only ever asks and is never told anything is a stranger, or forged.
    fn may_be_local(&self) -> bool {
        self.received > 0 || self.answers > 0
    }
}

/// The fewest addresses, nearly, of which one is in nearly every segment.
fn cover(segments: &[Segment]) -> Vec<IpAddr> {
    let mut left: Vec<&Segment> = segments.iter().filter(|segment| !segment.source.is_loopback()).collect();
    let strangers = left.len() / STRANGERS;
    let mut chosen = Vec::new();
    while left.len() > strangers && chosen.len() < MAX_ADDRESSES {
        let Some(address) = likeliest(&left) else { break };
        left.retain(|segment| segment.source != address && segment.destination != address);
        chosen.push(address);
    }
    chosen
}

fn likeliest(segments: &[&Segment]) -> Option<IpAddr> {
    let mut sides = BTreeMap::<IpAddr, Side>::new();
    for segment in segments {
        let source = sides.entry(segment.source).or_default();
        source.peers.insert(segment.destination);
        source.ports.insert(segment.source_port);
        source.answers += u64::from(segment.is_answer());
        let destination = sides.entry(segment.destination).or_default();
        destination.peers.insert(segment.source);
        destination.ports.insert(segment.destination_port);
        destination.received += 1;
        destination.syns += u64::from(segment.is_syn());
    }
    let likely = sides.iter().filter(|(_, side)| side.may_be_local());
    likely.max_by_key(|(address, side)| (side.evidence(), Reverse(**address))).map(|(address, _)| *address)
}

#[cfg(test)]
mod tests {
    use pnet::packet::tcp::TcpFlags;

    use super::*;

    const SYN: u8 = TcpFlags::SYN;
    const ACK: u8 = TcpFlags::ACK;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn segment((from, port): (u8, u16), (to, to_port): (u8, u16), flags: u8) -> Segment {
        Segment {
            source: address(from),
            source_port: port,
            destination: address(to),
            destination_port: to_port,
            flags,
            sequence: 0,
            acknowledgement: 0,
            way: None,
        }
    }

    /// A handshake of client and server.
    fn connection(client: u8, server: u8) -> [Segment; 3] {
        let (client, server) = ((client, 40_000), (server, 80));
        [segment(client, server, SYN), segment(server, client, SYN | ACK), segment(client, server, ACK)]
    }

    #[test]
    fn the_side_that_all_is_about_is_found() {
        let connections =
            |pairs: &[(u8, u8)]| pairs.iter().flat_map(|(c, s)| connection(*c, *s)).collect::<Vec<_>>();
        let syns = |from: std::ops::Range<u8>| from.map(|from| segment((from, 1), (1, 80), SYN)).collect();
        let strays =
            |from: std::ops::Range<u8>, flags| from.map(|from| segment((from, 80), (1, 9), flags)).collect();
        let sweep = (2..5).map(|to| segment((9, 40_000), (to, 80), SYN)).collect();
        let scan = (1..200).map(|port| segment((2, 40_000), (1, port), SYN)).collect();
        for (name, segments, expected) in [
            ("a server", connections(&[(2, 1), (3, 1), (4, 1)]), vec![1]),
            ("a client of many servers", connections(&[(1, 2), (1, 3), (1, 4)]), vec![1]),
            ("a server and its database", connections(&[(2, 1), (3, 1), (1, 9), (4, 1)]), vec![1]),
            ("one client and one server", connections(&[(2, 1), (2, 1)]), vec![1]),
            ("two addresses", connections(&[(3, 1), (4, 1), (5, 1), (3, 2), (4, 2)]), vec![1, 2]),
            ("forged SYNs that nobody answers", syns(2..100), vec![1]),
            ("one source's SYNs", syns(2..3), vec![1]),
            ("one source's scan", scan, vec![1]),
            ("one source's SYNs to several addresses", sweep, vec![2, 3, 4]),
            ("backscatter", strays(2..100, SYN | ACK), vec![1]),
            ("nothing", Vec::new(), vec![]),
        ] {
            let inferred = Inferred::from(&segments);
            let expected: Vec<IpAddr> = expected.into_iter().map(address).collect();
            assert_eq!(inferred.addresses, expected, "{name}");
        }
    }

    #[test]
    fn the_marks_of_a_cooked_capture_are_believed() {
        let way = |segment: Segment, way| Segment { way: Some(way), ..segment };
        // A scanner whose every target is this host's.
        let scanned = (2..50).map(|to| way(segment((1, 9), (to, 80), SYN), Way::ToUs)).collect::<Vec<_>>();
        assert_eq!(Inferred::from(&scanned).addresses.len(), 48);
        // 3 asks 2 through this host, whose own address is 1.
        let forwarded = [
            way(segment((3, 9), (2, 80), SYN), Way::ToUs),
            way(segment((3, 9), (2, 80), SYN), Way::FromUs),
            way(segment((3, 9), (1, 22), SYN), Way::ToUs),
        ];
        assert_eq!(Inferred::from(&forwarded).addresses, [address(1)]);
    }

    #[test]
    fn what_was_found_is_told() {
        let segments: Vec<_> = (2..9).flat_map(|client| connection(client, 1)).collect();
        assert_eq!(
            Inferred::from(&segments).to_string(),
            "local side taken to be 10.0.0.1 (at first received 7 SYNs, answered 7); say --local CIDR if that is wrong"
        );
    }

    #[test]
    fn loopback_is_local_and_never_inferred() {
        let mut segments = connection(2, 1).to_vec();
        for segment in &mut segments {
            (segment.source, segment.destination) = ([127, 0, 0, 1].into(), [127, 0, 0, 1].into());
        }
        let inferred = Inferred::from(&segments);
        assert!(inferred.addresses.is_empty() && inferred.to_string().contains("loopback"), "{inferred}");
        assert!(Local::default().has([127, 0, 0, 1].into()));
    }
}
