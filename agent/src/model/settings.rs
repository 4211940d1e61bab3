//! What the pipeline needs of the configuration.

use std::collections::HashSet;

/// How records are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Length of a publishing interval, seconds.
    pub interval_seconds: u32,
    /// Namespace of the metrics.
    pub namespace: String,
    /// Names of the metrics to send.
    pub chosen: HashSet<&'static str>,
    /// Log group of the samples event.
    pub samples_group: String,
    /// Log group of findings.
    pub findings_group: String,
}
