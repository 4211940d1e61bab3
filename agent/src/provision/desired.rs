//! What there should be in CloudWatch for this host or its fleet: pure, from configuration, catalog and identity.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

use serde::Serialize;

use super::{dashboard, fleet};
use crate::model::alarms::{
    ALARMS, AlarmRule, BAND_METRICS, BAND_WIDTH, BANDS, Band, Comparison, LEAST_REQUESTS, MOST_SERVER_ERRORS,
    Missing, Scope, Statistic, WEB_ALARMS, WebMeasure, WebRule,
};
use crate::model::identity::Identity;
use crate::model::record::Dimension;
use crate::model::settings::Settings;
use crate::pipeline::dimension_value;

/// What every alarm's name begins with, and every dashboard's.
pub const PREFIX: &str = "vpcwatch-";
/// The tag that says whose an alarm is: its value is the instance id, or the host's name.
pub const OWNER_TAG: &str = "vpcwatch:owner";
/// The tag that names those of an operator, so that one that is wished for no longer is known from what somebody else has added.
pub const KEYS_TAG: &str = "vpcwatch:tags";
/// Between those names: what a key cannot have in `provision.tags`.
pub const BETWEEN_KEYS: &str = "=";
/// Seconds of an alarm's period, at least: metrics are stored by the minute.
const LEAST_PERIOD: u32 = 60;
/// Of a host's name in an alarm's: an alarm's name has 255 characters at most
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>).
const MOST_OF_NAME: usize = 128;

/// What is wanted beyond the settings of the pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Whose alarms there are; `None`: by whether the host is of an Auto Scaling group.
    pub scope: Option<Scope>,
    /// ARNs of SNS topics that alarms notify; empty: nobody.
    pub actions: Vec<String>,
    /// Further tags of alarms.
    pub tags: Vec<(String, String)>,
    /// Whether there are alarms on what is unusual for a host.
    pub anomaly_bands: bool,
    /// Seconds above which a request of an access log is slow.
    pub slow_web_seconds: u32,
    /// Whether there is to be a dashboard.
    pub dashboard: bool,
    /// Log groups and the days that they are kept; none for ever.
    pub groups: Vec<(String, Option<u16>)>,
}

/// Whom alarms are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Whose alarms there are.
    pub scope: Scope,
    /// Of the host that asks.
    pub identity: &'a Identity,
    /// That are measured; those of a fleet do not depend on them.
    pub interfaces: &'a [Nic],
}

/// An interface of this host, as far as alarms depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its name.
    pub name: String,
    /// Whether its driver counts what is above EC2's allowances.
    pub has_allowances: bool,
}

/// What there should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Whose it is.
    pub owner: String,
    /// Alarms, none twice.
    pub alarms: Vec<Alarm>,
    /// Their tags.
    pub tags: Vec<(String, String)>,
    /// The dashboard, which all hosts of the namespace and region share.
    pub dashboard: Option<Dashboard>,
    /// Log groups and the days that they are kept; none for ever.
    pub groups: Vec<(String, Option<u16>)>,
}

/// An alarm, as `PutMetricAlarm` takes it
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "CloudWatch's own names")]
pub struct Alarm {
    pub alarm_name: String,
    /// What it means, and what to do first; without our mark.
    pub alarm_description: String,
    /// What is looked at.
    #[serde(flatten)]
    pub measure: Measure,
    pub evaluation_periods: i32,
    pub datapoints_to_alarm: i32,
    /// None where a band stands for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    pub comparison_operator: String,
    pub treat_missing_data: String,
    pub actions_enabled: bool,
    pub alarm_actions: Vec<String>,
    pub ok_actions: Vec<String>,
    /// What ours never have and a person may have added: other statistics, labels, a unit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub other: String,
}

/// What an alarm looks at.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Measure {
    /// One metric.
    Metric(MetricStat),
    /// Several, or what is reckoned from them.
    Metrics {
        /// Of which one is compared.
        #[serde(rename = "Metrics")]
        queries: Vec<Query>,
        /// The band that it is compared with, by its id; none where there is a threshold.
        #[serde(rename = "ThresholdMetricId", skip_serializing_if = "Option::is_none")]
        band: Option<String>,
    },
}

/// A statistic of one metric. No unit: one that does not match means no data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "CloudWatch's own names")]
pub struct MetricStat {
    pub namespace: String,
    pub metric_name: String,
    /// By name: CloudWatch keeps no order.
    pub dimensions: Vec<Dimension>,
    pub statistic: String,
    /// Seconds.
    pub period: i32,
}

/// One of `Metrics`
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html>).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "CloudWatch's own names")]
pub struct Query {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_stat: Option<MetricStat>,
    /// Seconds; of queries alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<i32>,
    pub return_data: bool,
}

/// A dashboard.
#[derive(Debug, Clone, PartialEq)]
pub struct Dashboard {
    /// Its name; dashboards are of the whole account, whatever the region.
    pub name: String,
    /// Its body, without our mark.
    pub body: serde_json::Value,
}

/// What there should be.
pub fn desired(settings: &Settings, wishes: &Wishes, subject: &Subject, region: &str) -> Desired {
    let Subject { scope, identity, interfaces } = *subject;
    let making = Making { settings, wishes, identity };
    let mut owner = owner(&identity.name);
    if scope == Scope::Fleet {
        owner = fleet::name(settings, identity);
    }
    let rules = ALARMS.iter().filter(|rule| scope.has(rule) && settings.chosen.contains(rule.metric));
    let mut alarms: Vec<Alarm> = Vec::new();
    for rule in rules {
        if scope == Scope::Fleet {
            alarms.push(making.fleet_alarm(rule, &owner));
        } else if rule.per_interface() {
            let counts = |nic: &&Nic| nic.has_allowances || !rule.needs_allowances();
            let nics = interfaces.iter().filter(counts);
            alarms.extend(nics.map(|nic| making.alarm(rule, &owner, Some(&nic.name))));
        } else {
            alarms.push(making.alarm(rule, &owner, None));
        }
    }
    if wishes.anomaly_bands && scope == Scope::Instance {
        for band in BANDS.iter().filter(|band| settings.chosen.contains(band.metric)) {
            if band.per_interface() {
                alarms.extend(interfaces.iter().map(|nic| making.unusual(band, &owner, Some(&nic.name))));
            } else {
                alarms.push(making.unusual(band, &owner, None));
            }
        }
    }
    // A query over a fleet knows no percentiles and no shares.
    if scope == Scope::Instance {
        for log in &settings.web_logs {
            let rules = WEB_ALARMS
                .iter()
                .filter(|rule| rule.metrics().iter().all(|name| settings.chosen.contains(name)));
            alarms.extend(rules.map(|rule| making.web_alarm(rule, &owner, log)));
        }
    }
    let mut tags = vec![(OWNER_TAG.to_owned(), owner.clone())];
    if !wishes.tags.is_empty() {
        let keys: Vec<&str> = wishes.tags.iter().map(|(key, _)| key.as_str()).collect();
        tags.push((KEYS_TAG.to_owned(), keys.join(BETWEEN_KEYS)));
        tags.extend(wishes.tags.iter().cloned());
    }
    let dashboard = wishes.dashboard.then(|| dashboard::shared(settings, region));
    Desired { owner, alarms, tags, dashboard, groups: wishes.groups.clone() }
}

/// What every alarm of a host or fleet is made from.
struct Making<'a> {
    settings: &'a Settings,
    wishes: &'a Wishes,
    identity: &'a Identity,
}

impl Making<'_> {
    /// An alarm on one metric of this host.
    fn alarm(&self, rule: &AlarmRule, owner: &str, interface: Option<&str>) -> Alarm {
        let measure = Measure::Metric(self.metric(rule.metric, rule.statistic, interface));
        self.of_rule(rule, full_name(owner, rule.kind, interface), measure)
    }

    /// An alarm on the metrics of all hosts: its contributors are those that breach.
    fn fleet_alarm(&self, rule: &AlarmRule, owner: &str) -> Alarm {
        let query = Query {
            id: "q".into(),
            expression: Some(fleet::query(rule, self.settings, self.identity)),
            metric_stat: None,
            period: Some(self.period()),
            return_data: true,
        };
        let measure = Measure::Metrics { queries: vec![query], band: None };
        let mut alarm = self.of_rule(rule, full_name(owner, rule.kind, None), measure);
        let most = i32::try_from(fleet::HORIZON).unwrap_or(i32::MAX) / self.period();
        alarm.evaluation_periods = alarm.evaluation_periods.min(most).max(1);
        alarm.datapoints_to_alarm = alarm.datapoints_to_alarm.min(alarm.evaluation_periods);
        alarm.alarm_description.push_str(" The alarm's contributors are the instances it is about.");
        alarm
    }

    /// An alarm on what is not usual for this host.
    fn unusual(&self, band: &Band, owner: &str, interface: Option<&str>) -> Alarm {
        let metric = self.metric(band.metric, Statistic::Average, interface);
        let query = |id: &str, expression, metric_stat| Query {
            id: id.into(),
            expression,
            metric_stat,
            period: None,
            return_data: true,
        };
        let expression = format!("ANOMALY_DETECTION_BAND(m1, {BAND_WIDTH})");
        let queries = vec![query("m1", None, Some(metric)), query("band", Some(expression), None)];
        let measure = Measure::Metrics { queries, band: Some("band".into()) };
        let rule =
            AlarmRule { kind: band.kind, metric: band.metric, meaning: band.meaning, ..IN_THREE_OF_FIVE };
        let alarm = self.of_rule(&rule, full_name(owner, band.kind, interface), measure);
        Alarm {
            threshold: None,
            comparison_operator: "LessThanLowerOrGreaterThanUpperThreshold".into(),
            ..alarm
        }
    }

    /// An alarm on the requests of one access log.
    fn web_alarm(&self, rule: &WebRule, owner: &str, log: &str) -> Alarm {
        let of_log = Dimension { name: "log".into(), value: log.to_owned() };
        let query = |id: &str, metric: &str, statistic: &str, return_data| Query {
            id: id.into(),
            expression: None,
            metric_stat: Some(self.stat(metric, statistic, Some(of_log.clone()))),
            period: None,
            return_data,
        };
        let (queries, threshold) = match rule.of {
            WebMeasure::ServerErrors => {
                // Errors are a sparse metric, missing while there are none.
                let share = format!("IF(requests >= {LEAST_REQUESTS}, 100 * FILL(errors, 0) / requests, 0)");
                let share = Query {
                    id: "share".into(),
                    expression: Some(share),
                    metric_stat: None,
                    period: None,
                    return_data: true,
                };
                let errors = query("errors", "http_5xx", "Sum", false);
                (vec![errors, query("requests", "http_requests", "Sum", false), share], MOST_SERVER_ERRORS)
            }
            WebMeasure::Latency => {
                let slow = f64::from(self.wishes.slow_web_seconds) * 1000.0;
                (vec![query("latency", "http_request_latency", "p99", true)], slow)
            }
        };
        let one = AlarmRule { kind: rule.kind, meaning: rule.meaning, threshold, ..IN_THREE_OF_FIVE };
        self.of_rule(&one, full_name(owner, rule.kind, Some(log)), Measure::Metrics { queries, band: None })
    }

    fn of_rule(&self, rule: &AlarmRule, alarm_name: String, measure: Measure) -> Alarm {
        let mut actions = self.wishes.actions.clone();
        actions.sort();
        actions.dedup();
        Alarm {
            alarm_name,
            alarm_description: rule.meaning.into(),
            measure,
            evaluation_periods: rule.periods.into(),
            datapoints_to_alarm: rule.datapoints.into(),
            threshold: Some(rule.threshold),
            comparison_operator: rule.comparison.as_str().into(),
            treat_missing_data: rule.missing.as_str().into(),
            actions_enabled: true,
            alarm_actions: actions.clone(),
            ok_actions: actions,
            other: String::new(),
        }
    }

    fn metric(&self, name: &str, statistic: Statistic, interface: Option<&str>) -> MetricStat {
        let of_interface =
            interface.map(|name| Dimension { name: "interface".into(), value: name.to_owned() });
        self.stat(name, statistic.as_str(), of_interface)
    }

    /// As the metrics have their dimensions, to the letter: others are another metric, which never has data.
    fn stat(&self, name: &str, statistic: &str, further: Option<Dimension>) -> MetricStat {
        let mut dimensions: Vec<Dimension> =
            self.identity.dimensions.iter().cloned().chain(further).collect();
        dimensions.iter_mut().for_each(|dimension| dimension.value = dimension_value(&dimension.value));
        dimensions.sort_by(|a, b| a.name.cmp(&b.name));
        MetricStat {
            namespace: self.settings.namespace.clone(),
            metric_name: name.into(),
            dimensions,
            statistic: statistic.into(),
            period: self.period(),
        }
    }

    /// Seconds of an alarm's period.
    fn period(&self) -> i32 {
        let period = self.settings.interval_seconds.max(LEAST_PERIOD).div_ceil(60) * 60;
        i32::try_from(period).unwrap_or(i32::MAX)
    }
}

/// What is so in three periods of five, without what it is.
const IN_THREE_OF_FIVE: AlarmRule = AlarmRule {
    kind: "",
    metric: "",
    statistic: Statistic::Average,
    comparison: Comparison::AtLeast,
    threshold: 0.0,
    datapoints: 3,
    periods: 5,
    missing: Missing::NotBreaching,
    meaning: "",
};

/// The name of an alarm, without control characters, which none may have. With the longest owner and the longest name of a log it
/// stays within 255 characters.
fn full_name(owner: &str, kind: &str, at: Option<&str>) -> String {
    let at = at.map(|name| format!("-{name}").replace(char::is_control, "_")).unwrap_or_default();
    format!("{PREFIX}{owner}-{kind}{at}")
}

/// What the names of alarms of that owner begin with.
pub fn prefix(owner: &str) -> String {
    format!("{PREFIX}{owner}-")
}

/// The host's name as names and tags take it
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Tag.html>); one that had to be changed for that
/// gets what tells it from others that look so too.
pub(super) fn owner(name: &str) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    if name.len() <= MOST_OF_NAME && name.chars().all(|c| allowed(&c)) {
        return name.to_owned();
    }
    let kept: String = name.chars().filter(allowed).take(MOST_OF_NAME - 17).collect();
    format!("{kept}-{}", hash(name))
}

impl Alarm {
    /// The metric that it looks at, if it is one.
    pub fn metric(&self) -> Option<&MetricStat> {
        match &self.measure {
            Measure::Metric(metric) => Some(metric),
            Measure::Metrics { .. } => None,
        }
    }

    /// Metrics that it is paid for. What a fleet's query analyses depends on how many there are.
    pub fn metrics(&self) -> u32 {
        match &self.measure {
            Measure::Metrics { band: Some(_), .. } => BAND_METRICS,
            Measure::Metrics { queries, band: None } => {
                let metrics = queries.iter().filter(|query| query.metric_stat.is_some()).count();
                u32::try_from(metrics).unwrap_or(u32::MAX).max(1)
            }
            Measure::Metric(_) => 1,
        }
    }

    /// Tells this alarm from any other, and from itself after a person changed it.
    pub fn hash(&self) -> String {
        hash(&serde_json::to_string(self).unwrap_or_default())
    }
}

impl Dashboard {
    /// The same of a dashboard, whatever the order of its keys.
    pub fn hash(&self) -> String {
        hash(&sorted(&self.body).to_string())
    }
}

impl Desired {
    /// What the names of its alarms begin with.
    pub fn prefix(&self) -> String {
        prefix(&self.owner)
    }

    /// Changes when anything does that would be written.
    pub fn hash(&self) -> String {
        let alarms: String = self.alarms.iter().map(Alarm::hash).collect();
        let dashboard = self.dashboard.as_ref().map(Dashboard::hash).unwrap_or_default();
        hash(&format!("{alarms} {dashboard} {:?} {:?}", self.tags, self.groups))
    }
}

/// The tags that an operator wishes for, without ours.
pub(super) fn wished(tags: &[(String, String)]) -> impl Iterator<Item = &(String, String)> {
    tags.iter().filter(|(key, _)| ![OWNER_TAG, KEYS_TAG].contains(&key.as_str()))
}

/// Changes when those do; empty where there are none.
pub(super) fn hash_of_tags(tags: &[(String, String)]) -> String {
    let mut wished: Vec<_> = wished(tags).collect();
    wished.sort();
    if wished.is_empty() { String::new() } else { hash(&format!("{wished:?}")) }
}

/// Sixteen digits. Not against an adversary: who may change our alarms needs no collision.
pub(super) fn hash(text: &str) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    format!("{:016x}", hasher.finish())
}

/// The same value with the keys of its objects in order.
fn sorted(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        other => other.clone(),
    }
}
