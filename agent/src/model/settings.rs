//! What the pipeline needs of the configuration.

use std::collections::HashSet;
use std::sync::Arc;

use ipnet::IpNet;

/// How records are made.
#[derive(Debug, Clone, PartialEq)]
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
    /// What detectors call unusual.
    pub detectors: DetectorSettings,
    /// What tells of a login beside the services that are known: `logins.patterns`.
    pub login_patterns: Vec<LoginPattern>,
    /// Names of the access logs that are measured: `web.logs`.
    pub web_logs: Vec<Arc<str>>,
}

/// A user's own rule for lines that tell of a login. Checked when the configuration is: see `parse::pattern`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginPattern {
    /// Its name: the service of what it finds, and the grammar of the log that it is for.
    pub name: String,
    /// A regular expression with the groups `source`, `user`, `outcome`, each of which may be missing.
    pub regex: String,
    /// What the group `outcome` holds of a success; everything else is a failure. Empty: a failure always.
    pub success: Vec<String>,
}

/// What detectors call unusual.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DetectorSettings {
    /// Whose SYNs never count.
    pub ignore_sources: Vec<IpNet>,
    /// Local ports whose SYNs never count.
    pub ignore_ports: Vec<u16>,
    /// `syn_flood.*`
    pub syn_flood: SynFloodSettings,
    /// `flash_crowd.*`
    pub flash_crowd: FlashCrowdSettings,
    /// `port_scan.*`
    pub port_scan: PortScanSettings,
    /// `stray_segments.*`
    pub stray_segments: StraySegmentsSettings,
    /// `logins.*`
    pub logins: LoginSettings,
}

/// What is a SYN flood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SynFloodSettings {
    /// Unanswered SYNs a second above the usual mean that are let pass; more where the mean varies.
    pub tolerance: f64,
    /// What adds up above that to a flood.
    pub sum: f64,
    /// Share of all SYNs that is a flood by itself.
    pub ratio: f64,
    /// Share below which nothing is a flood.
    pub least_ratio: f64,
    /// Seconds without it after which a finding closes.
    pub quiet_seconds: u32,
}

/// What is a flash crowd.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlashCrowdSettings {
    /// Completed handshakes a second below which nothing is a crowd.
    pub least: f64,
    /// How many times what is usual is one.
    pub times_usual: f64,
}

/// What is a port scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PortScanSettings {
    /// Different ports that one source tries.
    pub ports: u32,
    /// Within so many seconds.
    pub window_seconds: u32,
}

/// What is backscatter, and what noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StraySegmentsSettings {
    /// Segments a second above what is usual.
    pub least: f64,
}

/// What is guessing of passwords.
#[derive(Debug, Clone, PartialEq)]
pub struct LoginSettings {
    /// Addresses whose attempts never count.
    pub ignore_sources: Vec<IpNet>,
    /// Addresses that are trusted: three times as many attempts are let pass, and nothing of theirs is more than a
    /// notice.
    pub known_sources: Vec<IpNet>,
    /// Whether names of users that do not exist are told.
    pub show_unknown_users: bool,
    /// Attempts of one address within a minute that are a brute force; it is also one when two thirds more come within ten minutes.
    pub attempts: u32,
    /// Different users that one address tries within ten minutes, and that are a spray.
    pub users: u32,
    /// Attempts of one address within six hours, without a success between, that are a slow brute force.
    pub slow_attempts: u32,
    /// Different addresses that try one user within an hour, and that are a distributed brute force.
    pub sources: u32,
    /// Seconds of quiet after which a finding closes.
    pub quiet_seconds: u32,
}

impl Default for LoginSettings {
    fn default() -> Self {
        LoginSettings {
            ignore_sources: Vec::new(),
            known_sources: Vec::new(),
            show_unknown_users: false,
            attempts: 6,
            users: 6,
            slow_attempts: 12,
            sources: 8,
            quiet_seconds: 30 * 60,
        }
    }
}

impl Default for SynFloodSettings {
    fn default() -> Self {
        SynFloodSettings { tolerance: 2.0, sum: 20.0, ratio: 0.5, least_ratio: 0.05, quiet_seconds: 30 }
    }
}

impl Default for FlashCrowdSettings {
    fn default() -> Self {
        FlashCrowdSettings { least: 100.0, times_usual: 3.0 }
    }
}

impl Default for PortScanSettings {
    fn default() -> Self {
        PortScanSettings { ports: 15, window_seconds: 60 }
    }
}

impl Default for StraySegmentsSettings {
    fn default() -> Self {
        StraySegmentsSettings { least: 50.0 }
    }
}
