//! Every alarm, once: which metric of the catalog, what is too much of it, and what it means to whom it wakes.
//!
//! A detector's `*_active` metric is 1 of 1 on its maximum: persistence and hysteresis are the detector's work. Raw
//! metrics are M of N, so that one bad minute wakes nobody. Missing data does not breach, for sparse metrics are missing
//! while they are zero; only the heartbeat's absence is the alarm itself
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html>).

use super::catalog;

/// What makes an alarm of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlarmRule {
    /// What it is called, in the alarm's name: `syn-flood`.
    pub kind: &'static str,
    /// The metric, of the catalog. One with the dimension `interface` makes an alarm for each interface.
    pub metric: &'static str,
    /// What is made of a period's values.
    pub statistic: Statistic,
    /// How it compares with the threshold to breach.
    pub comparison: Comparison,
    /// In the metric's unit, or samples.
    pub threshold: f64,
    /// So many of the last [`Self::periods`] have to breach.
    pub datapoints: u16,
    /// Periods looked at, of a minute, or of the publishing interval if that is longer.
    pub periods: u16,
    /// What a period without data counts as.
    pub missing: Missing,
    /// What it means, and what to do first.
    pub meaning: &'static str,
}

/// Whose alarms there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// None are made.
    None,
    /// Each instance has its own.
    Instance,
    /// One of a kind for all instances of the namespace, or of the Auto Scaling group where that is a dimension.
    Fleet,
}

impl Scope {
    /// Every one.
    pub const ALL: [Scope; 3] = [Scope::Instance, Scope::Fleet, Scope::None];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::None => "none",
            Scope::Instance => "instance",
            Scope::Fleet => "fleet",
        }
    }

    /// Whether there is an alarm of that rule. One of a fleet cannot tell that an instance is silent: whoever sends
    /// nothing is not in the answer to its query.
    pub fn has(self, rule: &AlarmRule) -> bool {
        match self {
            Scope::None => false,
            Scope::Instance => true,
            Scope::Fleet => rule.missing == Missing::NotBreaching,
        }
    }
}

impl AlarmRule {
    /// Whether each interface has its own.
    pub fn per_interface(&self) -> bool {
        catalog::find(self.metric).is_some_and(|metric| metric.reading.per_interface())
    }

    /// Whether it is only of interfaces whose driver counts EC2's allowances.
    pub fn needs_allowances(&self) -> bool {
        self.metric.starts_with("ethtool_")
    }
}

/// CloudWatch's `Statistic`, as far as used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "CloudWatch's own names")]
pub enum Statistic {
    Average,
    Maximum,
    SampleCount,
    Sum,
}

impl Statistic {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Statistic::Average => "Average",
            Statistic::Maximum => "Maximum",
            Statistic::SampleCount => "SampleCount",
            Statistic::Sum => "Sum",
        }
    }

    /// The function of the same in a query
    /// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-metrics-insights-querylanguage.html>).
    pub fn function(self) -> &'static str {
        match self {
            Statistic::Average => "AVG",
            Statistic::Maximum => "MAX",
            Statistic::SampleCount => "COUNT",
            Statistic::Sum => "SUM",
        }
    }
}

/// CloudWatch's `ComparisonOperator`, as far as used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// At the threshold or above it.
    AtLeast,
    /// Below the threshold.
    Below,
}

impl Comparison {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Comparison::AtLeast => "GreaterThanOrEqualToThreshold",
            Comparison::Below => "LessThanThreshold",
        }
    }
}

/// CloudWatch's `TreatMissingData`, as far as used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "CloudWatch's own names")]
pub enum Missing {
    Breaching,
    NotBreaching,
}

impl Missing {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Missing::Breaching => "breaching",
            Missing::NotBreaching => "notBreaching",
        }
    }
}

/// An `*_active` metric that was 1 in the last period.
const fn active(kind: &'static str, metric: &'static str, meaning: &'static str) -> AlarmRule {
    AlarmRule {
        kind,
        metric,
        statistic: Statistic::Maximum,
        comparison: Comparison::AtLeast,
        threshold: 1.0,
        datapoints: 1,
        periods: 1,
        missing: Missing::NotBreaching,
        meaning,
    }
}

/// A raw metric that was too high in three periods of five.
const fn high(
    kind: &'static str,
    metric: &'static str,
    statistic: Statistic,
    threshold: f64,
    meaning: &'static str,
) -> AlarmRule {
    AlarmRule { statistic, threshold, datapoints: 3, periods: 5, ..active(kind, metric, meaning) }
}

use Statistic::{Average, Maximum, Sum};

/// Every alarm, in the order of worth.
#[rustfmt::skip] // a table
pub const ALARMS: &[AlarmRule] = &[
    active("syn-flood", "syn_flood_active", "A SYN flood is on: handshakes are begun and not completed. Read the finding in the log group of findings: it names port, service and sources, and says what helps."),
    active("login-success-after-failures", "login_success_after_failures", "Somebody logged in after guessing passwords. Treat the account as stolen until shown otherwise: the finding names user and source."),
    active("login-brute-force", "login_brute_force_active", "Somebody guesses passwords. The finding names sources and users; block the sources, and check that passwords alone do not open this host."),
    high("login-failures", "login_failures", Sum, 10.0, "Many attempts to log in fail. Look at the findings, then at the log of the service: an attack, or a program with an old password."),
    high("accept-queue", "tcp_accept_queue_utilization", Maximum, 80.0, "A program accepts connections too slowly: its accept queue is nearly full, and clients will be refused. Find the listener in the samples event, and see why its program is slow."),
    high("listen-queue", "tcp_syn_queue_utilization", Maximum, 80.0, "A listener's queue of half-open connections is nearly full. Without a SYN flood beside it: raise the program's backlog and net.core.somaxconn."),
    high("conntrack", "conntrack_utilization", Maximum, 80.0, "The connection tracking table is nearly full: at 100 per cent new connections are dropped. Raise net.netfilter.nf_conntrack_max, or find who opens so many."),
    AlarmRule { kind: "agent-silent", metric: "netstat_tcp_established", statistic: Statistic::SampleCount, comparison: Comparison::Below, threshold: 1.0, datapoints: 5, periods: 5, missing: Missing::Breaching,
        meaning: "Nothing came from the agent for five periods: the instance is stopped or cut off, or the agent is not running. Look at the instance first, then at `vpcwatch status`." },
    high("ena-allowance", "ethtool_allowance_exceeded", Sum, 1.0, "Traffic is above what this instance type may have, and EC2 queues or drops packets. The dashboard shows which allowance: of bandwidth in or out, packet rate or tracked connections (take a larger type, or spread the load; security group rules that need no tracking help), or of requests to DNS and metadata (cache them here)."),
    high("interface-drops", "net_drop_in", Average, 1.0, "The interface drops packets on receipt. Look for a CPU that is busy with interrupts, and at the sizes of the rings (`ethtool -g`)."),
    high("interface-errors", "net_err_in", Average, 1.0, "The interface receives damaged packets. On EC2 that is rare: move the instance to other hardware by stopping and starting it."),
];

/// An alarm on the requests of an access log. Two metrics or a percentile: more than a rule of one metric can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebRule {
    /// What it is called, in the alarm's name, before the log's.
    pub kind: &'static str,
    /// What is looked at.
    pub of: WebMeasure,
    /// What it means, and what to do first.
    pub meaning: &'static str,
}

/// What an alarm on requests looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebMeasure {
    /// Requests answered with 500 to 599, in per cent of all.
    ServerErrors,
    /// The time that 99 of 100 requests took at the most.
    Latency,
}

/// Requests a period below which their share of errors is not judged: one error of three is no outage.
pub const LEAST_REQUESTS: u32 = 20;
/// Per cent of requests with server errors that are too many.
pub const MOST_SERVER_ERRORS: f64 = 5.0;

/// Every alarm on an access log.
pub const WEB_ALARMS: &[WebRule] = &[
    WebRule {
        kind: "web-errors",
        of: WebMeasure::ServerErrors,
        meaning: "Many requests of this log are answered with 5xx. Look at the program behind the web server first, then at what \
                  it depends on.",
    },
    WebRule {
        kind: "web-latency",
        of: WebMeasure::Latency,
        meaning: "One request of a hundred of this log, or more, takes longer than web.slow. Look at the slow paths in the log, and at \
                  accept queue and retransmits of the same minutes.",
    },
];

impl WebRule {
    /// The metrics that it looks at, of the catalog.
    pub fn metrics(&self) -> &'static [&'static str] {
        match self.of {
            WebMeasure::ServerErrors => &["http_5xx", "http_requests"],
            WebMeasure::Latency => &["http_request_latency"],
        }
    }
}

/// An alarm on what is unusual for a host, which CloudWatch learns in up to two weeks
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Anomaly_Detection.html>). An option:
/// it costs as three alarms do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// What it is called, in the alarm's name.
    pub kind: &'static str,
    /// The metric, of the catalog; never a sparse one. Its average is what is learned.
    pub metric: &'static str,
    /// What it means, and what to do first.
    pub meaning: &'static str,
}

/// Standard deviations from what is usual that a band is wide, to either side: CloudWatch's own default.
pub const BAND_WIDTH: u32 = 2;
/// Metrics that CloudWatch counts for an alarm with a band.
pub const BAND_METRICS: u32 = 3;

/// Every alarm on what is unusual.
#[rustfmt::skip] // a table
pub const BANDS: &[Band] = &[
    Band { kind: "unusual-connections", metric: "netstat_tcp_established", meaning: "The number of connections is not what is usual for this host at this hour. More: a crowd, an attack on a service, or a leak. Fewer: clients cannot reach it." },
    Band { kind: "unusual-traffic-in", metric: "net_bytes_recv", meaning: "Inbound traffic is not what is usual for this host at this hour. Compare with the findings, and with the same hour of other days." },
    Band { kind: "unusual-traffic-out", metric: "net_bytes_sent", meaning: "Outbound traffic is not what is usual for this host at this hour. More of it without more requests may be data that leaves: see who the connections go to." },
];

impl Band {
    /// Whether each interface has its own.
    pub fn per_interface(&self) -> bool {
        catalog::find(self.metric).is_some_and(|metric| metric.reading.per_interface())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog;

    #[test]
    fn alarms_on_requests_are_of_metrics_of_logs() {
        let mut metrics = WEB_ALARMS.iter().flat_map(WebRule::metrics);
        assert!(
            metrics.all(|name| catalog::find(name).is_some_and(|m| m.reading.dimension() == Some("log")))
        );
    }

    #[test]
    fn what_is_usual_is_learned_of_metrics_that_are_always_sent() {
        assert!(BANDS.iter().all(|band| catalog::find(band.metric).is_some_and(|metric| !metric.sparse)));
    }

    #[test]
    fn every_alarm_is_of_a_metric_of_the_catalog_and_missing_data_mean_what_sparse_says() {
        for (n, rule) in ALARMS.iter().enumerate() {
            let metric = catalog::find(rule.metric).unwrap();
            assert!(ALARMS[..n].iter().all(|other| other.kind != rule.kind), "{} twice", rule.kind);
            assert!((1..=rule.periods).contains(&rule.datapoints), "{}", rule.kind);
            // What is left out while zero must not breach; and a resend adds to Sum, so Sum is for what is normally zero.
            assert!(!metric.sparse || rule.missing == Missing::NotBreaching, "{}", rule.kind);
            assert!(metric.sparse || rule.statistic != Statistic::Sum, "{}", rule.kind);
            if rule.metric.ends_with("_active") {
                let (of, statistic) = ((rule.datapoints, rule.periods), rule.statistic);
                assert_eq!((of, statistic), ((1, 1), Statistic::Maximum), "{}", rule.kind);
            }
        }
    }
}
