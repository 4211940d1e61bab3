//! Folds one-second snapshots into intervals aligned to the wall clock.
//!
//! A snapshot belongs to the interval that its own wall time falls into, and closes the one before. When the clock is
//! set back an interval may therefore come twice; each sample is in exactly one of them. Time between samples is
//! monotonic, so a clock that jumps changes no rate.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::catalog::{CATALOG, Reading};
use crate::model::distribution::Distribution;
use crate::model::interval::{Interval, ListenerSummary, Published, Series};
use crate::model::snapshot::{Interface, Listener, Snapshot, SourceOutcome};
use crate::model::web_log::Requests;
use crate::rates::{Growth, Rates};

/// What detectors and logs say of a second.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Of the host, by the metric's name.
    pub(super) host: Vec<(&'static str, f64)>,
    /// Of access logs, by the log's name.
    pub(super) logs: Vec<(Arc<str>, Requests)>,
}

/// Metric by its place in the catalog, and interface or log by its name.
type SeriesKey = (usize, Option<Arc<str>>);

/// Listeners kept of one interval. The samples event shows 50, and no host is known to have more.
const MAX_LISTENERS: usize = 8192;

#[derive(Debug)]
pub(super) struct Rollup {
    seconds: u32,
    open: Option<Open>,
    rates: Rates<CounterKey>,
    listener_drops: Rates<(IpAddr, u16)>,
    last_monotonic_ms: u64,
}

/// A counter by the thing it counts at, which outlives its name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CounterKey {
    metric: usize,
    /// IPv6's, where a metric is the growth of two counters.
    second: bool,
    interface: Option<InterfaceId>,
}

impl CounterKey {
    fn of(metric: usize) -> Self {
        CounterKey { metric, second: false, interface: None }
    }

    fn second(metric: usize) -> Self {
        CounterKey { second: true, ..CounterKey::of(metric) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum InterfaceId {
    Index(u32),
    Name(Arc<str>),
}

#[derive(Debug)]
struct Open {
    start: Timestamp,
    first: Timestamp,
    last: Timestamp,
    samples: u32,
    series: BTreeMap<SeriesKey, Distribution>,
    listeners: BTreeMap<(IpAddr, u16), ListenerSummary>,
    troubles: Vec<String>,
}

impl Rollup {
    pub(super) fn new(seconds: u32) -> Self {
        Rollup {
            seconds: seconds.max(1),
            open: None,
            rates: Rates::default(),
            listener_drops: Rates::default(),
            last_monotonic_ms: 0,
        }
    }

    /// Adds a snapshot; gives the interval that it closes.
    /// `measured` is what detectors say of it.
    pub(super) fn observe(&mut self, snapshot: &Snapshot, measured: &Measured) -> Option<Interval> {
        if snapshot.monotonic_ms < self.last_monotonic_ms {
            self.rates.clear();
            self.listener_drops.clear();
        }
        self.last_monotonic_ms = snapshot.monotonic_ms;

        self.tell(measured);
        let start = interval_start(snapshot.time, self.seconds);
        let closed = match &self.open {
            Some(open) if open.start != start => self.close(),
            _ => None,
        };
        let is_first = self.open.is_none();
        let mut open = self.open.take().unwrap_or_else(|| Open::new(start, snapshot.time));
        if is_first && closed.is_none() {
            open.tell(measured);
        }
        open.last = snapshot.time;
        open.samples += 1;
        open.troubles = troubles(snapshot);
        self.add_measurements(&mut open, snapshot, measured);
        self.add_listeners(&mut open, snapshot);
        self.open = Some(open);
        closed
    }

    /// Adds what logs told to the interval that is open.
    pub(super) fn tell(&mut self, told: &Measured) {
        if let Some(open) = &mut self.open {
            open.tell(told);
        }
    }

    /// Whether an interval is open.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Changes the length of the intervals; the open one should have been closed.
    pub(super) fn set_interval(&mut self, seconds: u32) {
        self.seconds = seconds.max(1);
    }

    /// Closes the open interval.
    pub(super) fn close(&mut self) -> Option<Interval> {
        self.open.take().map(|open| open.close(self.seconds))
    }

    /// The open interval so far.
    pub(super) fn preview(&self) -> Option<Interval> {
        self.open.as_ref().map(|open| open.preview(self.seconds))
    }

    fn add_measurements(&mut self, open: &mut Open, snapshot: &Snapshot, measured: &Measured) {
        let interfaces: Vec<(InterfaceId, Arc<str>, &Interface)> =
            snapshot.interfaces.iter().flatten().map(identify).collect();
        if snapshot.interfaces.is_some() {
            let there: HashSet<&InterfaceId> = interfaces.iter().map(|(id, _, _)| id).collect();
            self.rates.retain(|key| key.interface.as_ref().is_none_or(|id| there.contains(id)));
        }
        let now = snapshot.monotonic_ms;
        for (metric, row) in CATALOG.iter().enumerate() {
            match row.reading {
                Reading::Told | Reading::LogTold(_) | Reading::LogLatency => {} // by `tell`
                Reading::Gauge(read) => open.add_gauge((metric, None), read(snapshot)),
                Reading::Counter(read) => {
                    let value = snapshot.counters.as_ref().and_then(read);
                    open.add_growth((metric, None), self.rates.growth_of(CounterKey::of(metric), value, now));
                }
                Reading::BothFamilies(families) => {
                    // Each by itself: were the sum one counter, a family that is missed once would look like a restart.
                    let growths =
                        families.into_iter().zip([CounterKey::of(metric), CounterKey::second(metric)]);
                    let growths = growths.map(|(read, key)| {
                        self.rates.growth_of(key, snapshot.counters.as_ref().and_then(read), now)
                    });
                    open.add_growth((metric, None), growths.flatten().reduce(Growth::and));
                }
                Reading::Detector => {
                    let value =
                        measured.host.iter().find(|(name, _)| *name == row.name).map(|(_, value)| *value);
                    open.add_gauge((metric, None), value);
                }
                Reading::AgentCounter(read) => {
                    let value = read(snapshot);
                    open.add_growth((metric, None), self.rates.growth_of(CounterKey::of(metric), value, now));
                }
                Reading::InterfaceGauge(read) => {
                    for (_, name, interface) in &interfaces {
                        open.add_gauge((metric, Some(name.clone())), read(interface));
                    }
                }
                Reading::InterfaceCounter(read) => {
                    for (id, name, interface) in &interfaces {
                        let key = CounterKey { interface: Some(id.clone()), ..CounterKey::of(metric) };
                        let growth = self.rates.growth_of(key, read(interface), now);
                        open.add_growth((metric, Some(name.clone())), growth);
                    }
                }
            }
        }
    }

    fn add_listeners(&mut self, open: &mut Open, snapshot: &Snapshot) {
        let Some(listeners) = &snapshot.listeners else { return };
        let there: HashSet<(IpAddr, u16)> = listeners.iter().map(|l| (l.address, l.port)).collect();
        self.listener_drops.retain(|key| there.contains(key));
        // Listeners that come and go within an interval must not fill memory: those that are gone and were never busy
        // make room, and what still finds none is not listed.
        if open.listeners.len() >= MAX_LISTENERS {
            open.listeners
                .retain(|key, seen| there.contains(key) || fullness(seen) > 0.0 || seen.drops > Some(0));
        }
        for listener in listeners {
            let key = (listener.address, listener.port);
            let growth = self.listener_drops.growth_of(key, listener.drops, snapshot.monotonic_ms);
            if open.listeners.len() >= MAX_LISTENERS && !open.listeners.contains_key(&key) {
                continue;
            }
            let summary = open.listeners.entry(key).or_insert_with(|| empty_summary(listener));
            summary.unit.clone_from(&listener.unit);
            summary.accept_limit = listener.accept_limit;
            summary.accept_queue_max = summary.accept_queue_max.max(listener.accept_queue);
            summary.half_open_max = summary.half_open_max.max(listener.half_open);
            summary.accept_utilization_max =
                summary.accept_utilization_max.max(listener.accept_utilization.unwrap_or(0.0));
            summary.syn_utilization_max =
                summary.syn_utilization_max.max(listener.syn_utilization().unwrap_or(0.0));
            if listener.drops.is_some() {
                *summary.drops.get_or_insert(0) += growth.map_or(0, |growth| growth.amount);
            }
        }
    }
}

impl Open {
    fn new(start: Timestamp, first: Timestamp) -> Self {
        Open {
            start,
            first,
            last: first,
            samples: 0,
            series: BTreeMap::new(),
            listeners: BTreeMap::new(),
            troubles: Vec::new(),
        }
    }

    fn tell(&mut self, told: &Measured) {
        for (metric, row) in CATALOG.iter().enumerate() {
            match row.reading {
                Reading::Told => {
                    let value = told.host.iter().find(|(name, _)| *name == row.name).map(|(_, value)| *value);
                    self.add_gauge((metric, None), value);
                }
                Reading::LogTold(read) => {
                    for (log, requests) in &told.logs {
                        self.series
                            .entry((metric, Some(log.clone())))
                            .or_default()
                            .add_growth(read(requests), 1);
                    }
                }
                Reading::LogLatency => {
                    for (log, requests) in told.logs.iter().filter(|(_, r)| !r.latency.is_empty()) {
                        self.series
                            .entry((metric, Some(log.clone())))
                            .or_default()
                            .add_all(&requests.latency);
                    }
                }
                _ => {}
            }
        }
    }

    fn add_gauge(&mut self, key: SeriesKey, value: Option<f64>) {
        if let Some(value) = value {
            self.series.entry(key).or_default().add(value);
        }
    }

    fn add_growth(&mut self, key: SeriesKey, growth: Option<Growth>) {
        if let Some(growth) = growth {
            self.series.entry(key).or_default().add_growth(growth.amount, growth.ticks);
        }
    }

    /// What it holds so far.
    fn preview(&self, seconds: u32) -> Interval {
        let series = self.series.iter().map(|(key, distribution)| (key.clone(), distribution.clone()));
        self.interval(seconds, false, series, self.listeners.values().cloned().collect())
    }

    fn close(mut self, seconds: u32) -> Interval {
        let series = std::mem::take(&mut self.series);
        let listeners = std::mem::take(&mut self.listeners);
        self.interval(seconds, true, series.into_iter(), listeners.into_values().collect())
    }

    fn interval(
        &self,
        seconds: u32,
        closed: bool,
        series: impl Iterator<Item = (SeriesKey, Distribution)>,
        mut listeners: Vec<ListenerSummary>,
    ) -> Interval {
        let series = series.filter_map(|((metric, interface), distribution)| {
            let metric = CATALOG.get(metric)?;
            Some(Series { metric, interface, distribution, published: Published::NotChosen })
        });
        listeners.sort_by(|a, b| fullness(b).total_cmp(&fullness(a)));
        Interval {
            start: self.start,
            closed,
            seconds,
            first: self.first,
            last: self.last,
            samples: self.samples,
            series: series.collect(),
            listeners,
            troubles: self.troubles.clone(),
            remarks: Vec::new(),
        }
    }
}

/// Where the interval of `seconds` that holds `time` begins.
fn interval_start(time: Timestamp, seconds: u32) -> Timestamp {
    // as_second truncates towards zero; a clock before 1970 must still be rounded down.
    let second = time.as_millisecond().div_euclid(1000);
    let start = second - second.rem_euclid(i64::from(seconds));
    Timestamp::from_second(start).unwrap_or(time)
}

fn identify(interface: &Interface) -> (InterfaceId, Arc<str>, &Interface) {
    let name: Arc<str> = interface.name.as_str().into();
    let id = interface.index.map_or_else(|| InterfaceId::Name(name.clone()), InterfaceId::Index);
    (id, name, interface)
}

fn fullness(listener: &ListenerSummary) -> f64 {
    listener.accept_utilization_max.max(listener.syn_utilization_max)
}

fn empty_summary(listener: &Listener) -> ListenerSummary {
    ListenerSummary {
        address: listener.address,
        port: listener.port,
        unit: None,
        accept_queue_max: 0,
        accept_limit: None,
        accept_utilization_max: 0.0,
        half_open_max: None,
        syn_utilization_max: 0.0,
        drops: None,
    }
}

fn troubles(snapshot: &Snapshot) -> Vec<String> {
    let bad = |outcome| matches!(outcome, SourceOutcome::Failed | SourceOutcome::Degraded);
    let text = |message: &Option<String>| message.clone().unwrap_or_default();
    snapshot
        .sources
        .iter()
        .filter(|source| bad(source.outcome))
        .map(|source| format!("{}: {}", source.name, text(&source.message)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::{Conntrack, Interface};
    use proptest::prelude::*;

    fn snapshot(wall_ms: i64, monotonic_ms: u64, bytes: u64) -> Snapshot {
        let mut snapshot = Snapshot::at(Timestamp::from_millisecond(wall_ms).unwrap(), monotonic_ms);
        snapshot.conntrack = Some(Conntrack { entries: 1, limit: 2 });
        snapshot.interfaces = Some(vec![Interface {
            index: Some(2),
            name: "eth0".into(),
            bytes_recv: bytes,
            bytes_sent: 0,
            packets_recv: 0,
            packets_sent: 0,
            err_in: 0,
            err_out: 0,
            drop_in: 0,
            drop_out: 0,
            allowances: None,
        }]);
        snapshot
    }

    /// Sum and number of all values of a metric.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers below 2^53")]
    fn total(intervals: &[Interval], name: &str) -> (u64, u64) {
        let of = |interval: &Interval| {
            let series: Vec<_> = interval.series.iter().filter(|s| s.metric.name == name).cloned().collect();
            series.into_iter().map(|s| (s.distribution.folded().sum() as u64, s.distribution.count()))
        };
        intervals.iter().flat_map(of).fold((0, 0), |(sum, count), (s, c)| (sum + s, count + c))
    }

    proptest! {
        /// Whatever the wall clock does, each sample is in one interval, and each byte is counted once.
        #[test]
        fn nothing_is_lost_or_doubled(
            seconds in 1u32..200,
            steps in prop::collection::vec((800u64..20_000, 0u64..1_000_000, prop_oneof![8 => Just(0i64), 1 => -9_000_000i64..9_000_000]), 1..300),
        ) {
            let (mut rollup, mut intervals) = (Rollup::new(seconds), Vec::new());
            let (mut wall, mut monotonic, mut bytes) = (1_000_000_000_000i64, 0u64, 5u64);
            intervals.extend(rollup.observe(&snapshot(wall, monotonic, bytes), &Measured::default()));
            for (wait, grown, jump) in &steps {
                monotonic += wait;
                bytes += grown;
                wall += i64::try_from(*wait).unwrap() + jump;
                intervals.extend(rollup.observe(&snapshot(wall, monotonic, bytes), &Measured::default()));
            }
            intervals.extend(rollup.close());
            prop_assert_eq!(total(&intervals, "net_bytes_recv").0, bytes - 5);
            let samples = u64::try_from(steps.len()).unwrap() + 1;
            prop_assert_eq!(total(&intervals, "conntrack_entries"), (samples, samples));
            prop_assert!(intervals.iter().all(|i| i.start.as_second() % i64::from(seconds) == 0));
            for interval in &intervals {
                let inside = interval.start..interval.start + jiff::SignedDuration::from_secs(i64::from(seconds));
                prop_assert!(inside.contains(&interval.first) && inside.contains(&interval.last));
            }
        }
    }
}
