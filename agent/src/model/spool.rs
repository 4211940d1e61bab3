//! What waits in the state file until CloudWatch has taken it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::MetricDatum;

/// Where records go; one request carries records of one destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// `PutMetricData` with this namespace.
    Metrics {
        /// Namespace of the request.
        namespace: String,
    },
    /// `PutLogEvents` to this stream.
    Logs {
        /// Log group.
        group: String,
        /// Log stream.
        stream: String,
    },
}

/// What kind of record it is: what is counted apart, and has its fair share of a full state file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Metric data.
    Metrics,
    /// Findings' log events.
    Findings,
    /// Other log events.
    #[default]
    Logs,
    /// Log events that say what was lost.
    Gaps,
    /// Lines of logs that are shipped. Last, for its number is in state files.
    Lines,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 5] = [Kind::Metrics, Kind::Findings, Kind::Logs, Kind::Gaps, Kind::Lines];

    /// Its name in messages and in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Metrics => "metrics",
            Kind::Findings => "findings",
            Kind::Logs => "logs",
            Kind::Gaps => "gaps",
            Kind::Lines => "lines",
        }
    }
}

/// One event of a log stream: `InputLogEvent` of `PutLogEvents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// When it happened.
    pub timestamp: Timestamp,
    /// Its text.
    pub message: String,
}

/// Records of one destination, in the order in which they came; never empty.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// For [`Destination::Metrics`].
    Metrics(Vec<MetricDatum>),
    /// For [`Destination::Logs`].
    Logs(Vec<StoredEvent>),
}

impl Payload {
    /// Number of records.
    pub fn len(&self) -> usize {
        match self {
            Payload::Metrics(data) => data.len(),
            Payload::Logs(events) => events.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which clock stamped a record: lets a clock that was set since be told from one that was not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockEra {
    /// `/proc/sys/kernel/random/boot_id`; empty where unknown.
    pub boot: String,
    /// Wall time less `CLOCK_BOOTTIME`, milliseconds: changes only when the wall clock is set.
    pub wall_less_boottime_ms: i64,
    /// What CloudWatch's clock was ahead of this host's then, milliseconds; zero where it was not known.
    #[serde(default)]
    pub offset_ms: i64,
}

/// What is put into the state file at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where it goes.
    pub destination: Destination,
    /// What it is.
    pub kind: Kind,
    /// Which clock stamped it.
    pub era: ClockEra,
    /// The records.
    pub payload: Payload,
}

/// An [`Entry`] (or a part of one) in the state file.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Rises with each frame; never used twice.
    pub id: u64,
    /// As it was put in.
    pub entry: Entry,
}
