//! What the pipeline needs of the configuration.

use std::collections::HashSet;

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
