//! Logs that are shipped: what the configuration says of one.

use std::sync::Arc;

use jiff::tz::TimeZone;

/// A log whose lines go to CloudWatch Logs: one entry of `logs.ship`.
#[derive(Debug, Clone, PartialEq)]
pub struct ShippedLog {
    /// Its name, which is part of its keys in the state file.
    pub name: Arc<str>,
    /// Where its lines are.
    pub from: Origin,
    /// Log group.
    pub group: String,
    /// Log stream, in which [`PLACEHOLDERS`] stand for what differs.
    pub stream: String,
    /// Where the time of an event stands.
    pub time: LineTime,
    /// The zone of times that have none written beside them; `None` for the system's.
    pub zone: Option<TimeZone>,
    /// What the first line of an event is like; without it each line is an event. A regular expression that was checked,
    /// as all here.
    pub first_line: Option<String>,
    /// Only events that one of these finds something in; all, where there is none.
    pub include: Vec<String>,
    /// Not events that one of these finds something in.
    pub exclude: Vec<String>,
    /// Bytes that may go out in a day (UTC), as CloudWatch Logs bills them.
    pub daily_limit: u64,
}

/// What may stand in a stream's name.
pub const PLACEHOLDERS: [&str; 4] = ["{instance_id}", "{hostname}", "{name}", "{file}"];

/// Where lines are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Files: absolute paths in which `*`, `?` and `[...]` stand for characters of one name.
    Files(Vec<String>),
    /// Units whose entries in the journal are meant.
    Units(Vec<String>),
}

/// Where the time of an event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineTime {
    /// Wherever a known form of time is found in its first line.
    Auto,
    /// Nowhere: it is when the line was read.
    Read,
    /// At the beginning, in this form of `strptime`.
    Format(String),
}

/// Who this host is in the names of streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamNames {
    /// The instance's id; elsewhere the name that metrics have.
    pub instance_id: String,
    /// The system's name.
    pub hostname: String,
}
