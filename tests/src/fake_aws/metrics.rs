//! `PutMetricData` as CloudWatch judges it: one bad datum refuses the whole request.
//!
//! Limits: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>, `API_MetricDatum.html`
//! and `API_Dimension.html` beside it, and
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html>. Messages are the service's own
//! where users have reported them, and then also tell of two rules that no page has: a dimension given twice and a sample
//! count of zero are refused. Stricter than all that, on purpose: a value given twice, a count not above zero, and a metric
//! name that is blank or has other than printable ASCII are refused.

use std::collections::BTreeSet;

use ciborium::Value as Cbor;
use jiff::{SignedDuration, Timestamp};

use super::cbor::{Map, malformed, number};
use super::faults::Poison;
use super::protocol::Refusal;

/// "limited to 1 MB in size for HTTP POST requests. You can send a payload compressed by gzip": of the body as sent. The
/// page does not say whether a MB is 1,000,000 bytes or these.
pub(super) const MOST_BYTES: usize = 1 << 20;
const MOST_DATA: usize = 1_000;
const MOST_VALUES: usize = 150;
const MOST_DIMENSIONS: usize = 30;
const LONGEST_NAME: usize = 255;
const LONGEST_DIMENSION_VALUE: usize = 1_024;
const OLDEST: SignedDuration = SignedDuration::from_hours(14 * 24);
const NEWEST: SignedDuration = SignedDuration::from_hours(2);
const LARGEST_EXPONENT: i32 = 360;

pub(super) const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

/// A datum that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDatum {
    /// The request that brought it.
    pub request: u64,
    /// `Namespace`.
    pub namespace: String,
    /// `MetricName`.
    pub name: String,
    /// Names and values, by name.
    pub dimensions: Vec<(String, String)>,
    /// In milliseconds since 1970; the time of receipt if the datum had none.
    pub timestamp_ms: i64,
    /// Each value, and how often it occurred. `Value` is one that occurred once.
    pub values: Vec<(f64, f64)>,
    /// `StatisticValues`, instead of values.
    pub statistics: Option<Statistics>,
    /// `Unit`, if given.
    pub unit: Option<String>,
    /// `StorageResolution` in seconds, 60 if not given.
    pub resolution: i64,
}

impl StoredDatum {
    /// What this adds to the metric's `SampleCount` and `Sum`.
    pub fn sum(&self) -> (f64, f64) {
        let of_values = self
            .values
            .iter()
            .fold((0.0, 0.0), |(samples, sum), (value, count)| (samples + count, value.mul_add(*count, sum)));
        self.statistics.map_or(of_values, |statistics| (statistics.samples, statistics.sum))
    }
}

/// A statistic set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// `SampleCount`.
    pub samples: f64,
    /// `Sum`.
    pub sum: f64,
    /// `Minimum`.
    pub minimum: f64,
    /// `Maximum`.
    pub maximum: f64,
}

/// A request as far as CBOR goes.
#[derive(Debug)]
pub(super) struct Batch {
    members: Map,
    data: Vec<Cbor>,
}

impl Batch {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let mut members = Map::parse(body)?;
        let data = members.list("MetricData")?.unwrap_or_default();
        Ok(Batch { members, data })
    }

    /// How many data.
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    pub(super) fn has(&self, poison: &Poison) -> bool {
        let Poison::Metric(wanted) = poison else { return false };
        self.data.iter().any(|datum| {
            datum.as_map().is_some_and(|members| {
                members.iter().any(|(key, value)| {
                    key.as_text() == Some("MetricName") && value.as_text() == Some(wanted)
                })
            })
        })
    }

    /// All data, if all are good. Otherwise every flaw of the first flaw's kind.
    pub(super) fn judge(mut self, request: u64, now: Timestamp) -> Result<Vec<StoredDatum>, Refusal> {
        if self.members.take("EntityMetricData").is_some() {
            return Err(Refusal::violation("UnsupportedOperation", "the fake knows no EntityMetricData"));
        }
        if self.data.is_empty() {
            return Err(missing("MetricData"));
        }
        if self.data.len() > MOST_DATA {
            return Err(invalid(format!(
                "The collection MetricData must not have a size greater than {MOST_DATA}."
            )));
        }
        let namespace = self.members.text("Namespace")?.ok_or_else(|| missing("Namespace"))?;
        let mut flaws = Vec::new();
        if let Some(why) = bad_text(&namespace, LONGEST_NAME) {
            flaws.push(invalid(format!("The value for parameter Namespace is invalid: {why}.")));
        } else if namespace.starts_with(':') || namespace.starts_with("AWS/") {
            flaws.push(invalid(format!("The value {namespace} for parameter Namespace is invalid.")));
        }
        let mut judged = Vec::new();
        for (datum, n) in self.data.into_iter().zip(1..) {
            let place = format!("MetricData.member.{n}");
            let mut datum = Judge { place: &place, members: Map::read(datum, &place)?, flaws: &mut flaws };
            judged.extend(datum.judge(request, &namespace, now)?);
        }
        match flaws.first() {
            None => Ok(judged),
            Some(first) => Err(first.clone().and(&flaws)),
        }
    }
}

/// Judges one datum, and notes its flaws.
struct Judge<'a> {
    place: &'a str,
    members: Map,
    flaws: &'a mut Vec<Refusal>,
}

impl Judge<'_> {
    /// The datum, if it has what a datum must have; it may have flaws. Fails if it is not of the model at all.
    fn judge(
        &mut self,
        request: u64,
        namespace: &str,
        now: Timestamp,
    ) -> Result<Option<StoredDatum>, Refusal> {
        let Some(name) = self.members.text("MetricName")? else {
            self.flaws.push(missing(&format!("{}.MetricName", self.place)));
            return Ok(None);
        };
        if let Some(why) = bad_text(&name, LONGEST_NAME) {
            self.flaw(format!("The value for parameter {}.MetricName is invalid: {why}.", self.place));
        }
        Ok(Some(StoredDatum {
            request,
            namespace: namespace.to_owned(),
            name,
            dimensions: self.dimensions()?,
            timestamp_ms: self.timestamp(now)?,
            values: self.values()?,
            statistics: self.statistics()?,
            unit: self.unit()?,
            resolution: self.resolution()?,
        }))
    }

    fn flaw(&mut self, message: String) {
        self.flaws.push(invalid(message));
    }

    fn dimensions(&mut self) -> Result<Vec<(String, String)>, Refusal> {
        let list = self.members.list("Dimensions")?.unwrap_or_default();
        if list.len() > MOST_DIMENSIONS {
            self.flaw(too_many(&format!("{}.Dimensions", self.place), MOST_DIMENSIONS));
        }
        let mut dimensions = Vec::new();
        for (dimension, n) in list.into_iter().zip(1..) {
            let place = format!("{}.Dimensions.member.{n}", self.place);
            let mut dimension = Map::read(dimension, &place)?;
            let name = dimension.text("Name")?.unwrap_or_default();
            let value = dimension.text("Value")?.unwrap_or_default();
            let colon = name.starts_with(':').then_some("it begins with a colon");
            if let Some(why) = bad_text(&name, LONGEST_NAME).or(colon) {
                self.flaw(format!("The value for parameter {place}.Name is invalid: {why}."));
            }
            if let Some(why) = bad_text(&value, LONGEST_DIMENSION_VALUE) {
                self.flaw(format!("The value for parameter {place}.Value is invalid: {why}."));
            }
            dimensions.push((name, value));
        }
        dimensions.sort();
        if dimensions.iter().zip(dimensions.iter().skip(1)).any(|(a, b)| a.0 == b.0) {
            self.flaw("No metric may specify the same dimension name twice.".into());
        }
        Ok(dimensions)
    }

    fn timestamp(&mut self, now: Timestamp) -> Result<i64, Refusal> {
        let Some(value) = self.members.take("Timestamp") else { return Ok(now.as_millisecond()) };
        let seconds = match value {
            Cbor::Tag(1, seconds) => number(&seconds),
            _ => None,
        };
        let time = seconds
            .and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok())
            .and_then(|since| Timestamp::from_duration(since).ok())
            .ok_or_else(|| malformed(format!("{}.Timestamp is not a time", self.place)))?;
        let age = now.duration_since(time);
        if age > OLDEST {
            self.flaw(format!(
                "The parameter {}.Timestamp must specify a time within the past two weeks.",
                self.place
            ));
        } else if -age > NEWEST {
            self.flaw(format!(
                "The parameter {}.Timestamp must specify a time no more than two hours in the future.",
                self.place
            ));
        }
        // From the nearest float back to the millisecond that was meant.
        Ok(time.round(jiff::Unit::Millisecond).unwrap_or(time).as_millisecond())
    }

    fn values(&mut self) -> Result<Vec<(f64, f64)>, Refusal> {
        let given: Vec<&str> = ["Value", "Values", "StatisticValues"]
            .into_iter()
            .filter(|name| self.members.has(name))
            .collect();
        match given.as_slice() {
            [] => self.flaws.push(combination(format!(
                "At least one of the parameters {0}.Value, {0}.Values and {0}.StatisticValues must be specified.",
                self.place
            ))),
            [_] => {}
            [first, second, ..] => self.flaws.push(combination(format!(
                "The parameters {0}.{first} and {0}.{second} are mutually exclusive and you have specified both.",
                self.place
            ))),
        }
        if let Some(value) = self.members.take("Value") {
            return Ok(vec![(self.number(&value, "Value")?, 1.0)]);
        }
        let values = self.members.list("Values")?;
        let counts = self.members.list("Counts")?;
        let Some(values) = values else {
            if counts.is_some() {
                self.flaws.push(combination(format!("The parameter {}.Counts needs Values.", self.place)));
            }
            return Ok(Vec::new());
        };
        let values = self.numbers(&values, "Values")?;
        let counts = match counts {
            Some(counts) => self.numbers(&counts, "Counts")?,
            None => vec![1.0; values.len()],
        };
        if values.len() != counts.len() {
            self.flaw(format!(
                "The parameters {0}.Values and {0}.Counts must be of the same size.",
                self.place
            ));
        }
        if counts.iter().any(|count| *count <= 0.0) {
            self.flaw(format!("The parameter {}.Counts must be above zero.", self.place));
        }
        let distinct: BTreeSet<u64> = values.iter().map(|value| (value + 0.0).to_bits()).collect();
        if distinct.len() != values.len() {
            self.flaw(format!("The parameter {}.Values has a value twice.", self.place));
        }
        Ok(values.into_iter().zip(counts).collect())
    }

    fn numbers(&mut self, list: &[Cbor], name: &str) -> Result<Vec<f64>, Refusal> {
        if list.is_empty() {
            self.flaw(format!("The collection {}.{name} must not be empty.", self.place));
        }
        if list.len() > MOST_VALUES {
            self.flaw(too_many(&format!("{}.{name}", self.place), MOST_VALUES));
        }
        list.iter().zip(1..).map(|(value, n)| self.number(value, &format!("{name}.member.{n}"))).collect()
    }

    fn number(&mut self, value: &Cbor, name: &str) -> Result<f64, Refusal> {
        let number =
            number(value).ok_or_else(|| malformed(format!("{}.{name} is not a number", self.place)))?;
        if !number.is_finite() || number.abs() > 2f64.powi(LARGEST_EXPONENT) {
            self.flaw(format!("The value {number} for parameter {}.{name} is invalid.", self.place));
        }
        Ok(number)
    }

    fn statistics(&mut self) -> Result<Option<Statistics>, Refusal> {
        let Some(set) = self.members.take("StatisticValues") else { return Ok(None) };
        let mut set = Map::read(set, self.place)?;
        let mut member = |name: &str| match set.take(name) {
            Some(value) => self.number(&value, &format!("StatisticValues.{name}")),
            None => Err(missing(&format!("{}.StatisticValues.{name}", self.place))),
        };
        let statistics = Statistics {
            samples: member("SampleCount")?,
            sum: member("Sum")?,
            minimum: member("Minimum")?,
            maximum: member("Maximum")?,
        };
        if statistics.minimum > statistics.maximum || statistics.samples <= 0.0 {
            self.flaw(format!("The parameter {}.StatisticValues contradicts itself.", self.place));
        }
        Ok(Some(statistics))
    }

    fn unit(&mut self) -> Result<Option<String>, Refusal> {
        let unit = self.members.text("Unit")?;
        if let Some(unit) = unit.as_deref().filter(|unit| !UNITS.contains(unit)) {
            self.flaw(format!("The value {unit} for parameter {}.Unit is invalid.", self.place));
        }
        Ok(unit)
    }

    fn resolution(&mut self) -> Result<i64, Refusal> {
        let Some(value) = self.members.take("StorageResolution") else { return Ok(60) };
        let resolution = value.as_integer().and_then(|value| i64::try_from(value).ok());
        let resolution =
            resolution.ok_or_else(|| malformed(format!("{}.StorageResolution is no integer", self.place)))?;
        if ![1, 60].contains(&resolution) {
            self.flaw(format!(
                "The value {resolution} for parameter {}.StorageResolution is invalid.",
                self.place
            ));
        }
        Ok(resolution)
    }
}

impl Refusal {
    /// This one, with the messages of all others of its code.
    fn and(self, others: &[Refusal]) -> Self {
        let of_this_kind: Vec<&str> = others.iter().filter_map(|other| other.message_under(&self)).collect();
        self.with_message(of_this_kind.join("\n"))
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::violation("InvalidParameterValue", message)
}

fn combination(message: String) -> Refusal {
    Refusal::violation("InvalidParameterCombination", message)
}

fn missing(name: &str) -> Refusal {
    Refusal::violation("MissingParameter", format!("The parameter {name} is required."))
}

fn too_many(place: &str, most: usize) -> String {
    format!("The collection {place} must not have a size greater than {most}.")
}

/// What is wrong with a name or a dimension's value.
fn bad_text(text: &str, longest: usize) -> Option<&'static str> {
    if text.is_empty() {
        Some("it is empty")
    } else if text.len() > longest {
        Some("it is too long")
    } else if !text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control()) {
        Some("it has other than printable ASCII characters")
    } else if text.trim().is_empty() {
        Some("it is blank")
    } else {
        None
    }
}
