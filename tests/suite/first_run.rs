//! What the running agent makes in CloudWatch by itself: where it does so, for whom, and with which dimensions. Against the strict
//! stand-ins.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use vpcwatch_tests::fake_aws::{FakeAws, Fault, Kind, Throttle};
use vpcwatch_tests::fake_imds::FakeImds;

use crate::delivery::{Program, agent as started, keys, wait_for};

const GROUP: &str = "aws:autoscaling:groupName";
const DIMENSIONS: &str = "identity.dimensions=[\"InstanceId\", \"AutoScalingGroupName\"]";

/// Of no group, with the tags that a first boot may have.
fn instance() -> FakeImds {
    let imds = FakeImds::start().unwrap();
    imds.change(|instance| {
        instance.id = "i-1".into();
        instance.lifecycle_state = None;
        instance.tags = Some([("Name".to_owned(), "web-1".to_owned())].into());
    });
    imds
}

fn join(imds: &FakeImds, group: &str) {
    imds.change(|instance| {
        instance.tags.get_or_insert_default().insert(GROUP.into(), group.into());
        instance.lifecycle_state = Some("InService".into());
    });
}

#[track_caller]
fn stop(mut program: Program) -> String {
    program.signal(Signal::TERM);
    let (code, _, stderr) = program.end();
    assert_eq!(code, Some(0), "{stderr}");
    stderr
}

fn heartbeats(aws: &FakeAws) -> usize {
    aws.metrics().iter().filter(|datum| datum.name == "netstat_tcp_established").count()
}

/// The names of the dimensions of every datum that is of no interface: each once.
fn schemas(aws: &FakeAws) -> Vec<Vec<String>> {
    let data = aws.metrics();
    let names = data.iter().map(|datum| datum.dimensions.iter().map(|(name, _)| name.clone()).collect());
    let mut schemas: Vec<Vec<String>> =
        names.filter(|names: &Vec<String>| !names.iter().any(|name| name == "interface")).collect();
    schemas.sort();
    schemas.dedup();
    schemas
}

/// Waits until the agent's status tells of a trouble with its identity.
#[track_caller]
fn wait_for_trouble(folder: &Path, words: &str) {
    let begun = Instant::now();
    while !std::fs::read_to_string(folder.join("status.json")).unwrap_or_default().contains(words) {
        assert!(begun.elapsed() < Duration::from_mins(2), "no word of {words}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_instance_makes_its_alarms_by_itself_and_another_host_with_keys_changes_nothing() {
    let (aws, imds, folder) = (FakeAws::start().unwrap(), instance(), tempfile::tempdir().unwrap());
    let auto = ["--set", "provision.at_start=auto"];
    let program = started(&aws, folder.path(), &imds.environment(), &auto);
    // The dashboard is made behind the alarms, and groups behind it.
    wait_for(&aws, "what a first run makes", |aws| !aws.dashboards().is_empty() && aws.groups().len() == 2);
    assert!(aws.alarms().iter().any(|alarm| alarm.name == "vpcwatch-i-1-syn-flood"));
    stop(program);
    assert_eq!(aws.violations(), Vec::<String>::new());

    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    let program = started(&aws, folder.path(), &keys(), &auto);
    wait_for(&aws, "several intervals", |aws| heartbeats(aws) >= 4);
    stop(program);
    let asked = aws.requests();
    let of_alarms = asked.iter().find(|request| request.operation.contains("Alarm"));
    assert_eq!((of_alarms, aws.alarms().len(), aws.dashboards().len()), (None, 0, 0));
}

#[test]
fn without_a_permission_data_flows_and_what_is_missing_is_made_once_it_is_there() {
    let (aws, imds, folder) = (FakeAws::start().unwrap(), instance(), tempfile::tempdir().unwrap());
    aws.fault(Fault::always("PutMetricAlarm", Kind::Deny));
    let file = folder.path().join("vpcwatch.toml");
    std::fs::write(&file, "provision.tags = []\n").unwrap();
    let more = ["--set", "provision.at_start=auto", "--config", file.to_str().unwrap()];
    let program = started(&aws, folder.path(), &imds.environment(), &more);
    wait_for_trouble(folder.path(), "allow cloudwatch:PutMetricAlarm to this host's role");
    let before = heartbeats(&aws);
    wait_for(&aws, "data all the while", |aws| heartbeats(aws) > before + 2);
    assert!(aws.alarms().is_empty() && !aws.dashboards().is_empty());
    // It tries again by itself, a minute later at first; a reload does not wait for that.
    aws.clear_faults();
    program.signal(Signal::HUP);
    wait_for(&aws, "the alarms", |aws| aws.alarms().len() > 8);
    let stderr = stop(program);
    assert!(stderr.contains("provisioning: ") && stderr.contains("tried again in 1 min"), "{stderr}");
    assert_eq!(aws.violations(), Vec::<String>::new());
}

/// An alarm on silence that is there before the first heartbeat would ring (`alarms::others`).
#[test]
fn alarms_wait_until_cloudwatch_has_taken_the_first_metrics() {
    let (aws, imds, folder) = (FakeAws::start().unwrap(), instance(), tempfile::tempdir().unwrap());
    aws.fault(Fault::next("PutMetricData", 2, Kind::Throttle(Throttle::ThrottlingException)));
    let auto = ["--set", "provision.at_start=auto"];
    let program = started(&aws, folder.path(), &imds.environment(), &auto);
    wait_for(&aws, "alarms", |aws| !aws.alarms().is_empty());
    stop(program);
    let operations: Vec<_> = aws.requests().into_iter().map(|request| request.operation).collect();
    let first_alarm = operations.iter().position(|operation| operation == "PutMetricAlarm").unwrap();
    let sent = operations.iter().take(first_alarm).filter(|operation| *operation == "PutMetricData");
    assert!(sent.count() >= 3, "two are throttled: {operations:?}");
}

#[test]
fn a_group_that_is_tagged_late_is_in_the_first_datum_and_in_the_alarms() {
    let (aws, imds, folder) = (FakeAws::start().unwrap(), instance(), tempfile::tempdir().unwrap());
    let more = ["--set", "provision.at_start=auto", "--set", DIMENSIONS];
    let program = started(&aws, folder.path(), &imds.environment(), &more);
    wait_for_trouble(folder.path(), "waiting up to 5 min for the Auto Scaling group");
    assert_eq!(aws.requests(), [], "nothing is sent before it is known with which dimensions");
    join(&imds, "web");
    wait_for(&aws, "the fleet's alarms", |aws| {
        heartbeats(aws) > 2 && !aws.alarms().is_empty() && !aws.dashboards().is_empty()
    });
    stop(program);
    assert_eq!(schemas(&aws), [["AutoScalingGroupName", "InstanceId"]]);
    for alarm in aws.alarms() {
        assert!(alarm.name.starts_with("vpcwatch-fleet-VpcWatch-group-web-"), "{}", alarm.name);
        let query = alarm.queries[0].expression.as_deref().unwrap();
        assert!(query.contains("WHERE AutoScalingGroupName = 'web'"), "{query}");
    }
    assert_eq!(aws.violations(), Vec::<String>::new());
}

#[test]
fn a_group_that_is_never_told_is_in_no_datum() {
    // The tag does not come, or tags are not in metadata at all: what waited goes out without when the agent is stopped.
    for tags in [Some([("Name".to_owned(), "web-1".to_owned())].into()), None] {
        let (aws, imds, folder) = (FakeAws::start().unwrap(), instance(), tempfile::tempdir().unwrap());
        imds.change(|instance| instance.tags = tags);
        let program = started(&aws, folder.path(), &imds.environment(), &["--set", DIMENSIONS]);
        wait_for_trouble(folder.path(), "waiting up to 5 min for the Auto Scaling group");
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(aws.requests(), []);
        let stderr = stop(program);
        assert!(stderr.contains("metrics go without that dimension"), "{stderr}");
        assert!(heartbeats(&aws) > 0, "{stderr}");
        assert_eq!(schemas(&aws), [["InstanceId"]]);
    }
}

#[test]
fn dimensions_of_a_reload_are_those_of_data_and_alarms_alike() {
    let (aws, imds, folder) = (FakeAws::start().unwrap(), instance(), tempfile::tempdir().unwrap());
    let file = folder.path().join("vpcwatch.toml");
    std::fs::write(&file, "provision.scope = \"instance\"\n").unwrap();
    let more = ["--set", "provision.at_start=auto", "--config", file.to_str().unwrap()];
    let program = started(&aws, folder.path(), &imds.environment(), &more);
    wait_for(&aws, "alarms", |aws| {
        heartbeats(aws) > 1 && aws.groups().len() == 2 && !aws.dashboards().is_empty()
    });
    std::fs::write(
        &file,
        "provision.scope = \"instance\"\nidentity.dimensions = [\"InstanceId\", \"InstanceType\"]\n",
    )
    .unwrap();
    program.signal(Signal::HUP);
    let of_type = |names: &[(String, String)]| names.iter().any(|(name, _)| name == "InstanceType");
    wait_for(&aws, "alarms of the metrics that are sent now", |aws| {
        aws.alarms().iter().all(|alarm| of_type(&alarm.dimensions))
            && aws.metrics().last().is_some_and(|datum| of_type(&datum.dimensions))
    });
    stop(program);
    assert_eq!(schemas(&aws), [vec!["InstanceId"], vec!["InstanceId", "InstanceType"]]);
    assert_eq!(aws.violations(), Vec::<String>::new());
}

#[test]
fn an_instance_that_comes_into_a_group_later_leaves_its_own_alarms_for_the_fleets() {
    let (aws, imds, folder) = (FakeAws::start().unwrap(), instance(), tempfile::tempdir().unwrap());
    let program = started(&aws, folder.path(), &imds.environment(), &["--set", "provision.at_start=auto"]);
    wait_for(&aws, "alarms of its own", |aws| aws.groups().len() == 2 && !aws.dashboards().is_empty());
    // What it did is written down after the last call.
    let seen = heartbeats(&aws);
    wait_for(&aws, "the mark", |aws| heartbeats(aws) > seen + 2);
    join(&imds, "web");
    wait_for(&aws, "the fleet's alarms alone", |aws| {
        let alarms = aws.alarms();
        !alarms.is_empty() && alarms.iter().all(|alarm| alarm.name.starts_with("vpcwatch-fleet-VpcWatch-"))
    });
    let stderr = stop(program);
    assert!(stderr.contains("of this host's own alarms taken away"), "{stderr}");
    assert_eq!(aws.violations(), Vec::<String>::new());
}
