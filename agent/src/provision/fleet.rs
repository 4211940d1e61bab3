//! Alarms of a fleet: one query over the metrics of all its instances, which follows them as they come and go
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/multi-time-series-alarm.html>). Pure.

use super::desired::owner;
use crate::model::alarms::AlarmRule;
use crate::model::identity::{Identity, InstanceDimension};
use crate::model::settings::Settings;
use crate::pipeline::dimension_value;

/// Seconds of data that a query looks back
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-metrics-insights-limits.html>).
pub(super) const HORIZON: u32 = 3 * 3600;

/// What begins the names of fleets. An instance id does not; a host of that name would find alarms that are not its own,
/// and leave them alone.
const FLEET: &str = "fleet-";

/// Whether that is the name of a fleet.
pub(super) fn is_fleet(owner: &str) -> bool {
    owner.starts_with(FLEET)
}

/// What a fleet is called: by its namespace, and by its Auto Scaling group where that is a dimension.
pub(super) fn name(settings: &Settings, identity: &Identity) -> String {
    let group = group(identity).map(|group| format!("-group-{group}")).unwrap_or_default();
    owner(&format!("{FLEET}{}{group}", settings.namespace))
}

/// The query of an alarm.
pub(super) fn query(rule: &AlarmRule, settings: &Settings, identity: &Identity) -> String {
    let mut schema: Vec<&str> = identity.dimensions.iter().map(|dimension| dimension.name.as_str()).collect();
    let group = group(identity);
    // Instances are told apart by what is theirs alone; where that is no dimension, by all there are.
    let unique: Vec<&str> = schema
        .iter()
        .copied()
        .filter(|name| [InstanceDimension::InstanceId.as_str(), "host"].contains(name))
        .collect();
    let mut by = if unique.is_empty() { schema.clone() } else { unique };
    if rule.per_interface() {
        schema.push("interface");
        by.push("interface");
    }
    let (function, metric) = (rule.statistic.function(), rule.metric);
    let (schema, by) = (schema.join(", "), by.join(", "));
    let of_group = group
        .map(|group| format!(" WHERE {} = '{group}'", InstanceDimension::AutoScalingGroupName.as_str()))
        .unwrap_or_default();
    format!(
        "SELECT {function}({metric}) FROM SCHEMA(\"{}\", {schema}){of_group} GROUP BY {by} ORDER BY {function}() DESC",
        settings.namespace
    )
}

/// The Auto Scaling group, where it is a dimension and a query can name it: how a quote is written in one is not told.
fn group(identity: &Identity) -> Option<String> {
    let name = InstanceDimension::AutoScalingGroupName.as_str();
    let group = identity.dimensions.iter().find(|dimension| dimension.name == name)?;
    let value = dimension_value(&group.value);
    (!value.contains(['\'', '"', '\\'])).then_some(value)
}
