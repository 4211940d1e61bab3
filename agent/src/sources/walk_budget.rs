//! How often the socket table may be walked: a walk over many sockets costs CPU, so it is spent by budget. Pure.

use std::time::Duration;

use crate::model::counters::KernelCounters;

/// Share of one core for walks, on average.
const CALM_SHARE: f64 = 0.01;
/// The same while an attack is suspected.
const SUSPECTED_SHARE: f64 = 0.05;
/// Socket counts are never older than this, whatever a walk costs.
const MAX_AGE_MS: u64 = 60_000;
/// How long a suspicion lasts after its last sign.
const SUSPICION_MS: u64 = 30_000;

/// When the last walk was and what it cost.
#[derive(Debug, Default)]
pub(super) struct WalkBudget {
    last: Option<(u64, Duration)>,
    before: Option<KernelCounters>,
    suspected_ms: Option<u64>,
}

impl WalkBudget {
    /// Whether a walk may be made now. Looks at the free counters of this tick for signs of an attack.
    pub(super) fn allows(&mut self, counters: Option<&KernelCounters>, now_ms: u64) -> bool {
        if let (Some(before), Some(counters)) = (&self.before, counters)
            && suspected(before, counters)
        {
            self.suspected_ms = Some(now_ms);
        }
        self.before = counters.cloned();
        let suspicion = self.suspected_ms.is_some_and(|at| now_ms.saturating_sub(at) < SUSPICION_MS);
        let share = if suspicion { SUSPECTED_SHARE } else { CALM_SHARE };
        self.last.is_none_or(|(at, cost)| {
            let wait = cost.div_f64(share).as_millis();
            // Ticks jitter by some milliseconds: a walk that is due that soon is due.
            u128::from(now_ms.saturating_sub(at)) + 50 >= wait.min(u128::from(MAX_AGE_MS))
        })
    }

    /// Notes a walk and its CPU time.
    pub(super) fn spent(&mut self, now_ms: u64, cost: Duration) {
        self.last = Some((now_ms, cost));
    }
}

/// Whether the counters that cost nothing show signs of an attack on listeners: SYN queues overflow (cookies, drops),
/// half-open connections are reset in numbers, or SYN-ACKs are sent again in numbers.
fn suspected(before: &KernelCounters, now: &KernelCounters) -> bool {
    let grew = |of: fn(&KernelCounters) -> Option<u64>, by: u64| match (of(before), of(now)) {
        (Some(before), Some(now)) => now.saturating_sub(before) >= by,
        _ => false,
    };
    grew(|c| c.syncookies_sent, 1)
        || grew(|c| c.req_q_full_drop, 1)
        || grew(|c| c.listen_drops, 1)
        || grew(|c| c.embryonic_rsts, 10)
        || grew(|c| c.tcp_syn_retrans, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walks(cost_ms: u64, ticks: u64, cookies_at: &[u64]) -> Vec<u64> {
        let mut budget = WalkBudget::default();
        let mut counters = KernelCounters { syncookies_sent: Some(0), ..KernelCounters::default() };
        let mut walked = Vec::new();
        for tick in 0..ticks {
            if cookies_at.contains(&tick) {
                counters.syncookies_sent = counters.syncookies_sent.map(|sent| sent + 1);
            }
            if budget.allows(Some(&counters), tick * 1000) {
                walked.push(tick);
                budget.spent(tick * 1000, Duration::from_millis(cost_ms));
            }
        }
        walked
    }

    #[test]
    fn cheap_walks_are_made_each_second() {
        assert_eq!(walks(3, 5, &[]), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn dear_walks_are_spaced_to_one_per_cent() {
        assert_eq!(walks(75, 30, &[]), [0, 8, 16, 24]);
    }

    #[test]
    fn under_suspicion_five_per_cent_may_be_spent() {
        assert_eq!(walks(45, 12, &[3]), [0, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(walks(100, 12, &[3]), [0, 3, 5, 7, 9, 11]);
    }

    #[test]
    fn counts_are_never_older_than_a_minute() {
        assert_eq!(walks(5000, 130, &[]), [0, 60, 120]);
    }
}
