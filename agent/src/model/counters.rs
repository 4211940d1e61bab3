//! Kernel counters and gauges that cost nothing per socket, read each second.

use serde::{Deserialize, Serialize};

macro_rules! kernel_counters {
    ($( $(#[doc = $doc:literal])+ $field:ident = $group:literal $name:literal; )+) => {
        /// Cumulative kernel counters and a few gauges of this network namespace.
        ///
        /// A value that this kernel does not have is `None`, never zero. Names as in the kernel's
        /// `net/ipv4/proc.c` and `net/ipv6/proc.c`; meanings: <https://docs.kernel.org/networking/snmp_counter.html>.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct KernelCounters {
            $( $(#[doc = $doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<u64>, )+
        }

        impl KernelCounters {
            /// Sets the value that the kernel calls `name` in `group` (`TcpExt`, `ListenDrops`); others are passed over.
            pub fn set(&mut self, group: &str, name: &str, value: u64) {
                match (group, name) {
                    $( ($group, $name) => self.$field = Some(value), )+
                    _ => {}
                }
            }
        }
    };
}

kernel_counters! {
    /// Connections this host began (SYN sent).
    tcp_active_opens = "Tcp" "ActiveOpens";
    /// Connections accepted: handshakes completed, loopback included.
    tcp_passive_opens = "Tcp" "PassiveOpens";
    /// Handshakes that failed: SYN_SENT or SYN_RECV to CLOSE.
    tcp_attempt_fails = "Tcp" "AttemptFails";
    /// Established connections ended by a reset.
    tcp_estab_resets = "Tcp" "EstabResets";
    /// Gauge: ESTABLISHED + CLOSE_WAIT, both families.
    tcp_curr_estab = "Tcp" "CurrEstab";
    /// Segments received.
    tcp_in_segs = "Tcp" "InSegs";
    /// Segments sent, retransmissions left out.
    tcp_out_segs = "Tcp" "OutSegs";
    /// Segments sent again.
    tcp_retrans_segs = "Tcp" "RetransSegs";
    /// Segments received damaged.
    tcp_in_errs = "Tcp" "InErrs";
    /// Resets sent.
    tcp_out_rsts = "Tcp" "OutRsts";
    /// SYN cookies sent.
    syncookies_sent = "TcpExt" "SyncookiesSent";
    /// ACKs that carried a valid SYN cookie.
    syncookies_recv = "TcpExt" "SyncookiesRecv";
    /// ACKs that carried an invalid SYN cookie.
    syncookies_failed = "TcpExt" "SyncookiesFailed";
    /// Resets received by half-open connections.
    embryonic_rsts = "TcpExt" "EmbryonicRsts";
    /// SYNs or final ACKs that met a full accept queue.
    listen_overflows = "TcpExt" "ListenOverflows";
    /// SYNs or final ACKs dropped by listeners, for any reason.
    listen_drops = "TcpExt" "ListenDrops";
    /// SYNs that met a full SYN queue and were answered by cookie.
    req_q_full_do_cookies = "TcpExt" "TCPReqQFullDoCookies";
    /// SYNs that met a full SYN queue and were dropped.
    req_q_full_drop = "TcpExt" "TCPReqQFullDrop";
    /// Retransmission time-outs, SYN-ACKs included.
    tcp_timeouts = "TcpExt" "TCPTimeouts";
    /// SYNs and SYN-ACKs sent again.
    tcp_syn_retrans = "TcpExt" "TCPSynRetrans";
    /// Final ACKs without data dropped for `TCP_DEFER_ACCEPT`.
    defer_accept_drop = "TcpExt" "TCPDeferAcceptDrop";
    /// Segments dropped because a socket's backlog was full.
    tcp_backlog_drop = "TcpExt" "TCPBacklogDrop";
    /// Connections given up after retransmission time-outs.
    tcp_abort_on_timeout = "TcpExt" "TCPAbortOnTimeout";
    /// Connections given up for want of memory.
    tcp_abort_on_memory = "TcpExt" "TCPAbortOnMemory";
    /// UDP datagrams delivered, IPv4.
    udp_in_datagrams = "Udp" "InDatagrams";
    /// UDP datagrams sent, IPv4.
    udp_out_datagrams = "Udp" "OutDatagrams";
    /// UDP datagrams for ports that nobody has open, IPv4.
    udp_no_ports = "Udp" "NoPorts";
    /// UDP datagrams that could not be delivered, IPv4 (full buffers included).
    udp_in_errors = "Udp" "InErrors";
    /// UDP datagrams lost to a full receive buffer, IPv4.
    udp_rcvbuf_errors = "Udp" "RcvbufErrors";
    /// UDP datagrams lost to a full send buffer, IPv4.
    udp_sndbuf_errors = "Udp" "SndbufErrors";
    /// UDP datagrams delivered, IPv6.
    udp6_in_datagrams = "Udp6" "InDatagrams";
    /// UDP datagrams sent, IPv6.
    udp6_out_datagrams = "Udp6" "OutDatagrams";
    /// UDP datagrams for ports that nobody has open, IPv6.
    udp6_no_ports = "Udp6" "NoPorts";
    /// UDP datagrams that could not be delivered, IPv6 (full buffers included).
    udp6_in_errors = "Udp6" "InErrors";
    /// UDP datagrams lost to a full receive buffer, IPv6.
    udp6_rcvbuf_errors = "Udp6" "RcvbufErrors";
    /// UDP datagrams lost to a full send buffer, IPv6.
    udp6_sndbuf_errors = "Udp6" "SndbufErrors";
    /// Gauge: sockets of every kind in use by this namespace.
    sockets_used = "sockets" "used";
    /// Gauge: TCP sockets in use by this namespace, IPv4, TIME_WAIT left out.
    tcp_in_use = "TCP" "inuse";
    /// Gauge: TCP sockets in use by this namespace, IPv6, TIME_WAIT left out.
    tcp6_in_use = "TCP6" "inuse";
    /// Gauge: TCP sockets that no process holds any more, on the whole host.
    tcp_orphans = "TCP" "orphan";
    /// Gauge: the kernel's small time-wait sockets, both families: TIME_WAIT and orphaned FIN_WAIT2.
    tcp_time_wait_buckets = "TCP" "tw";
    /// Gauge: TCP sockets allocated on the whole host.
    tcp_allocated = "TCP" "alloc";
    /// Gauge: pages of memory that TCP buffers use on the whole host.
    tcp_memory_pages = "TCP" "mem";
}
