//! What the agent would have sent over hours that are replayed, and when it would have come: the real pipeline, and the
//! moments at which delivery sends.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use vpcwatch::model::event::Event;
use vpcwatch::model::identity::Identity;
use vpcwatch::model::record::{LogEvent, MetricDatum, Record};
use vpcwatch::model::snapshot::Snapshot;
use vpcwatch::pipeline::Pipeline;

use crate::alarm_evaluator::Arrival;
use crate::fake_aws::StoredDatum;
use crate::recording::settings;

/// Everything that is sent, with the time at which the pipeline handed it on.
#[derive(Debug)]
pub struct Published {
    data: Vec<(Timestamp, MetricDatum)>,
    events: Vec<(Timestamp, LogEvent)>,
}

/// Seconds between two flushes, by default.
const INTERVAL: i64 = 60;

impl Published {
    /// Runs the pipeline of the host `web-1` over these, with the default configuration but for `sets`.
    pub fn of(events: impl IntoIterator<Item = Event>, sets: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut pipeline = Pipeline::new(settings(sets)?, 0);
        pipeline.handle(&Event::Identity(Identity::of_host("web-1")));
        let mut published = Published { data: Vec::new(), events: Vec::new() };
        for event in events {
            let records = pipeline.handle(&event);
            let Some(now) = time(&event) else { continue };
            for record in records {
                match record {
                    Record::Metric(datum) => published.data.push((now, datum)),
                    Record::Log(event) => published.events.push((now, event)),
                    _ => {}
                }
            }
        }
        Ok(published)
    }

    /// The data as they arrive: what is urgent at once, the rest at the host's moment, so many seconds after a minute began.
    /// In truth what is urgent takes along what waits; later is harder for an alarm.
    pub fn arrivals(&self, moment: i64) -> Vec<Arrival> {
        let arrival = |(handed_on, datum): &(Timestamp, MetricDatum)| {
            let at = if datum.urgent { *handed_on } else { flushed(*handed_on, moment) };
            Arrival { at, datum: stored(datum) }
        };
        self.data.iter().map(arrival).collect()
    }

    /// Log events that go at once, with the time at which they are handed on.
    pub fn urgent_events(&self) -> impl Iterator<Item = &(Timestamp, LogEvent)> {
        self.events.iter().filter(|(_, event)| event.urgent)
    }
}

fn time(event: &Event) -> Option<Timestamp> {
    match event {
        Event::Snapshot(snapshot) => Some(snapshot.time),
        Event::Login(login) => Some(login.time),
        Event::Lines(lines) => Some(lines.read),
        _ => None,
    }
}

/// The first flush at or after that time.
fn flushed(handed_on: Timestamp, moment: i64) -> Timestamp {
    let wait = (moment - handed_on.as_second()).rem_euclid(INTERVAL);
    handed_on + SignedDuration::from_secs(wait)
}

fn stored(datum: &MetricDatum) -> StoredDatum {
    let mut dimensions: Vec<(String, String)> =
        datum.dimensions.iter().map(|dimension| (dimension.name.clone(), dimension.value.clone())).collect();
    dimensions.sort();
    StoredDatum {
        request: 0,
        namespace: datum.namespace.clone(),
        name: datum.metric_name.to_string(),
        dimensions,
        timestamp_ms: datum.timestamp.as_millisecond(),
        values: datum.values.iter().copied().zip(datum.counts.iter().copied()).collect(),
        statistics: None,
        unit: Some(datum.unit.to_string()),
        resolution: datum.storage_resolution.into(),
    }
}

/// The same recording, beginning at that time.
#[must_use]
pub fn beginning_at(mut snapshots: Vec<Snapshot>, begin: Timestamp) -> Vec<Snapshot> {
    let shift = snapshots.first().map_or(SignedDuration::ZERO, |first| begin.duration_since(first.time));
    snapshots.iter_mut().for_each(|snapshot| snapshot.time += shift);
    snapshots
}

/// The same recording with the moment of one snapshot held for so many seconds more: no counter moves, what stands stays.
#[must_use]
pub fn held(snapshots: &[Snapshot], index: usize, seconds: u32) -> Vec<Snapshot> {
    let later = |snapshot: &Snapshot, seconds: u32| {
        let mut later = snapshot.clone();
        later.time += SignedDuration::from_secs(seconds.into());
        later.monotonic_ms += u64::from(seconds) * 1000;
        later
    };
    let (before, after) = snapshots.split_at((index + 1).min(snapshots.len()));
    let moment = before.last().into_iter().flat_map(|moment| (1..=seconds).map(|n| later(moment, n)));
    before
        .iter()
        .cloned()
        .chain(moment)
        .chain(after.iter().map(|snapshot| later(snapshot, seconds)))
        .collect()
}

/// Snapshots as events.
pub fn events(snapshots: Vec<Snapshot>) -> Vec<Event> {
    snapshots.into_iter().map(|snapshot| Event::Snapshot(Arc::new(snapshot))).collect()
}

/// Several sources of events as one, in order of time.
#[must_use]
pub fn merged(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(time);
    events
}
