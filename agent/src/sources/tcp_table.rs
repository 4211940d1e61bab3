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
use std::net::IpAddr;

use super::proc_tcp::each_socket;
use super::sock_diag::{ALL_BUT_ESTABLISHED_AND_TIME_WAIT, ALL_STATES, SockDiag};
use super::walk_budget::WalkBudget;
use super::{Source, SourceError};
use crate::host::clock::thread_cpu_time;
use crate::host::paths::Paths;
use crate::model::snapshot::{HalfOpen, Snapshot, TcpStates, TcpTable, TcpTableMethod};

const SYN_RECV: u8 = 3;

pub(super) struct TcpTableSource {
    paths: Paths,
    sock_diag: SockDiag,
    budget: WalkBudget,
    last: Option<Walk>,
}

/// What the last walk saw, and why it was not the best kind.
struct Walk {
    at_ms: u64,
    table: TcpTable,
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
        let at_ms = snapshot.monotonic_ms;
        if !self.paths.is_live() {
            return Ok(Walk { at_ms, table: self.by_procfs()?, degraded: None });
        }
        match self.by_sock_diag(snapshot) {
            Ok(table) => Ok(Walk { at_ms, table, degraded: None }),
            Err(error) => {
                let table = self.by_procfs()?;
                let degraded = Some(format!(
                    "sock_diag: {error}; reading /proc/net/tcp instead, which costs more and shows no accept-queue \
                     limits, drops or units; load the module tcp_diag"
                ));
                Ok(Walk { at_ms, table, degraded })
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

    fn by_procfs(&self) -> Result<TcpTable, SourceError> {
        let mut seen = Seen::default();
        each_socket(&self.paths, |entry| {
            let local = entry.local_address;
            seen.add(entry.state.to_u8(), local.ip().to_canonical(), local.port());
        })?;
        Ok(seen.table(TcpTableMethod::Procfs))
    }
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
}

impl Seen {
    fn add(&mut self, state: u8, address: IpAddr, port: u16) {
        if let Some(count) = self.states.by_number(state) {
            *count += 1;
        }
        if state == SYN_RECV {
            let key = (address, port);
            if self.half_open.len() < TcpTable::MAX_HALF_OPEN || self.half_open.contains_key(&key) {
                *self.half_open.entry(key).or_default() += 1;
            }
        }
    }

    fn table(self, method: TcpTableMethod) -> TcpTable {
        let row = |((address, port), count)| HalfOpen { address, port, count };
        let mut half_open: Vec<HalfOpen> = self.half_open.into_iter().map(row).collect();
        half_open.sort_by_key(|row| (std::cmp::Reverse(row.count), row.address, row.port));
        TcpTable { age_ms: 0, method, states: self.states, half_open }
    }
}
