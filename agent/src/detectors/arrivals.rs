//! What captured SYNs say of one second: how many there were for this host, and a sample of who sent them.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::rates_of_snapshots::float;
use crate::model::settings::DetectorSettings;
use crate::model::snapshot::Snapshot;
use crate::model::syns::{SynKind, SynPacket, SynSecond};

/// SYNs of one snapshot; rates a second.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrivals<'a> {
    /// To addresses of this host.
    pub(super) to_this_host: f64,
    /// To its listening ports, without those that are to be ignored.
    pub(super) to_listeners: f64,
    /// To its listening ports, from sources or to ports that are to be ignored.
    pub(super) ignored: f64,
    /// To ports where nobody is known to listen, many to each: only in a packet capture, where listeners are known by
    /// their answers.
    pub(super) to_busy_ports: f64,
    /// SYN-ACKs to addresses of this host.
    pub(super) answers: f64,
    /// The interface by which most come in.
    pub(super) interface: Option<&'a str>,
    /// SYNs that were looked at and are not to be ignored.
    pub(super) sample: Vec<Arrival<'a>>,
}

/// One SYN that was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) interface: &'a str,
    pub(super) source: IpAddr,
    pub(super) port: u16,
    /// Whether anybody listens there, or so many come to this port that it is no scan.
    pub(super) listening: bool,
    /// SYNs that it stands for.
    pub(super) weight: f64,
}

impl<'a> Arrivals<'a> {
    /// Of a snapshot over so many seconds; nothing without capture.
    pub(super) fn of(snapshot: &'a Snapshot, seconds: f64, settings: &DetectorSettings) -> Option<Self> {
        let interfaces = snapshot.syns.as_ref()?;
        let listeners: Option<HashSet<u16>> =
            snapshot.listeners.as_ref().map(|all| all.iter().map(|listener| listener.port).collect());
        let busy = if snapshot.handshakes.is_some() { busy_ports(interfaces) } else { HashSet::new() };
        // Where listeners are not known every port may be one.
        let port = |port| match &listeners {
            Some(ports) if !ports.contains(&port) => {
                if busy.contains(&port) {
                    Port::Busy
                } else {
                    Port::Other
                }
            }
            _ => Port::Listening,
        };
        let ignored = Ignored::of(settings);
        let mut arrivals = Arrivals::default();
        let mut most = 0.0;
        for second in interfaces {
            let before = arrivals.to_this_host;
            arrivals.add(second, seconds, &ignored, port);
            let came = arrivals.to_this_host - before;
            if came > most {
                most = came;
                arrivals.interface = Some(&second.interface);
            }
        }
        Some(arrivals)
    }

    fn add(&mut self, second: &'a SynSecond, seconds: f64, ignored: &Ignored, what_is: impl Fn(u16) -> Port) {
        let syns = second.sample.iter().filter(|packet| packet.kind != SynKind::Answer).count();
        let answers = second.sample.len() - syns;
        self.answers += float(answers as u64) * f64::from(second.one_in) / seconds;
        // Of the exact count each SYN of the sample stands for its part; of few none may be in the sample.
        let weight =
            if syns < FEW { f64::from(second.one_in) } else { float(second.syns) / float(syns as u64) };
        for packet in second.sample.iter().filter(|packet| packet.kind == SynKind::Syn) {
            let rate = weight / seconds;
            let what = what_is(packet.port);
            self.to_this_host += rate;
            if ignored.has(packet) {
                self.ignored += if what == Port::Listening { rate } else { 0.0 };
                continue;
            }
            match what {
                Port::Listening => self.to_listeners += rate,
                Port::Busy => self.to_busy_ports += rate,
                Port::Other => {}
            }
            let SynPacket { source, port, .. } = *packet;
            let (interface, listening) = (second.interface.as_str(), what != Port::Other);
            self.sample.push(Arrival { interface, source, port, listening, weight });
        }
    }
}

/// What a SYN finds at its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Listening,
    Busy,
    Other,
}

/// SYNs to one port in one second that are no scan: a scan tries each port once or twice.
const BUSY: f64 = 10.0;

fn busy_ports(interfaces: &[SynSecond]) -> HashSet<u16> {
    let mut syns: HashMap<u16, f64> = HashMap::new();
    for second in interfaces {
        for packet in second.sample.iter().filter(|packet| packet.kind == SynKind::Syn) {
            *syns.entry(packet.port).or_default() += f64::from(second.one_in);
        }
    }
    syns.into_iter().filter(|(_, syns)| *syns >= BUSY).map(|(port, _)| port).collect()
}

/// SYNs in a sample that are too few for the exact count to be shared out among them.
const FEW: usize = 10;

/// What is to be ignored, in a form that is quick to ask: for each packet each network is tried.
struct Ignored<'s> {
    /// Networks and their masks; IPv4 as it is mapped into IPv6.
    networks: Vec<(u128, u128)>,
    ports: &'s [u16],
}

impl<'s> Ignored<'s> {
    fn of(settings: &'s DetectorSettings) -> Self {
        let network = |network: &IpNet| {
            let host_bits = u32::from(network.max_prefix_len() - network.prefix_len());
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            (mapped(network.network()) & mask, mask)
        };
        Ignored {
            networks: settings.ignore_sources.iter().map(network).collect(),
            ports: &settings.ignore_ports,
        }
    }

    fn has(&self, packet: &SynPacket) -> bool {
        let source = mapped(packet.source);
        self.ports.contains(&packet.port)
            || self.networks.iter().any(|(network, mask)| source & mask == *network)
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::snapshot::Listener;

    fn packet(source: [u8; 4], port: u16, kind: SynKind) -> SynPacket {
        SynPacket { source: source.into(), port, kind }
    }

    #[test]
    fn a_sample_stands_for_the_exact_count() {
        use SynKind::{Answer, Forwarded, Syn};
        let mut snapshot = Snapshot::at(Timestamp::UNIX_EPOCH, 0);
        assert!(Arrivals::of(&snapshot, 1.0, &DetectorSettings::default()).is_none());
        snapshot.listeners = Some(vec![Listener::at([0, 0, 0, 0].into(), 80)]);
        snapshot.syns = Some(vec![
            SynSecond {
                interface: "eth0".into(),
                syns: 4000,
                one_in: 64,
                sample: [
                    packet([10, 0, 0, 1], 80, Syn),
                    packet([10, 0, 0, 2], 80, Syn),
                    packet([192, 0, 2, 1], 81, Syn),
                    packet([192, 0, 2, 2], 80, Forwarded),
                    packet([192, 0, 2, 3], 40_000, Answer),
                ]
                .repeat(10),
            },
            SynSecond {
                interface: "lo".into(),
                syns: 7,
                one_in: 8,
                sample: vec![packet([127, 0, 0, 1], 82, Syn)],
            },
        ]);
        let settings = DetectorSettings {
            ignore_sources: vec!["10.0.0.2/31".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            ..DetectorSettings::default()
        };
        let arrivals = Arrivals::of(&snapshot, 2.0, &settings).unwrap();
        let rates = [arrivals.to_this_host, arrivals.to_listeners, arrivals.ignored, arrivals.answers];
        assert_eq!(rates.map(|rate| format!("{rate:.0}")), ["1504", "500", "500", "320"]);
        assert_eq!(arrivals.interface, Some("eth0"));
        assert_eq!(arrivals.sample.len(), 21);

        let settings = DetectorSettings { ignore_ports: vec![80], ..DetectorSettings::default() };
        assert!(Arrivals::of(&snapshot, 1.0, &settings).unwrap().to_listeners < 0.1);
    }
}
