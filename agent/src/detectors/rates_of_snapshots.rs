//! What detectors look at: the growth per second of the kernel's counters between two snapshots; or, where there is
//! no kernel to ask, the handshakes that were rebuilt from packets.

use std::collections::VecDeque;

use crate::model::snapshot::{Snapshot, TcpTable};
use crate::model::syns::Handshakes;
use crate::rates::{Rates, TICK_MS};

/// Growth per second since the snapshot before. A difference of two counters is zero where either is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PerSecond {
    pub(super) cookies_sent: f64,
    /// SYN cookies sent less those that came back: below zero when clients answer those of the second before.
    pub(super) cookies_unreturned: f64,
    /// SYNs dropped at a full SYN queue; drops at a full accept queue are left out.
    pub(super) syn_queue_drops: f64,
    /// Of clients that really want to connect and are kept waiting: SYNs and final ACKs that meet a full accept queue,
    /// or, in packets, what is sent again for want of an answer.
    pub(super) kept_waiting: f64,
    pub(super) embryonic_resets: f64,
    pub(super) completed: f64,
    /// Completed handshakes that wait for data at a `TCP_DEFER_ACCEPT` listener, as far as they are not served.
    pub(super) waiting_for_data: f64,
    /// SYNs and SYN-ACKs sent again; nothing where the kernel does not count them.
    pub(super) retransmits: Option<f64>,
    /// Those of them that were surely SYN-ACKs: no connection that this host begins sends its SYN again more than
    /// once a second.
    pub(super) syn_ack_retransmits: f64,
    /// Of half-open connections; only in a second in which they were counted.
    pub(super) half_open_growth: f64,
    /// Of those that have waited for longer than any ordinary round trip, where that is known, growth beyond the most that
    /// there were in the last ten counts: where some always wait, their number goes up and down.
    pub(super) stale_growth: Option<f64>,
    /// Half-open connections that have waited that long, and came within the last second.
    pub(super) newly_stale: f64,
    /// Handshakes that grew too old without an answer, less those that were completed after all; only from packets.
    pub(super) grown_old: f64,
    /// The same at ports where this host never answers; only from packets.
    pub(super) unheeded: f64,
    /// RSTs that this host sent, those of connections left out.
    pub(super) stray_resets: f64,
    /// Connections that this host began.
    pub(super) begun_here: f64,
    /// SYN-ACKs and RSTs for no connection; only from packets.
    pub(super) stray_answers: Option<f64>,
    /// Other segments for no connection; only from packets.
    pub(super) stray_segments: Option<f64>,
}

/// Keeps what the next snapshot is compared with.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    last_ms: Option<u64>,
    counters: Rates<&'static str>,
    half_open: Option<(u64, u64)>,
    /// Of those that have waited for long, the last counts.
    stale: VecDeque<u64>,
}

/// Counts with which the next is compared.
const STALE_COUNTS: usize = 10;

impl Comparison {
    /// The rates of this snapshot, and how many seconds they are of; nothing at the first, or without counters.
    pub(super) fn of(&mut self, snapshot: &Snapshot) -> Option<(PerSecond, f64)> {
        let now = snapshot.monotonic_ms;
        if self.last_ms.is_some_and(|last| now < last) {
            *self = Comparison::default(); // another run of the agent
        }
        if let Some(handshakes) = &snapshot.handshakes {
            // The first stands at the first packet, before anything.
            let seconds = seconds_between(self.last_ms.replace(now)?, now).max(1.0);
            return Some((of_packets(handshakes, seconds), seconds));
        }
        let (half_open_growth, stale_growth) = self.half_open_growth(snapshot, now);
        let counters = snapshot.counters.as_ref()?;
        let mut rate = |name: &'static str, value: Option<u64>| {
            let growth = self.counters.growth_of(name, value, now)?;
            Some(float(growth.amount) / float(growth.ticks))
        };
        let cookies_sent = rate("cookies sent", counters.syncookies_sent);
        let cookies_returned = rate("cookies returned", counters.syncookies_recv);
        let queue_full_drops = rate("SYN queue drops", counters.req_q_full_drop);
        let listen_drops = rate("drops", counters.listen_drops);
        let listen_overflows = rate("overflows", counters.listen_overflows);
        let deferred = rate("deferred", counters.defer_accept_drop);
        let completed = rate("completed", counters.tcp_passive_opens);
        let retransmits = rate("retransmits", counters.tcp_syn_retrans);
        let resets_sent = rate("resets sent", counters.tcp_out_rsts);
        let connections_reset = rate("connections reset", counters.tcp_estab_resets);
        let begun_here = rate("active opens", counters.tcp_active_opens);
        let own = snapshot.tcp.as_ref().map(|tcp| float(tcp.states.syn_sent));
        let rates = PerSecond {
            cookies_sent: cookies_sent.unwrap_or(0.0),
            cookies_unreturned: difference(cookies_sent, cookies_returned),
            syn_queue_drops: queue_full_drops
                .unwrap_or(0.0)
                .max(difference(listen_drops, listen_overflows))
                .max(0.0),
            kept_waiting: listen_overflows.unwrap_or(0.0),
            embryonic_resets: rate("resets", counters.embryonic_rsts).unwrap_or(0.0),
            completed: completed.unwrap_or(0.0),
            waiting_for_data: difference(deferred, completed).max(0.0),
            retransmits,
            syn_ack_retransmits: difference(retransmits, own).max(0.0),
            half_open_growth,
            stale_growth,
            newly_stale: newly_stale(snapshot),
            grown_old: 0.0,
            unheeded: 0.0,
            stray_resets: (resets_sent.unwrap_or(0.0) - connections_reset.unwrap_or(0.0)).max(0.0),
            begun_here: begun_here.unwrap_or(0.0),
            stray_answers: None,
            stray_segments: None,
        };
        let last = self.last_ms.replace(now)?;
        Some((rates, seconds_between(last, now).max(1.0)))
    }

    /// Compares socket counts in the second in which they were counted, and only then.
    fn half_open_growth(&mut self, snapshot: &Snapshot, now: u64) -> (f64, Option<f64>) {
        let Some(table) = &snapshot.tcp else {
            self.half_open = None;
            return (0.0, None);
        };
        let walked = now.saturating_sub(table.age_ms);
        let (all, stale) = (table.states.syn_recv, table.half_open_stale);
        let before = self.half_open.replace((walked, all));
        if before.is_some_and(|(at, _)| at == walked) {
            return (0.0, stale.map(|_| 0.0));
        }
        let most = self.stale.iter().max().copied();
        if let Some(stale) = stale {
            self.stale.push_back(stale);
        }
        if self.stale.len() > STALE_COUNTS || stale.is_none() {
            self.stale.pop_front();
        }
        let Some((at, all_before)) = before else { return (0.0, stale.map(|_| 0.0)) };
        let growth = |from, to| (float(to) - float(from)) / seconds_between(at, walked).max(1.0);
        (growth(all_before, all), stale.map(|stale| growth(most.unwrap_or(stale), stale)))
    }
}

/// A second, from those that came in the part of a second that lies between patience and the first retransmission.
fn newly_stale(snapshot: &Snapshot) -> f64 {
    let counted_now = snapshot.tcp.as_ref().filter(|table| table.age_ms == 0);
    let part = 1.0 - float(TcpTable::PATIENCE_MS) / 1000.0;
    counted_now.and_then(|table| table.half_open_newly_stale).map_or(0.0, |count| float(count) / part)
}

/// What is only the kernel's to know stays zero.
fn of_packets(handshakes: &Handshakes, seconds: f64) -> PerSecond {
    let rate = |count: u64| float(count) / seconds;
    PerSecond {
        completed: rate(handshakes.completed),
        embryonic_resets: rate(handshakes.reset),
        kept_waiting: rate(handshakes.retried),
        grown_old: rate(handshakes.unanswered) - rate(handshakes.late),
        unheeded: rate(handshakes.unheeded),
        stray_answers: Some(rate(handshakes.stray_answers)),
        stray_segments: Some(rate(handshakes.stray_segments)),
        ..PerSecond::default()
    }
}

/// Zero where either is missing.
fn difference(more: Option<f64>, less: Option<f64>) -> f64 {
    more.zip(less).map_or(0.0, |(more, less)| more - less)
}

fn seconds_between(from_ms: u64, to_ms: u64) -> f64 {
    float(to_ms.saturating_sub(from_ms)) / float(TICK_MS)
}

#[expect(clippy::cast_precision_loss, reason = "rates and counts far below 2^53")]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}
