//! The least that a role has to allow, as an IAM policy.
//!
//! Which action takes which kind of resource, and which condition keys, is from AWS's service authorization reference:
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html> and
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html>.

use clap::ValueEnum;
use serde_json::{Value, json};

/// Whose permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Of the agent: metrics and logs
    Runtime,
    /// Of whoever makes alarms and dashboards
    Provision,
    /// Both
    All,
    /// Of who removes what silent hosts left (`provision gc`), beside that of provisioning; not for instances
    Operator,
}

/// A set of regions with accounts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Partition {
    /// The regions that are in no other
    Aws,
    /// China
    AwsCn,
    /// That of the United States' government
    AwsUsGov,
}

impl Partition {
    /// As ARNs name it: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>.
    fn name(self) -> &'static str {
        match self {
            Partition::Aws => "aws",
            Partition::AwsCn => "aws-cn",
            Partition::AwsUsGov => "aws-us-gov",
        }
    }
}

/// What a policy is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInput {
    /// Namespace of the metrics.
    pub namespace: String,
    /// Names of the log groups.
    pub log_groups: Vec<String>,
    /// What the names of alarms begin with.
    pub alarm_prefix: String,
    /// What the names of dashboards begin with.
    pub dashboard_prefix: String,
    /// The log group in which a fleet elects who provisions, and what begins the names of those streams; none where no fleet does.
    pub elections: Option<(String, String)>,
    /// ARNs of the SNS topics that alarms may notify.
    pub actions: Vec<String>,
    /// Where the account is.
    pub partition: Partition,
    /// `*` for every region.
    pub region: String,
    /// `*` for whichever account the policy is in.
    pub account: String,
}

/// Actions that the agent needs to send.
pub const RUNTIME: &[&str] = &[
    "cloudwatch:PutMetricData",
    "logs:PutLogEvents",
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:PutRetentionPolicy",
];

/// The policy that allows this part, and nothing else.
pub fn policy(config: &PolicyInput, part: Part) -> Value {
    let statements = match part {
        Part::Runtime => config.runtime(),
        Part::Provision => config.provision(),
        Part::All => [config.runtime(), config.provision()].concat(),
        Part::Operator => vec![PolicyInput::operator()],
    };
    json!({ "Version": "2012-10-17", "Statement": statements })
}

impl PolicyInput {
    fn runtime(&self) -> Vec<Value> {
        let each = |endings: &[&str]| -> Vec<String> {
            let arns =
                |group: &String| endings.iter().map(|end| self.log_group(group, end)).collect::<Vec<_>>();
            let mut seen = std::collections::HashSet::new();
            self.log_groups.iter().filter(|group| seen.insert(*group)).flat_map(arns).collect()
        };
        let streams = each(&[":log-stream:*"]);
        // The reference writes a group without the ending `:*`, the guide says that policies need it for nearly all
        // actions: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html>.
        // No name holds a colon, so both are that group and no other.
        let groups = each(&["", ":*"]);
        vec![
            // Takes no kind of resource; the namespace is the only bound there is.
            json!({
                "Sid": "PutMetrics",
                "Effect": "Allow",
                "Action": "cloudwatch:PutMetricData",
                "Resource": "*",
                "Condition": { "StringEquals": { "cloudwatch:namespace": literal(&self.namespace) } },
            }),
            json!({
                "Sid": "PutLogs",
                "Effect": "Allow",
                "Action": "logs:PutLogEvents",
                "Resource": streams,
            }),
            // CreateLogStream takes a stream; `:*` of the group covers its streams.
            json!({
                "Sid": "CreateLogs",
                "Effect": "Allow",
                "Action": ["logs:CreateLogGroup", "logs:CreateLogStream"],
                "Resource": groups,
            }),
            // By itself, so that whoever keeps logs for ever can leave it out.
            json!({
                "Sid": "OptionalLogRetention",
                "Effect": "Allow",
                "Action": "logs:PutRetentionPolicy",
                "Resource": groups,
            }),
        ]
    }

    fn provision(&self) -> Vec<Value> {
        let PolicyInput { region, account, .. } = self;
        let partition = self.partition.name();
        let alarms =
            format!("arn:{partition}:cloudwatch:{region}:{account}:alarm:{}*", literal(&self.alarm_prefix));
        let dashboards =
            format!("arn:{partition}:cloudwatch::{account}:dashboard/{}*", literal(&self.dashboard_prefix));
        let mut statements = vec![
            json!({
                "Sid": "PutAlarms",
                "Effect": "Allow",
                "Action": "cloudwatch:PutMetricAlarm",
                "Resource": alarms,
                "Condition": self.only_our_actions(),
            }),
            // TagResource and its like take rules and objectives too; this ARN leaves them out.
            json!({
                "Sid": "ManageAlarms",
                "Effect": "Allow",
                "Action": [
                    "cloudwatch:DeleteAlarms",
                    "cloudwatch:SetAlarmState",
                    "cloudwatch:TagResource",
                    "cloudwatch:UntagResource",
                    "cloudwatch:ListTagsForResource",
                ],
                "Resource": alarms,
            }),
            // The reference lists the resource `alarm` for it. But it reads by a prefix of names or by type, which is
            // about no one alarm, and composite alarms are left out of the answer unless this is "*":
            // <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html>.
            json!({
                "Sid": "ReadAlarms",
                "Effect": "Allow",
                "Action": "cloudwatch:DescribeAlarms",
                "Resource": "*",
            }),
            // Dashboards are of no region.
            json!({
                "Sid": "ManageDashboards",
                "Effect": "Allow",
                "Action": ["cloudwatch:GetDashboard", "cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards"],
                "Resource": dashboards,
            }),
        ];
        if let Some((group, streams)) = &self.elections {
            // Creating and writing streams is the agent's in any case.
            statements.push(json!({
                "Sid": "ElectInFleet",
                "Effect": "Allow",
                "Action": ["logs:GetLogEvents", "logs:DeleteLogStream"],
                "Resource": self.log_group(group, &format!(":log-stream:{}*", literal(streams))),
            }));
            // Takes the group, whatever prefix of streams is asked for.
            statements.push(json!({
                "Sid": "ListElections",
                "Effect": "Allow",
                "Action": "logs:DescribeLogStreams",
                "Resource": [self.log_group(group, ""), self.log_group(group, ":*")],
            }));
        }
        statements
    }

    /// Reads whether hosts still send; takes no kind of resource and no condition on the namespace.
    fn operator() -> Value {
        json!({
            "Sid": "ReadHeartbeats",
            "Effect": "Allow",
            "Action": "cloudwatch:GetMetricData",
            "Resource": "*",
        })
    }

    /// An alarm can stop and terminate instances; ours may only notify.
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/iam-cw-condition-keys-alarm-actions.html>
    ///
    /// `ForAllValues` is true of an alarm without actions, which is harmless and allowed. Where none is configured
    /// there is no value to list, so the key must be absent:
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>, `Null`.
    fn only_our_actions(&self) -> Value {
        if self.actions.is_empty() {
            return json!({ "Null": { "cloudwatch:AlarmActions": "true" } });
        }
        let actions: Vec<String> = self.actions.iter().map(|action| literal(action)).collect();
        json!({ "ForAllValues:StringEquals": { "cloudwatch:AlarmActions": actions } })
    }

    fn log_group(&self, group: &str, ending: &str) -> String {
        let PolicyInput { region, account, .. } = self;
        format!("arn:{}:logs:{region}:{account}:log-group:{}{ending}", self.partition.name(), literal(group))
    }
}

/// A text in which IAM sees neither a wildcard nor a variable: a namespace may be called `${aws:username}`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>, "special characters".
fn literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '$') {
            escaped.extend(['$', '{', character, '}']);
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::PREFIX;
    use crate::provision::election::STREAMS;

    /// Of a managed policy, white space not counted:
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>.
    const MOST_CHARACTERS: usize = 6144;

    /// What the default configuration gives.
    fn input() -> PolicyInput {
        PolicyInput {
            namespace: "VpcWatch".into(),
            log_groups: vec!["/vpcwatch/samples".into(), "/vpcwatch/findings".into()],
            alarm_prefix: PREFIX.into(),
            dashboard_prefix: PREFIX.into(),
            elections: Some(("/vpcwatch/findings".into(), STREAMS.into())),
            actions: Vec::new(),
            partition: Partition::Aws,
            region: "*".into(),
            account: "*".into(),
        }
    }

    fn statements(policy: &Value) -> &Vec<Value> {
        policy["Statement"].as_array().unwrap()
    }

    /// The one of that name.
    fn statement<'a>(policy: &'a Value, sid: &str) -> &'a Value {
        statements(policy).iter().find(|statement| statement["Sid"] == sid).unwrap()
    }

    /// One text, or each of a list.
    fn texts(value: &Value) -> Vec<&str> {
        value.as_array().map_or_else(
            || vec![value.as_str().unwrap()],
            |values| values.iter().map(|value| value.as_str().unwrap()).collect(),
        )
    }

    #[test]
    fn default_configuration() {
        let expected = json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "PutMetrics",
                    "Effect": "Allow",
                    "Action": "cloudwatch:PutMetricData",
                    "Resource": "*",
                    "Condition": { "StringEquals": { "cloudwatch:namespace": "VpcWatch" } }
                },
                {
                    "Sid": "PutLogs",
                    "Effect": "Allow",
                    "Action": "logs:PutLogEvents",
                    "Resource": [
                        "arn:aws:logs:*:*:log-group:/vpcwatch/samples:log-stream:*",
                        "arn:aws:logs:*:*:log-group:/vpcwatch/findings:log-stream:*"
                    ]
                },
                {
                    "Sid": "CreateLogs",
                    "Effect": "Allow",
                    "Action": ["logs:CreateLogGroup", "logs:CreateLogStream"],
                    "Resource": [
                        "arn:aws:logs:*:*:log-group:/vpcwatch/samples",
                        "arn:aws:logs:*:*:log-group:/vpcwatch/samples:*",
                        "arn:aws:logs:*:*:log-group:/vpcwatch/findings",
                        "arn:aws:logs:*:*:log-group:/vpcwatch/findings:*"
                    ]
                },
                {
                    "Sid": "OptionalLogRetention",
                    "Effect": "Allow",
                    "Action": "logs:PutRetentionPolicy",
                    "Resource": [
                        "arn:aws:logs:*:*:log-group:/vpcwatch/samples",
                        "arn:aws:logs:*:*:log-group:/vpcwatch/samples:*",
                        "arn:aws:logs:*:*:log-group:/vpcwatch/findings",
                        "arn:aws:logs:*:*:log-group:/vpcwatch/findings:*"
                    ]
                },
                {
                    "Sid": "PutAlarms",
                    "Effect": "Allow",
                    "Action": "cloudwatch:PutMetricAlarm",
                    "Resource": "arn:aws:cloudwatch:*:*:alarm:vpcwatch-*",
                    "Condition": { "Null": { "cloudwatch:AlarmActions": "true" } }
                },
                {
                    "Sid": "ManageAlarms",
                    "Effect": "Allow",
                    "Action": [
                        "cloudwatch:DeleteAlarms",
                        "cloudwatch:SetAlarmState",
                        "cloudwatch:TagResource",
                        "cloudwatch:UntagResource",
                        "cloudwatch:ListTagsForResource"
                    ],
                    "Resource": "arn:aws:cloudwatch:*:*:alarm:vpcwatch-*"
                },
                {
                    "Sid": "ReadAlarms",
                    "Effect": "Allow",
                    "Action": "cloudwatch:DescribeAlarms",
                    "Resource": "*"
                },
                {
                    "Sid": "ManageDashboards",
                    "Effect": "Allow",
                    "Action": [
                        "cloudwatch:GetDashboard",
                        "cloudwatch:PutDashboard",
                        "cloudwatch:DeleteDashboards"
                    ],
                    "Resource": "arn:aws:cloudwatch::*:dashboard/vpcwatch-*"
                },
                {
                    "Sid": "ElectInFleet",
                    "Effect": "Allow",
                    "Action": ["logs:GetLogEvents", "logs:DeleteLogStream"],
                    "Resource": "arn:aws:logs:*:*:log-group:/vpcwatch/findings:log-stream:vpcwatch-provision/*"
                },
                {
                    "Sid": "ListElections",
                    "Effect": "Allow",
                    "Action": "logs:DescribeLogStreams",
                    "Resource": [
                        "arn:aws:logs:*:*:log-group:/vpcwatch/findings",
                        "arn:aws:logs:*:*:log-group:/vpcwatch/findings:*"
                    ]
                }
            ]
        });
        assert_eq!(policy(&input(), Part::All), expected);
    }

    #[test]
    fn parts_make_the_whole() {
        let [all, runtime, provision] =
            [Part::All, Part::Runtime, Part::Provision].map(|part| policy(&input(), part));
        assert_eq!(statements(&runtime).len(), 4);
        assert_eq!(
            *statements(&all),
            [statements(&runtime).clone(), statements(&provision).clone()].concat()
        );
    }

    #[test]
    fn every_arn_is_of_the_partition_region_and_account() {
        let china = PolicyInput {
            partition: Partition::AwsCn,
            region: "cn-north-1".into(),
            account: "123456789012".into(),
            ..input()
        };
        let policy = policy(&china, Part::All);
        for arn in
            statements(&policy).iter().flat_map(|each| texts(&each["Resource"])).filter(|arn| *arn != "*")
        {
            let place = arn.strip_prefix("arn:aws-cn:").unwrap();
            let regional =
                ["logs:cn-north-1:123456789012:log-group:", "cloudwatch:cn-north-1:123456789012:alarm:"];
            let is_global = place.starts_with("cloudwatch::123456789012:dashboard/");
            assert!(is_global || regional.iter().any(|start| place.starts_with(start)), "{arn}");
        }
        assert_eq!(
            statement(&policy, "PutLogs")["Resource"],
            json!([
                "arn:aws-cn:logs:cn-north-1:123456789012:log-group:/vpcwatch/samples:log-stream:*",
                "arn:aws-cn:logs:cn-north-1:123456789012:log-group:/vpcwatch/findings:log-stream:*"
            ])
        );
    }

    #[test]
    fn nothing_is_wider_than_it_has_to_be() {
        let policy = policy(&input(), Part::All);
        let mut everywhere = Vec::new();
        for statement in statements(&policy) {
            assert_eq!(statement["Effect"], "Allow");
            let actions = texts(&statement["Action"]);
            assert!(actions.iter().all(|action| !action.contains('*')), "{actions:?}");
            if texts(&statement["Resource"]).contains(&"*") {
                everywhere.extend(actions);
            }
        }
        assert_eq!(everywhere, ["cloudwatch:PutMetricData", "cloudwatch:DescribeAlarms"]);
    }

    #[test]
    fn the_command_line_names_partitions_as_arns_do() {
        for partition in Partition::value_variants() {
            assert_eq!(partition.to_possible_value().unwrap().get_name(), partition.name());
        }
    }

    #[test]
    fn only_configured_actions_can_be_wired() {
        let topic = "arn:aws:sns:eu-west-3:123456789012:on-call";
        let notifying = policy(&PolicyInput { actions: vec![topic.into()], ..input() }, Part::Provision);
        assert_eq!(
            statement(&notifying, "PutAlarms")["Condition"],
            json!({ "ForAllValues:StringEquals": { "cloudwatch:AlarmActions": [topic] } })
        );
    }

    #[test]
    fn one_log_group_for_both_is_named_once() {
        let group = || "/all".to_owned();
        let policy = policy(&PolicyInput { log_groups: vec![group(), group()], ..input() }, Part::Runtime);
        assert_eq!(
            statement(&policy, "PutLogs")["Resource"],
            json!(["arn:aws:logs:*:*:log-group:/all:log-stream:*"])
        );
    }

    #[test]
    fn names_are_no_patterns() {
        let policy = policy(&PolicyInput { namespace: "${aws:username}*?".into(), ..input() }, Part::Runtime);
        assert_eq!(
            statement(&policy, "PutMetrics")["Condition"],
            json!({ "StringEquals": { "cloudwatch:namespace": "${$}{aws:username}${*}${?}" } })
        );
    }

    #[test]
    fn sids_are_letters_and_digits_and_differ() {
        let policy = policy(&input(), Part::All);
        let sids: Vec<&str> = statements(&policy).iter().flat_map(|each| texts(&each["Sid"])).collect();
        assert!(sids.iter().all(|sid| sid.bytes().all(|byte| byte.is_ascii_alphanumeric())), "{sids:?}");
        assert_eq!(sids.iter().collect::<std::collections::HashSet<_>>().len(), sids.len());
    }

    #[test]
    fn fits_a_managed_policy() {
        let longest = PolicyInput {
            partition: Partition::AwsUsGov,
            region: "us-gov-west-1".into(),
            account: "123456789012".into(),
            ..input()
        };
        for input in [input(), longest] {
            let characters = policy(&input, Part::All).to_string().len();
            assert!(characters < MOST_CHARACTERS, "{characters} characters");
        }
    }
}
