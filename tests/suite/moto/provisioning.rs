//! What `vpcwatch provision` makes, as moto holds it; what a person changes behind its back; and everything taken away again.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use vpcwatch_tests::fixture;

use super::{ACCESS_KEY, Moto, REGION, SECRET_KEY};
use crate::agent;

const TOPIC: &str = "arn:aws:sns:eu-west-3:123456789012:pager";
const SYN_FLOOD: &str = "vpcwatch-web-1-syn-flood";
const DASHBOARD: &str = "vpcwatch-VpcWatch-eu-west-3";

fn run(moto: &Moto, root: &Path, verb: &[&str], sets: &[&str]) -> Output {
    let mut command = Command::new(agent::PATH);
    command.env_clear().env("AWS_ENDPOINT_URL", &moto.endpoint).env("AWS_REGION", REGION);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    command.arg("provision").args(verb).arg("--root").arg(root).args(["--set", "identity.host=web-1"]);
    sets.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    assert_cmd::Command::from_std(command).timeout(Duration::from_mins(1)).output().unwrap()
}

fn root() -> PathBuf {
    fixture("kernel-6.18")
}

#[test]
fn made_once_changed_by_us_edited_by_a_person_and_taken_away_again() {
    let (moto, root) = (Moto::start(), root());
    let provision = |verb: &[&str], sets: &[&str]| {
        let actions = format!("provision.actions={TOPIC}");
        let mut sets = sets.to_vec();
        sets.push(&actions);
        agent::printed(&run(&moto, &root, verb, &sets), 0)
    };
    // Of others, with names like ours: never touched.
    moto.person(&["make-alarm", "vpcwatch-web-1-mine"]);
    moto.person(&["make-alarm", "vpcwatch-web-10-syn-flood"]);

    let plan = provision(&["plan"], &[]);
    assert!(plan.contains(&format!("+ alarm {SYN_FLOOD}")), "{plan}");
    assert!(plan.contains(&format!("+ dashboard {DASHBOARD}")) && !plan.contains("notify nobody"), "{plan}");
    assert_eq!(moto.read_back(REGION).alarms.len(), 2, "a plan changes nothing");

    provision(&["apply"], &["provision.tags=team=net"]);
    let held = moto.read_back(REGION);
    let alarm = &held.alarms[SYN_FLOOD];
    for (field, expected) in [
        ("Namespace", "\"VpcWatch\""),
        ("MetricName", "\"syn_flood_active\""),
        ("Dimensions", "[{\"Name\":\"host\",\"Value\":\"web-1\"}]"),
        ("Statistic", "\"Maximum\""),
        ("Period", "60"),
        ("EvaluationPeriods", "1"),
        ("DatapointsToAlarm", "1"),
        ("Threshold", "1.0"),
        ("ComparisonOperator", "\"GreaterThanOrEqualToThreshold\""),
        ("TreatMissingData", "\"notBreaching\""),
        ("ActionsEnabled", "true"),
        ("AlarmActions", "[\"arn:aws:sns:eu-west-3:123456789012:pager\"]"),
        ("OKActions", "[\"arn:aws:sns:eu-west-3:123456789012:pager\"]"),
        ("Tags", "{\"vpcwatch:owner\":\"web-1\",\"vpcwatch:tags\":\"team\",\"team\":\"net\"}"),
    ] {
        assert_eq!(alarm[field].to_string(), expected, "{field}");
    }
    assert!(
        alarm.get("Unit").is_none_or(serde_json::Value::is_null),
        "a unit that does not match is no data"
    );
    assert_eq!(held.groups["/vpcwatch/findings"].retention, Some(365));
    let interfaces = held.alarms.keys().filter(|name| name.contains("interface-drops")).count();
    assert!(interfaces > 0 && held.dashboards.contains_key(DASHBOARD));

    let again = provision(&["apply"], &["provision.tags=team=net"]);
    assert!(again.starts_with("nothing to do"), "{again}");

    // Ours to change.
    let plan = provision(&["plan"], &["publish.interval=2m"]);
    assert!(plan.contains("Period: \"60\" -> \"120\""), "{plan}");
    provision(&["apply"], &["publish.interval=2m"]);
    assert_eq!(moto.read_back(REGION).alarms[SYN_FLOOD]["Period"], 120);
    provision(&["apply"], &[]);

    // A person's.
    moto.person(&["edit-alarm", SYN_FLOOD, "5"]);
    moto.person(&["edit-dashboard", DASHBOARD]);
    moto.person(&["delete-alarm", "vpcwatch-web-1-conntrack"]);
    let plan = provision(&["plan"], &[]);
    assert!(plan.contains(&format!("! alarm {SYN_FLOOD}  changed by a person")), "{plan}");
    assert!(plan.contains("Threshold: \"5.0\" -> \"1.0\""), "{plan}");
    let applied = provision(&["apply"], &[]);
    assert!(applied.contains("1 done, 2 left alone, 0 failed"), "{applied}");
    let held = moto.read_back(REGION);
    assert_eq!(held.alarms[SYN_FLOOD]["Threshold"], 5.0);
    assert!(held.alarms.contains_key("vpcwatch-web-1-conntrack"));
    provision(&["apply", "--force"], &[]);
    let held = moto.read_back(REGION);
    assert_eq!(held.alarms[SYN_FLOOD]["Threshold"], 1.0);
    assert_eq!(held.alarms[SYN_FLOOD]["Tags"]["vpcwatch:owner"], "web-1");

    provision(&["test", "syn-flood"], &[]);

    // The dashboard goes with the last host's alarms; the others' stay.
    let destroyed = provision(&["destroy"], &[]);
    assert!(
        destroyed.contains(&format!("left alone: {DASHBOARD}: alarms of vpcwatch remain")),
        "{destroyed}"
    );
    let held = moto.read_back(REGION);
    let left: Vec<&String> = held.alarms.keys().collect();
    assert_eq!(left, ["vpcwatch-web-1-mine", "vpcwatch-web-10-syn-flood"]);
    assert!(held.groups.contains_key("/vpcwatch/findings"), "findings are evidence");
    moto.person(&["delete-alarm", "vpcwatch-web-1-mine"]);
    moto.person(&["delete-alarm", "vpcwatch-web-10-syn-flood"]);
    provision(&["destroy"], &[]);
    assert!(moto.read_back(REGION).dashboards.is_empty());
}

#[test]
fn what_others_made_under_our_names_stays_even_by_force() {
    let (moto, root) = (Moto::start(), root());
    moto.person(&["make-alarm", SYN_FLOOD]);
    moto.person(&["make-dashboard", DASHBOARD]);
    for verb in [&["apply"][..], &["apply", "--force"], &["destroy", "--force"]] {
        let output = agent::printed(&run(&moto, &root, verb, &[]), 0);
        assert!(output.contains(&format!("left alone: {SYN_FLOOD}")), "{output}");
        assert!(output.contains(&format!("left alone: {DASHBOARD}")), "{output}");
    }
    let held = moto.read_back(REGION);
    assert_eq!(held.alarms[SYN_FLOOD]["Namespace"], "Mine");
    assert_eq!(held.alarms.len(), 1, "everything else was made, and destroyed");
}

#[test]
fn what_cannot_work_is_said_before_anything_is_touched() {
    let (moto, root) = (Moto::start(), root());
    let elsewhere = "provision.actions=arn:aws:sns:us-east-1:123456789012:pager";
    let output = run(&moto, &root, &["apply"], &[elsewhere]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && told.contains("another region than eu-west-3"), "{told}");
    let output = run(&moto, &root, &["test", "nothing"], &[]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && told.contains("there is no alarm nothing"), "{told}");
    assert!(moto.read_back(REGION).alarms.is_empty());
    let plan = agent::printed(&run(&moto, &root, &["plan"], &[]), 0);
    assert!(plan.contains("These alarms notify nobody"), "{plan}");
}

/// The agent itself, with its state in that folder.
fn running(moto: &Moto, folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(agent::PATH);
    command.env_clear().env("AWS_ENDPOINT_URL", &moto.endpoint).env("AWS_REGION", REGION);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    command.args(["run", "--interval", "1s", "--root"]).arg(root()).args(more);
    for set in ["identity.host=web-1", "logins.source=off", "provision.at_start=true", "status.file="] {
        command.args(["--set", set]);
    }
    command.arg("--set").arg(format!("state.folder={}", folder.display()));
    command
}

#[test]
fn a_running_agent_makes_them_at_its_first_run_and_asks_nobody_at_its_second() {
    let (moto, state) = (Moto::start(), tempfile::tempdir().unwrap());
    let mut first = running(&moto, state.path(), &[]).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    for line in BufReader::new(first.stderr.take().unwrap()).lines() {
        told += &(line.unwrap() + "\n");
        if told.contains("the alarms notify nobody") {
            kill_process(Pid::from_child(&first), Signal::TERM).unwrap();
        }
    }
    assert!(first.wait().unwrap().success() && told.contains("everything is as it should be"), "{told}");
    let held = moto.read_back(REGION);
    assert!(held.alarms.contains_key(SYN_FLOOD) && held.dashboards.contains_key(DASHBOARD), "{told}");
    let second = running(&moto, state.path(), &["--for", "6s"]);
    let second = assert_cmd::Command::from_std(second).timeout(Duration::from_mins(1)).output().unwrap();
    agent::printed(&second, 0);
    // Of CloudWatch's alarms it asked once, and every alarm was put once.
    let requests = moto.requests();
    let times = |operation: &str| requests.iter().filter(|request| request.operation == operation).count();
    // One look by the agent, and one by the reader.
    assert_eq!((times("PutMetricAlarm"), times("DescribeAlarms")), (held.alarms.len(), 2));
}
