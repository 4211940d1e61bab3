//! What there should be in CloudWatch for this host: pure, from configuration, catalog and identity.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

use serde::Serialize;

use super::dashboard;
use crate::model::alarms::{ALARMS, AlarmRule};
use crate::model::identity::Identity;
use crate::model::record::Dimension;
use crate::model::settings::Settings;
use crate::pipeline::dimension_value;

/// What every alarm's name begins with, and every dashboard's.
pub const PREFIX: &str = "vpcwatch-";
/// The tag that says whose an alarm is: its value is the instance id, or the host's name.
pub const OWNER_TAG: &str = "vpcwatch:owner";
/// Seconds of an alarm's period, at least: metrics are stored by the minute.
const LEAST_PERIOD: u32 = 60;
/// Of a host's name in an alarm's: an alarm's name has 255 characters at most
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>).
const MOST_OF_NAME: usize = 128;

/// What is wanted beyond the settings of the pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// ARNs of SNS topics that alarms notify; empty: nobody.
    pub actions: Vec<String>,
    /// Further tags of alarms.
    pub tags: Vec<(String, String)>,
    /// Whether there is to be a dashboard.
    pub dashboard: bool,
    /// Log groups and the days that they are kept; none for ever.
    pub groups: Vec<(String, Option<u16>)>,
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

/// An alarm on one metric, as `PutMetricAlarm` takes it
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>). No unit: one that does not
/// match means no data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "CloudWatch's own names")]
pub struct Alarm {
    pub alarm_name: String,
    /// What it means, and what to do first; without our mark.
    pub alarm_description: String,
    pub namespace: String,
    pub metric_name: String,
    /// By name: CloudWatch keeps no order.
    pub dimensions: Vec<Dimension>,
    pub statistic: String,
    pub period: i32,
    pub evaluation_periods: i32,
    pub datapoints_to_alarm: i32,
    pub threshold: f64,
    pub comparison_operator: String,
    pub treat_missing_data: String,
    pub actions_enabled: bool,
    pub alarm_actions: Vec<String>,
    pub ok_actions: Vec<String>,
    /// What ours never have and a person may have added: other statistics, expressions, a unit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub other: String,
}

/// A dashboard.
#[derive(Debug, Clone, PartialEq)]
pub struct Dashboard {
    /// Its name; dashboards are of the whole account, whatever the region.
    pub name: String,
    /// Its body, without our mark.
    pub body: serde_json::Value,
}

/// What there should be for this host.
pub fn desired(
    settings: &Settings,
    wishes: &Wishes,
    identity: &Identity,
    interfaces: &[Nic],
    region: &str,
) -> Desired {
    let owner = owner(&identity.name);
    let mut alarms = Vec::new();
    for rule in ALARMS.iter().filter(|rule| settings.chosen.contains(rule.metric)) {
        if !rule.per_interface() {
            alarms.push(alarm(rule, settings, wishes, identity, None));
            continue;
        }
        for nic in interfaces.iter().filter(|nic| nic.has_allowances || !rule.needs_allowances()) {
            alarms.push(alarm(rule, settings, wishes, identity, Some(&nic.name)));
        }
    }
    let mut tags = vec![(OWNER_TAG.to_owned(), owner.clone())];
    tags.extend(wishes.tags.iter().filter(|(name, _)| name != OWNER_TAG).cloned());
    let dashboard = wishes.dashboard.then(|| dashboard::shared(settings, identity, region));
    Desired { owner, alarms, tags, dashboard, groups: wishes.groups.clone() }
}

fn alarm(
    rule: &AlarmRule,
    settings: &Settings,
    wishes: &Wishes,
    identity: &Identity,
    interface: Option<&str>,
) -> Alarm {
    // As the metrics have them, to the letter: other dimensions are another metric, which never has data.
    let of_interface = interface.map(|name| Dimension { name: "interface".into(), value: name.to_owned() });
    let mut dimensions: Vec<Dimension> = identity.dimensions.iter().cloned().chain(of_interface).collect();
    dimensions.iter_mut().for_each(|dimension| dimension.value = dimension_value(&dimension.value));
    dimensions.sort_by(|a, b| a.name.cmp(&b.name));
    let period = settings.interval_seconds.max(LEAST_PERIOD).div_ceil(60) * 60;
    let at = interface.map(|name| format!("-{name}")).unwrap_or_default();
    let mut actions = wishes.actions.clone();
    actions.sort();
    actions.dedup();
    Alarm {
        alarm_name: format!("{}{}{at}", prefix(&identity.name), rule.kind),
        alarm_description: rule.meaning.into(),
        namespace: settings.namespace.clone(),
        metric_name: rule.metric.into(),
        dimensions,
        statistic: rule.statistic.as_str().into(),
        period: i32::try_from(period).unwrap_or(i32::MAX),
        evaluation_periods: rule.periods.into(),
        datapoints_to_alarm: rule.datapoints.into(),
        threshold: rule.threshold,
        comparison_operator: rule.comparison.as_str().into(),
        treat_missing_data: rule.missing.as_str().into(),
        actions_enabled: true,
        alarm_actions: actions.clone(),
        ok_actions: actions,
        other: String::new(),
    }
}

/// What the names of this host's alarms begin with.
pub fn prefix(host: &str) -> String {
    format!("{PREFIX}{}-", owner(host))
}

/// The host's name as names and tags take it
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Tag.html>); one that had to be changed for that
/// gets what tells it from others that look so too.
fn owner(name: &str) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    if name.len() <= MOST_OF_NAME && name.chars().all(|c| allowed(&c)) {
        return name.to_owned();
    }
    let kept: String = name.chars().filter(allowed).take(MOST_OF_NAME - 17).collect();
    format!("{kept}-{}", hash(name))
}

impl Alarm {
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
    /// Changes when anything does that would be written.
    pub fn hash(&self) -> String {
        let alarms: String = self.alarms.iter().map(Alarm::hash).collect();
        let dashboard = self.dashboard.as_ref().map(Dashboard::hash).unwrap_or_default();
        hash(&format!("{alarms} {dashboard} {:?} {:?}", self.tags, self.groups))
    }
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
