//! A finding: something that an operator should know, as one JSON event in the findings log group.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

/// One state of one finding. It opens once, is updated at most once a minute while it lasts, and closes once; all
/// carry the same `id`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Tells this finding from others of this host: kind and beginning.
    pub id: String,
    /// Opened, still there, or over.
    pub state: State,
    /// What it is.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// A closer word for it, where the kind has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<&'static str>,
    /// What else is remarkable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<&'static str>,
    /// When it was first noticed.
    pub began: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// When it was over, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The listener concerned, where the evidence points to one.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// How we know.
    pub evidence: Vec<Evidence>,
    /// What to do about it.
    pub advice: &'static str,
}

/// Where a finding stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum State {
    Open,
    Update,
    Closed,
}

/// What a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Handshakes are begun in numbers and not completed.
    SynFlood,
    /// A program accepts more slowly than clients come: their handshakes are lost, but they are real.
    SlowAccept,
    /// Far more clients than usual, and all are served.
    FlashCrowd,
}

impl Kind {
    /// Its name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::SynFlood => "syn_flood",
            Kind::SlowAccept => "slow_accept",
            Kind::FlashCrowd => "flash_crowd",
        }
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Worth looking at now.
    Warning,
    /// Clients are being lost.
    Critical,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Local address.
    pub address: IpAddr,
    /// Local port.
    pub port: u16,
    /// Its systemd unit, where the kernel tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// One signal that a finding rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// What was measured.
    pub signal: &'static str,
    /// Its value now: a rate per second, but for half-open connections and limits.
    pub value: f64,
    /// What is usual on this host, where that was learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
}
