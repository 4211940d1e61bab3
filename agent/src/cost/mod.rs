//! What a configuration costs a month in CloudWatch: an estimate, pure.
//!
//! Takes settings and how much of what there is; hands on dollars by part; never asks AWS.

pub mod prices;

use std::fmt;

use serde::Serialize;

use crate::model::alarms::{ALARMS, BAND_METRICS, BANDS, Scope, WEB_ALARMS, WebRule};
use crate::model::catalog::CATALOG;
use crate::model::settings::Settings;

/// Hours of a month, as AWS's own examples count them.
const HOURS: f64 = 730.0;
/// Share of hours in which a sparse metric is not zero: an assumption. A host that is scanned all day has more.
const SPARSE_SHARE: f64 = 0.10;
/// Data that one `PutMetricData` request takes.
const DATA_A_REQUEST: u32 = 1000;
/// Bytes of a samples event: a dry run off EC2 made 3,709; ENA's counters and those of delivery come on top.
const SAMPLES_BYTES: f64 = 4500.0;
/// What CloudWatch Logs counts on top of each event
/// (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>).
const EVENT_OVERHEAD: f64 = 26.0;
/// Events of findings a month, an assumption: a finding's half hour a day, an event a minute.
const FINDING_EVENTS: f64 = 900.0;
/// Bytes of such an event: those of the golden recordings have 906 to 1,012; sources and processes come on top.
const FINDING_BYTES: f64 = 1300.0;
const GIGABYTE: f64 = 1_073_741_824.0;

/// How much there is of what a price depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Interfaces that are measured.
    pub interfaces: u32,
    /// Whether their drivers count EC2's allowances, as ENA's does.
    pub ena: bool,
    /// Whose alarms there are.
    pub scope: Scope,
    /// Whether there are alarms on what is unusual.
    pub anomaly_bands: bool,
    /// Bytes of shipped logs that a day may have at most.
    pub shipped_bytes_a_day: u64,
    /// Dashboards to pay for: the account has three free, and ours is shared by all its hosts.
    pub dashboards: u32,
}

/// One line of an estimate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// What is paid for.
    pub name: &'static str,
    /// How many of it a month.
    pub quantity: f64,
    /// US dollars a month.
    pub dollars: f64,
}

/// What a configuration costs a month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The parts.
    pub parts: Vec<Part>,
    /// Their sum, US dollars a month.
    pub total: f64,
    /// Region of the prices.
    pub region: &'static str,
    /// When the prices were noted.
    pub noted: &'static str,
    /// Where they are from.
    pub source: &'static str,
}

/// Metrics that the alarms of one host look at. Those of a fleet look at the same metrics of each host.
pub fn alarm_metrics(settings: &Settings, usage: &Usage) -> u32 {
    let rules = ALARMS.iter().filter(|rule| usage.scope.has(rule) && settings.chosen.contains(rule.metric));
    let metrics = rules.map(|rule| match rule.per_interface() {
        true if rule.needs_allowances() && !usage.ena => 0,
        true => usage.interfaces,
        false => 1,
    });
    let bands = BANDS.iter().filter(|_| usage.anomaly_bands && usage.scope == Scope::Instance);
    let bands = bands.filter(|band| settings.chosen.contains(band.metric));
    let of_bands = bands.map(|band| if band.per_interface() { usage.interfaces } else { 1 } * BAND_METRICS);
    let of_logs = WEB_ALARMS.iter().filter(|_| usage.scope == Scope::Instance).map(WebRule::metrics);
    let of_logs = of_logs.filter(|metrics| metrics.iter().all(|name| settings.chosen.contains(name)));
    let a_log: usize = of_logs.map(<[_]>::len).sum();
    let of_logs = u32::try_from(a_log * settings.web_logs.len()).unwrap_or(u32::MAX);
    metrics.chain(of_bands).chain([of_logs]).sum()
}

/// Estimates a month.
pub fn estimate(settings: &Settings, usage: &Usage) -> Estimate {
    // Host and interface metrics, those that are always sent and the sparse ones.
    let (mut host, mut nic, mut host_sparse, mut nic_sparse) = (0_u32, 0_u32, 0_u32, 0_u32);
    let logs = u32::try_from(settings.web_logs.len()).unwrap_or(u32::MAX);
    let (mut web, mut web_sparse) = (0_u32, 0_u32);
    for metric in CATALOG.iter().filter(|metric| settings.chosen.contains(metric.name)) {
        match (metric.reading.per_interface(), metric.sparse) {
            _ if metric.reading.per_log() && metric.sparse => web_sparse += logs,
            _ if metric.reading.per_log() => web += logs,
            (true, _) if metric.name.starts_with("ethtool_") && !usage.ena => {}
            (true, false) => nic += usage.interfaces,
            (true, true) => nic_sparse += usage.interfaces,
            (false, false) => host += 1,
            (false, true) => host_sparse += 1,
        }
    }
    let sparse = f64::from(host_sparse + nic_sparse + web_sparse) * SPARSE_SHARE;
    let intervals = HOURS * 3600.0 / f64::from(settings.interval_seconds.max(1));
    // As many as an interval can have; a request is paid for whether it is full or not.
    let requests = (host + nic + web + host_sparse + nic_sparse + web_sparse).div_ceil(DATA_A_REQUEST);
    let requests = intervals * f64::from(requests);
    let part = |name, quantity: f64, price: f64| Part { name, quantity, dollars: quantity * price };
    let samples = intervals * (SAMPLES_BYTES + EVENT_OVERHEAD) / GIGABYTE;
    let findings = FINDING_EVENTS * (FINDING_BYTES + EVENT_OVERHEAD) / GIGABYTE;
    #[expect(clippy::cast_precision_loss, reason = "dollars")]
    let shipped = usage.shipped_bytes_a_day as f64 * HOURS / 24.0 / GIGABYTE;
    let parts = vec![
        part("host metrics", f64::from(host), prices::METRIC),
        part("interface metrics", f64::from(nic), prices::METRIC),
        part("access log metrics", f64::from(web), prices::METRIC),
        part("sparse metrics", sparse, prices::METRIC),
        part("PutMetricData requests", requests, prices::REQUEST),
        part("alarm metrics", f64::from(alarm_metrics(settings, usage)), prices::ALARM_METRIC),
        part("dashboards", f64::from(usage.dashboards), prices::DASHBOARD),
        part("samples log, GB", samples, prices::LOG_GIGABYTE),
        part("findings log, GB", findings, prices::LOG_GIGABYTE),
        part("shipped logs at most, GB", shipped, prices::LOG_GIGABYTE),
    ];
    let total = parts.iter().map(|part| part.dollars).sum();
    let (region, noted, source) = (prices::REGION, prices::NOTED, prices::SOURCE);
    Estimate { parts, total, region, noted, source }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{:<24} {:>12} {:>12}", "a month (730 h)", "quantity", "US dollars")?;
        for part in &self.parts {
            writeln!(f, "{:<24} {:>12.2} {:>12.2}", part.name, part.quantity, part.dollars)?;
        }
        writeln!(f, "{:<24} {:>12} {:>12.2}", "total", "", self.total)?;
        writeln!(f)?;
        writeln!(
            f,
            "Prices of {}, noted {}, first 10,000 metrics: {}",
            self.region, self.noted, self.source
        )?;
        writeln!(f, "Sparse metrics are assumed to be sent in {:.0} % of hours.", SPARSE_SHARE * 100.0)?;
        writeln!(f, "The dashboard is shared by the whole account, whose first three are free.")?;
        writeln!(f, "Storage of logs is not counted.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Layers};

    const USAGE: Usage = Usage {
        interfaces: 1,
        ena: true,
        scope: Scope::Instance,
        anomaly_bands: false,
        shipped_bytes_a_day: 0,
        dashboards: 0,
    };

    fn settings(sets: &[(&str, &str)]) -> Settings {
        let sets = sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Config::load(&Layers::new("/nonexistent".into(), None, sets)).unwrap().settings
    }

    fn dollars(estimate: &Estimate, name: &str) -> f64 {
        estimate.parts.iter().find(|part| part.name == name).unwrap().dollars
    }

    #[test]
    fn the_default_is_below_six_dollars() {
        let estimate = estimate(&settings(&[]), &USAGE);
        assert!(estimate.total < 6.0, "{estimate}");
    }

    #[test]
    fn each_part_rises_with_what_it_depends_on() {
        let usual = estimate(&settings(&[]), &USAGE);
        let rises = |name, sets: &[(&str, &str)], usage| {
            let other = estimate(&settings(sets), &usage);
            assert!(dollars(&other, name) > dollars(&usual, name), "{name}");
            assert!(other.total > usual.total, "{name}");
        };
        rises("host metrics", &[("metrics.set", "full")], USAGE);
        rises("interface metrics", &[], Usage { interfaces: 2, ..USAGE });
        rises("sparse metrics", &[], Usage { interfaces: 2, ..USAGE });
        rises("PutMetricData requests", &[("publish.interval", "10s")], USAGE);
        rises("PutMetricData requests", &[], Usage { interfaces: 200, ..USAGE });
        rises("samples log, GB", &[("publish.interval", "10s")], USAGE);
        rises("alarm metrics", &[], Usage { interfaces: 2, ..USAGE });
        let log = "[{ name = 'shop', files = ['/a'] }]";
        rises("access log metrics", &[("web.logs", log)], USAGE);
        rises("alarm metrics", &[("web.logs", log)], USAGE);
        rises("sparse metrics", &[("web.logs", log)], USAGE);
        rises("dashboards", &[], Usage { dashboards: 1, ..USAGE });
        rises("shipped logs at most, GB", &[], Usage { shipped_bytes_a_day: 200 << 20, ..USAGE });
        let other = estimate(&settings(&[]), &Usage { ena: false, ..USAGE });
        assert!(dollars(&other, "sparse metrics") < dollars(&usual, "sparse metrics"));
    }

    #[test]
    fn alarms_are_counted_by_whose_they_are_and_what_is_sent() {
        let count = |sets, usage| alarm_metrics(&settings(sets), &usage);
        let rules = u32::try_from(ALARMS.len()).unwrap();
        assert_eq!(count(&[], USAGE), rules);
        assert_eq!(count(&[], Usage { ena: false, ..USAGE }), rules - 1);
        assert_eq!(count(&[], Usage { interfaces: 3, ..USAGE }), rules + 2 * 3);
        // No alarm of a fleet says that an agent is silent.
        assert_eq!(count(&[], Usage { scope: Scope::Fleet, ..USAGE }), rules - 1);
        assert_eq!(count(&[], Usage { scope: Scope::None, ..USAGE }), 0);
        assert_eq!(count(&[("metrics.exclude", "conntrack_utilization")], USAGE), rules - 1);
        assert_eq!(count(&[], Usage { anomaly_bands: true, ..USAGE }), rules + 9);
    }
}
