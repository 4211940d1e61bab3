//! What instances left that are gone: alarms with our tag, of a host whose heartbeat has no data any more.
//!
//! The heartbeat is asked for with `GetMetricData`, many hosts in a call
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>).

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension as ApiDimension, Metric, MetricDataQuery, MetricStat as ApiMetricStat, StatusCode,
};
use jiff::{SignedDuration, Timestamp};

use super::apply::{Arns, Report, described, read, remove};
use super::compare::written_by_us;
use super::desired::{Measure, PREFIX, prefix};
use super::fleet::is_fleet;
use super::pace::Paced;
use crate::aws::{Failure, classify};
use crate::model::record::Dimension;

const GET_DATA: &str = "cloudwatch:GetMetricData";
/// What every agent sends, every interval, whatever its configuration.
const HEARTBEAT: &str = "netstat_tcp_established";
/// Hosts that are asked for in one call: its most is 500 metrics.
const HOSTS_A_CALL: usize = 500;
/// Seconds of a day.
const DAY: i32 = 86_400;

/// A host that has alarms and sends nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    /// Its name.
    pub owner: String,
    /// Its alarms, as we wrote them.
    pub alarms: Vec<String>,
    /// Those that a person changed.
    pub edited: Vec<String>,
}

/// Alarms of a host.
struct Host {
    namespace: String,
    dimensions: Vec<Dimension>,
    /// When the latest of its alarms was written.
    written: Timestamp,
    silent: Silent,
}

/// The hosts that sent nothing for so many days, and whose alarms are older than that. Fleets are none: nothing is silent there.
pub async fn silent(paced: Paced<'_>, days: u16, now: Timestamp) -> Result<(Vec<Silent>, Arns), Failure> {
    let alarms = described(paced, PREFIX).await?;
    let since = now.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(now);
    let mut hosts: BTreeMap<String, Host> = BTreeMap::new();
    for described in &alarms {
        let alarm = read(described);
        let Some((owner, unchanged)) = written_by_us(&alarm) else { continue };
        let Measure::Metric(metric) = &alarm.measure else { continue };
        if is_fleet(&owner) || !alarm.alarm_name.starts_with(&prefix(&owner)) {
            continue;
        }
        let updated = described.alarm_configuration_updated_timestamp();
        let written = updated.and_then(|time| Timestamp::from_second(time.secs()).ok()).unwrap_or(now);
        let of_host = metric.dimensions.iter().filter(|dimension| dimension.name != "interface").cloned();
        let host = hosts.entry(owner.clone()).or_insert_with(|| Host {
            namespace: metric.namespace.clone(),
            dimensions: of_host.collect(),
            written,
            silent: Silent { owner, alarms: Vec::new(), edited: Vec::new() },
        });
        host.written = host.written.max(written);
        let list = if unchanged { &mut host.silent.alarms } else { &mut host.silent.edited };
        list.push(alarm.alarm_name);
    }
    let old: Vec<Host> = hosts.into_values().filter(|host| host.written < since).collect();
    let mut found = Vec::new();
    for hosts in old.chunks(HOSTS_A_CALL) {
        let heard = heard_of(paced, hosts, since, now).await?;
        let unheard = hosts.iter().zip(heard).filter(|(_, heard)| !heard);
        found.extend(unheard.map(|(host, _)| host.silent.clone()));
    }
    Ok((found, Arns::of_described(&alarms)))
}

/// Whether each host sent anything; who cannot be told of counts as one that did.
async fn heard_of(
    paced: Paced<'_>,
    hosts: &[Host],
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<bool>, Failure> {
    let time = |at: Timestamp| DateTime::from_secs(at.as_second());
    let (mut heard, mut complete) = (vec![false; hosts.len()], vec![false; hosts.len()]);
    let mut next: Option<String> = None;
    loop {
        let page = paced.call(|| async {
            let queries = hosts.iter().enumerate().map(|(n, host)| heartbeat(n, host)).collect();
            let get = paced.connection.cloudwatch().get_metric_data().set_metric_data_queries(Some(queries));
            let get = get.start_time(time(since)).end_time(time(now)).set_next_token(next.clone());
            get.send().await.map_err(|error| classify(&error, GET_DATA))
        });
        let page = page.await?;
        for result in page.metric_data_results() {
            let place = result.id().and_then(|id| id.strip_prefix('h')?.parse::<usize>().ok());
            let host = place.and_then(|place| heard.get_mut(place).zip(complete.get_mut(place)));
            let Some((heard, complete)) = host else { continue };
            *heard |= result.values().iter().any(|samples| *samples > 0.0);
            *complete |= matches!(result.status_code(), Some(StatusCode::Complete));
        }
        next = page.next_token().map(str::to_owned);
        if next.is_none() {
            return Ok(heard.into_iter().zip(complete).map(|(heard, complete)| heard || !complete).collect());
        }
    }
}

fn heartbeat(n: usize, host: &Host) -> MetricDataQuery {
    let dimension = |d: &Dimension| ApiDimension::builder().name(&d.name).value(&d.value).build();
    let metric = Metric::builder().namespace(&host.namespace).metric_name(HEARTBEAT);
    let metric = metric.set_dimensions(Some(host.dimensions.iter().map(dimension).collect())).build();
    let stat = ApiMetricStat::builder().metric(metric).period(DAY).stat("SampleCount").build();
    MetricDataQuery::builder().id(format!("h{n}")).metric_stat(stat).build()
}

/// Deletes what they left: alarms that carry our tag; with `force` also those that a person changed.
pub async fn clear(paced: Paced<'_>, hosts: &[Silent], arns: &Arns, force: bool) -> Report {
    let mut report = Report::default();
    for host in hosts {
        let edited = host.edited.iter().filter(|_| force);
        let names: Vec<&str> = host.alarms.iter().chain(edited).map(String::as_str).collect();
        let removed = remove(paced, arns, &host.owner, &names).await;
        report.done.extend(removed.done);
        report.left.extend(removed.left);
        report.failed.extend(removed.failed);
        if !force {
            let left = host.edited.iter().map(|name| {
                format!("{name}: a person changed it after it was made; --force deletes it all the same")
            });
            report.left.extend(left);
        }
    }
    report
}
