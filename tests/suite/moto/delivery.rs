//! The agent sends; what CloudWatch and CloudWatch Logs then hold is what the fixture says, and what a dry run prints.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use vpcwatch_tests::fake_imds::FakeImds;
use vpcwatch_tests::fixture;

use super::{ACCESS_KEY, Held, Kind, Minute, Moto, REGION, Request, SECRET_KEY};
use crate::agent;

/// What an agent does that moto would not see of a reader.
const WRITES: [&str; 5] =
    ["PutMetricData", "PutLogEvents", "CreateLogGroup", "CreateLogStream", "PutRetentionPolicy"];

/// Gauges of the fixture `kernel-6.18`, whose files do not change. All are sums of powers of two, so that sums are exact.
const GAUGES: [(&str, f64); 5] = [
    ("netstat_tcp_established", 11.0),
    ("netstat_tcp_syn_recv", 7.0),
    ("netstat_tcp_time_wait", 2.0),
    ("netstat_tcp_close_wait", 1.0),
    ("conntrack_utilization", 1_234.0 * 100.0 / 262_144.0),
];

/// Two seconds an interval, so that data have counts.
const INTERVAL_MS: i64 = 2_000;

/// Sends to moto, and makes no alarms; keeps state and status in that folder.
fn sending(moto: &Moto, folder: &Path, root: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(agent::PATH);
    command.env_clear().env("AWS_ENDPOINT_URL", &moto.endpoint);
    command.args(["run", "--interval", "2s", "--set", "provision.at_start=false", "--root"]).arg(root);
    for (option, file) in [("state.folder", "state"), ("status.file", "status.json")] {
        command.arg("--set").arg(format!("{option}={}", folder.join(file).display()));
    }
    command.args(more);
    command
}

/// With the credentials of a user, to [`REGION`].
fn as_user(command: &mut Command) {
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    command.env("AWS_REGION", REGION);
}

/// Runs it to its end.
#[track_caller]
fn run(command: Command) {
    check_end(&assert_cmd::Command::from_std(command).timeout(Duration::from_mins(1)).output().unwrap());
}

/// It ended well, with nothing lost, repeated or sent twice: of that it would have told.
#[track_caller]
fn check_end(output: &Output) {
    agent::printed(output, 0);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!told.contains("WARN") && !told.contains("ERROR"), "{told}");
}

/// What a dry run prints of the same root.
fn dry_run(root: &Path) -> Vec<Value> {
    let mut command = agent::command();
    command.args(["run", "--dry-run", "--output", "json", "--interval", "2s", "--for", "4s", "--root"]);
    let output = command.arg(root).args(["--set", "identity.host=web-1"]).output().unwrap();
    agent::lines(&agent::printed(&output, 0))
}

/// Every metric of a dry run.
fn kinds(lines: &[Value]) -> BTreeSet<Kind> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let kind = |datum: &Value| {
        let dimensions = datum["Dimensions"].as_array().unwrap().iter();
        let dimensions = dimensions.map(|d| (text(&d["Name"]), text(&d["Value"]))).collect();
        (text(&datum["Namespace"]), text(&datum["MetricName"]), dimensions, text(&datum["Unit"]))
    };
    lines.iter().filter(|line| line.get("MetricName").is_some()).map(kind).collect()
}

/// A samples event without what differs from run to run.
fn lasting(mut event: Value) -> Value {
    let fields = event.as_object_mut().unwrap();
    fields.retain(|name, _| name != "start" && name != "samples");
    fields["metrics"].as_object_mut().unwrap().retain(|name, _| !name.starts_with("agent_"));
    event
}

/// Start, sample count, sum, minimum and maximum.
fn statistics(minutes: &[Minute]) -> Vec<(i64, f64, f64, f64, f64)> {
    minutes.iter().map(|m| (m.start, m.sample_count, m.sum, m.minimum, m.maximum)).collect()
}

/// Samples that the events tell of, by the minute.
fn samples_by_minute(events: &[(i64, Value)]) -> BTreeMap<i64, f64> {
    let mut minutes = BTreeMap::new();
    for (timestamp, event) in events {
        *minutes.entry(timestamp / 60_000 * 60).or_default() += event["samples"].as_f64().unwrap();
    }
    minutes
}

/// Whatever the number of samples that a busy machine manages: metrics and events tell of the same.
#[track_caller]
fn check_gauges(held: &Held, events: &[(i64, Value)]) {
    let samples = samples_by_minute(events);
    for (name, value) in GAUGES {
        let expected: Vec<_> =
            samples.iter().map(|(start, count)| (*start, *count, count * value, value, value)).collect();
        assert_eq!(statistics(held.minutes(name)), expected, "{name}");
    }
}

/// Writes in the order in which they were answered.
fn writes(moto: Moto) -> Vec<Request> {
    let mut requests = moto.requests();
    requests.retain(|request| WRITES.contains(&request.operation.as_str()));
    requests
}

/// Metrics to one service and logs to the other, signed by that key.
#[track_caller]
fn check_scopes(requests: &[Request], region: &str, is_key: impl Fn(&str) -> bool) {
    for request in requests {
        let service = if request.operation == "PutMetricData" { "monitoring" } else { "logs" };
        assert_eq!((request.service.as_str(), request.region.as_str()), (service, region), "{request:?}");
        assert!(is_key(&request.access_key), "{request:?}");
    }
}

#[test]
fn a_host_is_read_back_as_the_fixture_says() {
    let (moto, folder, root) = (Moto::start(), TempDir::new().unwrap(), fixture("kernel-6.18"));
    let mut command = sending(&moto, folder.path(), &root, &["--for", "6s", "--set", "identity.host=web-1"]);
    as_user(&mut command);
    let dry = std::thread::scope(|scope| {
        let dry = scope.spawn(|| dry_run(&root));
        run(command);
        dry.join().unwrap()
    });

    let held = moto.read_back(REGION);
    assert_eq!(held.kinds(), kinds(&dry));
    let events = held.samples("web-1");
    check_gauges(&held, &events);
    assert_eq!(held.groups["/vpcwatch/samples"].retention, Some(30));

    for (timestamp, event) in &events {
        let start: jiff::Timestamp = event["start"].as_str().unwrap().parse().unwrap();
        assert_eq!((*timestamp, timestamp % INTERVAL_MS), (start.as_millisecond(), 0));
    }
    assert!(events.is_sorted_by(|(before, _), (after, _)| before < after), "{events:?}");
    let printed = dry.iter().rfind(|line| line["logGroupName"] == "/vpcwatch/samples").unwrap();
    let printed = serde_json::from_str(printed["message"].as_str().unwrap()).unwrap();
    let (_, sent) = events.last().unwrap().clone();
    assert_eq!(lasting(sent), lasting(printed));

    // Group and stream are made when they turn out to be missing, and only then.
    let requests = writes(moto);
    check_scopes(&requests, REGION, |key| key == ACCESS_KEY);
    let (metrics, logs): (Vec<_>, Vec<_>) =
        requests.iter().partition(|request| request.operation == "PutMetricData");
    assert!(metrics.iter().all(|request| request.status == 200), "{metrics:?}");
    let logs: Vec<_> = logs.iter().map(|request| (request.operation.as_str(), request.status)).collect();
    let first = [
        ("PutLogEvents", 400),
        ("CreateLogStream", 400),
        ("CreateLogGroup", 200),
        ("PutRetentionPolicy", 200),
        ("CreateLogStream", 200),
        ("PutLogEvents", 200),
    ];
    assert_eq!(logs[..first.len()], first);
    assert!(logs[first.len()..].iter().all(|call| *call == ("PutLogEvents", 200)), "{logs:?}");
}

#[test]
fn an_instance_sends_as_itself() {
    let (moto, folder, imds) = (Moto::start(), TempDir::new().unwrap(), FakeImds::start().unwrap());
    let (id, region) = ("i-0fedcba9876543210", "ap-southeast-2");
    imds.change(|instance| (instance.id, instance.region) = (id.into(), region.into()));
    let mut command = sending(&moto, folder.path(), &fixture("kernel-6.18"), &["--for", "4s"]);
    command.envs(imds.environment());
    run(command);

    let held = moto.read_back(region);
    check_gauges(&held, &held.samples(id));
    let whole = BTreeMap::from([("InstanceId".to_owned(), id.to_owned())]);
    for (_, name, dimensions, _) in held.kinds() {
        let mut expected = whole.clone();
        if name.starts_with("net_") {
            expected.insert("interface".into(), dimensions["interface"].clone());
        }
        assert_eq!(dimensions, expected, "{name}");
    }
    assert!(imds.credentials_given() > 0);
    check_scopes(&writes(moto), region, |key| key.starts_with("ASIAFAKE"));
}

#[test]
fn growth_adds_up_to_what_the_kernel_counted() {
    let (moto, folder) = (Moto::start(), TempDir::new().unwrap());
    let root = folder.path().join("root");
    let copied = Command::new("cp").arg("-r").arg(fixture("kernel-6.18")).arg(&root).status().unwrap();
    assert!(copied.success());
    // It is stopped before; should this test fail, it ends by itself.
    let mut command = sending(&moto, folder.path(), &root, &["--for", "1m", "--set", "identity.host=web-1"]);
    as_user(&mut command);
    let agent = command.stderr(Stdio::piped()).spawn().unwrap();

    let status = folder.path().join("status.json");
    let wait_for_requests = |more: u64| {
        let requests = || {
            let text = std::fs::read(&status).unwrap_or_default();
            let status: Value = serde_json::from_slice(&text).unwrap_or_default();
            status["delivery"]["requests"].as_u64().unwrap_or(0)
        };
        let (begun, before) = (Instant::now(), requests());
        while requests() < before + more {
            assert!(begun.elapsed() < Duration::from_secs(30), "not {more} more requests within 30 s");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait_for_requests(1);
    let (snmp, beside) = (root.join("proc/net/snmp"), root.join("proc/net/snmp.new"));
    let before = std::fs::read_to_string(&snmp).unwrap();
    // PassiveOpens from 256; replaced at once, so that nobody reads half of it.
    let after = before.replace("Tcp: 1 200 120000 -1 214 256 ", "Tcp: 1 200 120000 -1 214 1256 ");
    assert_ne!(before, after);
    std::fs::write(&beside, after).unwrap();
    std::fs::rename(&beside, &snmp).unwrap();
    // Two an interval, and told of late: the fifth from now is of an interval that was closed by a later snapshot.
    wait_for_requests(5);
    kill_process(Pid::from_child(&agent), Signal::TERM).unwrap();
    check_end(&agent.wait_with_output().unwrap());

    let held = moto.read_back(REGION);
    check_gauges(&held, &held.samples("web-1"));
    let opens = held.minutes("tcp_passive_opens");
    let sum: f64 = opens.iter().map(|minute| minute.sum).sum();
    assert!((sum - 1_000.0).abs() < 1e-6, "{opens:?}");
    assert!(opens.iter().any(|minute| minute.minimum.abs() < 1e-9), "{opens:?}");
}
