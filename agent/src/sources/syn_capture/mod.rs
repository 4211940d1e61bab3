//! SYNs that arrive: how many, exactly, and of some of them who sent them and to which port. Needs `CAP_NET_RAW`.
//!
//! No thread and no waiting: each second takes what lies in the receive buffers of [`tap`]'s sockets, a bounded number of
//! packets whatever arrives. [`filter`] chooses packets in the kernel, [`thinning`] how many, [`packet`] reads them, and
//! [`addresses`] tells this host's from others'.

mod addresses;
mod filter;
mod packet;
mod tap;
mod thinning;

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use pnet::datalink::NetworkInterface;
use pnet::ipnetwork::IpNetwork;

use self::addresses::OwnAddresses;
use self::tap::Tap;
use super::interfaces::{InterfaceRules, has_own_address};
use super::{Source, SourceError};
use crate::model::snapshot::Snapshot;

/// Interfaces that are captured at the most: six descriptors each. Hosts with more have them for containers, whose
/// packets arrive through the first ones; lowest index first, loopback among them.
const MAX_INTERFACES: usize = 16;
/// When sockets that were refused are asked for again: a capability does not come to a running process, but a limit
/// may be lifted.
const REFUSED_FOR: Duration = Duration::from_mins(1);
/// Listing interfaces may take one in so many parts of the time; with hundreds of interfaces it takes milliseconds.
const LISTING_SHARE: u32 = 100;
/// And is not put off for longer, should the agent have had to wait for a processor meanwhile.
const LISTING_AT_LEAST_EACH: Duration = Duration::from_secs(10);

pub(super) struct SynCaptureSource {
    rules: InterfaceRules,
    taps: Vec<Tap>,
    links: Links,
    /// Why no socket may be opened, and since when.
    refused: Option<(String, Instant)>,
}

/// Whether a packet, from its network header on, is one that is looked at.
pub(super) fn looked_at(packet: &[u8]) -> bool {
    packet::parse(packet).is_some_and(|opening| OwnAddresses::default().judge(&opening).is_some())
}

/// The interfaces to capture at, and this host's addresses.
#[derive(Default)]
struct Links {
    captured: Vec<NetworkInterface>,
    /// Those that should be captured beyond the bound.
    left_out: usize,
    own: OwnAddresses,
    /// When to look again.
    due: Option<Instant>,
}

impl SynCaptureSource {
    pub(super) fn new(rules: InterfaceRules) -> Self {
        SynCaptureSource { rules, taps: Vec::new(), links: Links::default(), refused: None }
    }

    /// Reads every open tap. One that broke, or whose interface is gone, is read a last time.
    fn read_taps(&mut self, into: &mut Snapshot) {
        let Links { captured, own, due, .. } = &mut self.links;
        let mut seconds = Vec::with_capacity(self.taps.len());
        let first = self.taps.is_empty();
        self.taps.retain_mut(|tap| {
            let link = captured.iter().find(|interface| interface.index == tap.index);
            if let Some(link) = link {
                tap.name.clone_from(&link.name); // it may have been renamed
            }
            let reading = tap.read(own);
            if reading.broken.is_some() {
                *due = None;
            }
            let stays = link.is_some() && reading.broken.is_none();
            if link.is_some() || !reading.is_empty() {
                seconds.push(reading.second);
            }
            stays
        });
        into.syns = (!first).then_some(seconds);
    }

    /// Opens what is not open yet; what failed, by interface.
    fn open_taps(&mut self) -> Vec<String> {
        let mut failed = Vec::new();
        for interface in &self.links.captured {
            if self.taps.iter().any(|tap| tap.index == interface.index) {
                continue;
            }
            match Tap::open(interface) {
                Ok(tap) => self.taps.push(tap),
                Err(error) if let Some(why) = why_refused(&error) => {
                    self.refused = Some((why, Instant::now()));
                    return failed;
                }
                // It went away since it was listed.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => self.links.due = None,
                Err(error) => failed.push(format!("{}: {error}", interface.name)),
            }
        }
        failed
    }
}

impl Source for SynCaptureSource {
    fn name(&self) -> &'static str {
        "syn_capture"
    }

    fn read(&mut self, into: &mut Snapshot) -> Result<(), SourceError> {
        self.refused.take_if(|(_, since)| since.elapsed() >= REFUSED_FOR);
        if self.refused.is_none() {
            self.links.refresh(&self.rules);
            self.read_taps(into);
            let failed = self.open_taps();
            if self.refused.is_none() {
                return trouble(&failed, self.links.left_out);
            }
        }
        self.taps.clear();
        into.syns = None;
        let why = self.refused.as_ref().map(|(why, _)| why.clone()).unwrap_or_default();
        Err(SourceError::Degraded(why))
    }
}

impl Links {
    fn refresh(&mut self, rules: &InterfaceRules) {
        let begun = Instant::now();
        if self.due.is_some_and(|due| begun < due) {
            return;
        }
        let interfaces = pnet::datalink::interfaces();
        // None at all: the kernel did not answer. There is loopback at least.
        if !interfaces.is_empty() {
            *self = Links::of(interfaces, rules);
        }
        self.due = Some(begun + (begun.elapsed() * LISTING_SHARE).min(LISTING_AT_LEAST_EACH));
    }

    fn of(interfaces: Vec<NetworkInterface>, rules: &InterfaceRules) -> Self {
        let networks = interfaces.iter().flat_map(|interface| &interface.ips);
        let own = OwnAddresses::new(networks.map(IpNetwork::ip));
        let mut captured: Vec<_> = interfaces.into_iter().filter(|i| is_captured(i, rules)).collect();
        captured.sort_by_key(|interface| interface.index);
        // An address with a label is listed as an interface of that name, with the index of its own.
        let mut seen = HashSet::new();
        captured.retain(|interface| seen.insert(interface.index));
        let left_out = captured.len().saturating_sub(MAX_INTERFACES);
        captured.truncate(MAX_INTERFACES);
        Links { captured, left_out, own, due: None }
    }
}

/// Loopback always: what a proxy passes on arrives there. Others if they are measured and have an address of their own,
/// which a container's end on the host, the port of a bridge or a bond's part have not: their packets arrive elsewhere.
fn is_captured(interface: &NetworkInterface, rules: &InterfaceRules) -> bool {
    let asked_for = interface.is_loopback() || rules.names(&interface.name) && has_own_address(interface);
    interface.index != 0 && interface.is_up() && asked_for
}

/// Why no packet socket may be opened at all, if that is what the error says.
fn why_refused(error: &io::Error) -> Option<String> {
    let cure = match error.raw_os_error()? {
        libc::EPERM | libc::EACCES => "give the agent CAP_NET_RAW",
        libc::EAFNOSUPPORT => "allow it AF_PACKET (RestrictAddressFamilies= of its unit)",
        _ => return None,
    };
    Some(format!(
        "packets cannot be captured ({error}): floods are judged on kernel counters alone, and who sends them is not known; {cure}, or set syn_flood.capture = false"
    ))
}

fn trouble(failed: &[String], left_out: usize) -> Result<(), SourceError> {
    let mut troubles = Vec::new();
    if !failed.is_empty() {
        troubles.push(format!("SYNs are not captured at {}", failed.join("; ")));
    }
    if left_out > 0 {
        troubles.push(format!(
            "SYNs are captured at the first {MAX_INTERFACES} interfaces, {left_out} are left out; name those that matter in interfaces.include, or others in interfaces.exclude"
        ));
    }
    if troubles.is_empty() { Ok(()) } else { Err(SourceError::Degraded(troubles.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glob::Pattern;

    fn rules() -> InterfaceRules {
        InterfaceRules {
            include: vec![Pattern::new("*").unwrap()],
            exclude: vec![Pattern::new("tun*").unwrap()],
            loopback: false,
            container_veths: false,
        }
    }

    fn interface(name: &str, index: u32, flags: i32, addresses: &[&str]) -> NetworkInterface {
        NetworkInterface {
            name: name.into(),
            description: String::new(),
            index,
            mac: None,
            ips: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            flags: flags.cast_unsigned(),
        }
    }

    const UP: i32 = libc::IFF_UP;

    #[test]
    fn which_interfaces() {
        let links = Links::of(
            vec![
                interface("eth1", 9, UP, &["fd09::2/64"]),
                interface("lo", 1, UP | libc::IFF_LOOPBACK, &["127.0.0.1/8"]),
                interface("eth0", 2, UP, &["10.9.0.2/24", "fe80::1/64"]),
                interface("eth0:1", 2, UP, &["10.9.0.3/24"]),
                interface("down0", 3, 0, &["10.9.1.2/24"]),
                interface("port0", 4, UP, &[]),
                interface("veth0", 5, UP, &["fe80::2/64"]),
                interface("tun0", 6, UP, &["10.8.0.2/24"]),
                interface("gone0", 0, UP, &["10.9.2.2/24"]),
            ],
            &rules(),
        );
        let names: Vec<_> = links.captured.iter().map(|interface| interface.name.as_str()).collect();
        assert_eq!((names, links.left_out), (vec!["lo", "eth0", "eth1"], 0));
    }

    #[test]
    fn no_more_than_so_many() {
        let many = (1..20).rev().map(|n| interface(&format!("eth{n}"), n, UP, &["10.9.0.2/24"])).collect();
        let links = Links::of(many, &rules());
        assert_eq!((links.captured.len(), links.left_out, links.captured[0].index), (16, 3, 1));
        assert!(trouble(&[], links.left_out).unwrap_err().to_string().contains("3 are left out"));
    }

    #[test]
    fn refusals_name_their_cure() {
        let why = |code| why_refused(&io::Error::from_raw_os_error(code));
        assert!(why(libc::EPERM).unwrap().contains("CAP_NET_RAW"));
        assert!(why(libc::EAFNOSUPPORT).unwrap().contains("AF_PACKET"));
        assert_eq!(why(libc::ENODEV), None);
    }
}
