//! The TCP table: sockets by state, IPv4 and IPv6 together, and half-open connections by local address and port.
//!
//! Counted *by complement*: one walk shows every state but ESTABLISHED and TIME_WAIT, of which there may be a million;
//! those two are the kernel's own totals less what the walk saw.
//! - `CurrEstab` of `/proc/net/snmp` is ESTABLISHED and CLOSE_WAIT (`tcp_set_state` in `net/ipv4/tcp.c`).
//! - `tw` of `/proc/net/sockstat` is the small time-wait sockets: TIME_WAIT, and FIN_WAIT2 that no process holds
//!   (`tcp_time_wait` in `net/ipv4/tcp_minisocks.c`), which the walk shows with the time-wait timer.
//!
//! Counted *by budget*: see [`super::walk_budget`]. Between walks the last counts stand, with their age.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use super::listeners::Groups;
use super::proc_tcp::each_socket;
use super::sock_diag::{ALL_BUT_ESTABLISHED_AND_TIME_WAIT, ALL_STATES, SockDiag};
use super::walk_budget::WalkBudget;
use super::{Source, SourceError};
use crate::host::clock::thread_cpu_time;
use crate::host::paths::Paths;
use crate::model::snapshot::{HalfOpen, Listener, Snapshot, TcpStates, TcpTable, TcpTableMethod};

const SYN_RECV: u8 = 3;
const LISTEN: u8 = 10;
/// Local addresses and ports at which half-open connections are counted; the fullest are kept.
const MAX_COUNTED: usize = 16 * TcpTable::MAX_HALF_OPEN;

pub(super) struct TcpTableSource {
    paths: Paths,
    sock_diag: SockDiag,
    budget: WalkBudget,
    last: Option<Walk>,
}

/// What the last walk saw, and what was wrong with it.
struct Walk {
    at_ms: u64,
    table: TcpTable,
    /// Where files were read, which have no index of listeners: those too.
    listeners: Option<Vec<Listener>>,
    degraded: Option<String>,
}

impl TcpTableSource {
    pub(super) fn new(paths: &Paths) -> Self {
        TcpTableSource {
            paths: paths.clone(),
            sock_diag: SockDiag::default(),
            budget: WalkBudget::default(),
            last: None,
        }
    }

    fn walk(&mut self, snapshot: &Snapshot) -> Result<Walk, SourceError> {
        if !self.paths.is_live() {
            return self.by_procfs(snapshot, None);
        }
        match self.by_sock_diag(snapshot) {
            Ok(table) => Ok(Walk { at_ms: snapshot.monotonic_ms, table, listeners: None, degraded: None }),
            // Files cost seconds where there are a million sockets: not for what will have passed at the next tick.
            Err(error) if is_passing(&error) => Err(SourceError::Failed(format!("sock_diag: {error}"))),
            Err(error) => {
                let cure =
                    if error.kind() == ErrorKind::NotFound { "; load the module tcp_diag" } else { "" };
                let why = format!(
                    "sock_diag: {error}; reading /proc/net/tcp instead, which costs more and shows no accept-queue \
                     limits, drops or units{cure}"
                );
                self.by_procfs(snapshot, Some(why))
            }
        }
    }

    fn by_sock_diag(&mut self, snapshot: &Snapshot) -> std::io::Result<TcpTable> {
        // Totals of this very tick, read microseconds before the walk.
        let totals =
            snapshot.counters.as_ref().and_then(|c| Some((c.tcp_curr_estab?, c.tcp_time_wait_buckets?)));
        let mask = if totals.is_some() { ALL_BUT_ESTABLISHED_AND_TIME_WAIT } else { ALL_STATES };
        let mut seen = Seen::default();
        let mut buckets = 0;
        self.sock_diag.walk(mask, |socket| {
            seen.add(socket.state, socket.address, socket.port);
            if socket.state == SYN_RECV {
                seen.wait(socket.retransmit_in);
            }
            buckets += u64::from(socket.time_wait_bucket);
        })?;
        let Some((established_and_close_wait, time_wait_buckets)) = totals else {
            return Ok(seen.table(TcpTableMethod::SockDiagFull));
        };
        // Sockets come and go between the two readings: never below zero.
        seen.states.established = established_and_close_wait.saturating_sub(seen.states.close_wait);
        seen.states.time_wait = time_wait_buckets.saturating_sub(buckets);
        Ok(seen.table(TcpTableMethod::SockDiagComplement))
    }

    fn by_procfs(&self, snapshot: &Snapshot, why: Option<String>) -> Result<Walk, SourceError> {
        let mut seen = Seen::default();
        let mut listeners = Groups::default();
        let damaged = each_socket(&self.paths, |entry| {
            let (address, port) = (entry.local_address.ip().to_canonical(), entry.local_address.port());
            seen.add(entry.state.to_u8(), address, port);
            if entry.state.to_u8() == LISTEN {
                listeners.add_entry(address, port, entry.rx_queue);
            }
        })?;
        let damaged = (damaged > 0).then(|| format!("{damaged} damaged lines in /proc/net/tcp or tcp6"));
        let degraded: Vec<String> = why.into_iter().chain(damaged).collect();
        Ok(Walk {
            at_ms: snapshot.monotonic_ms,
            table: seen.table(TcpTableMethod::Procfs),
            listeners: Some(listeners.into_listeners()),
            degraded: (!degraded.is_empty()).then(|| degraded.join("; ")),
        })
    }
}

/// Whether an error of netlink is likely gone at the next tick.
fn is_passing(error: &std::io::Error) -> bool {
    let out_of_buffers = [libc::ENOBUFS, libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN];
    error.kind() == ErrorKind::InvalidData
        || error.raw_os_error().is_some_and(|number| out_of_buffers.contains(&number))
}

impl Source for TcpTableSource {
    fn name(&self) -> &'static str {
        "tcp_table"
    }

    fn read(&mut self, into: &mut Snapshot) -> Result<(), SourceError> {
        let now = into.monotonic_ms;
        if self.budget.allows(into.counters.as_ref(), now) || self.last.is_none() {
            let before = thread_cpu_time();
            let walk = self.walk(into);
            self.budget.spent(now, thread_cpu_time().saturating_sub(before));
            self.last = None; // a failure must not be hidden by older counts
            self.last = Some(walk?);
        }
        if let Some(last) = &self.last {
            into.listeners.clone_from(&last.listeners);
            into.tcp = Some(TcpTable { age_ms: now.saturating_sub(last.at_ms), ..last.table.clone() });
            if let Some(why) = &last.degraded {
                return Err(SourceError::Degraded(why.clone()));
            }
        }
        Ok(())
    }
}

/// What a walk has seen so far.
#[derive(Default)]
struct Seen {
    states: TcpStates,
    half_open: HashMap<(IpAddr, u16), u32>,
    stale: u64,
    newly_stale: u64,
}

impl Seen {
    fn add(&mut self, state: u8, address: IpAddr, port: u16) {
        if let Some(count) = self.states.by_number(state) {
            *count += 1;
        }
        if state == SYN_RECV {
            let key = (address, port);
            if self.half_open.len() < MAX_COUNTED || self.half_open.contains_key(&key) {
                *self.half_open.entry(key).or_default() += 1;
            }
        }
    }

    /// A half-open connection. Its SYN-ACK is sent again after `TCP_TIMEOUT_INIT`, a second (`reqsk_queue_hash_req` in
    /// `net/ipv4/inet_connection_sock.c`, shown by `inet_req_diag_fill` in `net/ipv4/inet_diag.c`).
    fn wait(&mut self, retransmit_in: Option<Duration>) {
        let has_waited = |left: Duration| left <= Duration::from_millis(1000 - TcpTable::PATIENCE_MS);
        self.stale += u64::from(retransmit_in.is_none_or(has_waited));
        self.newly_stale += u64::from(retransmit_in.is_some_and(has_waited));
    }

    fn table(self, method: TcpTableMethod) -> TcpTable {
        let row = |((address, port), count)| HalfOpen { address, port, count };
        let mut half_open: Vec<HalfOpen> = self.half_open.into_iter().map(row).collect();
        half_open.sort_by_key(|row| (std::cmp::Reverse(row.count), row.address, row.port));
        half_open.truncate(TcpTable::MAX_HALF_OPEN);
        let by_age = |count| (method != TcpTableMethod::Procfs).then_some(count);
        TcpTable {
            age_ms: 0,
            method,
            states: self.states,
            half_open_stale: by_age(self.stale),
            half_open_newly_stale: by_age(self.newly_stale),
            half_open,
        }
    }
}
