//! The templates of `packaging/cloudformation`: what a role may do is what `vpcwatch iam-policy` prints, and what an instance
//! writes down is a good configuration. That cfn-lint has nothing to say is told by `moto::stacks`.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use vpcwatch_tests::template::Template;

use crate::agent;

pub(crate) const URL: &str = "https://example.org/vpcwatch.deb?a=1&b=%2F";
pub(crate) const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The stack of that partition, region and account, and what else is configured.
pub(crate) fn agent_template(place: [&str; 3], values: &[(&str, &str)]) -> Template {
    let [partition, region, account] = place;
    let topics = topics(place);
    let mut all = vec![
        ("AWS::Partition", partition),
        ("AWS::Region", region),
        ("AWS::AccountId", account),
        ("AWS::StackName", "vpcwatch"),
        ("PackageUrl", URL),
        ("PackageSha256", SHA256),
        ("SecurityTopic", &topics[0]),
        ("ChangeTopic", &topics[1]),
    ];
    all.extend(values);
    Template::read("agent.yaml", &all).unwrap()
}

fn topics([partition, region, account]: [&str; 3]) -> [String; 2] {
    ["security", "changes"].map(|name| format!("arn:{partition}:sns:{region}:{account}:{name}"))
}

/// What `vpcwatch iam-policy` prints for that, if alarms notify those topics.
pub(crate) fn printed_for(
    part: &str,
    place: [&str; 3],
    topics: &[String; 2],
    sets: &[(&str, &str)],
) -> Value {
    let [partition, region, account] = place;
    let mut command = agent::command();
    command.args(["iam-policy", "--part", part, "--partition", partition, "--region", region]);
    command.args(["--account", account, "--config", "/dev/null"]);
    command.arg("--set").arg(format!("provision.actions={}", topics.join(",")));
    for (key, value) in sets {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    serde_json::from_str(&agent::printed(&command.output().unwrap(), 0)).unwrap()
}

#[test]
fn the_role_may_do_what_iam_policy_prints() {
    let renamed = [
        ("Namespace", "metrics.namespace", "Shop/Network"),
        ("SamplesLogGroup", "logs.samples_group", "/shop/samples"),
        ("FindingsLogGroup", "logs.findings_group", "/shop/findings"),
    ];
    for (place, renamed) in [
        (["aws", "eu-west-3", "123456789012"], &[][..]),
        (["aws-cn", "cn-north-1", "210987654321"], &renamed),
    ] {
        let values: Vec<_> = renamed.iter().map(|(parameter, _, value)| (*parameter, *value)).collect();
        let sets: Vec<_> = renamed.iter().map(|(_, key, value)| (*key, *value)).collect();
        let template = agent_template(place, &values);
        for (policy, part) in [("RuntimePolicy", "runtime"), ("ProvisionPolicy", "provision")] {
            let document = template.property(policy, &["PolicyDocument"]).unwrap();
            assert_eq!(document, printed_for(part, place, &topics(place), &sets), "{policy}");
        }
    }
}

/// The only statement of a policy document, without what it is called.
fn statement(template: &Template, policy: &str) -> Value {
    let document = template.property(policy, &["PolicyDocument"]).unwrap();
    let statements = document["Statement"].as_array().unwrap();
    assert_eq!(statements.len(), 1, "{document}");
    let mut statement = statements[0].clone();
    statement.as_object_mut().unwrap().remove("Sid");
    statement
}

#[test]
fn only_our_alarms_publish_and_only_our_topic_sends() {
    let place = ["aws", "eu-west-3", "123456789012"];
    let queue = "arn:aws:sqs:eu-west-3:123456789012:changes";
    let template =
        agent_template(place, &[("ChangeQueue", "https://sqs/changes"), ("ChangeQueue.Arn", queue)]);
    for (policy, topic) in ["SecurityTopicPolicy", "ChangeTopicPolicy"].iter().zip(topics(place)) {
        assert_eq!(template.property(policy, &["Topics"]).unwrap(), json!([topic]));
        let expected = json!({
            "Effect": "Allow",
            "Principal": { "Service": "cloudwatch.amazonaws.com" },
            "Action": "sns:Publish",
            "Resource": topic,
            "Condition": {
                "StringEquals": { "aws:SourceAccount": "123456789012" },
                // As the policies of roles have it.
                "ArnLike": { "aws:SourceArn": "arn:aws:cloudwatch:eu-west-3:123456789012:alarm:vpcwatch-*" },
            },
        });
        assert_eq!(statement(&template, policy), expected);
    }
    let expected = json!({
        "Effect": "Allow",
        "Principal": { "Service": "sns.amazonaws.com" },
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": { "ArnEquals": { "aws:SourceArn": topics(place)[1] } },
    });
    assert_eq!(statement(&template, "ChangeQueuePolicy"), expected);
}

/// What an instance runs first.
pub(crate) fn user_data(template: &Template) -> String {
    let script = template.property("LaunchTemplate", &["LaunchTemplateData", "UserData"]).unwrap();
    script.as_str().unwrap().to_owned()
}

#[test]
fn an_instance_writes_down_a_good_configuration() {
    let place = ["aws", "eu-west-3", "123456789012"];
    let script = user_data(&agent_template(place, &[("SamplesRetentionDays", "7")]));
    // EC2 takes 16 KiB (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html).
    assert!(script.starts_with("#!/bin/bash\n") && script.len() < 16 * 1024, "{}", script.len());
    let bash = Command::new("bash").args(["-n", "-c", &script]).stdin(Stdio::null()).output().unwrap();
    assert!(bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));

    let (_, rest) = script.split_once("<<'CONFIGURATION'\n").unwrap();
    let (configuration, _) = rest.split_once("\nCONFIGURATION\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("50-cloudformation.toml");
    std::fs::write(&file, configuration).unwrap();
    let run = |verb: &str| agent::command().args(["config", verb, "--config"]).arg(&file).output().unwrap();
    agent::printed(&run("check"), 0);
    let shown = agent::printed(&run("show"), 0);
    let [security, changes] = topics(place);
    for setting in [
        "metrics.namespace = \"VpcWatch\"",
        "logs.samples_group = \"/vpcwatch/samples\"",
        "logs.samples_retention_days = 7",
        "logs.findings_group = \"/vpcwatch/findings\"",
        "logs.findings_retention_days = 365",
        "provision.at_start = true",
        &format!("provision.actions = [\"{security}\", \"{changes}\"]"),
    ] {
        let line = shown
            .lines()
            .find(|line| line.starts_with(setting))
            .unwrap_or_else(|| panic!("{setting}: {shown}"));
        assert!(line.contains("50-cloudformation.toml"), "{line}");
    }
}
