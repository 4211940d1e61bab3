//! A closed interval as `CloudWatch` takes it: a datum for each series that is sent, and one log event that carries
//! every measurement, sent or not.

use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::model::catalog::{self, Metric};
use crate::model::finding::{Finding, State};
use crate::model::identity::Identity;
use crate::model::interval::{Interval, ListenerSummary, Published, Series};
use crate::model::record::{Dimension, LogEvent, MetricDatum, Record, number};
use crate::model::settings::Settings;
use crate::model::spool::Kind;

/// Rows of the samples event; what is left out is counted there. A log event may hold 1 MB
/// (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>) and costs by the byte.
const MAX_LISTENERS: usize = 50;
const MAX_INTERFACES: usize = 100;

/// How an interval or a finding becomes records.
pub(super) struct Render<'a> {
    pub(super) settings: &'a Settings,
    pub(super) identity: &'a Identity,
}

impl Render<'_> {
    pub(super) fn metrics(&self, interval: &Interval) -> Vec<Record> {
        let sent = interval.series.iter().filter(|series| series.published == Published::Sent);
        sent.map(|series| Record::Metric(self.datum(series, interval))).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are numbers of seconds")]
    fn datum(&self, series: &Series, interval: &Interval) -> MetricDatum {
        let (values, counts) =
            series.distribution.folded().iter().map(|(value, times)| (value, times as f64)).unzip();
        let mut datum = self.host_datum(series.metric, interval.start, values, counts);
        if let (Some(name), Some(at)) = (series.metric.reading.dimension(), &series.interface) {
            datum.dimensions.push(Dimension { name: name.into(), value: dimension_value(at) });
        }
        datum
    }

    /// A datum of this host as a whole.
    fn host_datum(
        &self,
        metric: &Metric,
        timestamp: Timestamp,
        values: Vec<f64>,
        counts: Vec<f64>,
    ) -> MetricDatum {
        let of_host = |d: &Dimension| Dimension { name: d.name.clone(), value: dimension_value(&d.value) };
        MetricDatum {
            namespace: self.settings.namespace.clone(),
            metric_name: metric.name.into(),
            dimensions: self.identity.dimensions.iter().map(of_host).collect(),
            timestamp,
            values,
            counts,
            unit: metric.unit.as_str().into(),
            storage_resolution: 60,
            urgent: false,
        }
    }

    /// A finding's log event; with its beginning also the metric that says that it is on. Its end is left to the interval:
    /// a zero sent at once would be all that CloudWatch has of a minute whose ones are yet to come, and an alarm would be
    /// OK for that minute and then ring again.
    pub(super) fn finding(&self, finding: &Finding, now: Timestamp) -> Vec<Record> {
        let mut message = self.head("finding");
        if let Ok(Value::Object(told)) = serde_json::to_value(finding) {
            message.extend(told);
        }
        let urgent = finding.state != State::Update;
        let mut records = vec![Record::Log(LogEvent {
            log_group_name: self.settings.findings_group.clone(),
            log_stream_name: stream_name(&self.identity.name),
            timestamp: now,
            message: Value::Object(message).to_string(),
            kind: Kind::Findings,
            urgent,
        })];
        if finding.state != State::Open {
            return records;
        }
        let metric = finding.kind.metric().and_then(catalog::find);
        if let Some(metric) = metric.filter(|metric| self.settings.chosen.contains(metric.name)) {
            let datum = self.host_datum(metric, now, vec![1.0], vec![1.0]);
            records.push(Record::Metric(MetricDatum { urgent, ..datum }));
        }
        records
    }

    /// What every event of ours begins with.
    fn head(&self, kind: &str) -> Map<String, Value> {
        let mut head = Map::new();
        head.insert("type".into(), kind.into());
        head.insert("version".into(), 1.into());
        for dimension in &self.identity.dimensions {
            head.insert(dimension.name.clone(), dimension.value.clone().into());
        }
        head
    }

    /// Minimum, mean and maximum of everything, in one event of the samples log group.
    pub(super) fn samples(&self, interval: &Interval) -> LogEvent {
        let mut host = Map::new();
        let mut interfaces = Map::new();
        let mut logs = Map::new();
        let mut interfaces_left_out = 0;
        for series in &interval.series {
            let target = match &series.interface {
                None => &mut host,
                // Few: the configuration names them.
                Some(name) if series.metric.reading.per_log() => {
                    match logs.entry(name.to_string()).or_insert_with(|| json!({})) {
                        Value::Object(object) => object,
                        _ => continue,
                    }
                }
                Some(name) => {
                    if !interfaces.contains_key(&**name) && interfaces.len() >= MAX_INTERFACES {
                        interfaces_left_out += 1;
                        continue;
                    }
                    match interfaces.entry(name.to_string()).or_insert_with(|| json!({})) {
                        Value::Object(object) => object,
                        _ => continue,
                    }
                }
            };
            let d = &series.distribution;
            let statistics =
                json!({"min": rounded(d.min()), "mean": rounded(d.mean()), "max": rounded(d.max())});
            target.insert(series.metric.name.to_owned(), statistics);
        }
        let listeners: Vec<ListenerRow> =
            interval.listeners.iter().take(MAX_LISTENERS).map(ListenerRow::of).collect();
        let mut message = self.head("samples");
        let mut tell = |key: &str, value: Value| message.insert(key.into(), value);
        tell("start", json!(interval.start));
        tell("seconds", json!(interval.seconds));
        tell("samples", json!(interval.samples));
        tell("metrics", Value::Object(host));
        tell("interfaces", Value::Object(interfaces));
        if !logs.is_empty() {
            tell("logs", Value::Object(logs));
        }
        tell("listeners", json!(listeners));
        let listeners_left_out = interval.listeners.len() - listeners.len();
        if interfaces_left_out > 0 || listeners_left_out > 0 {
            let left_out = json!({"interface_series": interfaces_left_out, "listeners": listeners_left_out});
            tell("left_out", left_out);
        }
        if !interval.troubles.is_empty() {
            tell("troubles", json!(interval.troubles));
        }
        if !interval.remarks.is_empty() {
            tell("remarks", json!(interval.remarks));
        }
        LogEvent {
            log_group_name: self.settings.samples_group.clone(),
            log_stream_name: stream_name(&self.identity.name),
            timestamp: interval.start,
            message: Value::Object(message).to_string(),
            kind: Kind::Logs,
            urgent: false,
        }
    }
}

/// A dimension's value may be 1 to 1024 ASCII characters without control characters, not beginning with a colon
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>); the kernel lets interfaces
/// and hosts be named with any bytes. One bad value would have the whole request refused. Others are written `%xx`, so
/// that two names stay two.
pub(crate) fn dimension_value(name: &str) -> String {
    let mut value = String::new();
    for (at, byte) in name.bytes().enumerate() {
        let allowed = byte.is_ascii_graphic() && (at > 0 || byte != b':') || (at > 0 && byte == b' ');
        if allowed {
            value.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(value, "%{byte:02x}");
        }
    }
    value.truncate(1024);
    if value.is_empty() { "unknown".into() } else { value }
}

/// To three decimals: finer than anything we measure, and log events cost by the byte.
fn rounded(value: f64) -> serde_json::Number {
    number((value * 1000.0).round() / 1000.0)
}

/// A log stream named after the host. `:` and `*` are not allowed in a stream's name.
pub fn stream_name(host: &str) -> String {
    host.replace([':', '*'], "_")
}

#[derive(Serialize)]
struct ListenerRow<'a> {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    accept_queue_max: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    half_open_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drops: Option<u64>,
}

impl<'a> ListenerRow<'a> {
    fn of(listener: &'a ListenerSummary) -> Self {
        ListenerRow {
            address: std::net::SocketAddr::new(listener.address, listener.port).to_string(),
            unit: listener.unit.as_deref(),
            accept_queue_max: listener.accept_queue_max,
            accept_limit: listener.accept_limit,
            half_open_max: listener.half_open_max,
            drops: listener.drops,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cloudwatch_would_refuse() {
        for (name, value) in [
            ("eth0", "eth0"),
            ("eth0.7@x", "eth0.7@x"),
            (":1", "%3a1"),
            ("caf\u{e9}\u{7}", "caf%c3%a9%07"),
            ("", "unknown"),
        ] {
            assert_eq!(dimension_value(name), value);
        }
        assert_eq!(dimension_value(&"x".repeat(5000)).len(), 1024);
    }
}
