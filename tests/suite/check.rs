//! `vpcwatch check`: what it says of hosts and roles that lack something.

use std::net::TcpListener;
use std::process::Output;

use vpcwatch_tests::fake_aws::{FakeAws, Fault, Kind};
use vpcwatch_tests::fixture;

use crate::agent::{command, printed};
use crate::delivery::keys;

/// Over a fixture; nothing of this machine is read.
fn check(environment: &[(&'static str, String)], more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command();
    command.env("AWS_EC2_METADATA_DISABLED", "true").envs(environment.iter().cloned());
    command.args(["check", "--set", "logins.source=off", "--set", "status.file=", "--root"]);
    command.arg(fixture("kernel-6.18")).arg("--set");
    command.arg(format!("state.folder={}", folder.path().display())).args(more).output().unwrap()
}

fn of(aws: &FakeAws) -> Vec<(&'static str, String)> {
    let mut environment = aws.environment();
    environment.extend(keys());
    environment
}

const AT_START: [&str; 2] = ["--set", "provision.at_start=true"];

#[test]
fn a_host_without_aws_is_looked_at_alone() {
    let told = printed(&check(&[], &["--offline"]), 0);
    assert!(told.starts_with("host\n  ok         kernel_counters\n"), "{told}");
    assert!(
        told.contains("degraded   provision.actions: the alarms notify nobody") && !told.contains("aws\n"),
        "{told}"
    );
    // What cannot be read is said, with where.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("proc")).unwrap();
    let mut command = command();
    let bare =
        command.args(["check", "--offline", "--set", "logins.source=off", "--root"]).arg(folder.path());
    let told = printed(&bare.output().unwrap(), 4);
    assert!(told.contains("missing    kernel_counters"), "{told}");
}

#[test]
fn a_log_that_cannot_be_shipped_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("proc")).unwrap();
    std::fs::create_dir_all(folder.path().join("var/log/shop.log")).unwrap(); // no file, a folder
    let shipped =
        "logs.ship=[{ name = 'shop', files = ['/var/log/shop.log'] }, { name = 'api', files = ['/api'] }]";
    let mut command = command();
    command.args(["check", "--offline", "--set", "logins.source=off", "--set", shipped, "--root"]);
    let told = printed(&command.arg(folder.path()).output().unwrap(), 4);
    assert!(told.contains("degraded   shipped log shop: /var/log/shop.log: "), "{told}");
    assert!(told.contains("ok         shipped log api: /api"), "{told}");
}

#[test]
fn each_permission_is_proven_named_or_said_to_be_unproven_and_nothing_is_changed() {
    let aws = FakeAws::start().unwrap();
    let told = printed(&check(&of(&aws), &AT_START), 0);
    for line in
        ["ok         endpoint of logs", "ok         cloudwatch:DeleteAlarms", "ok         logs:PutLogEvents"]
    {
        assert!(told.contains(line), "{told}");
    }
    assert!(told.contains("unverified cloudwatch:PutMetricData: a call would send a metric"), "{told}");
    assert!(aws.alarms().is_empty() && aws.groups().is_empty() && aws.metrics().is_empty());
    assert_eq!(aws.violations(), Vec::<String>::new());

    // One is denied: it alone is missing.
    aws.fault(Fault::always("PutLogEvents", Kind::Deny));
    let told = printed(&check(&of(&aws), &AT_START), 4);
    assert!(told.contains("missing    logs:PutLogEvents: ") && told.contains("1 missing"), "{told}");
    // What is not needed is not missed.
    aws.clear_faults();
    aws.fault(Fault::always("DescribeAlarms", Kind::Deny));
    aws.fault(Fault::always("DescribeLogStreams", Kind::Deny));
    let told = printed(&check(&of(&aws), &[]), 0);
    assert!(told.contains("ok         endpoint of cloudwatch") && !told.contains("DescribeAlarms"), "{told}");
    let json = printed(&check(&of(&aws), &["--output", "json"]), 0);
    let checked: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&checked["lines"][0]["part"], &checked["lines"][0]["verdict"]),
        (&"host".into(), &"ok".into())
    );
}

#[test]
fn no_region_no_credentials_and_no_answer_are_one_line_each() {
    let told = printed(&check(&[], &[]), 4);
    assert!(told.contains("missing    region: none: set aws.region or AWS_REGION"), "{told}");
    let aws = FakeAws::start().unwrap();
    let mut environment = aws.environment();
    environment.push(("AWS_REGION", "eu-west-3".into()));
    let told = printed(&check(&environment, &AT_START), 4);
    assert!(told.contains("missing    credentials: no credentials") && told.contains(" 1 missing"), "{told}");

    // Who accepts and never answers is left after seconds, both services side by side.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut environment = vec![("AWS_ENDPOINT_URL", format!("http://{}", silent.local_addr().unwrap()))];
    environment.extend(keys());
    let told = printed(&check(&environment, &AT_START), 4);
    assert!(told.contains("missing    endpoint of cloudwatch: no answer within 5 s"), "{told}");
    assert!(told.contains("unverified permissions of logs: not asked"), "{told}");
    // A topic of another region.
    let topic = "provision.actions=arn:aws:sns:us-east-1:123456789012:pager";
    let told = printed(&check(&of(&aws), &["--set", topic]), 4);
    assert!(told.contains("missing    topics: ") && told.contains("another region"), "{told}");
}
