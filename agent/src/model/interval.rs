//! One closed publishing interval: every measurement's distribution, before it is rendered for anyone.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::catalog::Metric;
use super::distribution::Distribution;

/// All that was measured between `start` and `start + seconds`.
#[derive(Debug, Clone)]
pub struct Interval {
    /// Where it begins: a multiple of its length since the epoch.
    pub start: Timestamp,
    /// Whether it is closed; if not, this is what it holds so far.
    pub closed: bool,
    /// Its length in seconds.
    pub seconds: u32,
    /// Time of the first snapshot in it.
    pub first: Timestamp,
    /// Time of the last snapshot in it.
    pub last: Timestamp,
    /// Snapshots in it.
    pub samples: u32,
    /// Measurements, in the catalog's order and then by interface.
    pub series: Vec<Series>,
    /// Listeners, fullest first.
    pub listeners: Vec<ListenerSummary>,
    /// Sources that were not `ok` at the last snapshot: name, outcome and message.
    pub troubles: Vec<String>,
    /// What was found odd in logs, each thing once for each file.
    pub remarks: Vec<String>,
}

/// One metric, at one interface where it has that dimension.
#[derive(Debug, Clone)]
pub struct Series {
    /// Which metric.
    pub metric: &'static Metric,
    /// Which interface, or which access log (see [`crate::model::catalog::Reading::dimension`]).
    pub interface: Option<Arc<str>>,
    /// Its one-second samples.
    pub distribution: Distribution,
    /// Whether it is sent as a metric; if not, it is still in the samples event.
    pub published: Published,
}

/// Whether and why a series is sent as a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Sent.
    Sent,
    /// Chosen, but sparse and zero for long enough.
    SparseZero,
    /// Not in the configured set.
    NotChosen,
}

/// One listener over the interval.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerSummary {
    /// Local address.
    pub address: IpAddr,
    /// Local port.
    pub port: u16,
    /// Owner, where the kernel tells.
    pub unit: Option<String>,
    /// Longest accept queue seen.
    pub accept_queue_max: u32,
    /// Its limit, as last seen.
    pub accept_limit: Option<u32>,
    /// Fullest accept queue in per cent.
    pub accept_utilization_max: f64,
    /// Most half-open connections seen.
    pub half_open_max: Option<u32>,
    /// Most half-open connections in per cent of the limit.
    pub syn_utilization_max: f64,
    /// Drops within the interval.
    pub drops: Option<u64>,
}
