//! What leaves the pipeline, in CloudWatch's own shapes: its JSON is the API's
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>).

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Learned;
use super::finding::Finding;
use super::interval::Interval;
use super::log_line::Cursor;
use super::spool::Kind;

/// One thing to send, or to show.
#[derive(Debug, Clone)]
pub enum Record {
    /// A metric datum.
    Metric(MetricDatum),
    /// A log event.
    Log(LogEvent),
    /// A finding for people to look at; its log event is a record of its own. Never leaves the host.
    Finding(Box<Finding>),
    /// A closed interval for people to look at; never leaves the host.
    Summary(Box<Interval>),
    /// What a detector has learned, for the state file. Never leaves the host.
    Learned(Learned),
    /// How far a log was read and is told of, for the state file. Never leaves the host.
    Cursor(Cursor),
}

/// One datum of `PutMetricData`, with its namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MetricDatum {
    /// Namespace of the request that carries it.
    pub namespace: String,
    /// Name, from the catalog.
    pub metric_name: Cow<'static, str>,
    /// Dimensions; the order does not matter to CloudWatch.
    pub dimensions: Vec<Dimension>,
    /// Start of the interval.
    pub timestamp: Timestamp,
    /// Distinct values, at most 150.
    #[serde(serialize_with = "numbers")]
    pub values: Vec<f64>,
    /// How often each value occurred.
    #[serde(serialize_with = "numbers")]
    pub counts: Vec<f64>,
    /// `StandardUnit`.
    pub unit: Cow<'static, str>,
    /// Seconds a stored point covers; 60 is the ordinary price.
    pub storage_resolution: u32,
    /// Whether it goes at once instead of with the interval's flush.
    #[serde(skip)]
    pub urgent: bool,
}

/// A name and value that tell one metric's series from another's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dimension {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// One event of `PutLogEvents`, with where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEvent {
    /// Log group.
    pub log_group_name: String,
    /// Log stream.
    pub log_stream_name: String,
    /// Milliseconds since the epoch.
    #[serde(serialize_with = "milliseconds")]
    pub timestamp: Timestamp,
    /// The event's text; ours are JSON objects.
    pub message: String,
    /// What is counted apart while it waits.
    #[serde(skip)]
    pub kind: Kind,
    /// Whether it goes at once instead of with the interval's flush.
    #[serde(skip)]
    pub urgent: bool,
}

fn milliseconds<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(time.as_millisecond())
}

fn numbers<S: serde::Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| number(*value)))
}

/// A JSON number; whole ones without a fraction.
pub fn number(value: f64) -> serde_json::Number {
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    if value.fract() == 0.0 && value.abs() < 2f64.powi(53) {
        return (value as i64).into();
    }
    serde_json::Number::from_f64(value).unwrap_or_else(|| 0.into())
}
