//! What was lost on its way, told in the place where it will be missed: one event a minute at most for each
//! destination and cause, however much is lost.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::meters::Loss;
use crate::model::spool::{Destination, Kind};

/// Records of one destination that were lost for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where they should have gone.
    pub destination: Destination,
    /// What they were.
    pub kind: Kind,
    /// Why they were lost.
    pub cause: Loss,
    /// How many.
    pub records: u64,
    /// Times of the oldest and the newest, where known.
    pub times: Option<(Timestamp, Timestamp)>,
}

/// Gaps that were not told yet.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    open: BTreeMap<(Destination, Loss), Gap>,
    told_ms: Option<i64>,
}

/// Between two tellings.
const PAUSE_MS: i64 = 60_000;
/// Destinations and causes that are told apart; what comes beyond is still counted in the metrics.
const MAX_OPEN: usize = 256;

impl Gaps {
    pub(super) fn note(
        &mut self,
        destination: &Destination,
        kind: Kind,
        cause: Loss,
        records: u64,
        times: Option<(Timestamp, Timestamp)>,
    ) {
        let key = (destination.clone(), cause);
        // A lost gap record would beget another, for ever.
        if kind == Kind::Gaps {
            return;
        }
        if self.open.len() >= MAX_OPEN && !self.open.contains_key(&key) {
            return;
        }
        let destination = destination.clone();
        let gap = self.open.entry(key).or_insert(Gap { destination, kind, cause, records: 0, times: None });
        gap.records += records;
        gap.times = match (gap.times, times) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
    }

    /// All that is open, if the last telling was long enough ago.
    pub(super) fn due(&mut self, now_ms: i64) -> Vec<Gap> {
        let waited = self.told_ms.is_none_or(|told| !(0..PAUSE_MS).contains(&(now_ms - told)));
        if self.open.is_empty() || !waited {
            return Vec::new();
        }
        self.told_ms = Some(now_ms);
        self.rest()
    }

    /// All that is open.
    pub(super) fn rest(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.open).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_gathered_and_told_once_a_minute() {
        let mut gaps = Gaps::default();
        let to = Destination::Metrics { namespace: "N".into() };
        let at = |second| Timestamp::from_second(second).unwrap();
        gaps.note(&to, Kind::Metrics, Loss::Full, 3, Some((at(10), at(20))));
        gaps.note(&to, Kind::Metrics, Loss::Full, 4, Some((at(5), at(15))));
        gaps.note(&to, Kind::Metrics, Loss::Rejected, 1, None);
        let told = gaps.due(0);
        assert_eq!((told[0].records, told[0].times), (7, Some((at(5), at(20)))));
        assert_eq!((told.len(), told[1].cause), (2, Loss::Rejected));
        gaps.note(&to, Kind::Metrics, Loss::Full, 1, None);
        assert_eq!((gaps.due(59_999).len(), gaps.due(60_000).len(), gaps.due(200_000).len()), (0, 1, 0));
    }
}
