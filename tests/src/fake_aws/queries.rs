//! Metric data queries: those that an alarm looks at, and `GetMetricData`.
//!
//! Limits: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html>, with
//! `API_MetricStat.html` and `API_GetMetricData.html` beside it. Of an alarm one query returns data, or the metric and its band:
//! `API_PutMetricAlarm.html`. Expressions are not parsed: a query of metrics begins with SELECT and stands alone, a band
//! names a metric of the alarm. Of `GetMetricData` only the statistics `SampleCount` and `Sum` are known.

use std::collections::BTreeMap;

use ciborium::Value as Cbor;

use super::alarms::{constraint, flawed, length, one_of};
use super::cbor::{self, Map, malformed};
use super::metrics::StoredDatum;
use super::protocol::Refusal;

const LONGEST_EXPRESSION: usize = 2_048;
const LONGEST_NAME: usize = 255;
const MOST_OF_ALARM: usize = 20;
const MOST_OF_DATA: usize = 500;
const STATISTICS: [&str; 5] = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"];
const BAND: &str = "ANOMALY_DETECTION_BAND(";

/// A metric data query.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredQuery {
    /// `Id`.
    pub id: String,
    /// `Expression`, if it is one.
    pub expression: Option<String>,
    /// `MetricStat`, if it is one.
    pub stat: Option<StoredStat>,
    /// `Period` of an expression, if given.
    pub period: Option<i64>,
    /// `Label`, if given.
    pub label: Option<String>,
    /// `ReturnData`, true if not given.
    pub return_data: bool,
}

/// A statistic of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredStat {
    /// `Namespace`.
    pub namespace: String,
    /// `MetricName`.
    pub metric_name: String,
    /// Names and values, by name.
    pub dimensions: Vec<(String, String)>,
    /// `Period` in seconds.
    pub period: i64,
    /// `Stat`.
    pub stat: String,
}

impl StoredQuery {
    pub(super) fn described(&self) -> Cbor {
        let text = |text: Option<&str>| text.map(Cbor::from);
        let stat = self.stat.as_ref().map(|stat| {
            let metric = cbor::map([
                ("Namespace", Some(stat.namespace.as_str().into())),
                ("MetricName", Some(stat.metric_name.as_str().into())),
                ("Dimensions", Some(cbor::pairs(&stat.dimensions, "Name", "Value"))),
            ]);
            cbor::map([
                ("Metric", Some(metric)),
                ("Period", Some(stat.period.into())),
                ("Stat", Some(stat.stat.as_str().into())),
            ])
        });
        cbor::map([
            ("Id", Some(self.id.as_str().into())),
            ("Expression", text(self.expression.as_deref())),
            ("MetricStat", stat),
            ("Period", self.period.map(Cbor::from)),
            ("Label", text(self.label.as_deref())),
            ("ReturnData", Some(self.return_data.into())),
        ])
    }
}

/// What an alarm looks at; `band` is its `ThresholdMetricId`.
pub(super) fn of_alarm(members: &mut Map, band: Option<&str>) -> Result<Vec<StoredQuery>, Refusal> {
    let queries = read(members, "Metrics", MOST_OF_ALARM)?;
    let returned: Vec<&StoredQuery> = queries.iter().filter(|query| query.return_data).collect();
    let is_band =
        |query: &StoredQuery| query.expression.as_deref().is_some_and(|text| text.starts_with(BAND));
    let of_band = |query: &StoredQuery| {
        let inner = query.expression.as_deref().and_then(|text| text.strip_prefix(BAND)).unwrap_or_default();
        inner.split([',', ')']).next().map(str::trim).unwrap_or_default().to_owned()
    };
    match (band, returned.as_slice()) {
        (None, [one]) if !is_band(one) => {}
        (None, _) => return Err(flawed("Exactly one element of the metrics list should return data.")),
        (Some(band), [a, b]) => {
            let found = [a, b].into_iter().find(|query| query.id == band && is_band(query));
            let found = found.ok_or_else(|| flawed("ThresholdMetricId must be that of a band"))?;
            if !queries.iter().any(|query| query.stat.is_some() && query.id == of_band(found)) {
                return Err(flawed("The band is of no metric of this alarm"));
            }
        }
        (Some(_), _) => return Err(flawed("The metric and its band, and nothing else, must return data")),
    }
    let is_select =
        |query: &&StoredQuery| query.expression.as_deref().is_some_and(|e| e.starts_with("SELECT "));
    if let Some(query) = queries.iter().find(is_select) {
        if queries.len() > 1 {
            return Err(flawed("the fake knows a query of metrics alone, not within an expression"));
        }
        if query.period.is_none_or(|period| period < 60 || period % 60 != 0) {
            return Err(flawed("Period must be a multiple of 60 for a query of metrics"));
        }
    }
    Ok(queries)
}

fn read(members: &mut Map, name: &str, most: usize) -> Result<Vec<StoredQuery>, Refusal> {
    let list = members.list(name)?.unwrap_or_default();
    if list.is_empty() || list.len() > most {
        return Err(flawed(&format!("{name} must have 1 to {most} members")));
    }
    let mut queries: Vec<StoredQuery> = Vec::new();
    for (item, n) in list.into_iter().zip(1..) {
        let query = query(Map::read(item, &format!("{name}.member.{n}"))?)?;
        if queries.iter().any(|other| other.id == query.id) {
            return Err(flawed(&format!("The id {} is given twice", query.id)));
        }
        queries.push(query);
    }
    Ok(queries)
}

fn query(mut members: Map) -> Result<StoredQuery, Refusal> {
    let id = members.text("Id")?.unwrap_or_default();
    length(&id, "id", 1, LONGEST_NAME)?;
    let is_id = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_id {
        return Err(constraint(
            &id,
            "id",
            "Member must satisfy regular expression pattern: [a-z][a-zA-Z0-9_]*",
        ));
    }
    let expression = members.text("Expression")?;
    if let Some(expression) = &expression {
        length(expression, "expression", 1, LONGEST_EXPRESSION)?;
    }
    let stat = members.take("MetricStat").map(stat).transpose()?;
    let period = members.integer("Period")?;
    if expression.is_some() == stat.is_some() {
        return Err(flawed("Exactly one of Expression and MetricStat must be given"));
    }
    let label = members.text("Label")?;
    let return_data = members.flag("ReturnData")?.unwrap_or(true);
    members.end()?;
    Ok(StoredQuery { id, expression, stat, period, label, return_data })
}

fn stat(value: Cbor) -> Result<StoredStat, Refusal> {
    let mut members = Map::read(value, "MetricStat")?;
    let metric = members.take("Metric").ok_or_else(|| flawed("Metric is required"))?;
    let mut metric = Map::read(metric, "Metric")?;
    let metric_name = metric.text("MetricName")?.unwrap_or_default();
    let namespace = metric.text("Namespace")?.unwrap_or_default();
    length(&metric_name, "metricName", 1, LONGEST_NAME)?;
    length(&namespace, "namespace", 1, LONGEST_NAME)?;
    let mut dimensions = metric.pairs("Dimensions", "Name", "Value")?;
    dimensions.sort();
    metric.end()?;
    let period = members.integer("Period")?.ok_or_else(|| flawed("Period is required"))?;
    if ![1, 5, 10, 20, 30].contains(&period) && (period < 60 || period % 60 != 0) {
        return Err(flawed("Period must be 1, 5, 10, 20, 30 or a multiple of 60"));
    }
    let stat = members.text("Stat")?.unwrap_or_default();
    let is_percentile = stat.strip_prefix('p').is_some_and(|p| p.parse::<f64>().is_ok());
    if !is_percentile {
        one_of(&stat, "stat", &STATISTICS)?;
    }
    members.end()?;
    Ok(StoredStat { namespace, metric_name, dimensions, period, stat })
}

/// A request for data.
#[derive(Debug)]
pub(super) struct Wanted {
    queries: Vec<StoredQuery>,
    /// Seconds since 1970.
    start: i64,
    end: i64,
}

/// `GetMetricData`, if it is well formed.
pub(super) fn judge(mut members: Map) -> Result<Wanted, Refusal> {
    let queries = read(&mut members, "MetricDataQueries", MOST_OF_DATA)?;
    for stat in queries.iter().map(|query| query.stat.as_ref()) {
        let known = stat.is_some_and(|stat| ["SampleCount", "Sum"].contains(&stat.stat.as_str()));
        if !known {
            return Err(Refusal::violation(
                "UnsupportedOperation",
                "the fake knows SampleCount and Sum alone",
            ));
        }
    }
    let (start, end) = (time(&mut members, "StartTime")?, time(&mut members, "EndTime")?);
    members.end()?;
    if start >= end {
        return Err(flawed("The parameter StartTime must be less than the parameter EndTime."));
    }
    Ok(Wanted { queries, start, end })
}

#[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
fn time(members: &mut Map, name: &str) -> Result<i64, Refusal> {
    let value = members.take(name).ok_or_else(|| flawed(&format!("The parameter {name} is required.")))?;
    let value = match value {
        Cbor::Tag(1, inner) => *inner,
        other => other,
    };
    let seconds = cbor::number(&value).ok_or_else(|| malformed(format!("{name} is no time")))?;
    Ok(seconds as i64)
}

/// The data, all in one page.
pub(super) fn apply(wanted: &Wanted, data: &[StoredDatum]) -> Cbor {
    let results = wanted.queries.iter().map(|query| {
        let values = query.stat.as_ref().map(|stat| values(stat, wanted, data)).unwrap_or_default();
        let values: Vec<Cbor> = values.into_values().rev().map(Cbor::from).collect();
        cbor::map([
            ("Id", Some(query.id.as_str().into())),
            ("StatusCode", Some("Complete".into())),
            ("Values", Some(Cbor::Array(values))),
        ])
    });
    cbor::map([("MetricDataResults", Some(Cbor::Array(results.collect())))])
}

fn values(stat: &StoredStat, wanted: &Wanted, data: &[StoredDatum]) -> BTreeMap<i64, f64> {
    let mut values = BTreeMap::new();
    for datum in data {
        let second = datum.timestamp_ms / 1000;
        if (&datum.namespace, &datum.name, &datum.dimensions)
            != (&stat.namespace, &stat.metric_name, &stat.dimensions)
            || !(wanted.start..wanted.end).contains(&second)
        {
            continue;
        }
        let (samples, sum) = datum.sum();
        *values.entry(second - second % stat.period).or_default() +=
            if stat.stat == "Sum" { sum } else { samples };
    }
    values
}
