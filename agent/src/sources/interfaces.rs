//! Interface counters: all in one reading of `/proc/net/dev` with procfs. Which interfaces are measured is decided by
//! rule, from what pnet (live) or sysfs (another root) tells about them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;

use glob::Pattern;
use pnet::datalink::NetworkInterface;
use procfs::FromBufRead;
use procfs::net::InterfaceDeviceStatus;

use super::{Source, SourceError, read_text};
use crate::host::ethtool::Ethtool;
use crate::host::paths::Paths;
use crate::model::snapshot::{Interface, Snapshot};

/// Which interfaces are measured.
#[derive(Debug, Clone, PartialEq)]
pub struct InterfaceRules {
    /// Names to measure.
    pub include: Vec<Pattern>,
    /// Names not to measure, even if included.
    pub exclude: Vec<Pattern>,
    /// Whether loopback is measured.
    pub loopback: bool,
    /// Whether the host's ends of containers' virtual Ethernet pairs are measured.
    pub container_veths: bool,
}

impl InterfaceRules {
    fn measure(&self, name: &str, link: &Link) -> bool {
        (self.loopback || !link.loopback)
            && (self.container_veths || !link.container_veth)
            && self.names(name)
            && link.used
    }

    /// Whether interfaces of that name are to be measured.
    pub(super) fn names(&self, name: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        any(&self.include) && !any(&self.exclude)
    }
}

/// What the rules look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Link {
    index: Option<u32>,
    loopback: bool,
    /// The host's end of a pair whose other end is in a container: a veth without an address of its own (it is a
    /// port of a bridge, or routed to). A container's own end has one.
    container_veth: bool,
    /// Up, or has carried packets. Kernels make interfaces that nobody asked for, and each measured one costs.
    used: bool,
}

pub(super) struct InterfacesSource {
    paths: Paths,
    rules: InterfaceRules,
    links: BTreeMap<String, Link>,
    /// Whether a live interface is one end of a veth pair, by name and index.
    veths: HashMap<(String, u32), bool>,
}

impl InterfacesSource {
    pub(super) fn new(paths: &Paths, rules: InterfaceRules) -> Self {
        InterfacesSource { paths: paths.clone(), rules, links: BTreeMap::new(), veths: HashMap::new() }
    }

    /// Asked in each tick, right after the counters were read: an interface that took another's name meanwhile must
    /// not be given its counters.
    fn refresh_links(&mut self, interfaces: &[Interface]) {
        let links =
            if self.paths.is_live() { self.live_links() } else { sysfs_links(&self.paths, interfaces) };
        // None at all: the kernel did not answer. There is loopback at least.
        if !links.is_empty() {
            self.links = links;
        }
    }

    /// Links of this network namespace. Drivers tell a veth; without that, everything but loopback is measured.
    fn live_links(&mut self) -> BTreeMap<String, Link> {
        let interfaces = pnet::datalink::interfaces();
        let key = |interface: &NetworkInterface| (interface.name.clone(), interface.index);
        let there: HashSet<(String, u32)> = interfaces.iter().map(key).collect();
        self.veths.retain(|known, _| there.contains(known));
        let mut ethtool = None;
        let mut is_veth = |interface: &NetworkInterface| {
            *self.veths.entry(key(interface)).or_insert_with(|| {
                let ethtool = ethtool.get_or_insert_with(|| Ethtool::open().ok());
                let driver = ethtool.as_ref().and_then(|ethtool| ethtool.driver(&interface.name).ok());
                driver.is_some_and(|driver| driver.name() == "veth")
            })
        };
        let mut describe = |interface: NetworkInterface| {
            let link = Link {
                index: Some(interface.index),
                loopback: interface.is_loopback(),
                container_veth: !has_own_address(&interface) && is_veth(&interface),
                used: interface.is_up(),
            };
            (interface.name, link)
        };
        interfaces.into_iter().map(&mut describe).collect()
    }
}

impl Source for InterfacesSource {
    fn name(&self) -> &'static str {
        "interfaces"
    }

    fn read(&mut self, into: &mut Snapshot) -> Result<(), SourceError> {
        let path = self.paths.proc_net("dev");
        let (devices, damaged) = parse(&read_text(&path)?);
        self.refresh_links(&devices);
        let measured = devices.into_iter().filter_map(|mut device| {
            let mut link = self.links.get(&device.name).copied().unwrap_or_default();
            link.used |= device.packets_recv > 0 || device.packets_sent > 0;
            device.index = link.index;
            self.rules.measure(&device.name, &link).then_some(device)
        });
        into.interfaces = Some(measured.collect());
        match damaged {
            0 => Ok(()),
            lines => Err(SourceError::Degraded(format!(
                "{}: {lines} lines passed over as damaged",
                path.display()
            ))),
        }
    }
}

/// The interfaces of `/proc/net/dev` by name, and how many lines were damaged.
pub(super) fn parse(text: &str) -> (Vec<Interface>, usize) {
    let mut damaged = 0;
    let mut interfaces = Vec::new();
    // A line at a time (below the two of heading that the parser skips), so that a damaged one costs only itself.
    for line in text.lines().skip(2) {
        let Ok(InterfaceDeviceStatus(devices)) =
            InterfaceDeviceStatus::from_buf_read(format!("\n\n{line}").as_bytes())
        else {
            damaged += 1;
            continue;
        };
        interfaces.extend(devices.into_values().map(|device| Interface {
            index: None,
            name: device.name,
            bytes_recv: device.recv_bytes,
            bytes_sent: device.sent_bytes,
            packets_recv: device.recv_packets,
            packets_sent: device.sent_packets,
            err_in: device.recv_errs,
            err_out: device.sent_errs,
            drop_in: device.recv_drop,
            drop_out: device.sent_drop,
            allowances: None,
        }));
    }
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    (interfaces, damaged)
}

/// Whether it has an address of its own: not only one that every link has.
pub(super) fn has_own_address(interface: &NetworkInterface) -> bool {
    interface.ips.iter().any(|network| !is_link_local(network.ip()))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Links as the sysfs of another root shows them. It tells no addresses: there every veth counts as a container's.
fn sysfs_links(paths: &Paths, interfaces: &[Interface]) -> BTreeMap<String, Link> {
    const ARPHRD_LOOPBACK: u32 = 772; // include/uapi/linux/if_arp.h
    const IFF_UP: u32 = 1; // include/uapi/linux/if.h
    let number = |folder: &Path, file: &str| -> Option<u32> {
        read_text(&folder.join(file)).ok()?.trim().parse().ok()
    };
    let describe = |name: &String| {
        let folder = paths.sys_class_net().join(name);
        let index = number(&folder, "ifindex");
        // A veth's peer has another index; a VLAN's or tunnel's lower link too, but those name their kind.
        let has_kind = read_text(&folder.join("uevent")).is_ok_and(|text| text.contains("DEVTYPE="));
        let flags = read_text(&folder.join("flags")).ok().map_or(IFF_UP, |text| {
            u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or(IFF_UP)
        });
        let has_peer = number(&folder, "iflink").is_some_and(|peer| Some(peer) != index);
        let link = Link {
            index,
            loopback: number(&folder, "type") == Some(ARPHRD_LOOPBACK),
            container_veth: has_peer && !has_kind && !folder.join("device").exists(),
            used: flags & IFF_UP != 0,
        };
        (name.clone(), link)
    };
    let names = interfaces.iter().map(|interface| &interface.name);
    names.filter(|name| !name.contains('/') && name.as_str() != "..").map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADING: &str = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    #[test]
    fn one_damaged_line_costs_only_itself() {
        let text = format!(
            "{HEADING}  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth1: 1 2\n  eth2: 99999999999999999999999 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
        );
        let (interfaces, damaged) = parse(&text);
        assert_eq!((interfaces.len(), damaged), (2, 2));
        let eth0 = &interfaces[0];
        assert_eq!((eth0.bytes_recv, eth0.packets_recv, eth0.err_in, eth0.drop_in), (1, 2, 3, 4));
        assert_eq!((eth0.bytes_sent, eth0.packets_sent, eth0.err_out, eth0.drop_out), (9, 10, 11, 12));
    }

    #[test]
    fn rules() {
        let pattern = |text: &str| vec![Pattern::new(text).unwrap()];
        let rules = InterfaceRules {
            include: pattern("*"),
            exclude: pattern("tun*"),
            loopback: false,
            container_veths: false,
        };
        let plain = Link { used: true, ..Link::default() };
        assert!(rules.measure("eth0", &plain));
        assert!(!rules.measure("ifb0", &Link::default()));
        assert!(!rules.measure("tun7", &plain));
        assert!(!rules.measure("lo", &Link { loopback: true, ..plain }));
        assert!(!rules.measure("veth1", &Link { container_veth: true, ..plain }));
        let all = InterfaceRules { loopback: true, container_veths: true, ..rules };
        assert!(all.measure("lo", &Link { loopback: true, ..plain }));
        assert!(all.measure("veth1", &Link { container_veth: true, ..plain }));
    }

    proptest! {
        #[test]
        fn hostile_text_does_no_harm(text in "(?s).{0,300}", lines in "(\n *[a-z0-9:]{0,8}([0-9-]{0,25} ?){0,18}){0,8}") {
            parse(&text);
            parse(&format!("{HEADING}{lines}"));
        }
    }
}
