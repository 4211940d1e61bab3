//! What one tick saw. Also the line format of a recording (see [`crate::replay`]): change it only by adding
//! optional fields, or raise the recording's version.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::counters::KernelCounters;
use super::syns::{Handshakes, SynSecond};

/// One second of this host's network, as the sources found it. What a source could not read is absent, and
/// [`Snapshot::sources`] says why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Wall time when the tick began; stamps data, never measures durations.
    pub time: Timestamp,
    /// Milliseconds on the monotonic clock since the agent started: the only measure of time between snapshots.
    pub monotonic_ms: u64,
    /// Kernel counters, read each second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub counters: Option<KernelCounters>,
    /// Sockets by state, as of [`TcpTable::age_ms`] ago.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp: Option<TcpTable>,
    /// Listening sockets, grouped by local address and port.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listeners: Option<Vec<Listener>>,
    /// Measured interfaces.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interfaces: Option<Vec<Interface>>,
    /// Connection tracking, where the kernel has it loaded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub conntrack: Option<Conntrack>,
    /// SYNs by interface, where they can be captured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub syns: Option<Vec<SynSecond>>,
    /// Handshakes, where this snapshot was made from a packet capture.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub handshakes: Option<Handshakes>,
    /// What the agent itself costs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent: Option<AgentUsage>,
    /// How its delivery goes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivery: Option<DeliveryUsage>,
    /// How each source fared in this tick.
    pub sources: Vec<SourceReport>,
}

impl Snapshot {
    /// An empty snapshot of that moment, for sources to fill.
    pub fn at(time: Timestamp, monotonic_ms: u64) -> Self {
        Snapshot {
            time,
            monotonic_ms,
            counters: None,
            tcp: None,
            listeners: None,
            interfaces: None,
            conntrack: None,
            syns: None,
            handshakes: None,
            agent: None,
            delivery: None,
            sources: Vec::new(),
        }
    }
}

/// The TCP socket table of this namespace, IPv4 and IPv6 together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpTable {
    /// How old the values are: a walk over many sockets is not repeated each second.
    pub age_ms: u64,
    /// How they were counted.
    pub method: TcpTableMethod,
    /// Sockets by state.
    pub states: TcpStates,
    /// Of those in SYN_RECV, how many have waited for their client for longer than [`TcpTable::PATIENCE_MS`]; absent where
    /// only /proc/net/tcp can be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub half_open_stale: Option<u64>,
    /// Of these, how many have waited for less than a second, so that their SYN-ACK was not sent again yet: those that came in
    /// half a second, and nobody answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub half_open_newly_stale: Option<u64>,
    /// SYN_RECV by local address and port, most first; at most [`TcpTable::MAX_HALF_OPEN`] rows, the rest only
    /// in the states.
    pub half_open: Vec<HalfOpen>,
}

impl TcpTable {
    /// Bound on the rows of [`TcpTable::half_open`]. Only this host's own addresses and listening ports can make
    /// rows, but a routed IPv6 prefix can be one host's own.
    pub const MAX_HALF_OPEN: usize = 1024;

    /// What a client may take to complete a handshake: more than any ordinary round trip.
    pub const PATIENCE_MS: u64 = 500;
}

/// How a [`TcpTable`] was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpTableMethod {
    /// One `sock_diag` walk over every state but ESTABLISHED and TIME_WAIT; those two by complement from the
    /// kernel's own totals.
    SockDiagComplement,
    /// `sock_diag` walk over every state, where the totals are missing.
    SockDiagFull,
    /// `/proc/net/tcp` and `tcp6`, where the kernel has no `inet_diag`.
    Procfs,
}

/// Number of sockets in each of TCP's eleven states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are TCP's own state names, RFC 9293 section 3.3.2")]
pub struct TcpStates {
    pub established: u64,
    pub syn_sent: u64,
    pub syn_recv: u64,
    pub fin_wait1: u64,
    pub fin_wait2: u64,
    pub time_wait: u64,
    pub close: u64,
    pub close_wait: u64,
    pub last_ack: u64,
    pub listen: u64,
    pub closing: u64,
}

impl TcpStates {
    /// The counter of a state by its number in the kernel's `include/net/tcp_states.h`; `None` for others.
    pub fn by_number(&mut self, state: u8) -> Option<&mut u64> {
        Some(match state {
            1 => &mut self.established,
            2 => &mut self.syn_sent,
            3 | 12 => &mut self.syn_recv, // 12: TCP_NEW_SYN_RECV, the kernel's own name for a request socket
            4 => &mut self.fin_wait1,
            5 => &mut self.fin_wait2,
            6 => &mut self.time_wait,
            7 => &mut self.close,
            8 => &mut self.close_wait,
            9 => &mut self.last_ack,
            10 => &mut self.listen,
            11 => &mut self.closing,
            _ => return None,
        })
    }
}

/// Half-open connections at one local address and port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfOpen {
    /// Local address; a v4-mapped one as IPv4.
    pub address: IpAddr,
    /// Local port.
    pub port: u16,
    /// Sockets in SYN_RECV.
    pub count: u32,
}

/// The listening sockets of one local address and port: one, or a `SO_REUSEPORT` group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Local address; `0.0.0.0` or `::` for all.
    pub address: IpAddr,
    /// Local port.
    pub port: u16,
    /// The systemd unit (or other leaf of the cgroup tree) whose process opened the socket, where the kernel tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<String>,
    /// Sockets in the group.
    pub sockets: u32,
    /// Connections that wait for `accept()`, summed over the group.
    pub accept_queue: u32,
    /// The most that may wait, min(`listen()` backlog, `net.core.somaxconn`), summed; absent where only
    /// /proc/net/tcp can be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accept_limit: Option<u32>,
    /// Per cent of the limit in use at the fullest socket of the group.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accept_utilization: Option<f64>,
    /// Half-open connections, with the age of [`Snapshot::tcp`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub half_open: Option<u32>,
    /// Connections and handshakes that this listener dropped, a counter: those of the sockets that the agent has seen,
    /// since they were opened.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub drops: Option<u64>,
}

impl Listener {
    /// One socket in LISTEN of which nothing more is known.
    pub fn at(address: IpAddr, port: u16) -> Self {
        Listener {
            address,
            port,
            unit: None,
            sockets: 1,
            accept_queue: 0,
            accept_limit: None,
            accept_utilization: None,
            half_open: None,
            drops: None,
        }
    }

    /// Half-open connections in per cent of what the SYN queue holds (the same limit as the accept queue's:
    /// `inet_csk_reqsk_queue_is_full` in the kernel's `include/net/inet_connection_sock.h`).
    pub fn syn_utilization(&self) -> Option<f64> {
        percent(u64::from(self.half_open?), u64::from(self.accept_limit?))
    }
}

/// `part` in per cent of `whole`; `None` where there is no whole.
#[expect(clippy::cast_precision_loss, reason = "queue lengths and table sizes are far below 2^52")]
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// One interface's cumulative counters, from `/proc/net/dev`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The kernel's number for it, which a rename does not change and a replacement does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub index: Option<u32>,
    /// Its name now.
    pub name: String,
    /// Bytes received.
    pub bytes_recv: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Packets received.
    pub packets_recv: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Damaged packets received.
    pub err_in: u64,
    /// Packets that failed to be sent.
    pub err_out: u64,
    /// Packets dropped on receipt.
    pub drop_in: u64,
    /// Packets dropped before sending.
    pub drop_out: u64,
    /// ENA allowance counters, on EC2 interfaces whose driver has them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub allowances: Option<EnaAllowances>,
}

/// What the ENA driver tells of the instance's network allowances
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-network-performance-ena.html>): cumulative,
/// but for `conntrack_available`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnaAllowances {
    /// Packets queued or dropped because inbound bandwidth exceeded the maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bw_in_exceeded: Option<u64>,
    /// Packets queued or dropped because outbound bandwidth exceeded the maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bw_out_exceeded: Option<u64>,
    /// Packets queued or dropped because their rate exceeded the maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pps_exceeded: Option<u64>,
    /// Packets dropped because the instance tracks as many connections as it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conntrack_exceeded: Option<u64>,
    /// Packets dropped to local services (DNS, metadata, time) because their rate exceeded the maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linklocal_exceeded: Option<u64>,
    /// Gauge: connections that may still be tracked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conntrack_available: Option<u64>,
}

impl EnaAllowances {
    /// Packets above any allowance: the sum of those counters that the driver has, `None` if it has none.
    pub fn exceeded(&self) -> Option<u64> {
        let EnaAllowances { bw_in_exceeded, bw_out_exceeded, pps_exceeded, conntrack_exceeded, .. } = self;
        let counters =
            [bw_in_exceeded, bw_out_exceeded, pps_exceeded, conntrack_exceeded, &self.linklocal_exceeded];
        counters.into_iter().flatten().copied().reduce(u64::saturating_add)
    }
}

/// Use of the connection tracking table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conntrack {
    /// Tracked connections.
    pub entries: u64,
    /// The most that the table takes.
    pub limit: u64,
}

/// How the agent's delivery goes; counts are since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveryUsage {
    /// Records that CloudWatch took.
    pub sent: u64,
    /// Records that CloudWatch refused as invalid.
    pub rejected: u64,
    /// Records that were too old for CloudWatch, or too far ahead of time.
    pub expired: u64,
    /// Records that were lost here: the state file was full or damaged, or too many waited for the identity.
    pub crowded_out: u64,
    /// Requests that failed and are repeated.
    pub failures: u64,
    /// Sends that were written and not answered.
    pub ambiguous: u64,
    /// Length of the state file.
    pub state_file_bytes: u64,
    /// Age of the oldest record in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_seconds: Option<u64>,
    /// How long CloudWatch took to take metrics, last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_latency_ms: Option<u64>,
    /// What CloudWatch's clock is ahead of this host's, as far as it is corrected.
    pub clock_offset_ms: i64,
    /// Times that lines of a log may have been lost before they could be read.
    #[serde(default)]
    pub log_gaps: u64,
}

/// What the agent itself costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentUsage {
    /// CPU time since its start, milliseconds: a counter.
    pub cpu_ms: u64,
    /// Resident memory, bytes.
    pub memory_bytes: u64,
}

/// How one source fared in one tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// The source's name.
    pub name: String,
    /// What it took, microseconds of wall time.
    pub took_us: u64,
    /// How it ended.
    pub outcome: SourceOutcome,
    /// Why, and what to do, where the outcome is not `ok`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

/// How a source's reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceOutcome {
    /// Everything was read.
    Ok,
    /// This host does not have the thing: not a failure.
    Absent,
    /// Read by a second-best way, or only in part.
    Degraded,
    /// Nothing could be read.
    Failed,
}
