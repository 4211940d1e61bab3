//! What the agent counts of its own delivery: the source of its self-metrics and of the status.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::spool::Kind;

/// Why a record was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// The state file was full: the oldest made room.
    Full,
    /// Older than CloudWatch takes.
    TooOld,
    /// Further ahead than CloudWatch takes.
    TooNew,
    /// CloudWatch proved it invalid.
    Rejected,
    /// The state file was damaged there.
    Damaged,
    /// It waited for the host's identity, with too many others.
    Crowded,
    /// A shipped log had reached its `daily_limit`.
    DailyLimit,
}

impl Loss {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Loss::Full => "the state file was full",
            Loss::TooOld => "older than CloudWatch takes",
            Loss::TooNew => "further ahead of time than CloudWatch takes",
            Loss::Rejected => "refused by CloudWatch as invalid",
            Loss::Damaged => "the state file was damaged",
            Loss::Crowded => "waited too long for the host's identity",
            Loss::DailyLimit => "beyond the day's limit of a shipped log",
        }
    }
}

/// Counts since the agent started, and the latest readings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Meters {
    /// Records that CloudWatch took, by kind.
    pub sent: BTreeMap<Kind, u64>,
    /// Records that were lost, by cause.
    pub lost: BTreeMap<Loss, u64>,
    /// Requests that were answered well.
    pub requests: u64,
    /// Requests that failed and are repeated.
    pub failures: u64,
    /// Of these, throttles.
    pub throttled: u64,
    /// Sends that were written and not answered: each may double its batch.
    pub ambiguous: u64,
    /// Records in those sends.
    pub ambiguous_records: u64,
    /// When CloudWatch last took metrics.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_publish: Option<Timestamp>,
    /// How long that took, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub publish_latency_ms: Option<u64>,
    /// Bytes of the state file.
    pub state_file_bytes: u64,
    /// Records that wait in it.
    pub waiting: BTreeMap<Kind, u64>,
    /// Of these, records that could not be written to disk.
    #[serde(default)]
    pub unwritten: u64,
    /// Time of the oldest of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest: Option<Timestamp>,
    /// What CloudWatch's clock is ahead of this host's, milliseconds; zero while they agree.
    pub clock_offset_ms: i64,
    /// Times that lines of a log may have been lost before they could be read.
    #[serde(default)]
    pub log_gaps: u64,
}

impl Meters {
    /// Counts records that CloudWatch took.
    pub fn count_sent(&mut self, kind: Kind, records: u64) {
        *self.sent.entry(kind).or_default() += records;
    }

    /// Counts records that were lost.
    pub fn count_lost(&mut self, cause: Loss, records: u64) {
        if records > 0 {
            *self.lost.entry(cause).or_default() += records;
        }
    }

    /// All that was lost.
    pub fn lost_in_all(&self) -> u64 {
        self.lost.values().sum()
    }

    /// What was lost for one of these reasons.
    pub fn lost_for(&self, causes: &[Loss]) -> u64 {
        causes.iter().filter_map(|cause| self.lost.get(cause)).sum()
    }

    /// All that was sent.
    pub fn sent_in_all(&self) -> u64 {
        self.sent.values().sum()
    }
}
