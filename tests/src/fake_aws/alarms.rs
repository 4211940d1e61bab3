//! The operations on alarms of one metric, and on their tags.
//!
//! Limits: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>, with
//! `API_DescribeAlarms.html`, `API_DeleteAlarms.html`, `API_SetAlarmState.html`, `API_TagResource.html`,
//! `API_UntagResource.html` and `API_ListTagsForResource.html` beside it. The pages have no code for most flaws of an
//! alarm; users report `ValidationError`. Its messages are the service's own for regions, partitions and
//! `DatapointsToAlarm`, where users have reported them. Unknown here, and refused: actions other than of SNS.

use std::collections::{BTreeMap, BTreeSet};

use ciborium::Value as Cbor;
use jiff::Timestamp;

use super::cbor::{self, Map, malformed};
use super::protocol::{ACCOUNT, Refusal};
use super::queries::{self, StoredQuery};

/// An account's quota in a region when nobody has asked for more.
const USUAL_LIMIT: usize = 5_000;
const LONGEST_NAME: usize = 255;
const LONGEST_DESCRIPTION: usize = 1_024;
const LONGEST_ACTION: usize = 1_024;
const LONGEST_DIMENSION_VALUE: usize = 1_024;
const LONGEST_REASON: usize = 1_023;
const LONGEST_REASON_DATA: usize = 4_000;
const LONGEST_TAG_KEY: usize = 128;
const LONGEST_TAG_VALUE: usize = 256;
const MOST_ACTIONS: usize = 5;
const MOST_DIMENSIONS: usize = 30;
const MOST_TAGS: usize = 50;
const MOST_NAMES: usize = 100;
const MOST_RECORDS: i64 = 100;
const USUAL_RECORDS: i64 = 50;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const STATISTICS: [&str; 5] = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"];
/// Those of a static threshold; the others are of anomaly detection.
const COMPARISONS: [&str; 4] = [
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
];
const COMPARISONS_OF_BANDS: [&str; 3] =
    ["LessThanLowerOrGreaterThanUpperThreshold", "LessThanLowerThreshold", "GreaterThanUpperThreshold"];
const STATES: [&str; 3] = ["OK", "ALARM", "INSUFFICIENT_DATA"];
const TOKEN: &str = "after/";

/// An alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredAlarm {
    /// `AlarmName`.
    pub name: String,
    /// `AlarmArn`.
    pub arn: String,
    /// `AlarmDescription`.
    pub description: Option<String>,
    /// `ActionsEnabled`, true if not given.
    pub actions_enabled: bool,
    /// `OKActions`.
    pub ok_actions: Vec<String>,
    /// `AlarmActions`.
    pub alarm_actions: Vec<String>,
    /// `InsufficientDataActions`.
    pub insufficient_data_actions: Vec<String>,
    /// `MetricName`, empty where there are queries.
    pub metric_name: String,
    /// `Namespace`, empty where there are queries.
    pub namespace: String,
    /// `Statistic`; if none, there is an extended one.
    pub statistic: Option<String>,
    /// `ExtendedStatistic`.
    pub extended_statistic: Option<String>,
    /// Names and values, by name.
    pub dimensions: Vec<(String, String)>,
    /// `Period` in seconds, 0 where there are queries.
    pub period: i64,
    /// `Metrics`: what it looks at in place of one metric.
    pub queries: Vec<StoredQuery>,
    /// `ThresholdMetricId`, if given.
    pub threshold_metric_id: Option<String>,
    /// `Unit`, if given.
    pub unit: Option<String>,
    /// `EvaluationPeriods`.
    pub evaluation_periods: i64,
    /// `DatapointsToAlarm`, if given.
    pub datapoints_to_alarm: Option<i64>,
    /// `Threshold`, none where a band stands for it.
    pub threshold: Option<f64>,
    /// `ComparisonOperator`.
    pub comparison_operator: String,
    /// `TreatMissingData`, if given.
    pub treat_missing_data: Option<String>,
    /// `EvaluateLowSampleCountPercentile`, if given.
    pub evaluate_low_sample_count_percentile: Option<String>,
    /// Keys and values, by key.
    pub tags: Vec<(String, String)>,
    /// `StateValue`: `OK`, `ALARM` or, at first, `INSUFFICIENT_DATA`.
    pub state: String,
    /// `StateReason`.
    pub state_reason: String,
    /// `StateReasonData`, if given.
    pub state_reason_data: Option<String>,
    /// When its state was last set.
    pub state_updated: Timestamp,
    /// When its settings were last put.
    pub updated: Timestamp,
}

impl StoredAlarm {
    fn described(&self) -> Cbor {
        let text = |text: Option<&str>| text.map(Cbor::from);
        let is_of_metric = self.queries.is_empty();
        let of_metric = |text: &'_ str| is_of_metric.then(|| text.to_owned());
        let queries = self.queries.iter().map(StoredQuery::described).collect();
        cbor::map([
            ("AlarmName", Some(self.name.as_str().into())),
            ("AlarmArn", Some(self.arn.as_str().into())),
            ("AlarmDescription", text(self.description.as_deref())),
            ("AlarmConfigurationUpdatedTimestamp", Some(cbor::time(self.updated))),
            ("ActionsEnabled", Some(self.actions_enabled.into())),
            ("OKActions", Some(cbor::list(&self.ok_actions))),
            ("AlarmActions", Some(cbor::list(&self.alarm_actions))),
            ("InsufficientDataActions", Some(cbor::list(&self.insufficient_data_actions))),
            ("StateValue", Some(self.state.as_str().into())),
            ("StateReason", Some(self.state_reason.as_str().into())),
            ("StateReasonData", text(self.state_reason_data.as_deref())),
            ("StateUpdatedTimestamp", Some(cbor::time(self.state_updated))),
            ("StateTransitionedTimestamp", Some(cbor::time(self.state_updated))),
            ("MetricName", of_metric(&self.metric_name).map(Cbor::from)),
            ("Namespace", of_metric(&self.namespace).map(Cbor::from)),
            ("Statistic", text(self.statistic.as_deref())),
            ("ExtendedStatistic", text(self.extended_statistic.as_deref())),
            ("Dimensions", Some(cbor::pairs(&self.dimensions, "Name", "Value"))),
            ("Period", is_of_metric.then(|| self.period.into())),
            ("Metrics", (!is_of_metric).then_some(Cbor::Array(queries))),
            ("ThresholdMetricId", text(self.threshold_metric_id.as_deref())),
            ("Unit", text(self.unit.as_deref())),
            ("EvaluationPeriods", Some(self.evaluation_periods.into())),
            ("DatapointsToAlarm", self.datapoints_to_alarm.map(Cbor::from)),
            ("Threshold", self.threshold.map(Cbor::from)),
            ("ComparisonOperator", Some(self.comparison_operator.as_str().into())),
            ("TreatMissingData", text(self.treat_missing_data.as_deref())),
            ("EvaluateLowSampleCountPercentile", text(self.evaluate_low_sample_count_percentile.as_deref())),
        ])
    }
}

/// All alarms, by name.
#[derive(Debug)]
pub(super) struct Alarms {
    pub(super) stored: BTreeMap<String, StoredAlarm>,
    pub(super) limit: usize,
}

impl Default for Alarms {
    fn default() -> Self {
        Alarms { stored: BTreeMap::new(), limit: USUAL_LIMIT }
    }
}

/// A request that has no flaw.
#[derive(Debug)]
pub(super) enum Call {
    Put(Box<StoredAlarm>),
    Describe(Wanted),
    Delete(Vec<String>),
    SetState { name: String, state: String, reason: String, data: Option<String> },
    Tag { arn: String, tags: Vec<(String, String)> },
    Untag { arn: String, keys: Vec<String> },
    ListTags { arn: String },
}

/// Which alarms to describe.
#[derive(Debug)]
pub(super) struct Wanted {
    names: Vec<String>,
    prefix: String,
    state: Option<String>,
    /// Whether alarms of one metric are asked for at all.
    of_metrics: bool,
    most: usize,
    after: Option<String>,
}

/// What a permission would have to name: the alarm, or all of them.
pub(super) fn resource(members: &Map, region: &str) -> String {
    let text = |name| members.get(name).and_then(Cbor::as_text);
    let first = members.get("AlarmNames").and_then(Cbor::as_array).and_then(|names| names.first()?.as_text());
    match (text("ResourceARN"), text("AlarmName").or(first)) {
        (Some(arn), _) => arn.to_owned(),
        (None, name) => arn(region, name.unwrap_or("*")),
    }
}

fn arn(region: &str, name: &str) -> String {
    format!("arn:{}:cloudwatch:{region}:{ACCOUNT}:alarm:{name}", partition(region))
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>
fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// What a request asks for, if it is well formed.
pub(super) fn judge(operation: &str, mut members: Map, region: &str) -> Result<Call, Refusal> {
    let call = match operation {
        "PutMetricAlarm" => Call::Put(Box::new(alarm(&mut members, region)?)),
        "DescribeAlarms" => Call::Describe(wanted(&mut members)?),
        "DeleteAlarms" => {
            if !members.has("AlarmNames") {
                return Err(flawed("1 validation error detected: Value null at 'alarmNames'"));
            }
            Call::Delete(names(&mut members)?)
        }
        "SetAlarmState" => state(&mut members)?,
        "TagResource" => {
            let arn = members.text("ResourceARN")?.ok_or_else(|| bad_tag("ResourceARN is required"))?;
            Call::Tag { arn, tags: tags(&mut members, bad_tag)? }
        }
        "UntagResource" => {
            let arn = members.text("ResourceARN")?.ok_or_else(|| bad_tag("ResourceARN is required"))?;
            Call::Untag { arn, keys: members.texts("TagKeys")? }
        }
        "ListTagsForResource" => Call::ListTags {
            arn: members.text("ResourceARN")?.ok_or_else(|| bad_tag("ResourceARN is required"))?,
        },
        _ => return Err(Refusal::violation("UnknownOperationException", "no such operation")),
    };
    members.end()?;
    Ok(call)
}

impl Alarms {
    /// Does what a request asks for, and answers it.
    pub(super) fn apply(&mut self, call: Call, now: Timestamp) -> Result<Cbor, Refusal> {
        match call {
            Call::Put(alarm) => self.put(*alarm, now)?,
            Call::Describe(wanted) => return Ok(self.describe(&wanted)),
            // "If you specify any incorrect alarm names, the alarms you specify with correct names are still deleted."
            Call::Delete(names) => self.stored.retain(|name, _| !names.contains(name)),
            Call::SetState { name, state, reason, data } => {
                let absent = || Refusal::new(404, "ResourceNotFound", format!("Unknown alarm {name}"));
                let alarm = self.stored.get_mut(&name).ok_or_else(absent)?;
                (alarm.state, alarm.state_reason, alarm.state_reason_data) = (state, reason, data);
                alarm.state_updated = now;
            }
            Call::Tag { arn, tags } => {
                let of_alarm = &mut self.by_arn(&arn)?.tags;
                let mut all: BTreeMap<String, String> = of_alarm.iter().cloned().collect();
                all.extend(tags);
                if all.len() > MOST_TAGS {
                    return Err(bad_tag(&format!("more than {MOST_TAGS} tags")));
                }
                *of_alarm = all.into_iter().collect();
            }
            Call::Untag { arn, keys } => self.by_arn(&arn)?.tags.retain(|(key, _)| !keys.contains(key)),
            Call::ListTags { arn } => {
                let tags = cbor::pairs(&self.by_arn(&arn)?.tags, "Key", "Value");
                return Ok(cbor::map([("Tags", Some(tags))]));
            }
        }
        Ok(Cbor::Map(Vec::new()))
    }

    /// "When you update an existing alarm, its state is left unchanged, but the update completely overwrites the previous
    /// configuration of the alarm"; "If you are using this operation to update an existing alarm, any tags you specify in
    /// this parameter are ignored."
    fn put(&mut self, mut alarm: StoredAlarm, now: Timestamp) -> Result<(), Refusal> {
        (alarm.updated, alarm.state_updated) = (now, now);
        if let Some(old) = self.stored.get_mut(&alarm.name) {
            alarm.tags = std::mem::take(&mut old.tags);
            alarm.state = std::mem::take(&mut old.state);
            alarm.state_reason = std::mem::take(&mut old.state_reason);
            alarm.state_reason_data = old.state_reason_data.take();
            alarm.state_updated = old.state_updated;
        } else if self.stored.len() >= self.limit {
            let message = format!("Reached the maximum limit of {} alarms", self.limit);
            return Err(Refusal::new(400, "LimitExceeded", message).with_shape("LimitExceededFault"));
        }
        self.stored.insert(alarm.name.clone(), alarm);
        Ok(())
    }

    fn describe(&self, wanted: &Wanted) -> Cbor {
        // Names of one prefix lie together; of a large fleet's alarms the others are not looked at.
        let of_prefix = self.stored.range(wanted.prefix.clone()..).map(|(_, alarm)| alarm);
        let of_prefix = of_prefix.take_while(|alarm| alarm.name.starts_with(&wanted.prefix));
        let mut found = of_prefix.filter(|alarm| {
            wanted.of_metrics
                && (wanted.names.is_empty() || wanted.names.contains(&alarm.name))
                && wanted.state.as_ref().is_none_or(|state| *state == alarm.state)
                && wanted.after.as_ref().is_none_or(|after| alarm.name > *after)
        });
        let page: Vec<&StoredAlarm> = found.by_ref().take(wanted.most).collect();
        let more = found.next().is_some();
        let token = page.last().filter(|_| more).map(|last| Cbor::from(format!("{TOKEN}{}", last.name)));
        cbor::map([
            ("MetricAlarms", Some(Cbor::Array(page.into_iter().map(StoredAlarm::described).collect()))),
            ("CompositeAlarms", Some(Cbor::Array(Vec::new()))),
            ("NextToken", token),
        ])
    }

    fn by_arn(&mut self, arn: &str) -> Result<&mut StoredAlarm, Refusal> {
        let found = self.stored.values_mut().find(|alarm| alarm.arn == arn);
        let message = || format!("The resource {arn} does not exist");
        found.ok_or_else(|| Refusal::new(404, "ResourceNotFoundException", message()))
    }
}

fn alarm(members: &mut Map, region: &str) -> Result<StoredAlarm, Refusal> {
    let name = required(members, "AlarmName")?;
    length(&name, "alarmName", 1, LONGEST_NAME)?;
    if name.chars().any(char::is_control) {
        return Err(flawed("AlarmName must not contain ASCII control characters"));
    }
    let description = members.text("AlarmDescription")?;
    length(description.as_deref().unwrap_or_default(), "alarmDescription", 0, LONGEST_DESCRIPTION)?;
    let threshold_metric_id = members.text("ThresholdMetricId")?;
    let is_of_metric = !members.has("Metrics");
    let (mut metric_name, mut namespace) = (String::new(), String::new());
    let (mut statistic, mut extended_statistic) = (None, None);
    let mut queries = Vec::new();
    if is_of_metric {
        metric_name = required(members, "MetricName")?;
        length(&metric_name, "metricName", 1, LONGEST_NAME)?;
        namespace = required(members, "Namespace")?;
        length(&namespace, "namespace", 1, LONGEST_NAME)?;
        if namespace.starts_with(':') {
            let rule = "Member must satisfy regular expression pattern: [^:].*";
            return Err(constraint(&namespace, "namespace", rule));
        }
        (statistic, extended_statistic) = self::statistic(members)?;
    } else {
        const OF_METRIC: [&str; 7] =
            ["MetricName", "Namespace", "Dimensions", "Period", "Unit", "Statistic", "ExtendedStatistic"];
        if let Some(member) = OF_METRIC.into_iter().find(|member| members.has(member)) {
            return Err(flawed(&format!("{member} must not be given beside Metrics")));
        }
        queries = queries::of_alarm(members, threshold_metric_id.as_deref())?;
    }
    let period_of = |query: &StoredQuery| query.period.or_else(|| Some(query.stat.as_ref()?.period));
    let of_queries = queries.iter().find_map(period_of);
    let (period, evaluation_periods, datapoints_to_alarm) = window(members, of_queries)?;
    let period = if is_of_metric { period } else { 0 };
    let comparison_operator = required(members, "ComparisonOperator")?;
    let threshold = members.take("Threshold");
    let threshold = if threshold_metric_id.is_some() {
        one_of(&comparison_operator, "comparisonOperator", &COMPARISONS_OF_BANDS)?;
        if threshold.is_some() {
            return Err(flawed("Threshold must not be given beside ThresholdMetricId"));
        }
        None
    } else {
        one_of(&comparison_operator, "comparisonOperator", &COMPARISONS)?;
        let threshold = threshold.ok_or_else(|| missing("Threshold"))?;
        let threshold = cbor::number(&threshold).ok_or_else(|| malformed("Threshold is not a number"))?;
        if !threshold.is_finite() {
            return Err(flawed("Threshold must be a number"));
        }
        Some(threshold)
    };
    let treat_missing_data = members.text("TreatMissingData")?;
    if let Some(treat) = &treat_missing_data {
        one_of(treat, "treatMissingData", &["breaching", "notBreaching", "ignore", "missing"])?;
    }
    let low = members.text("EvaluateLowSampleCountPercentile")?;
    if let Some(low) = &low {
        one_of(low, "evaluateLowSampleCountPercentile", &["evaluate", "ignore"])?;
        if !extended_statistic.as_ref().is_some_and(|statistic| statistic.starts_with('p')) {
            return Err(flawed("EvaluateLowSampleCountPercentile is only for percentiles"));
        }
    }
    let unit = members.text("Unit")?;
    if let Some(unit) = &unit {
        one_of(unit, "unit", &super::metrics::UNITS)?;
    }
    Ok(StoredAlarm {
        arn: arn(region, &name),
        name,
        description,
        actions_enabled: members.flag("ActionsEnabled")?.unwrap_or(true),
        ok_actions: actions(members, "OKActions", region)?,
        alarm_actions: actions(members, "AlarmActions", region)?,
        insufficient_data_actions: actions(members, "InsufficientDataActions", region)?,
        metric_name,
        namespace,
        statistic,
        extended_statistic,
        dimensions: dimensions(members)?,
        period,
        queries,
        threshold_metric_id,
        unit,
        evaluation_periods,
        datapoints_to_alarm,
        threshold,
        comparison_operator,
        treat_missing_data,
        evaluate_low_sample_count_percentile: low,
        tags: tags(members, flawed)?,
        state: "INSUFFICIENT_DATA".into(),
        state_reason: "Unchecked: Initial alarm creation".into(),
        state_reason_data: None,
        state_updated: Timestamp::UNIX_EPOCH,
        updated: Timestamp::UNIX_EPOCH,
    })
}

/// The statistic or the extended one.
fn statistic(members: &mut Map) -> Result<(Option<String>, Option<String>), Refusal> {
    let (plain, extended) = (members.text("Statistic")?, members.text("ExtendedStatistic")?);
    match (&plain, &extended) {
        (Some(plain), None) => one_of(plain, "statistic", &STATISTICS)?,
        (None, Some(extended)) if is_extended(extended) => {}
        (None, Some(extended)) => {
            return Err(flawed(&format!("The value {extended} for parameter ExtendedStatistic is invalid.")));
        }
        (None, None) => return Err(flawed("Exactly one of Statistic and ExtendedStatistic must be given")),
        (Some(_), Some(_)) => return Err(flawed("Statistic and ExtendedStatistic are mutually exclusive")),
    }
    Ok((plain, extended))
}

/// `p99.9`, `tm90`, `IQM`, `PR(0:300)` and their like. What is between the brackets is not looked at.
fn is_extended(text: &str) -> bool {
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && text.parse::<f64>().is_ok_and(|number| (0.0..=100.0).contains(&number))
    };
    text == "IQM"
        || ["p", "tm", "tc", "ts", "wm"].iter().any(|kind| text.strip_prefix(kind).is_some_and(number))
        || ["PR(", "TC(", "TM(", "TS(", "WM("]
            .iter()
            .any(|kind| text.starts_with(kind) && text.ends_with(')'))
}

/// `Period`, `EvaluationPeriods` and `DatapointsToAlarm`. "An alarm's total current evaluation period can be no longer
/// than seven days"; "for alarms with a period of less than one hour", no longer than one day.
fn window(members: &mut Map, of_queries: Option<i64>) -> Result<(i64, i64, Option<i64>), Refusal> {
    let period = members.integer("Period")?.or(of_queries).ok_or_else(|| missing("Period"))?;
    if ![10, 20, 30].contains(&period) && (period < 60 || period % 60 != 0) {
        return Err(flawed("Period must be 10, 20, 30 or a multiple of 60"));
    }
    let periods = members.integer("EvaluationPeriods")?.ok_or_else(|| missing("EvaluationPeriods"))?;
    let datapoints = members.integer("DatapointsToAlarm")?;
    for (value, member) in [(Some(periods), "evaluationPeriods"), (datapoints, "datapointsToAlarm")] {
        if let Some(value) = value.filter(|value| *value < 1) {
            let rule = "Member must have value greater than or equal to 1";
            return Err(constraint(&value.to_string(), member, rule));
        }
    }
    if datapoints.is_some_and(|datapoints| datapoints > periods) {
        return Err(flawed("DatapointsToAlarm must be less than or equal to EvaluationPeriods"));
    }
    let (most, so_long) = if period < HOUR { (DAY, "a day") } else { (7 * DAY, "seven days") };
    if period.saturating_mul(periods) > most {
        return Err(flawed(&format!("Metrics cannot be checked across more than {so_long}")));
    }
    Ok((period, periods, datapoints))
}

/// Topics to notify. They must be of the region that the request was signed for.
fn actions(members: &mut Map, member: &str, region: &str) -> Result<Vec<String>, Refusal> {
    let actions = members.texts(member)?;
    if actions.len() > MOST_ACTIONS {
        return Err(flawed(&format!("{member} must not have more than {MOST_ACTIONS} members")));
    }
    for action in &actions {
        length(action, member, 1, LONGEST_ACTION)?;
        let parts: Vec<&str> = action.split(':').collect();
        let ["arn", of_partition, service, of_region, account, topic] = parts.as_slice() else {
            return Err(flawed(&format!("Invalid arn syntax: {action}")));
        };
        if *of_partition != partition(region) {
            let only = partition(region);
            return Err(flawed(&format!(
                "Invalid partition {of_partition} specified. Only {only} is supported."
            )));
        }
        if *service != "sns" {
            return Err(flawed(&format!("the fake knows no actions of {service}: {action}")));
        }
        if *of_region != region {
            return Err(flawed(&format!(
                "Invalid region {of_region} specified. Only {region} is supported."
            )));
        }
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        if !is_account || topic.is_empty() {
            return Err(flawed(&format!("Invalid arn syntax: {action}")));
        }
    }
    if actions.iter().collect::<BTreeSet<_>>().len() != actions.len() {
        return Err(flawed(&format!("{member} has an action twice")));
    }
    Ok(actions)
}

fn dimensions(members: &mut Map) -> Result<Vec<(String, String)>, Refusal> {
    let mut dimensions = members.pairs("Dimensions", "Name", "Value")?;
    if dimensions.len() > MOST_DIMENSIONS {
        return Err(flawed(&format!("Dimensions must not have more than {MOST_DIMENSIONS} members")));
    }
    for (name, value) in &dimensions {
        length(name, "dimensions.member.name", 1, LONGEST_NAME)?;
        length(value, "dimensions.member.value", 1, LONGEST_DIMENSION_VALUE)?;
    }
    dimensions.sort();
    if dimensions.iter().zip(dimensions.iter().skip(1)).any(|(a, b)| a.0 == b.0) {
        return Err(flawed("No metric may specify the same dimension name twice."));
    }
    Ok(dimensions)
}

/// Tags by key; `refuse` makes the error that the operation has for them.
fn tags(members: &mut Map, refuse: fn(&str) -> Refusal) -> Result<Vec<(String, String)>, Refusal> {
    let mut tags = members.pairs("Tags", "Key", "Value")?;
    if tags.len() > MOST_TAGS {
        return Err(refuse(&format!("more than {MOST_TAGS} tags")));
    }
    for (key, value) in &tags {
        let long = key.chars().count();
        if long == 0 || long > LONGEST_TAG_KEY || value.chars().count() > LONGEST_TAG_VALUE {
            return Err(refuse(&format!("a tag's key or value is too short or too long: {key}")));
        }
        // <https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html>: reserved, and what is allowed.
        let allowed =
            |letter: char| letter.is_alphanumeric() || letter.is_whitespace() || "_.:/=+-@".contains(letter);
        if key.to_ascii_lowercase().starts_with("aws:") || !key.chars().chain(value.chars()).all(allowed) {
            return Err(refuse(&format!("a tag's key or value has what it must not: {key}")));
        }
    }
    tags.sort();
    if tags.iter().zip(tags.iter().skip(1)).any(|(a, b)| a.0 == b.0) {
        return Err(refuse("a tag's key is given twice"));
    }
    Ok(tags)
}

fn names(members: &mut Map) -> Result<Vec<String>, Refusal> {
    let names = members.texts("AlarmNames")?;
    if names.len() > MOST_NAMES {
        return Err(flawed(&format!("AlarmNames must not have more than {MOST_NAMES} members")));
    }
    for name in &names {
        length(name, "alarmNames.member", 1, LONGEST_NAME)?;
    }
    Ok(names)
}

fn wanted(members: &mut Map) -> Result<Wanted, Refusal> {
    let names = names(members)?;
    let prefix = members.text("AlarmNamePrefix")?;
    if let Some(prefix) = &prefix {
        length(prefix, "alarmNamePrefix", 1, LONGEST_NAME)?;
        if !names.is_empty() {
            let message = "AlarmNames and AlarmNamePrefix are mutually exclusive";
            return Err(Refusal::violation("InvalidParameterCombination", message));
        }
    }
    let most = members.integer("MaxRecords")?.unwrap_or(USUAL_RECORDS);
    if !(1..=MOST_RECORDS).contains(&most) {
        return Err(constraint(&most.to_string(), "maxRecords", "Member must be from 1 to 100"));
    }
    let token = members.text("NextToken")?;
    let after = token.as_deref().map(|token| {
        let unknown = || Refusal::violation("InvalidNextToken", format!("Invalid nextToken {token}"));
        token.strip_prefix(TOKEN).map(str::to_owned).ok_or_else(unknown)
    });
    let state = members.text("StateValue")?;
    if let Some(state) = &state {
        one_of(state, "stateValue", &STATES)?;
    }
    let types = members.texts("AlarmTypes")?;
    Ok(Wanted {
        names,
        prefix: prefix.unwrap_or_default(),
        state,
        of_metrics: types.is_empty() || types.iter().any(|kind| kind == "MetricAlarm"),
        most: usize::try_from(most).unwrap_or(0),
        after: after.transpose()?,
    })
}

fn state(members: &mut Map) -> Result<Call, Refusal> {
    let name = required(members, "AlarmName")?;
    length(&name, "alarmName", 1, LONGEST_NAME)?;
    let state = required(members, "StateValue")?;
    one_of(&state, "stateValue", &STATES)?;
    let reason = required(members, "StateReason")?;
    length(&reason, "stateReason", 0, LONGEST_REASON)?;
    let data = members.text("StateReasonData")?;
    if let Some(data) = &data {
        length(data, "stateReasonData", 0, LONGEST_REASON_DATA)?;
        if serde_json::from_str::<serde_json::Value>(data).is_err() {
            let refusal = Refusal::violation("InvalidFormat", "StateReasonData is not JSON");
            return Err(refusal.with_shape("InvalidFormatFault"));
        }
    }
    Ok(Call::SetState { name, state, reason, data })
}

fn required(members: &mut Map, name: &str) -> Result<String, Refusal> {
    members.text(name)?.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Refusal {
    flawed(&format!("The parameter {name} is required."))
}

pub(super) fn flawed(message: &str) -> Refusal {
    Refusal::violation("ValidationError", message)
}

fn bad_tag(message: &str) -> Refusal {
    Refusal::violation("InvalidParameterValue", message)
}

pub(super) fn constraint(value: &str, member: &str, rule: &str) -> Refusal {
    flawed(&format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
    ))
}

pub(super) fn one_of(value: &str, member: &str, allowed: &[&str]) -> Result<(), Refusal> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let rule = format!("Member must satisfy enum value set: [{}]", allowed.join(", "));
    Err(constraint(value, member, &rule))
}

/// Refuses what is shorter or longer than allowed, in characters.
pub(super) fn length(value: &str, member: &str, shortest: usize, longest: usize) -> Result<(), Refusal> {
    let length = value.chars().count();
    if length < shortest {
        let rule = format!("Member must have length greater than or equal to {shortest}");
        return Err(constraint(value, member, &rule));
    }
    if length > longest {
        let rule = format!("Member must have length less than or equal to {longest}");
        return Err(constraint(value, member, &rule));
    }
    Ok(())
}
