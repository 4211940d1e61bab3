//! A finding: something that an operator should know, as one JSON event in the findings log group.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// The listener or interface concerned, where the evidence points to one.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Who sends it, where packets were captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
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
    /// One source tries one port after the other.
    PortScan,
    /// Answers to SYNs that others sent in this host's name: somebody else is flooded.
    Backscatter,
    /// Segments for no connection, which the kernel answers with RST and forgets.
    AckNoise,
    /// SYNs that arrive at an interface and never reach this host's TCP: forwarded, filtered or dropped before it.
    NotReachingTcp,
    /// One address tries many passwords within minutes.
    BruteForce,
    /// One address tries a few passwords on many users.
    PasswordSpray,
    /// One address tries passwords for hours, slowly enough not to be noticed.
    SlowBruteForce,
    /// Many addresses try passwords on one user.
    DistributedBruteForce,
    /// Many addresses try passwords on many users, each a few.
    DistributedSpray,
    /// A login that succeeded where guessing went before.
    SuccessAfterFailures,
    /// A program of our own whose password is wrong: regular failures of one user from one private address.
    RepeatedFailureInternal,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 14] = [
        Kind::SynFlood,
        Kind::SlowAccept,
        Kind::FlashCrowd,
        Kind::PortScan,
        Kind::Backscatter,
        Kind::AckNoise,
        Kind::NotReachingTcp,
        Kind::BruteForce,
        Kind::PasswordSpray,
        Kind::SlowBruteForce,
        Kind::DistributedBruteForce,
        Kind::DistributedSpray,
        Kind::SuccessAfterFailures,
        Kind::RepeatedFailureInternal,
    ];

    /// Its name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::SynFlood => "syn_flood",
            Kind::SlowAccept => "slow_accept",
            Kind::FlashCrowd => "flash_crowd",
            Kind::PortScan => "port_scan",
            Kind::Backscatter => "backscatter",
            Kind::AckNoise => "ack_noise",
            Kind::NotReachingTcp => "not_reaching_tcp",
            Kind::BruteForce => "brute_force",
            Kind::PasswordSpray => "password_spray",
            Kind::SlowBruteForce => "slow_brute_force",
            Kind::DistributedBruteForce => "distributed_brute_force",
            Kind::DistributedSpray => "distributed_spray",
            Kind::SuccessAfterFailures => "success_after_failures",
            Kind::RepeatedFailureInternal => "repeated_failure_internal",
        }
    }

    /// The metric that is 1 while a finding of this kind is on; several kinds may share one.
    pub fn metric(self) -> Option<&'static str> {
        match self {
            Kind::SynFlood => Some("syn_flood_active"),
            Kind::SlowAccept => Some("slow_accept_active"),
            Kind::FlashCrowd => Some("flash_crowd_active"),
            Kind::PortScan => Some("port_scan_active"),
            Kind::Backscatter => Some("backscatter_active"),
            Kind::AckNoise => Some("ack_noise_active"),
            Kind::NotReachingTcp => Some("not_reaching_tcp_active"),
            Kind::BruteForce
            | Kind::PasswordSpray
            | Kind::SlowBruteForce
            | Kind::DistributedBruteForce
            | Kind::DistributedSpray => Some("login_brute_force_active"),
            Kind::SuccessAfterFailures => Some("login_success_after_failures"),
            Kind::RepeatedFailureInternal => None,
        }
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Worth looking at now.
    Warning,
    /// Clients are being lost, or somebody may be inside.
    Critical,
}

/// Where on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The interface that it comes in by, where packets were captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Local address of the listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Local port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The listener's systemd unit, where the kernel tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The service whose log tells it, most attempts first: `sshd`; `sshd, sudo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// Who is behind a finding, as far as captured packets or logs tell. The source address of a SYN can be forged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Who {
    /// Estimate of how many different sources there are: IPv4 addresses, and /64 prefixes of IPv6.
    pub distinct_sources: u64,
    /// Those that sent most, most first.
    pub top_sources: Vec<Source>,
    /// The users that were tried, where logs tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Users>,
}

/// Users that somebody tried to log in as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Users {
    /// How many different ones, as far as they were counted.
    pub distinct: u64,
    /// Those tried most, most first; of users that do not exist, a mask: people type passwords there.
    pub top: Vec<String>,
}

/// One source and its part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Source {
    /// IPv4 address, or IPv6 prefix as `2001:db8::/64`.
    pub source: String,
    /// Estimate of the SYNs that it sent in the seconds that were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syns: Option<u64>,
    /// Attempts to log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// Its share of all of them, 0 to 1.
    pub share: f64,
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
