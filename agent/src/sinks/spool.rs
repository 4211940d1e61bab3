//! Records to the state file: the last stage before delivery. What is stored is safe from a crash. What detectors have
//! learned stays there, for the next run.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::deliver::{Wake, place};
use crate::host::clock::wall;
use crate::model::log_line::Cursor;
use crate::model::record::Record;
use crate::model::spool::{ClockEra, Destination, Entry, Kind, Payload, StoredEvent};
use crate::service::board::Board;
use crate::service::gaps::Gap;
use crate::store::ValueKey;
use crate::store::service::{StoreGone, StoreHandle};

/// Of its troubles, on the board.
const STATE_FILE: &str = "state file";

/// Records that one event completed, with the clock that stamped them.
#[derive(Debug)]
pub struct Stamped {
    /// The clock.
    pub era: ClockEra,
    /// The records, in order.
    pub records: Vec<Record>,
}

/// Stores what comes, until no more comes. `gaps_to` is where lost metrics are told.
pub async fn spool(
    mut incoming: mpsc::Receiver<Stamped>,
    store: StoreHandle,
    board: Arc<Board>,
    wake: watch::Sender<Wake>,
    gaps_to: Destination,
) -> Result<(), StoreGone> {
    // What was wrong when it was opened has been told.
    let mut told = store.trouble().await?;
    while let Some(first) = incoming.recv().await {
        let mut urgent = false;
        let (mut stored, mut entries, mut values) = (vec![first], Vec::new(), Vec::new());
        while let Ok(more) = incoming.try_recv() {
            stored.push(more);
        }
        let mut era = ClockEra::default();
        for Stamped { era: of_these, records } in stored {
            era = of_these;
            urgent |= records.iter().any(is_urgent);
            for record in records {
                match record {
                    Record::Learned(learned) => {
                        let bytes = learned.values.to_string().into_bytes();
                        values.push((ValueKey::Baseline(learned.detector), Some(bytes)));
                    }
                    Record::Cursor(Cursor { log, place }) => {
                        values.push((ValueKey::Cursor(log), Some(place).filter(|place| !place.is_empty())));
                    }
                    record => add(&mut entries, &era, record),
                }
            }
        }
        let now = wall().as_millisecond();
        entries.extend(board.gap_entries(now, |gap| gap_entry(gap, &gaps_to, &era)));
        // What was learned is nothing to send: delivery sleeps on.
        let is_to_send = !entries.is_empty();
        if !is_to_send && values.is_empty() {
            continue;
        }
        let appended = store.append(entries, values).await?;
        board.shed(appended.shed);
        let trouble = store.trouble().await?;
        if let Some(trouble) = &trouble {
            board.trouble(STATE_FILE, trouble);
        } else {
            board.well(STATE_FILE);
        }
        if let Some(trouble) = trouble.as_ref().filter(|_| trouble != told) {
            tracing::warn!("{trouble}; until then all is kept in memory, as far as it goes");
        } else if trouble != told {
            tracing::info!("the state file is well again");
        }
        told = trouble;
        if is_to_send {
            wake.send_modify(|wake| {
                wake.stored += 1;
                wake.urgent += u64::from(urgent);
            });
        }
    }
    Ok(())
}

fn is_urgent(record: &Record) -> bool {
    match record {
        Record::Metric(datum) => datum.urgent,
        Record::Log(event) => event.urgent,
        Record::Finding(_) | Record::Summary(_) | Record::Learned(_) | Record::Cursor(_) => false,
    }
}

/// Adds a record to the entries, beside others of its destination. What is for people on this host is left out.
fn add(entries: &mut Vec<Entry>, era: &ClockEra, record: Record) {
    let (destination, kind) = match &record {
        Record::Metric(datum) => (Destination::Metrics { namespace: datum.namespace.clone() }, Kind::Metrics),
        Record::Log(event) => {
            let (group, stream) = (event.log_group_name.clone(), event.log_stream_name.clone());
            (Destination::Logs { group, stream }, event.kind)
        }
        Record::Finding(_) | Record::Summary(_) | Record::Learned(_) | Record::Cursor(_) => return,
    };
    let last = entries.last_mut().filter(|last| last.destination == destination && last.era == *era);
    match (last.map(|last| &mut last.payload), record) {
        (Some(Payload::Metrics(data)), Record::Metric(datum)) => data.push(datum),
        (Some(Payload::Logs(events)), Record::Log(event)) => {
            events.push(StoredEvent { timestamp: event.timestamp, message: event.message });
        }
        (_, Record::Metric(datum)) => {
            entries.push(Entry {
                destination,
                kind,
                era: era.clone(),
                payload: Payload::Metrics(vec![datum]),
            });
        }
        (_, Record::Log(event)) => {
            let event = StoredEvent { timestamp: event.timestamp, message: event.message };
            entries.push(Entry { destination, kind, era: era.clone(), payload: Payload::Logs(vec![event]) });
        }
        _ => {}
    }
}

/// A gap record: beside the events that are missing, or, for metrics, in the samples' stream.
pub fn gap_entry(gap: &Gap, metrics_to: &Destination, era: &ClockEra) -> Entry {
    let destination = match &gap.destination {
        Destination::Metrics { .. } => metrics_to.clone(),
        logs @ Destination::Logs { .. } => logs.clone(),
    };
    let mut message = json!({
        "type": "gap",
        "version": 1,
        "lost": gap.records,
        "of": gap.kind,
        "from": place(&gap.destination),
        "cause": gap.cause,
    });
    if let (Some((oldest, newest)), Some(object)) = (gap.times, message.as_object_mut()) {
        object.insert("oldest".into(), json!(oldest));
        object.insert("newest".into(), json!(newest));
    }
    tracing::warn!("{}: {} records lost: {}", place(&gap.destination), gap.records, gap.cause.as_str());
    let event = StoredEvent { timestamp: wall(), message: message.to_string() };
    // What one delivery takes, no other may: a gap among shipped lines goes with them.
    let kind = if gap.kind == Kind::Lines { Kind::Lines } else { Kind::Gaps };
    Entry { destination, kind, era: era.clone(), payload: Payload::Logs(vec![event]) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::event::Learned;
    use crate::model::record::LogEvent;
    use crate::store::{Store, service};

    fn learned(values: serde_json::Value) -> Record {
        Record::Learned(Learned { detector: "syn_flood".into(), values })
    }

    fn log() -> Record {
        Record::Log(LogEvent {
            log_group_name: "/g".into(),
            log_stream_name: "h".into(),
            timestamp: Timestamp::UNIX_EPOCH,
            message: "{}".into(),
            kind: Kind::Logs,
            urgent: false,
        })
    }

    /// Spools what comes at once; gives what delivery is told, what waits, and what is kept of the detector.
    async fn spooled(records: Vec<Record>) -> (u64, u64, Option<Vec<u8>>) {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&folder.path().join("state.redb"), "h", 8 << 20).unwrap();
        let (handle, calls) = service::channel();
        let thread = std::thread::Builder::new().spawn(|| service::serve(store, calls)).unwrap();
        let (to, incoming) = mpsc::channel(1);
        to.send(Stamped { era: ClockEra::default(), records }).await.unwrap();
        drop(to);
        let (wake, woken) = watch::channel(Wake::default());
        let gaps_to = Destination::Logs { group: "/g".into(), stream: "h".into() };
        spool(incoming, handle.clone(), Arc::new(Board::default()), wake, gaps_to).await.unwrap();
        let waiting = handle.destinations().await.unwrap().iter().map(|waiting| waiting.records).sum();
        let kept = handle.value(ValueKey::Baseline("syn_flood".into())).await.unwrap();
        drop(handle);
        thread.join().unwrap();
        (woken.borrow().stored, waiting, kept)
    }

    #[tokio::test]
    async fn what_was_learned_is_kept_and_wakes_nobody() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let (one, two) = (|| learned(json!({"seen": 1})), || learned(json!({"seen": 2})));
        for (records, expected) in [
            (vec![one()], (0, 0, text("{\"seen\":1}"))),
            (vec![one(), two()], (0, 0, text("{\"seen\":2}"))),
            (vec![log(), one()], (1, 1, text("{\"seen\":1}"))),
            (vec![log()], (1, 1, None)),
        ] {
            assert_eq!(spooled(records).await, expected);
        }
    }
}
