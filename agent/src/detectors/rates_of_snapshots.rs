//! What detectors look at: the growth per second of the kernel's counters between two snapshots.

use crate::model::counters::KernelCounters;
use crate::model::snapshot::{Snapshot, TcpTable};
use crate::rates::TICK_MS;

/// Growth per second since the snapshot before.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PerSecond {
    pub(super) cookies_sent: f64,
    pub(super) cookies_received: f64,
    pub(super) queue_full_drops: f64,
    pub(super) listen_drops: f64,
    pub(super) listen_overflows: f64,
    pub(super) embryonic_resets: f64,
    pub(super) completed: f64,
    pub(super) defer_accept_drops: f64,
    /// SYN-ACKs sent again: SYNs sent again less this host's own.
    pub(super) syn_ack_retransmits: f64,
    /// Half-open connections; of the last walk, where none was made in between.
    pub(super) half_open_growth: f64,
}

/// Keeps what the next snapshot is compared with.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    before: Option<(u64, KernelCounters)>,
    table: Option<(u64, TcpTable)>,
    half_open_growth: f64,
    own_syn_retransmits: f64,
}

impl Comparison {
    /// The rates of this snapshot, and how many seconds they are of; nothing at the first, or without counters.
    pub(super) fn of(&mut self, snapshot: &Snapshot) -> Option<(PerSecond, f64)> {
        let now = snapshot.monotonic_ms;
        if self.before.as_ref().is_some_and(|(at, _)| now < *at) {
            *self = Comparison::default(); // another run of the agent
        }
        self.look_at_table(snapshot, now);
        let counters = snapshot.counters.clone()?;
        let (at, before) = self.before.replace((now, counters.clone()))?;
        let seconds = seconds_between(at, now).max(1.0);
        let rate = |of: fn(&KernelCounters) -> Option<u64>| match (of(&before), of(&counters)) {
            (Some(before), Some(now)) => float(now.saturating_sub(before)) / seconds,
            _ => 0.0,
        };
        let rates = PerSecond {
            cookies_sent: rate(|c| c.syncookies_sent),
            cookies_received: rate(|c| c.syncookies_recv),
            queue_full_drops: rate(|c| c.req_q_full_drop),
            listen_drops: rate(|c| c.listen_drops),
            listen_overflows: rate(|c| c.listen_overflows),
            embryonic_resets: rate(|c| c.embryonic_rsts),
            completed: rate(|c| c.tcp_passive_opens),
            defer_accept_drops: rate(|c| c.defer_accept_drop),
            syn_ack_retransmits: (rate(|c| c.tcp_syn_retrans) - self.own_syn_retransmits).max(0.0),
            half_open_growth: self.half_open_growth,
        };
        Some((rates, seconds))
    }

    /// Compares socket counts when a walk was made; its growth stands until the next walk.
    fn look_at_table(&mut self, snapshot: &Snapshot, now: u64) {
        let Some(table) = &snapshot.tcp else { return };
        let walked = now.saturating_sub(table.age_ms);
        if let Some((at, before)) = &self.table {
            if *at == walked {
                return;
            }
            let seconds = seconds_between(*at, walked).max(1.0);
            self.half_open_growth = (float(table.states.syn_recv) - float(before.states.syn_recv)) / seconds;
            let own = |table: &TcpTable| float(table.syn_sent_retransmits.unwrap_or(0));
            self.own_syn_retransmits = (own(table) - own(before)).max(0.0) / seconds;
        }
        self.table = Some((walked, table.clone()));
    }
}

fn seconds_between(from_ms: u64, to_ms: u64) -> f64 {
    float(to_ms.saturating_sub(from_ms)) / float(TICK_MS)
}

#[expect(clippy::cast_precision_loss, reason = "rates and counts far below 2^53")]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}
