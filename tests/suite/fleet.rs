//! Alarms that instances share, and what instances leave: one of a fleet makes them for all, an instance that ends takes its own away,
//! and an operator removes those of instances that are gone. Against the strict stand-ins.

use std::process::{Command, Output};
use std::time::Duration;

use jiff::SignedDuration;
use rustix::process::Signal;
use vpcwatch_tests::fake_aws::{FakeAws, Fault, Kind};
use vpcwatch_tests::fake_imds::FakeImds;
use vpcwatch_tests::fixture;

use crate::agent;
use crate::delivery::{agent as started, keys, wait_for};

const FINDINGS: &str = "/vpcwatch/findings";
const AT_START: [&str; 4] = ["--set", "provision.at_start=true", "--set", "logins.source=off"];
/// Eight days ago, beside the seven that `gc` waits.
const LONG_AGO: SignedDuration = SignedDuration::from_hours(8 * 24);

/// `vpcwatch provision` on a host that is configured so.
pub(crate) fn provision(aws: &FakeAws, verb: &[&str], sets: &[&str]) -> Output {
    let mut command = Command::new(agent::PATH);
    command.env_clear().envs(aws.environment()).envs(keys());
    command.arg("provision").args(verb).arg("--root").arg(fixture("kernel-6.18"));
    sets.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    assert_cmd::Command::from_std(command).timeout(Duration::from_mins(2)).output().unwrap()
}

/// The streams by which instances of this account were elected.
fn elections(aws: &FakeAws) -> Vec<String> {
    aws.streams(FINDINGS).into_iter().filter(|stream| stream.starts_with("vpcwatch-provision/")).collect()
}

fn count(aws: &FakeAws, operation: &str, applied: bool) -> usize {
    let requests = aws.requests();
    requests.iter().filter(|request| request.operation == operation && request.applied == applied).count()
}

/// Instances that came after the one that was elected.
fn others(aws: &FakeAws, stream: &str) -> u64 {
    let late = aws.requests().into_iter().filter(|request| {
        let error = request.error.as_deref().unwrap_or_default();
        request.operation == "CreateLogStream" && error.starts_with("ResourceAlreadyExists")
    });
    aws.event_count(FINDINGS, stream) + late.count() as u64
}

#[test]
fn alarms_of_a_fleet_are_made_read_back_and_taken_away() {
    let aws = FakeAws::start().unwrap();
    let fleet = ["identity.host=web-1", "provision.scope=fleet", "provision.anomaly_bands=true"];
    let plan = agent::printed(&provision(&aws, &["plan"], &fleet), 0);
    assert!(plan.contains("one alarm of a kind for all its instances"), "{plan}");
    assert!(plan.contains("for each metric that each analyses"), "{plan}");
    agent::printed(&provision(&aws, &["apply"], &fleet), 0);
    let alarms = aws.alarms();
    let is_of_fleet = |name: &str| name.starts_with("vpcwatch-fleet-VpcWatch-");
    assert!(alarms.iter().all(|alarm| alarm.queries.len() == 1 && is_of_fleet(&alarm.name)));
    let again = agent::printed(&provision(&aws, &["apply"], &fleet), 0);
    assert!(again.starts_with("nothing to do"), "read back otherwise than written: {again}");
    // Another instance finds the same.
    let other = ["identity.host=web-2", "provision.scope=fleet"];
    assert!(agent::printed(&provision(&aws, &["apply"], &other), 0).starts_with("nothing to do"));
    // Alarms of one instance beside them, with bands.
    let own = ["identity.host=web-1", "provision.anomaly_bands=true"];
    agent::printed(&provision(&aws, &["apply"], &own), 0);
    assert!(aws.alarms().iter().any(|alarm| alarm.threshold_metric_id.is_some()));
    assert!(agent::printed(&provision(&aws, &["apply"], &own), 0).starts_with("nothing to do"));
    agent::printed(&provision(&aws, &["destroy"], &own), 0);
    assert_eq!(aws.alarms(), alarms, "those of the fleet are not one instance's");
    agent::printed(&provision(&aws, &["destroy"], &other), 0);
    assert!(aws.alarms().is_empty() && aws.dashboards().is_empty());
    assert_eq!(aws.violations(), Vec::<String>::new());
}

#[test]
fn one_instance_of_an_auto_scaling_group_does_it_for_all() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    let mut instances = Vec::new();
    for n in 0..3 {
        let imds = FakeImds::start().unwrap();
        imds.change(|instance| instance.id = format!("i-{n}"));
        let folder = folder.path().join(n.to_string());
        std::fs::create_dir(&folder).unwrap();
        instances.push((started(&aws, &folder, &imds.environment(), &AT_START), imds));
    }
    wait_for(&aws, "all send", |aws| {
        let data = aws.metrics();
        (0..3).all(|n| data.iter().any(|datum| datum.dimensions[0].1 == format!("i-{n}")))
    });
    wait_for(&aws, "somebody is done, and the others were not elected", |aws| {
        let told = elections(aws);
        let is_done = |stream: &&String| stream.ends_with("/done") && aws.event_count(FINDINGS, stream) == 1;
        // Who was elected found no stream; the others wrote to it, or were too late to create it.
        let missed = |stream: &&String| !stream.ends_with("/done") && others(aws, stream) >= 2;
        told.iter().any(|stream| is_done(&stream)) && told.iter().any(|stream| missed(&stream))
    });
    let votes = elections(&aws);
    assert_eq!(votes.len(), 2, "{votes:?}");
    assert!(votes[0].starts_with("vpcwatch-provision/fleet-VpcWatch/"), "{votes:?}");
    assert_eq!(count(&aws, "PutMetricAlarm", true), aws.alarms().len(), "each alarm was put once");
    let mut elected = 0;
    for (mut program, _) in instances {
        program.signal(Signal::TERM);
        let (code, _, stderr) = program.end();
        assert_eq!(code, Some(0), "{stderr}");
        elected += stderr.matches("this instance does it for its fleet").count();
    }
    assert_eq!(elected, 1);
    // No instance takes what is of all.
    assert!(!aws.alarms().is_empty());
    let fleet = ["identity.host=web-1", "provision.scope=fleet"];
    let told = agent::printed(&provision(&aws, &["destroy"], &fleet), 0);
    assert!(told.contains("deleted 2 log streams of elections"), "{told}");
    assert!(elections(&aws).is_empty() && aws.alarms().is_empty());
    assert_eq!(aws.violations(), Vec::<String>::new());
}

#[test]
fn an_instance_that_auto_scaling_ends_takes_its_own_alarms_with_it() {
    let (aws, imds, folder) =
        (FakeAws::start().unwrap(), FakeImds::start().unwrap(), tempfile::tempdir().unwrap());
    let more: Vec<&str> = AT_START.into_iter().chain(["--set", "provision.scope=instance"]).collect();
    let run = |state: &str| {
        imds.change(|instance| instance.lifecycle_state = Some("InService".into()));
        let before = aws.metrics().len();
        let mut program = started(&aws, folder.path(), &imds.environment(), &more);
        // The dashboard is made behind the alarms.
        wait_for(&aws, "data and the dashboard", |aws| {
            aws.metrics().len() > before && !aws.dashboards().is_empty()
        });
        imds.change(|instance| instance.lifecycle_state = Some(state.into()));
        program.signal(Signal::TERM);
        let (code, _, stderr) = program.end();
        assert_eq!(code, Some(0), "{stderr}");
        stderr
    };
    run("InService");
    let made = aws.alarms().len();
    assert!(made > 8, "a restart or a stop deletes nothing");
    let stderr = run("Terminated");
    assert!(stderr.contains(&format!("{made} of this host's own alarms taken away")), "{stderr}");
    assert!(aws.alarms().is_empty());
    // The dashboard is of all hosts.
    assert_eq!(aws.dashboards().len(), 1);
}

#[test]
fn what_silent_hosts_left_is_removed_when_somebody_says_so() {
    let aws = FakeAws::start().unwrap();
    for host in ["web-1", "web-2", "web-3"] {
        agent::printed(&provision(&aws, &["apply"], &[&format!("identity.host={host}")]), 0);
    }
    let fleet = ["identity.host=web-1", "provision.scope=fleet"];
    agent::printed(&provision(&aws, &["apply"], &fleet), 0);
    // All were made long ago, but for those of web-3, which has not sent anything yet; web-1 sends.
    for alarm in aws.alarms().iter().filter(|alarm| !alarm.name.contains("web-3")) {
        aws.put_alarm_as_person(&alarm.name, |alarm| alarm.updated -= LONG_AGO);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut program = started(&aws, folder.path(), &keys(), &["--set", "logins.source=off"]);
    let heartbeat = "netstat_tcp_established";
    wait_for(&aws, "a heartbeat", |aws| aws.metrics().iter().any(|datum| datum.name == heartbeat));
    program.signal(Signal::TERM);
    assert_eq!(program.end().0, Some(0));
    // A person has changed one.
    aws.put_alarm_as_person("vpcwatch-web-2-syn-flood", |alarm| alarm.threshold = Some(9.0));

    let host = ["identity.host=operator"];
    let refused = provision(&aws, &["gc"], &host);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("write --yes"), "{refused:?}");
    let told = agent::printed(&provision(&aws, &["gc", "--yes"], &host), 0);
    assert!(told.contains("web-2: nothing for 7 days") && !told.contains("web-1"), "{told}");
    assert!(told.contains("left alone: vpcwatch-web-2-syn-flood"), "{told}");
    let left = |part: &str| aws.alarms().iter().filter(|alarm| alarm.name.contains(part)).count();
    assert_eq!(left("web-2"), 1);
    assert!(left("web-1") > 8 && left("web-3") > 8 && left("fleet") > 8);
    agent::printed(&provision(&aws, &["gc", "--yes", "--force"], &host), 0);
    assert_eq!(left("web-2"), 0);
    assert!(agent::printed(&provision(&aws, &["gc"], &host), 0).contains("nothing to do"));
    // Without the permission nothing is taken for silent.
    aws.fault(Fault::always("GetMetricData", Kind::Deny));
    for alarm in aws.alarms() {
        aws.put_alarm_as_person(&alarm.name, |alarm| alarm.updated -= LONG_AGO);
    }
    let denied = provision(&aws, &["gc", "--yes"], &host);
    assert_eq!(denied.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&denied.stderr).contains("cloudwatch:GetMetricData"), "{denied:?}");
    assert_eq!(aws.violations(), Vec::<String>::new());
}
