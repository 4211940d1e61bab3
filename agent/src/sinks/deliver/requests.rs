//! Frames to requests, and what is left back to entries. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::correction::correction_ms;
use super::{Limits, Sink};
use crate::model::meters::Loss;
use crate::model::spool::{ClockEra, Destination, Entry, Frame, Kind};

/// A record on its way, with what it takes to put it back as it was.
#[derive(Debug, Clone)]
pub(super) struct Item<R> {
    pub(super) record: R,
    /// Of one destination too there may be several.
    pub(super) kind: Kind,
    shift_ms: i64,
    era: Arc<ClockEra>,
}

/// Records with their times corrected, oldest first.
pub(super) fn items<S: Sink>(frames: Vec<Frame>, now: &ClockEra) -> Vec<Item<S::Record>> {
    let mut items = Vec::new();
    for frame in frames {
        let shift_ms = correction_ms(&frame.entry.era, now);
        let (era, kind) = (Arc::new(frame.entry.era), frame.entry.kind);
        for mut record in S::unpack(frame.entry.payload) {
            let time = shifted(S::time(&record), shift_ms);
            S::set_time(&mut record, time);
            items.push(Item { record, kind, shift_ms, era: Arc::clone(&era) });
        }
    }
    items.sort_by_key(|item: &Item<S::Record>| S::time(&item.record));
    items
}

/// Records parted into requests that the service takes, and those that no request may carry.
pub(super) struct Parted<R> {
    pub(super) requests: Vec<Vec<Item<R>>>,
    pub(super) lost: Vec<(Item<R>, Loss)>,
}

/// Parts records, which come oldest first. Their age is judged only by CloudWatch's own clock, once that is known.
pub(super) fn part<S: Sink>(items: Vec<Item<S::Record>>, now: Option<Timestamp>) -> Parted<S::Record> {
    let limits: Limits = S::LIMITS;
    let oldest = now.map_or(Timestamp::MIN, |now| shifted(now, -milliseconds(limits.age)));
    let newest = now.map_or(Timestamp::MAX, |now| shifted(now, milliseconds(limits.ahead)));
    let mut parted = Parted { requests: Vec::new(), lost: Vec::new() };
    let (mut bytes, mut from) = (0, Timestamp::MIN);
    for item in items {
        let (time, size) = (S::time(&item.record), S::bytes(&item.record));
        let refused = match time {
            time if time < oldest => Some(Loss::TooOld),
            time if time > newest => Some(Loss::TooNew),
            _ if size > limits.bytes => Some(Loss::Rejected),
            _ => None,
        };
        if let Some(cause) = refused {
            parted.lost.push((item, cause));
            continue;
        }
        let fits = |request: &&mut Vec<_>| {
            request.len() < limits.records
                && bytes + size <= limits.bytes
                && time.duration_since(from).unsigned_abs() < limits.span
        };
        if let Some(request) = parted.requests.last_mut().filter(fits) {
            request.push(item);
            bytes += size;
        } else {
            parted.requests.push(vec![item]);
            (bytes, from) = (size, time);
        }
    }
    parted
}

/// What is left, as it was put in.
pub(super) fn entries<S: Sink>(destination: &Destination, items: Vec<Item<S::Record>>) -> Vec<Entry> {
    let mut parts: Vec<(Arc<ClockEra>, Kind, Vec<S::Record>)> = Vec::new();
    for mut item in items {
        let time = shifted(S::time(&item.record), -item.shift_ms);
        S::set_time(&mut item.record, time);
        match parts.last_mut().filter(|(era, kind, _)| *era == item.era && *kind == item.kind) {
            Some((_, _, records)) => records.push(item.record),
            None => parts.push((item.era, item.kind, vec![item.record])),
        }
    }
    let entry = |(era, kind, records): (Arc<ClockEra>, Kind, Vec<S::Record>)| Entry {
        destination: destination.clone(),
        kind,
        era: ClockEra::clone(&era),
        payload: S::pack(records),
    };
    parts.into_iter().map(entry).collect()
}

pub(super) fn shifted(time: Timestamp, ms: i64) -> Timestamp {
    time.saturating_add(SignedDuration::from_millis(ms)).unwrap_or(time)
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spool::{Payload, StoredEvent};
    use crate::sinks::cloudwatch_logs::CloudWatchLogs;
    use proptest::prelude::*;

    const NOW: i64 = 1_800_000_000;

    fn frame(id: u64, events: &[(i64, usize)], wall_less_boottime_ms: i64) -> Frame {
        let event = |(ago, bytes): &(i64, usize)| StoredEvent {
            timestamp: Timestamp::from_second(NOW - ago).unwrap(),
            message: "x".repeat(*bytes),
        };
        let entry = Entry {
            destination: Destination::Logs { group: "g".into(), stream: "s".into() },
            kind: Kind::Logs,
            era: ClockEra { boot: "b".into(), wall_less_boottime_ms, offset_ms: 0 },
            payload: Payload::Logs(events.iter().map(event).collect()),
        };
        Frame { id, entry }
    }

    fn era(offset_ms: i64) -> ClockEra {
        ClockEra { boot: "b".into(), wall_less_boottime_ms: 0, offset_ms }
    }

    proptest! {
        /// Every request is one that the service takes, and nothing is missing.
        #[test]
        fn requests_are_within_limits(
            events in prop::collection::vec((-20_000i64..2_000_000, 1usize..300_000), 1..60),
        ) {
            let frames: Vec<Frame> =
                events.chunks(7).zip(0..).map(|(part, id)| frame(id, part, 0)).collect();
            let now = Timestamp::from_second(NOW).unwrap();
            let parted = part::<CloudWatchLogs>(items::<CloudWatchLogs>(frames, &era(0)), Some(now));
            let sent: usize = parted.requests.iter().map(Vec::len).sum();
            prop_assert_eq!(sent + parted.lost.len(), events.len());
            for request in &parted.requests {
                let bytes: usize = request.iter().map(|item| item.record.message.len() + 26).sum();
                prop_assert!(bytes <= 1_048_576 && request.len() <= 10_000);
                prop_assert!(request.is_sorted_by_key(|item| item.record.timestamp));
                let times = || request.iter().map(|item| item.record.timestamp.as_second());
                prop_assert!(times().max().unwrap() - times().min().unwrap() < 86_400);
            }
            for (item, cause) in &parted.lost {
                let ago = NOW - item.record.timestamp.as_second();
                let expected = if ago < 0 { Loss::TooNew } else { Loss::TooOld };
                prop_assert_eq!(*cause, expected, "{} s ago", ago);
            }
        }
    }

    #[test]
    fn times_are_corrected_and_what_is_left_goes_back_as_it_was() {
        // Stamped by a clock that was an hour behind; it has been set since.
        let before = frame(1, &[(7_200, 5), (7_100, 5)], -3_600_000);
        let after = frame(2, &[(50, 5)], 0);
        let items = items::<CloudWatchLogs>(vec![after.clone(), before.clone()], &era(0));
        let ago: Vec<i64> = items.iter().map(|item| NOW - item.record.timestamp.as_second()).collect();
        assert_eq!(ago, [3_600, 3_500, 50]);
        let left = entries::<CloudWatchLogs>(&before.entry.destination, items);
        assert_eq!(left, [before.entry, after.entry]);
    }

    #[test]
    fn what_no_request_can_carry_is_lost_by_itself() {
        let frames = vec![frame(1, &[(10, 5), (9, 2_000_000), (8, 5)], 0)];
        let now = Timestamp::from_second(NOW).unwrap();
        let parted = part::<CloudWatchLogs>(items::<CloudWatchLogs>(frames, &era(0)), Some(now));
        assert_eq!((parted.requests.len(), parted.requests[0].len(), parted.lost.len()), (1, 2, 1));
        assert_eq!(parted.lost[0].1, Loss::Rejected);
    }
}
