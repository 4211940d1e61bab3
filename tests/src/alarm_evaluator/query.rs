//! Queries of Metrics Insights, as far as alarms of a fleet have them: `SELECT F(metric) FROM SCHEMA("namespace", dimension, ...)
//! [WHERE dimension = 'value'] GROUP BY dimension, ... ORDER BY ...`
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-metrics-insights-querylanguage.html>). Each
//! group is a contributor of the alarm and judged apart
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/multi-time-series-alarm.html>).

use std::collections::BTreeMap;

use anyhow::Context;

use super::{Metric, Metrics, Window, aggregate};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    function: String,
    metric: String,
    namespace: String,
    /// The dimensions of the metrics, no more and no fewer: by name.
    schema: Vec<String>,
    only: Option<(String, String)>,
    by: Vec<String>,
}

impl Query {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let parsed = || {
            let (function, rest) = text.strip_prefix("SELECT ")?.split_once('(')?;
            let (metric, rest) = rest.split_once(") FROM SCHEMA(\"")?;
            let (namespace, rest) = rest.split_once("\", ")?;
            let (schema, rest) = rest.split_once(')')?;
            let (only, rest) = rest.split_once(" GROUP BY ")?;
            let only = match only.strip_prefix(" WHERE ") {
                None => None,
                Some(only) => {
                    let (name, value) = only.split_once(" = '")?;
                    Some((name.to_owned(), value.strip_suffix('\'')?.to_owned()))
                }
            };
            let (by, _) = rest.split_once(" ORDER BY ")?;
            let mut schema = names(schema);
            schema.sort();
            Some(Query {
                function: function.into(),
                metric: metric.into(),
                namespace: namespace.into(),
                schema,
                only,
                by: names(by),
            })
        };
        parsed().with_context(|| format!("not understood: {text}"))
    }

    /// The metrics that it is about, by group.
    pub(super) fn groups<'a>(&self, metrics: impl Iterator<Item = &'a Metric>) -> Vec<Vec<Metric>> {
        let mut groups: BTreeMap<Vec<String>, Vec<Metric>> = BTreeMap::new();
        for metric in metrics.filter(|metric| self.is_about(metric)) {
            let of = |name: &String| value(metric, name).cloned().unwrap_or_default();
            groups.entry(self.by.iter().map(of).collect()).or_default().push(metric.clone());
        }
        groups.into_values().collect()
    }

    pub(super) fn value(
        &self,
        metrics: &Metrics,
        group: &[Metric],
        window: Window,
    ) -> anyhow::Result<Option<f64>> {
        let series = group.iter().filter_map(|metric| metrics.series.get(metric));
        let minutes = series.flat_map(|series| series.range(window.from..window.until));
        let known = minutes.flat_map(|(_, arrivals)| arrivals).filter(|arrival| arrival.at <= window.at);
        aggregate(known.flat_map(|arrival| arrival.datum.values.clone()).collect(), &self.function)
    }

    fn is_about(&self, metric: &Metric) -> bool {
        let has = |(name, wanted): &(String, String)| value(metric, name) == Some(wanted);
        metric.name == self.metric
            && metric.namespace == self.namespace
            && metric.dimensions.iter().map(|(name, _)| name).eq(&self.schema)
            && self.only.as_ref().is_none_or(has)
    }
}

fn value<'a>(metric: &'a Metric, name: &str) -> Option<&'a String> {
    metric.dimensions.iter().find(|(other, _)| other == name).map(|(_, value)| value)
}

fn names(list: &str) -> Vec<String> {
    list.split(", ").map(str::to_owned).collect()
}
