//! Every metric, once: name, unit, dimensions, meaning, set, and how it is read off a snapshot.
//!
//! Rollup, rendering, the terminal's table and the README's are all made from [`CATALOG`]. A new metric is one row.
//! Names are the CloudWatch agent's where it has the same measurement
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/metrics-collected-by-CloudWatch-agent.html>).

use super::counters::KernelCounters;
use super::snapshot::{DeliveryUsage, Interface, Listener, Snapshot, SourceOutcome, TcpStates, percent};
use super::web_log::Requests;

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name in CloudWatch.
    pub name: &'static str,
    /// Unit in CloudWatch.
    pub unit: Unit,
    /// Smallest set that sends it.
    pub set: Set,
    /// Left out while it is zero (see [`crate::pipeline::sparse`]).
    pub sparse: bool,
    /// Where a reader looks for it.
    pub group: Group,
    /// What it says.
    pub meaning: &'static str,
    /// How it is read; also tells gauge from counter, and whether it has the dimension `interface`.
    pub reading: Reading,
}

/// CloudWatch's `StandardUnit`
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>), as far as used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "CloudWatch's own names")]
pub enum Unit {
    Bytes,
    Count,
    Milliseconds,
    Percent,
    Seconds,
}

impl Unit {
    /// The unit's name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Bytes => "Bytes",
            Unit::Count => "Count",
            Unit::Milliseconds => "Milliseconds",
            Unit::Percent => "Percent",
            Unit::Seconds => "Seconds",
        }
    }
}

/// How much is sent as metrics; each set holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// What alarms need; always sent.
    Essential,
    /// The default.
    Standard,
    /// Everything.
    Full,
}

impl Set {
    /// All sets, smallest first.
    pub const ALL: [Set; 3] = [Set::Essential, Set::Standard, Set::Full];

    /// The set's name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Set::Essential => "essential",
            Set::Standard => "standard",
            Set::Full => "full",
        }
    }
}

/// The parts of the terminal's table, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "headings")]
pub enum Group {
    Findings,
    TcpStates,
    Listeners,
    Interfaces,
    Web,
    Pressure,
    Agent,
}

/// How a metric is read off a snapshot.
#[derive(Debug, Clone, Copy)]
pub enum Reading {
    /// The value of this second.
    Gauge(fn(&Snapshot) -> Option<f64>),
    /// A cumulative kernel counter; what is published is its growth.
    Counter(fn(&KernelCounters) -> Option<u64>),
    /// The growths of IPv4's and IPv6's counter together; where one family is absent, the other's.
    BothFamilies([fn(&KernelCounters) -> Option<u64>; 2]),
    /// What a detector measures, or whether it sees what it looks for, under the metric's own name.
    Detector,
    /// What logs told since the snapshot before, under the metric's own name. It is of the interval of that snapshot: how
    /// far logs were read is stored with the interval, and has to be how far they were counted.
    Told,
    /// The same of one access log.
    LogTold(fn(&Requests) -> u64),
    /// How long the requests of one access log took.
    LogLatency,
    /// A cumulative counter of the agent's own.
    AgentCounter(fn(&Snapshot) -> Option<u64>),
    /// The value of this second at one interface.
    InterfaceGauge(fn(&Interface) -> Option<f64>),
    /// A cumulative counter of one interface.
    InterfaceCounter(fn(&Interface) -> Option<u64>),
}

impl Reading {
    /// Whether the metric carries the dimension `interface`.
    pub fn per_interface(self) -> bool {
        matches!(self, Reading::InterfaceGauge(_) | Reading::InterfaceCounter(_))
    }

    /// Whether the metric carries the dimension `log`.
    pub fn per_log(self) -> bool {
        matches!(self, Reading::LogTold(_) | Reading::LogLatency)
    }

    /// The dimension that it has besides those of the host.
    pub fn dimension(self) -> Option<&'static str> {
        match () {
            () if self.per_interface() => Some("interface"),
            () if self.per_log() => Some("log"),
            () => None,
        }
    }

    /// Whether the published values are growth per second rather than levels.
    pub fn is_counter(self) -> bool {
        !matches!(
            self,
            Reading::Gauge(_) | Reading::InterfaceGauge(_) | Reading::Detector | Reading::LogLatency
        )
    }
}

/// The metric of that name.
pub fn find(name: &str) -> Option<&'static Metric> {
    CATALOG.iter().find(|metric| metric.name == name)
}

const fn row(
    group: Group,
    set: Set,
    name: &'static str,
    unit: Unit,
    reading: Reading,
    meaning: &'static str,
) -> Metric {
    Metric { name, unit, set, sparse: false, group, meaning, reading }
}

impl Metric {
    const fn sparse(mut self) -> Self {
        self.sparse = true;
        self
    }
}

use Group::{Agent, Findings, Interfaces, Listeners, Pressure, TcpStates as States, Web};
use Reading::{
    AgentCounter, BothFamilies, Counter, Detector, Gauge, InterfaceCounter, InterfaceGauge, LogLatency,
    LogTold, Told,
};
use Set::{Essential, Full, Standard};
use Unit::{Bytes, Count, Milliseconds, Percent, Seconds};

/// Every metric, by group.
#[rustfmt::skip] // a table
pub const CATALOG: &[Metric] = &[
    row(Findings, Essential, "syn_flood_active", Count, Detector, "1 while a SYN flood is on, else 0").sparse(),
    row(Findings, Standard, "syn_unanswered", Count, Detector, "handshakes per second that were begun and will not be completed, as far as kernel counters tell; 0 while no more than usual here").sparse(),
    row(Findings, Full, "syn_received", Count, Detector, "SYNs per second to this host's own addresses, where they are captured"),
    row(Findings, Full, "syn_sources", Count, Detector, "estimate of how many different sources the captured SYNs came from: IPv4 addresses, and /64 prefixes of IPv6").sparse(),
    row(Findings, Standard, "port_scan_active", Count, Detector, "1 while a source tries one port after the other, else 0").sparse(),
    row(Findings, Full, "slow_accept_active", Count, Detector, "1 while a program accepts connections more slowly than clients come, else 0").sparse(),
    row(Findings, Full, "flash_crowd_active", Count, Detector, "1 while far more clients than usual come and are served, else 0").sparse(),
    row(Findings, Full, "backscatter_active", Count, Detector, "1 while answers come to SYNs that others sent in this host's name, else 0").sparse(),
    row(Findings, Full, "ack_noise_active", Count, Detector, "1 while segments come in numbers that belong to no connection, else 0").sparse(),
    row(Findings, Essential, "login_failures", Count, Told, "attempts to log in that failed, each counted once though several lines tell of it").sparse(),
    row(Findings, Essential, "login_brute_force_active", Count, Detector, "1 while somebody guesses passwords: quickly, slowly, on many users or from many addresses; else 0").sparse(),
    row(Findings, Essential, "login_success_after_failures", Count, Detector, "1 while a login that succeeded after guessing is less than half an hour old, else 0").sparse(),
    row(Findings, Full, "login_successes", Count, Told, "attempts to log in that succeeded").sparse(),
    row(Findings, Full, "login_failure_sources", Count, Detector, "different addresses whose attempts to log in failed within ten minutes").sparse(),
    row(Findings, Full, "login_events_suspect", Count, Told, "log lines that tell of a failed login from an address without a connection to this host: somebody here may have written them").sparse(),
    row(Findings, Full, "not_reaching_tcp_active", Count, Detector, "1 while SYNs arrive in numbers and do not reach this host's TCP, else 0").sparse(),

    row(States, Essential, "netstat_tcp_established", Count, Gauge(|s| state(s, |t| t.established)), "connections in ESTABLISHED; its sample count is the agent's heartbeat"),
    row(States, Essential, "netstat_tcp_syn_recv", Count, Gauge(|s| state(s, |t| t.syn_recv)), "half-open connections: SYN received, handshake not completed"),
    row(States, Full, "netstat_tcp_syn_sent", Count, Gauge(|s| state(s, |t| t.syn_sent)), "connections this host began that nobody has answered yet"),
    row(States, Standard, "netstat_tcp_time_wait", Count, Gauge(|s| state(s, |t| t.time_wait)), "closed connections held back for late segments"),
    row(States, Standard, "netstat_tcp_close_wait", Count, Gauge(|s| state(s, |t| t.close_wait)), "connections the peer has closed and the local program has not: growth is a leak"),
    row(States, Full, "netstat_tcp_fin_wait1", Count, Gauge(|s| state(s, |t| t.fin_wait1)), "connections closed here, FIN not yet acknowledged"),
    row(States, Full, "netstat_tcp_fin_wait2", Count, Gauge(|s| state(s, |t| t.fin_wait2)), "connections closed here that the peer has not closed"),
    row(States, Full, "netstat_tcp_last_ack", Count, Gauge(|s| state(s, |t| t.last_ack)), "connections closed on both sides, last FIN not yet acknowledged"),
    row(States, Full, "netstat_tcp_closing", Count, Gauge(|s| state(s, |t| t.closing)), "connections closed on both sides at once"),
    row(States, Full, "netstat_tcp_close", Count, Gauge(|s| state(s, |t| t.close)), "sockets in CLOSE"),
    row(States, Full, "netstat_tcp_listen", Count, Gauge(|s| state(s, |t| t.listen)), "listening sockets"),

    row(Listeners, Essential, "tcp_syn_queue_utilization", Percent, Gauge(|s| worst(s, Listener::syn_utilization)), "half-open connections in per cent of the backlog, at the fullest listener; above 100 the kernel sends SYN cookies or drops"),
    row(Listeners, Essential, "tcp_accept_queue_utilization", Percent, Gauge(|s| worst(s, |l| l.accept_utilization)), "connections waiting for accept() in per cent of the backlog, at the fullest listening socket; from 100 up it is full"),

    row(Interfaces, Essential, "net_bytes_recv", Bytes, InterfaceCounter(|i| Some(i.bytes_recv)), "bytes received"),
    row(Interfaces, Essential, "net_bytes_sent", Bytes, InterfaceCounter(|i| Some(i.bytes_sent)), "bytes sent"),
    row(Interfaces, Full, "net_packets_recv", Count, InterfaceCounter(|i| Some(i.packets_recv)), "packets received"),
    row(Interfaces, Full, "net_packets_sent", Count, InterfaceCounter(|i| Some(i.packets_sent)), "packets sent"),
    row(Interfaces, Standard, "net_drop_in", Count, InterfaceCounter(|i| Some(i.drop_in)), "packets dropped on receipt").sparse(),
    row(Interfaces, Full, "net_drop_out", Count, InterfaceCounter(|i| Some(i.drop_out)), "packets dropped before sending").sparse(),
    row(Interfaces, Standard, "net_err_in", Count, InterfaceCounter(|i| Some(i.err_in)), "damaged packets received").sparse(),
    row(Interfaces, Full, "net_err_out", Count, InterfaceCounter(|i| Some(i.err_out)), "packets that failed to be sent").sparse(),
    row(Interfaces, Standard, "ethtool_allowance_exceeded", Count, InterfaceCounter(|i| i.allowances.as_ref()?.exceeded()), "packets queued or dropped above any of the instance's allowances: the sum of the next five").sparse(),
    row(Interfaces, Standard, "ethtool_bw_in_allowance_exceeded", Count, InterfaceCounter(|i| i.allowances.as_ref()?.bw_in_exceeded), "packets queued or dropped: inbound bandwidth above the instance's allowance").sparse(),
    row(Interfaces, Standard, "ethtool_bw_out_allowance_exceeded", Count, InterfaceCounter(|i| i.allowances.as_ref()?.bw_out_exceeded), "packets queued or dropped: outbound bandwidth above the instance's allowance").sparse(),
    row(Interfaces, Standard, "ethtool_pps_allowance_exceeded", Count, InterfaceCounter(|i| i.allowances.as_ref()?.pps_exceeded), "packets queued or dropped: packet rate above the instance's allowance").sparse(),
    row(Interfaces, Standard, "ethtool_conntrack_allowance_exceeded", Count, InterfaceCounter(|i| i.allowances.as_ref()?.conntrack_exceeded), "packets dropped: the instance tracks as many connections as it may").sparse(),
    row(Interfaces, Standard, "ethtool_linklocal_allowance_exceeded", Count, InterfaceCounter(|i| i.allowances.as_ref()?.linklocal_exceeded), "packets to DNS, metadata and time services dropped: rate above the allowance").sparse(),
    row(Interfaces, Full, "ethtool_conntrack_allowance_available", Count, InterfaceGauge(|i| float(i.allowances.as_ref()?.conntrack_available)), "connections the instance may still track"),

    row(Web, Standard, "http_requests", Count, LogTold(|r| r.requests), "requests of an access log"),
    row(Web, Standard, "http_4xx", Count, LogTold(|r| r.client_errors), "requests answered with 400 to 499"),
    row(Web, Standard, "http_5xx", Count, LogTold(|r| r.server_errors), "requests answered with 500 to 599").sparse(),
    row(Web, Standard, "http_unauthorized", Count, LogTold(|r| r.unauthorized), "requests answered with 401 or 403").sparse(),
    row(Web, Standard, "http_request_latency", Milliseconds, LogLatency, "time that requests took, of those whose lines tell it beyond doubt; each to 1.6 %"),

    row(Pressure, Standard, "tcp_passive_opens", Count, Counter(|c| c.tcp_passive_opens), "connections accepted"),
    row(Pressure, Standard, "tcp_active_opens", Count, Counter(|c| c.tcp_active_opens), "connections begun by this host"),
    row(Pressure, Standard, "tcp_retransmits", Count, Counter(|c| c.tcp_retrans_segs), "segments sent again: loss on the path"),
    row(Pressure, Standard, "tcp_attempt_fails", Count, Counter(|c| c.tcp_attempt_fails), "handshakes that failed, in either direction").sparse(),
    row(Pressure, Standard, "tcp_listen_drops", Count, Counter(|c| c.listen_drops), "SYNs and final ACKs that listeners dropped: clients were refused or had to retry").sparse(),
    row(Pressure, Standard, "tcp_listen_overflows", Count, Counter(|c| c.listen_overflows), "SYNs and final ACKs that met a full accept queue: the program accepts too slowly").sparse(),
    row(Pressure, Standard, "tcp_syncookies_sent", Count, Counter(|c| c.syncookies_sent), "SYN cookies sent: a SYN queue was full").sparse(),
    row(Pressure, Full, "tcp_syncookies_recv", Count, Counter(|c| c.syncookies_recv), "valid SYN cookies that came back: real clients among the SYNs").sparse(),
    row(Pressure, Full, "tcp_syncookies_failed", Count, Counter(|c| c.syncookies_failed), "invalid SYN cookies that came back").sparse(),
    row(Pressure, Full, "tcp_request_queue_full_cookies", Count, Counter(|c| c.req_q_full_do_cookies), "SYNs that met a full SYN queue and were answered by cookie").sparse(),
    row(Pressure, Full, "tcp_request_queue_full_drops", Count, Counter(|c| c.req_q_full_drop), "SYNs that met a full SYN queue and were dropped").sparse(),
    row(Pressure, Full, "tcp_embryonic_resets", Count, Counter(|c| c.embryonic_rsts), "half-open connections that the client reset").sparse(),
    row(Pressure, Full, "tcp_defer_accept_drops", Count, Counter(|c| c.defer_accept_drop), "handshakes completed without data at a TCP_DEFER_ACCEPT listener").sparse(),
    row(Pressure, Full, "tcp_syn_retransmits", Count, Counter(|c| c.tcp_syn_retrans), "SYNs and SYN-ACKs sent again").sparse(),
    row(Pressure, Full, "tcp_timeouts", Count, Counter(|c| c.tcp_timeouts), "retransmission time-outs").sparse(),
    row(Pressure, Full, "tcp_estab_resets", Count, Counter(|c| c.tcp_estab_resets), "established connections ended by a reset").sparse(),
    row(Pressure, Full, "tcp_out_resets", Count, Counter(|c| c.tcp_out_rsts), "resets sent: connections to closed ports, and aborted ones").sparse(),
    row(Pressure, Full, "tcp_in_errors", Count, Counter(|c| c.tcp_in_errs), "damaged segments received").sparse(),
    row(Pressure, Full, "tcp_backlog_drops", Count, Counter(|c| c.tcp_backlog_drop), "segments dropped because a socket's backlog was full").sparse(),
    row(Pressure, Full, "tcp_aborts_on_timeout", Count, Counter(|c| c.tcp_abort_on_timeout), "connections given up after retransmissions").sparse(),
    row(Pressure, Full, "tcp_aborts_on_memory", Count, Counter(|c| c.tcp_abort_on_memory), "connections given up for want of memory").sparse(),
    row(Pressure, Full, "tcp_orphans", Count, Gauge(|s| float(s.counters.as_ref()?.tcp_orphans)), "TCP sockets that no process holds any more, on the whole host"),
    row(Pressure, Full, "tcp_segments_recv", Count, Counter(|c| c.tcp_in_segs), "segments received"),
    row(Pressure, Full, "tcp_segments_sent", Count, Counter(|c| c.tcp_out_segs), "segments sent, retransmissions left out"),
    row(Pressure, Full, "tcp_memory_pages", Count, Gauge(|s| float(s.counters.as_ref()?.tcp_memory_pages)), "pages of memory in TCP buffers, on the whole host"),
    row(Pressure, Full, "tcp_sockets_allocated", Count, Gauge(|s| float(s.counters.as_ref()?.tcp_allocated)), "TCP sockets in memory, on the whole host"),
    row(Pressure, Full, "tcp_sockets_in_use", Count, Gauge(|s| s.counters.as_ref().and_then(|c| float(Some(c.tcp_in_use?.saturating_add(c.tcp6_in_use.unwrap_or(0)))))), "TCP sockets in use, TIME_WAIT left out"),
    row(Pressure, Full, "sockets_used", Count, Gauge(|s| float(s.counters.as_ref()?.sockets_used)), "sockets of every kind in use"),
    row(Pressure, Full, "udp_datagrams_recv", Count, BothFamilies([|c| c.udp_in_datagrams, |c| c.udp6_in_datagrams]), "UDP datagrams delivered"),
    row(Pressure, Full, "udp_datagrams_sent", Count, BothFamilies([|c| c.udp_out_datagrams, |c| c.udp6_out_datagrams]), "UDP datagrams sent"),
    row(Pressure, Full, "udp_no_ports", Count, BothFamilies([|c| c.udp_no_ports, |c| c.udp6_no_ports]), "UDP datagrams for ports that nobody has open").sparse(),
    row(Pressure, Full, "udp_in_errors", Count, BothFamilies([|c| c.udp_in_errors, |c| c.udp6_in_errors]), "UDP datagrams that could not be delivered, full buffers included").sparse(),
    row(Pressure, Full, "udp_rcvbuf_errors", Count, BothFamilies([|c| c.udp_rcvbuf_errors, |c| c.udp6_rcvbuf_errors]), "UDP datagrams lost to a full receive buffer: the program reads too slowly").sparse(),
    row(Pressure, Full, "udp_sndbuf_errors", Count, BothFamilies([|c| c.udp_sndbuf_errors, |c| c.udp6_sndbuf_errors]), "UDP datagrams lost to a full send buffer").sparse(),
    row(Pressure, Standard, "conntrack_utilization", Percent, Gauge(|s| s.conntrack.as_ref().and_then(|c| percent(c.entries, c.limit))), "connection tracking table in use; at 100 new connections are dropped"),
    row(Pressure, Full, "conntrack_entries", Count, Gauge(|s| float(Some(s.conntrack.as_ref()?.entries))), "tracked connections"),

    row(Agent, Full, "agent_cpu_time", Milliseconds, AgentCounter(|s| Some(s.agent.as_ref()?.cpu_ms)), "CPU time the agent used; 10 ms in a second is 1 % of a core"),
    row(Agent, Full, "agent_memory_resident", Bytes, Gauge(|s| float(Some(s.agent.as_ref()?.memory_bytes))), "resident memory of the agent"),
    row(Agent, Full, "agent_syn_capture", Count, Gauge(syn_capture), "1 while SYNs are captured; 0 while floods are judged on kernel counters alone, for want of CAP_NET_RAW"),
    row(Agent, Full, "agent_source_failures", Count, Gauge(|s| Some(failures(s))), "sources that in that second could not be read, or only in part").sparse(),
    row(Agent, Standard, "agent_records_dropped", Count, AgentCounter(|s| delivery(s, |d| Some(d.rejected + d.expired + d.crowded_out))), "records that never reached CloudWatch: the sum of the next three").sparse(),
    row(Agent, Full, "agent_records_rejected", Count, AgentCounter(|s| delivery(s, |d| Some(d.rejected))), "records that CloudWatch refused as invalid").sparse(),
    row(Agent, Full, "agent_records_expired", Count, AgentCounter(|s| delivery(s, |d| Some(d.expired))), "records that were too old for CloudWatch, or too far ahead of time").sparse(),
    row(Agent, Full, "agent_records_crowded_out", Count, AgentCounter(|s| delivery(s, |d| Some(d.crowded_out))), "records that were lost here: the state file was full or damaged, or too many waited for the identity").sparse(),
    row(Agent, Full, "agent_records_sent", Count, AgentCounter(|s| delivery(s, |d| Some(d.sent))), "records that CloudWatch took: metric data and log events"),
    row(Agent, Full, "agent_send_failures", Count, AgentCounter(|s| delivery(s, |d| Some(d.failures))), "requests to CloudWatch that failed and are repeated").sparse(),
    row(Agent, Full, "agent_ambiguous_sends", Count, AgentCounter(|s| delivery(s, |d| Some(d.ambiguous))), "requests that were written and not answered: each may have doubled its records").sparse(),
    row(Agent, Full, "agent_log_lines", Count, Told, "lines of logs that were read").sparse(),
    row(Agent, Full, "agent_log_lines_cut", Count, Told, "lines of logs that were longer than the limit; their beginning was read").sparse(),
    row(Agent, Full, "agent_log_lines_unread", Count, Told, "lines of access logs that are not understood").sparse(),
    row(Agent, Standard, "agent_log_troubles", Count, Detector, "logs that cannot be read: the samples event says why").sparse(),
    row(Agent, Standard, "agent_log_gaps", Count, AgentCounter(|s| delivery(s, |d| Some(d.log_gaps))), "times that lines of a log may have been lost before they could be read").sparse(),
    row(Agent, Full, "agent_publish_latency", Milliseconds, Gauge(|s| float(delivery(s, |d| d.publish_latency_ms))), "time that CloudWatch took to take metrics, last time"),
    row(Agent, Full, "agent_state_file_bytes", Bytes, Gauge(|s| float(delivery(s, |d| Some(d.state_file_bytes)))), "size of the state file"),
    row(Agent, Full, "agent_backlog_age", Seconds, Gauge(|s| float(delivery(s, |d| d.oldest_seconds))), "age of the oldest record that waits to be sent"),
    row(Agent, Full, "agent_clock_offset", Seconds, Gauge(clock_offset), "how far this host's clock is from CloudWatch's, as far as timestamps are corrected by it").sparse(),
    row(Agent, Full, "agent_socket_walk_age", Seconds, Gauge(|s| Some(millis(s.tcp.as_ref()?.age_ms))), "age of the socket counts: walks over many sockets are spaced to stay in budget"),
];

fn state(snapshot: &Snapshot, of: fn(&TcpStates) -> u64) -> Option<f64> {
    float(Some(of(&snapshot.tcp.as_ref()?.states)))
}

/// The highest value among listeners; zero where the table was read and holds none.
fn worst(snapshot: &Snapshot, of: fn(&Listener) -> Option<f64>) -> Option<f64> {
    let listeners = snapshot.listeners.as_ref()?;
    if listeners.is_empty() {
        return Some(0.0);
    }
    listeners.iter().filter_map(of).max_by(f64::total_cmp)
}

fn failures(snapshot: &Snapshot) -> f64 {
    let bad = |outcome| matches!(outcome, SourceOutcome::Failed | SourceOutcome::Degraded);
    let failed = snapshot.sources.iter().filter(|source| bad(source.outcome)).count();
    u32::try_from(failed).map_or(f64::MAX, f64::from)
}

/// Absent where no capture was asked for, as in a recording of another root.
fn syn_capture(snapshot: &Snapshot) -> Option<f64> {
    let source = snapshot.sources.iter().find(|source| source.name == "syn_capture")?;
    // Just opened, it has nothing to tell yet.
    let works = snapshot.syns.is_some() || source.outcome == SourceOutcome::Ok;
    Some(f64::from(u8::from(works)))
}

fn delivery(snapshot: &Snapshot, of: fn(&DeliveryUsage) -> Option<u64>) -> Option<u64> {
    of(snapshot.delivery.as_ref()?)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds between two clocks are far below 2^53")]
fn clock_offset(snapshot: &Snapshot) -> Option<f64> {
    Some(snapshot.delivery.as_ref()?.clock_offset_ms as f64 / 1000.0)
}

#[expect(clippy::cast_precision_loss, reason = "CloudWatch's values are doubles; gauges are far below 2^53")]
fn float(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of CPU time or age are far below 2^53")]
fn millis(value: u64) -> f64 {
    value as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Kind;

    #[test]
    fn names_are_unique_and_fit_cloudwatch() {
        for (n, metric) in CATALOG.iter().enumerate() {
            assert!(CATALOG[..n].iter().all(|other| other.name != metric.name), "{} twice", metric.name);
            assert!(metric.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            assert!(!metric.meaning.is_empty() && metric.name.len() <= 255);
        }
    }

    #[test]
    fn every_kind_of_finding_has_a_metric_that_says_whether_it_is_on() {
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::RepeatedFailureInternal) {
            let metric = kind.metric().and_then(find).unwrap();
            assert!(metric.sparse && matches!(metric.reading, Detector), "{}", metric.name);
        }
    }
}
