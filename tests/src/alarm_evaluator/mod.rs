//! `CloudWatch`'s alarms, evaluated as its documentation says: an alarm as `PutMetricAlarm` put it, data as
//! `PutMetricData` brought them and when, and out come the changes of its state.
//!
//! M of N, the wider range of periods that is looked at where some are missing, the four ways to treat missing data and the
//! rule against premature alarms are those of
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html> and of `alarm-evaluation.html`
//! beside it; the tables of the former are the tests (`suite/alarms/evaluator.rs`). What the pages leave open is a
//! parameter ([`Habits`]), so that what is proven can be proven for each value of it.
//!
//! Simpler than there: a period that is not over is not looked at; percentiles are of the nearest rank; alarms on an anomaly
//! band, on high-resolution periods and `EvaluateLowSampleCountPercentile` are refused.

mod expression;
mod query;

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;

use crate::fake_aws::{StoredAlarm, StoredDatum, StoredQuery, StoredStat};
use expression::Expression;
use query::Query;

/// A datum, and when `CloudWatch` had it.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// When it came.
    pub at: Timestamp,
    /// What came.
    pub datum: StoredDatum,
}

/// An alarm's `StateValue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "CloudWatch's own names")]
pub enum State {
    Ok,
    Alarm,
    InsufficientData,
}

/// A change of an alarm's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// When it was evaluated.
    pub at: Timestamp,
    /// What it is from then on.
    pub to: State,
}

/// What `CloudWatch` does and does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// Periods that it looks at beyond the evaluation periods, where some of those are missing. The page has two, for
    /// three evaluation periods; "the exact number depends on the length of the alarm period".
    pub further: usize,
    /// The second of each minute at which it looks.
    pub second: i64,
}

impl Default for Habits {
    fn default() -> Self {
        Habits { further: 2, second: 0 }
    }
}

/// What a period without data counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "CloudWatch's own names")]
pub enum Missing {
    Missing,
    Ignore,
    Breaching,
    NotBreaching,
}

impl Missing {
    fn of(text: Option<&str>) -> anyhow::Result<Self> {
        Ok(match text {
            None | Some("missing") => Missing::Missing,
            Some("ignore") => Missing::Ignore,
            Some("breaching") => Missing::Breaching,
            Some("notBreaching") => Missing::NotBreaching,
            Some(other) => bail!("TreatMissingData {other}"),
        })
    }
}

/// The state that follows from the periods of the evaluation range, oldest first: whether each breaches, `None` where it has
/// no data. M is `datapoints`, N is `periods`, `now` the state so far.
pub fn judge(
    range: &[Option<bool>],
    datapoints: usize,
    periods: usize,
    missing: Missing,
    now: State,
) -> State {
    let real: Vec<bool> = range.iter().rev().filter_map(|period| *period).take(periods).collect();
    let breaching = real.iter().filter(|breaches| **breaches).count();
    let filled = periods - real.len();
    let of_count = |count| if count >= datapoints { State::Alarm } else { State::Ok };
    if filled == 0 {
        return of_count(breaching);
    }
    match missing {
        Missing::Breaching => of_count(breaching + filled),
        Missing::NotBreaching => of_count(breaching),
        Missing::Missing | Missing::Ignore => {
            if breaching >= datapoints {
                return State::Alarm;
            }
            if breaching < real.len() {
                return State::Ok;
            }
            let is_old = |age: usize| age >= datapoints;
            let oldest = range.iter().rev().zip(1..).filter(|(period, _)| period.is_some()).last();
            match (missing, oldest) {
                (Missing::Ignore, _) => now,
                (_, Some((_, age))) if is_old(age) => State::Alarm,
                _ => State::InsufficientData,
            }
        }
    }
}

/// All data, by metric and minute.
#[derive(Debug, Default)]
pub struct Metrics {
    series: BTreeMap<Metric, BTreeMap<i64, Vec<Arrival>>>,
}

/// What tells one metric from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Metric {
    namespace: String,
    name: String,
    /// By name.
    dimensions: Vec<(String, String)>,
}

const MINUTE: i64 = 60;

/// Minutes since 1970, [from, until), as they are known at a moment.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: i64,
    until: i64,
    at: Timestamp,
}

impl Metrics {
    /// Sorts data.
    pub fn new(data: impl IntoIterator<Item = Arrival>) -> Self {
        let mut metrics = Metrics::default();
        for arrival in data {
            let StoredDatum { namespace, name, dimensions, .. } = &arrival.datum;
            let metric =
                Metric { namespace: namespace.clone(), name: name.clone(), dimensions: dimensions.clone() };
            let minute = arrival.datum.timestamp_ms.div_euclid(MINUTE * 1000);
            metrics.series.entry(metric).or_default().entry(minute).or_default().push(arrival);
        }
        metrics
    }

    /// The changes of an alarm that is there from `from` on, evaluated each minute until `until`. It begins as all do,
    /// [`State::InsufficientData`].
    pub fn changes(
        &self,
        alarm: &StoredAlarm,
        habits: Habits,
        from: Timestamp,
        until: Timestamp,
    ) -> anyhow::Result<Vec<Change>> {
        let rule = Rule::of(alarm).with_context(|| alarm.name.clone())?;
        let contributors = rule.contributors(self);
        let mut states = vec![State::InsufficientData; contributors.len()];
        let (mut changes, mut now) = (Vec::new(), State::InsufficientData);
        let mut second = from.as_second().div_euclid(MINUTE) * MINUTE + habits.second;
        while second <= until.as_second() {
            let at = Timestamp::from_second(second)?;
            second += MINUTE;
            if at < from {
                continue;
            }
            for (contributor, state) in contributors.iter().zip(&mut states) {
                let range = rule.range(self, contributor, habits.further, at)?;
                *state = judge(&range, rule.datapoints, rule.periods, rule.missing, *state);
            }
            let to = together(&states);
            if to != now {
                changes.push(Change { at, to });
                now = to;
            }
        }
        Ok(changes)
    }

    /// A statistic of a metric; `None` without data.
    fn statistic(&self, metric: &Metric, statistic: &str, window: Window) -> anyhow::Result<Option<f64>> {
        let Some(series) = self.series.get(metric) else { return Ok(None) };
        let minutes = series.range(window.from..window.until).flat_map(|(_, arrivals)| arrivals);
        let mut values: Vec<(f64, f64)> = Vec::new();
        for arrival in minutes.filter(|arrival| arrival.at <= window.at) {
            ensure!(arrival.datum.statistics.is_none(), "statistic sets are not evaluated");
            values.extend(&arrival.datum.values);
        }
        aggregate(values, statistic)
    }
}

/// A statistic of values and how often each occurred.
fn aggregate(mut values: Vec<(f64, f64)>, statistic: &str) -> anyhow::Result<Option<f64>> {
    if values.is_empty() {
        return Ok(None);
    }
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let samples: f64 = values.iter().map(|(_, count)| count).sum();
    let sum: f64 = values.iter().map(|(value, count)| value * count).sum();
    let of = |place: Option<&(f64, f64)>| place.map(|(value, _)| *value);
    Ok(match statistic {
        "SampleCount" | "COUNT" => Some(samples),
        "Sum" | "SUM" => Some(sum),
        "Average" | "AVG" => Some(sum / samples),
        "Minimum" | "MIN" => of(values.first()),
        "Maximum" | "MAX" => of(values.last()),
        other => {
            let percent = other.strip_prefix('p').and_then(|number| number.parse::<f64>().ok());
            let rank = percent.with_context(|| format!("statistic {other}"))? / 100.0 * samples;
            let mut seen = 0.0;
            of(values.iter().find(|(_, count)| {
                seen += count;
                seen >= rank
            }))
        }
    })
}

/// An alarm is what its worst contributor is.
fn together(states: &[State]) -> State {
    let has = |state| states.contains(&state);
    match (has(State::Alarm), has(State::Ok)) {
        (true, _) => State::Alarm,
        (_, true) => State::Ok,
        _ => State::InsufficientData,
    }
}

/// An alarm, understood.
#[derive(Debug)]
struct Rule {
    looks_at: LooksAt,
    /// Seconds.
    period: i64,
    datapoints: usize,
    periods: usize,
    missing: Missing,
    threshold: f64,
    breaches: fn(f64, f64) -> bool,
}

#[derive(Debug)]
enum LooksAt {
    /// A metric or what is reckoned from several.
    Expression { expression: Expression, metrics: BTreeMap<String, (Metric, String)> },
    /// Whatever metrics a query finds.
    Query(Query),
}

impl Rule {
    fn of(alarm: &StoredAlarm) -> anyhow::Result<Self> {
        ensure!(alarm.unit.is_none(), "alarms with a unit are not evaluated");
        ensure!(
            alarm.evaluate_low_sample_count_percentile.is_none(),
            "EvaluateLowSampleCountPercentile is not known"
        );
        let breaches: fn(f64, f64) -> bool = match alarm.comparison_operator.as_str() {
            "GreaterThanOrEqualToThreshold" => |value, threshold| value >= threshold,
            "GreaterThanThreshold" => |value, threshold| value > threshold,
            "LessThanThreshold" => |value, threshold| value < threshold,
            "LessThanOrEqualToThreshold" => |value, threshold| value <= threshold,
            other => bail!("{other} is not evaluated"),
        };
        let (looks_at, period) =
            if alarm.queries.is_empty() { of_metric(alarm)? } else { of_queries(alarm)? };
        ensure!(period >= MINUTE && period % MINUTE == 0, "a period of {period} s is not evaluated");
        let periods = usize::try_from(alarm.evaluation_periods)?;
        Ok(Rule {
            looks_at,
            period,
            datapoints: alarm.datapoints_to_alarm.map_or(Ok(periods), usize::try_from)?,
            periods,
            missing: Missing::of(alarm.treat_missing_data.as_deref())?,
            threshold: alarm.threshold.context("no threshold")?,
            breaches,
        })
    }

    /// What is judged apart: metrics of a query by what they are grouped by; else one.
    fn contributors(&self, metrics: &Metrics) -> Vec<Vec<Metric>> {
        match &self.looks_at {
            LooksAt::Expression { .. } => vec![Vec::new()],
            LooksAt::Query(query) => query.groups(metrics.series.keys()),
        }
    }

    /// Whether each period of the evaluation range breaches, as known at `at`: oldest first.
    fn range(
        &self,
        metrics: &Metrics,
        contributor: &[Metric],
        further: usize,
        at: Timestamp,
    ) -> anyhow::Result<Vec<Option<bool>>> {
        let (end, minutes) = (at.as_second().div_euclid(MINUTE), self.period / MINUTE);
        let count = i64::try_from(self.periods + further)?;
        let period = |n: i64| {
            let window = Window { from: end - (n + 1) * minutes, until: end - n * minutes, at };
            let value = self.value(metrics, contributor, window)?;
            Ok(value.map(|value| (self.breaches)(value, self.threshold)))
        };
        (0..count).rev().map(period).collect()
    }

    fn value(
        &self,
        metrics: &Metrics,
        contributor: &[Metric],
        window: Window,
    ) -> anyhow::Result<Option<f64>> {
        match &self.looks_at {
            LooksAt::Expression { expression, metrics: named } => {
                let value_of = |id: &str| {
                    let (metric, statistic) = named.get(id).with_context(|| format!("no {id}"))?;
                    metrics.statistic(metric, statistic, window)
                };
                expression.value(&value_of)
            }
            LooksAt::Query(query) => query.value(metrics, contributor, window),
        }
    }
}

fn of_metric(alarm: &StoredAlarm) -> anyhow::Result<(LooksAt, i64)> {
    let metric = Metric {
        namespace: alarm.namespace.clone(),
        name: alarm.metric_name.clone(),
        dimensions: alarm.dimensions.clone(),
    };
    let statistic = alarm.statistic.as_ref().or(alarm.extended_statistic.as_ref()).context("no statistic")?;
    let metrics = BTreeMap::from([("m".to_owned(), (metric, statistic.clone()))]);
    Ok((LooksAt::Expression { expression: Expression::parse("m")?, metrics }, alarm.period))
}

fn of_queries(alarm: &StoredAlarm) -> anyhow::Result<(LooksAt, i64)> {
    let returned: Vec<&StoredQuery> = alarm.queries.iter().filter(|query| query.return_data).collect();
    let [returned] = returned.as_slice() else { bail!("more than one query returns data: a band") };
    if let Some(text) = returned.expression.as_deref().filter(|text| text.starts_with("SELECT ")) {
        return Ok((LooksAt::Query(Query::parse(text)?), returned.period.context("no period")?));
    }
    let mut metrics = BTreeMap::new();
    let mut periods = Vec::new();
    for query in &alarm.queries {
        if let Some(StoredStat { namespace, metric_name, dimensions, period, stat }) = query.stat.clone() {
            let metric = Metric { namespace, name: metric_name, dimensions };
            metrics.insert(query.id.clone(), (metric, stat));
            periods.push(period);
        }
    }
    let period = periods.first().copied().context("no metric")?;
    ensure!(periods.iter().all(|other| *other == period), "metrics of several periods");
    let text = returned.expression.as_deref().unwrap_or(&returned.id);
    Ok((LooksAt::Expression { expression: Expression::parse(text)?, metrics }, period))
}
