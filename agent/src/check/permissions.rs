//! Which permissions this host's role has, by calls that change nothing: they read, or name what is not there. IAM is asked before
//! the service looks for it, so "not there" is a yes.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;
use tokio::time::timeout;

use super::{Line, Verdict};
use crate::aws::{Connection, Failure, classify};

const PART: &str = "aws";
const CREDENTIALS: &str = "credentials";
/// How the text of a call without any begins.
const NO_CREDENTIALS: &str = "no credentials";
/// What one call may take: two that reach nothing, side by side, and the rest is not asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is not there: no host, log stream or dashboard of ours is called so.
const NOTHING: &str = "vpcwatch-check-of-permissions";
/// Codes for "there is no such thing".
const NOT_THERE: [&str; 4] =
    ["ResourceNotFound", "ResourceNotFoundException", "DashboardNotFoundError", "NotFoundException"];

/// How an action is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By a call.
    Asked(Probe),
    /// By none: why.
    None(&'static str),
}

/// A call that changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the operations' own names")]
pub enum Probe {
    DescribeAlarms,
    DeleteAlarms,
    SetAlarmState,
    GetDashboard,
    DeleteDashboards,
    DescribeLogStreams,
    PutLogEvents,
    GetLogEvents,
    DeleteLogStream,
}

const WOULD_SEND: &str = "a call would send a metric; `vpcwatch status` of the running agent tells";
const WOULD_CREATE: &str =
    "a call would create something; `vpcwatch provision apply` or the running agent tells";
const NEEDS_AN_ALARM: &str = "a call needs an alarm that is there; `vpcwatch provision apply` tells";

/// Every action of the policy ([`crate::provision::policy`]), those by which each service is reached first.
pub const ACTIONS: &[(&str, Proof)] = &[
    ("cloudwatch:DescribeAlarms", Proof::Asked(Probe::DescribeAlarms)),
    ("logs:DescribeLogStreams", Proof::Asked(Probe::DescribeLogStreams)),
    ("cloudwatch:PutMetricData", Proof::None(WOULD_SEND)),
    ("logs:PutLogEvents", Proof::Asked(Probe::PutLogEvents)),
    ("logs:CreateLogGroup", Proof::None(WOULD_CREATE)),
    ("logs:CreateLogStream", Proof::None(WOULD_CREATE)),
    ("logs:PutRetentionPolicy", Proof::None(WOULD_CREATE)),
    ("cloudwatch:PutMetricAlarm", Proof::None(WOULD_CREATE)),
    ("cloudwatch:DeleteAlarms", Proof::Asked(Probe::DeleteAlarms)),
    ("cloudwatch:SetAlarmState", Proof::Asked(Probe::SetAlarmState)),
    ("cloudwatch:TagResource", Proof::None(NEEDS_AN_ALARM)),
    ("cloudwatch:UntagResource", Proof::None(NEEDS_AN_ALARM)),
    ("cloudwatch:ListTagsForResource", Proof::None(NEEDS_AN_ALARM)),
    ("cloudwatch:GetDashboard", Proof::Asked(Probe::GetDashboard)),
    ("cloudwatch:PutDashboard", Proof::None(WOULD_CREATE)),
    ("cloudwatch:DeleteDashboards", Proof::Asked(Probe::DeleteDashboards)),
    ("logs:GetLogEvents", Proof::Asked(Probe::GetLogEvents)),
    ("logs:DeleteLogStream", Proof::Asked(Probe::DeleteLogStream)),
];

/// A line for each of these actions. A service that is not reached is asked once; the two are asked side by side.
pub async fn check(connection: &Connection, group: &str, actions: &[&str], now: Timestamp) -> Vec<Line> {
    let (mut lines, logs) = tokio::join!(
        service("cloudwatch", connection, group, actions, now),
        service("logs", connection, group, actions, now)
    );
    // Without credentials both say the same.
    lines.extend(logs.into_iter().filter(|line| line.what != CREDENTIALS));
    lines
}

async fn service(
    name: &str,
    connection: &Connection,
    group: &str,
    actions: &[&str],
    now: Timestamp,
) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let of_service = ACTIONS.iter().filter(|(action, _)| action.split(':').next() == Some(name));
    for (action, proof) in of_service {
        // The first is asked in any case: it tells whether the service is reached.
        let (is_first, is_wanted) = (lines.is_empty(), actions.contains(action));
        if !is_first && !is_wanted {
            continue;
        }
        let answer = match proof {
            Proof::None(why) => {
                lines.push(Line::new(PART, action, Verdict::Unverified, *why));
                continue;
            }
            Proof::Asked(probe) => ask(connection, group, *probe, action, now).await,
        };
        let (what, told) = match &answer {
            Ok(()) => (*action, String::new()),
            // Once said which action, and in one line.
            Err(failure) => {
                let why = failure.why().replace(char::is_whitespace, " ");
                (*action, why.strip_prefix(&format!("{action}: ")).unwrap_or(&why).to_owned())
            }
        };
        let endpoint = format!("endpoint of {name}");
        match &answer {
            Err(_) if told.starts_with(NO_CREDENTIALS) => {
                return vec![Line::new(PART, CREDENTIALS, Verdict::Missing, told)];
            }
            Err(Failure::Retry { .. }) if is_first => {
                lines.push(Line::new(PART, &endpoint, Verdict::Missing, told));
                let rest = "not asked: the service was not reached";
                lines.push(Line::new(PART, &format!("permissions of {name}"), Verdict::Unverified, rest));
                return lines;
            }
            _ if is_first => lines.push(Line::new(PART, &endpoint, Verdict::Ok, "")),
            _ => {}
        }
        if is_wanted {
            let verdict = if answer.is_ok() { Verdict::Ok } else { Verdict::Missing };
            lines.push(Line::new(PART, what, verdict, told));
        }
    }
    lines
}

async fn ask(
    connection: &Connection,
    group: &str,
    probe: Probe,
    action: &'static str,
    now: Timestamp,
) -> Result<(), Failure> {
    let (cloudwatch, logs) = (connection.cloudwatch(), connection.logs());
    let asked = async {
        match probe {
            Probe::DescribeAlarms => {
                proven(action, cloudwatch.describe_alarms().alarm_name_prefix(NOTHING).send().await)
            }
            Probe::DeleteAlarms => {
                proven(action, cloudwatch.delete_alarms().alarm_names(NOTHING).send().await)
            }
            Probe::SetAlarmState => {
                let set =
                    cloudwatch.set_alarm_state().alarm_name(NOTHING).state_reason("a check of permissions");
                proven(action, set.state_value(aws_sdk_cloudwatch::types::StateValue::Ok).send().await)
            }
            Probe::GetDashboard => {
                proven(action, cloudwatch.get_dashboard().dashboard_name(NOTHING).send().await)
            }
            Probe::DeleteDashboards => {
                proven(action, cloudwatch.delete_dashboards().dashboard_names(NOTHING).send().await)
            }
            Probe::DescribeLogStreams => {
                let list = logs.describe_log_streams().log_group_name(group);
                proven(action, list.log_stream_name_prefix(NOTHING).send().await)
            }
            Probe::PutLogEvents => {
                let event = aws_sdk_cloudwatchlogs::types::InputLogEvent::builder();
                let event = event.message(NOTHING).timestamp(now.as_millisecond()).build();
                let event = event.map_err(|error| Failure::again(error.to_string()))?;
                let put = logs.put_log_events().log_group_name(group).log_stream_name(NOTHING);
                proven(action, put.log_events(event).send().await)
            }
            Probe::GetLogEvents => {
                let get = logs.get_log_events().log_group_name(group).start_from_head(true);
                proven(action, get.log_stream_name(election(NOTHING)).send().await)
            }
            Probe::DeleteLogStream => {
                let delete = logs.delete_log_stream().log_group_name(group);
                proven(action, delete.log_stream_name(election(NOTHING)).send().await)
            }
        }
    };
    let silent = || Failure::again(format!("{action}: no answer within {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(silent()))
}

/// Only streams of elections are allowed there.
fn election(name: &str) -> String {
    format!("{}{name}", crate::provision::election::STREAMS)
}

/// Whether the answer says that it is allowed.
fn proven<T, E>(action: &'static str, answer: Result<T, SdkError<E, HttpResponse>>) -> Result<(), Failure>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Ok(_) => Ok(()),
        Err(error) if error.code().is_some_and(|code| NOT_THERE.contains(&code)) => Ok(()),
        Err(error) => Err(classify(&error, action)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::election::STREAMS;
    use crate::provision::policy::{Part, Partition, PolicyInput, policy};

    #[test]
    fn every_action_of_the_policy_is_proven_or_said_to_be_not() {
        let input = PolicyInput {
            namespace: "n".into(),
            log_groups: vec!["g".into()],
            alarm_prefix: "a".into(),
            dashboard_prefix: "d".into(),
            elections: Some(("g".into(), STREAMS.into())),
            actions: Vec::new(),
            partition: Partition::Aws,
            region: "*".into(),
            account: "*".into(),
        };
        let policy = policy(&input, Part::All);
        let statements = policy["Statement"].as_array().unwrap();
        let mut named: Vec<&str> = Vec::new();
        for statement in statements {
            let action = &statement["Action"];
            let list = action.as_array().map(|list| list.iter().filter_map(|item| item.as_str()).collect());
            named.extend(list.unwrap_or_else(|| vec![action.as_str().unwrap()]));
        }
        let mut known: Vec<&str> = ACTIONS.iter().map(|(action, _)| *action).collect();
        named.sort_unstable();
        known.sort_unstable();
        assert_eq!(named, known);
    }
}
