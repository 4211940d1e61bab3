//! Listening sockets, grouped by local address and port: accept queue and its limit, drops, half-open connections
//! and the systemd unit. Asking for LISTEN alone walks only the kernel's listening table, so this is read each second.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::sock_diag::{DiagSocket, LISTEN, SockDiag};
use super::{Source, SourceError};
use crate::host::cgroups::CgroupUnits;
use crate::host::paths::Paths;
use crate::model::snapshot::{HalfOpen, Listener, Snapshot, percent};

pub(super) struct ListenersSource {
    is_live: bool,
    sock_diag: SockDiag,
    units: CgroupUnits,
    drops: Drops,
}

impl ListenersSource {
    pub(super) fn new(paths: &Paths) -> Self {
        ListenersSource {
            is_live: paths.is_live(),
            sock_diag: SockDiag::default(),
            units: CgroupUnits::new(paths),
            drops: Drops::default(),
        }
    }

    fn by_sock_diag(&mut self, now_ms: u64) -> std::io::Result<Groups> {
        let mut sockets = Vec::new();
        self.sock_diag.walk(LISTEN, |socket| sockets.push(socket))?;
        self.drops.count(&sockets);
        let mut groups = Groups::default();
        for socket in &sockets {
            let group = groups.of(socket.address, socket.port);
            group.sockets += 1;
            group.accept_queue = group.accept_queue.saturating_add(socket.recv_queue);
            group.accept_limit = Some(group.accept_limit.unwrap_or(0).saturating_add(socket.send_queue));
            let utilization = percent(u64::from(socket.recv_queue), u64::from(socket.send_queue));
            group.accept_utilization = max(group.accept_utilization, utilization);
            if group.unit.is_none() {
                group.unit = socket.cgroup.and_then(|id| self.units.unit(id, now_ms));
            }
            if socket.drops.is_some() {
                group.drops = self.drops.totals.get(&(socket.address, socket.port)).copied();
            }
        }
        Ok(groups)
    }
}

impl Source for ListenersSource {
    fn name(&self) -> &'static str {
        "listeners"
    }

    fn read(&mut self, into: &mut Snapshot) -> Result<(), SourceError> {
        // Where the TCP table had to be read from files, it has shown the listeners too, and said so.
        let mut groups = match into.listeners.take() {
            Some(listeners) => Groups::from_listeners(listeners),
            None if self.is_live => {
                let walked = self.by_sock_diag(into.monotonic_ms);
                walked.map_err(|error| SourceError::Failed(format!("sock_diag: {error}")))?
            }
            None => return Err(SourceError::Failed("the TCP table could not be read".into())),
        };
        if let Some(tcp) = &into.tcp {
            groups.add_half_open(&tcp.half_open);
        }
        into.listeners = Some(groups.into_listeners());
        Ok(())
    }
}

/// Listeners by local address and port.
#[derive(Default)]
pub(super) struct Groups(BTreeMap<(IpAddr, u16), Listener>);

impl Groups {
    /// Counts a listening socket of `/proc/net/tcp`.
    pub(super) fn add_entry(&mut self, address: IpAddr, port: u16, accept_queue: u32) {
        let group = self.of(address, port);
        group.sockets += 1;
        group.accept_queue = group.accept_queue.saturating_add(accept_queue);
    }

    pub(super) fn into_listeners(self) -> Vec<Listener> {
        self.0.into_values().collect()
    }

    fn from_listeners(listeners: Vec<Listener>) -> Self {
        Groups(listeners.into_iter().map(|listener| ((listener.address, listener.port), listener)).collect())
    }

    fn of(&mut self, address: IpAddr, port: u16) -> &mut Listener {
        let none_yet = || Listener { sockets: 0, ..Listener::at(address, port) };
        self.0.entry((address, port)).or_insert_with(none_yet)
    }

    /// Gives each half-open connection to the listener that the kernel would pick: its own address, else the
    /// wildcard of its family, else `[::]`, which also takes IPv4.
    fn add_half_open(&mut self, rows: &[HalfOpen]) {
        const ANY4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        const ANY6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
        self.0.values_mut().for_each(|listener| listener.half_open = Some(0));
        for row in rows {
            let candidates: &[IpAddr] =
                if row.address.is_ipv4() { &[row.address, ANY4, ANY6] } else { &[row.address, ANY6] };
            let at = candidates.iter().find(|address| self.0.contains_key(&(**address, row.port)));
            if let Some(listener) = at.and_then(|address| self.0.get_mut(&(*address, row.port))) {
                listener.half_open = Some(listener.half_open.unwrap_or(0).saturating_add(row.count));
            }
        }
    }
}

fn max(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

/// Drops of each group, summed over its sockets' growth: workers that leave a group take nothing back, and the
/// kernel's 32 bits may wrap.
#[derive(Default)]
struct Drops {
    sockets: HashMap<u64, u32>,
    totals: HashMap<(IpAddr, u16), u64>,
}

impl Drops {
    fn count(&mut self, sockets: &[DiagSocket]) {
        let mut now = HashMap::with_capacity(sockets.len());
        let mut totals = HashMap::with_capacity(sockets.len());
        for socket in sockets {
            let drops = socket.drops.unwrap_or(0);
            let before = self.sockets.get(&socket.cookie).copied().unwrap_or(0);
            now.insert(socket.cookie, drops);
            let key = (socket.address, socket.port);
            let total = totals.entry(key).or_insert_with(|| self.totals.get(&key).copied().unwrap_or(0));
            *total += u64::from(drops.wrapping_sub(before));
        }
        self.sockets = now;
        self.totals = totals;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn half_open_goes_to_the_listener_the_kernel_would_pick() {
        let mut groups = Groups::default();
        for (at, port) in [("10.0.0.1", 80), ("0.0.0.0", 80), ("::", 80), ("::", 443), ("10.0.0.1", 22)] {
            groups.of(address(at), port);
        }
        let row = |at: &str, port, count| HalfOpen { address: address(at), port, count };
        groups.add_half_open(&[
            row("10.0.0.1", 80, 1),
            row("10.0.0.2", 80, 2),
            row("fd00::1", 80, 4),
            row("10.0.0.2", 443, 8),
            row("fd00::1", 443, 16),
            row("10.0.0.2", 22, 32), // its listener has just closed
        ]);
        let half_open = |at, port| groups.0[&(address(at), port)].half_open;
        assert_eq!(half_open("10.0.0.1", 80), Some(1));
        assert_eq!(half_open("0.0.0.0", 80), Some(2));
        assert_eq!(half_open("::", 80), Some(4));
        assert_eq!(half_open("::", 443), Some(24));
        assert_eq!(half_open("10.0.0.1", 22), Some(0));
    }

    #[test]
    fn drops_only_rise() {
        let socket = |cookie, drops| DiagSocket {
            state: 10,
            time_wait_bucket: false,
            address: address("::"),
            port: 80,
            retransmit_in: None,
            recv_queue: 0,
            send_queue: 128,
            cookie,
            cgroup: None,
            drops: Some(drops),
        };
        let mut drops = Drops::default();
        let mut total = |sockets: &[DiagSocket]| {
            drops.count(sockets);
            drops.totals.get(&(address("::"), 80)).copied()
        };
        assert_eq!(total(&[socket(1, 5), socket(2, 7)]), Some(12));
        assert_eq!(total(&[socket(1, 6), socket(2, 7)]), Some(13));
        assert_eq!(total(&[socket(1, 6)]), Some(13), "a worker left");
        assert_eq!(total(&[socket(1, 6), socket(3, 2)]), Some(15), "another came");
        assert_eq!(total(&[socket(1, u32::MAX), socket(3, 2)]), Some(15 + u64::from(u32::MAX) - 6));
        assert_eq!(
            total(&[socket(1, 0), socket(3, 2)]),
            Some(15 + u64::from(u32::MAX) - 5),
            "32 bits wrapped"
        );
        assert_eq!(total(&[]), None);
    }
}
