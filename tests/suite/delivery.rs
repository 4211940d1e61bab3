//! Delivery to a CloudWatch that throttles, refuses, hangs, lies and goes away: what is stored arrives, once.
//!
//! Numbered records are made by the helper program `deliver-numbered`; the agent itself runs over a fixture tree.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use vpcwatch::store::{Store, ValueKey};
use vpcwatch_tests::fake_aws::{FakeAws, Fault, Kind, Poison, StoredDatum, Throttle, Times};
use vpcwatch_tests::fake_imds::{FakeImds, Instance};
use vpcwatch_tests::fixture;

use crate::agent::PATH;

const NUMBERED: &str = env!("CARGO_BIN_EXE_deliver-numbered");
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// An environment of nothing but these.
pub(crate) fn with_environment<'a>(
    command: &'a mut Command,
    aws: &FakeAws,
    more: &[(&'static str, String)],
) -> &'a mut Command {
    command.env_clear().envs(aws.environment()).envs(more.iter().map(|(name, value)| (name, value)))
}

pub(crate) fn keys() -> Vec<(&'static str, String)> {
    [("AWS_ACCESS_KEY_ID", "AKIAKEYS"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "eu-west-3")]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec()
}

/// Ends with the test.
pub(crate) struct Program {
    child: Child,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Program { child }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its standard output, as it comes; then there is none for [`Program::end`].
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        BufReader::new(self.child.stdout.take().unwrap()).lines().map(Result::unwrap)
    }

    /// Its exit code, standard output and standard error.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (Option<i32>, String, String) {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let (mut stdout, mut stderr) = (String::new(), String::new());
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_string(&mut stdout).unwrap();
        }
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stdout, stderr)
    }
}

/// The agent over a fixture, publishing each second, with its state and status in `folder`. It makes no alarms unless `more` says so.
pub(crate) fn agent(
    aws: &FakeAws,
    folder: &Path,
    environment: &[(&'static str, String)],
    more: &[&str],
) -> Program {
    let mut command = Command::new(PATH);
    command.args(["run", "--set", "publish.interval=1s", "--root"]).arg(fixture("kernel-6.18"));
    for (key, value) in [("state.folder", folder.to_path_buf()), ("status.file", folder.join("status.json"))]
    {
        command.arg("--set").arg(format!("{key}={}", value.display()));
    }
    command.args(["--set", "identity.host=web-1", "--set", "provision.at_start=false"]).args(more);
    Program::start(with_environment(&mut command, aws, environment))
}

/// What `vpcwatch status` says, and its exit code.
fn status(folder: &Path) -> (Option<i32>, Value) {
    let file = format!("status.file={}", folder.join("status.json").display());
    let output =
        Command::new(PATH).args(["status", "--output", "json", "--set", &file]).env_clear().output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn heartbeats(aws: &FakeAws) -> Vec<StoredDatum> {
    aws.metrics().into_iter().filter(|datum| datum.name == "netstat_tcp_established").collect()
}

#[track_caller]
pub(crate) fn wait_for(aws: &FakeAws, what: &str, until: impl Fn(&FakeAws) -> bool) {
    aws.wait_for(what, PATIENCE, until).unwrap();
}

pub(crate) fn numbered(aws: &FakeAws, folder: &Path, count: u64, poison: Option<u64>) -> Program {
    let mut command = Command::new(NUMBERED);
    command.arg(folder).arg(count.to_string()).args(poison.map(|number| number.to_string()));
    Program::start(with_environment(&mut command, aws, &keys()))
}

/// A number printed behind `word`, all of them added up.
pub(crate) fn told(text: &str, word: &str) -> u64 {
    let values = text.lines().filter_map(|line| line.strip_prefix(word)?.trim().parse::<u64>().ok());
    values.sum()
}

/// How often each number arrived, as a metric and as a log event.
fn arrived(aws: &FakeAws) -> [BTreeMap<u64, u64>; 2] {
    let (mut data, mut events) = (BTreeMap::new(), BTreeMap::new());
    for (value, _) in
        aws.metrics().iter().filter(|datum| datum.name == "numbered").flat_map(|d| d.values.clone())
    {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and small")]
        let number = value as u64;
        *data.entry(number).or_default() += 1;
    }
    for event in aws.events("/numbered", "numbered") {
        if let Some(number) = event.message.strip_prefix("number ").and_then(|text| text.parse().ok()) {
            *events.entry(number).or_default() += 1;
        }
    }
    [data, events]
}

/// Every number but `without` arrived, and no more than `ambiguous` of them again.
#[track_caller]
pub(crate) fn check_numbers(aws: &FakeAws, count: u64, without: &[u64], ambiguous: u64) {
    let arrived = arrived(aws);
    for (what, arrived) in ["metric", "event"].iter().zip(&arrived) {
        let missing: Vec<u64> =
            (0..count).filter(|number| !arrived.contains_key(number) && !without.contains(number)).collect();
        assert!(
            missing.is_empty(),
            "{} {what}s lost: {:?}...",
            missing.len(),
            &missing[..missing.len().min(9)]
        );
    }
    let doubled: u64 = arrived.iter().flat_map(BTreeMap::values).map(|times| times - 1).sum();
    assert!(doubled <= ambiguous, "{doubled} arrived twice, {ambiguous} were said to be ambiguous");
    assert_eq!(aws.violations(), Vec::<String>::new());
}

/// Delivers numbers while `fault` lasts; gives the program when it has ended well.
#[track_caller]
fn deliver_through(fault: Fault, count: u64, then: impl FnOnce(&FakeAws)) -> (FakeAws, u64) {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    aws.fault(fault);
    let mut program = numbered(&aws, folder.path(), count, None);
    then(&aws);
    let (code, stdout, stderr) = program.end();
    assert_eq!((code, told(&stdout, "lost")), (Some(0), 0), "{stderr}");
    (aws, told(&stdout, "ambiguous"))
}

#[test]
fn metrics_and_logs_arrive_as_they_were_meant() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    let mut agent = agent(&aws, folder.path(), &keys(), &[]);
    wait_for(&aws, "three intervals", |aws| heartbeats(aws).len() >= 3);
    let (code, told) = status(folder.path());
    assert_eq!(
        (code, told["host"].as_str(), told["region"].as_str()),
        (Some(0), Some("web-1"), Some("eu-west-3"))
    );
    agent.signal(Signal::TERM);
    let (code, _, stderr) = agent.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("sending to eu-west-3"), "{stderr}");

    let heartbeats = heartbeats(&aws);
    for datum in &heartbeats {
        assert_eq!(datum.dimensions, [("host".to_owned(), "web-1".to_owned())]);
        assert_eq!((datum.namespace.as_str(), datum.unit.as_deref()), ("VpcWatch", Some("Count")));
        assert!(datum.values.iter().all(|(value, _)| (*value - 11.0).abs() < f64::EPSILON), "{datum:?}");
    }
    // Each interval once: the last one, which the stop closed, too.
    let mut times: Vec<i64> = heartbeats.iter().map(|datum| datum.timestamp_ms).collect();
    times.sort_unstable();
    assert!(times.is_sorted_by(|a, b| a < b) && times.iter().all(|ms| ms % 1000 == 0), "{times:?}");
    let events = aws.events("/vpcwatch/samples", "web-1");
    assert_eq!(events.len(), heartbeats.len());
    assert_eq!(aws.groups().get("/vpcwatch/samples"), Some(&Some(30)));
    assert!(aws.requests().iter().any(|request| request.gzip), "nothing was compressed");
    assert_eq!(aws.violations(), Vec::<String>::new());
    // Gone with its agent.
    assert_eq!(status(folder.path()).0, Some(4));
}

#[test]
fn an_instance_sends_as_itself_with_its_roles_credentials() {
    let (aws, imds, folder) =
        (FakeAws::start().unwrap(), FakeImds::start().unwrap(), tempfile::tempdir().unwrap());
    imds.change(|instance| instance.id = "i-0abc".into());
    // Nobody answers at first: sampling goes on, and what it saw is sent later.
    imds.down();
    let mut agent = agent(&aws, folder.path(), &imds.environment(), &[]);
    let begun = Instant::now();
    while status(folder.path()).1["troubles"]["identity"].is_null() {
        assert!(begun.elapsed() < PATIENCE, "no word of the missing identity");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(aws.requests(), []);
    imds.up().unwrap();
    wait_for(&aws, "what was seen before, too", |aws| heartbeats(aws).len() >= 3);
    agent.signal(Signal::TERM);
    let (code, _, stderr) = agent.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("instance i-0abc"), "{stderr}");
    let heartbeats = heartbeats(&aws);
    assert!(heartbeats.iter().all(|d| d.dimensions == [("InstanceId".to_owned(), "i-0abc".to_owned())]));
    assert!(
        aws.requests().iter().all(|r| r.access_key.as_ref().is_some_and(|key| key.starts_with("ASIAFAKE")))
    );
    assert!(!aws.events("/vpcwatch/samples", "i-0abc").is_empty());
    assert_eq!(aws.violations(), Vec::<String>::new());
}

#[test]
fn an_auto_scaling_group_whose_tag_comes_late_is_in_every_datum() {
    let (aws, imds, folder) =
        (FakeAws::start().unwrap(), FakeImds::start().unwrap(), tempfile::tempdir().unwrap());
    let tags = Instance::default().tags.unwrap();
    imds.change(|instance| instance.tags = Some(BTreeMap::new()));
    let chosen = "identity.dimensions=[\"InstanceId\", \"AutoScalingGroupName\"]";
    let mut agent = agent(&aws, folder.path(), &imds.environment(), &["--set", chosen]);
    let begun = Instant::now();
    while !status(folder.path()).1["troubles"]["identity"].to_string().contains("Auto Scaling group") {
        assert!(begun.elapsed() < PATIENCE, "no word of the missing group");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(aws.requests(), []);
    let late = aws.now().as_millisecond();
    imds.change(|instance| instance.tags = Some(tags));
    wait_for(&aws, "what was seen before and after", |aws| {
        let is_before = |datum: &StoredDatum| datum.timestamp_ms < late;
        heartbeats(aws).iter().any(is_before) && !heartbeats(aws).iter().all(is_before)
    });
    agent.signal(Signal::TERM);
    assert_eq!(agent.end().0, Some(0));
    let both = [("AutoScalingGroupName", "web"), ("InstanceId", "i-0123456789abcdef0")];
    let both = both.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let without_interface = |datum: &StoredDatum| {
        datum.dimensions.iter().filter(|(name, _)| name != "interface").cloned().collect::<Vec<_>>()
    };
    assert!(aws.metrics().iter().all(|datum| without_interface(datum) == both), "{:?}", aws.metrics());
    assert_eq!(aws.violations(), Vec::<String>::new());
}

#[test]
fn an_outage_loses_nothing_and_the_newest_goes_first() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    aws.down();
    let mut program = numbered(&aws, folder.path(), 3_000, None);
    let mut stdout = program.lines();
    assert!(stdout.any(|line| line == "stored 3000"), "it ended");
    aws.up().unwrap();
    let rest: String = stdout.map(|line| line + "\n").collect();
    assert_eq!((program.end().0, told(&rest, "lost")), (Some(0), 0));
    check_numbers(&aws, 3_000, &[], told(&rest, "ambiguous"));
    let first = aws.metrics().iter().map(|datum| datum.request).min();
    let first = aws.metrics().into_iter().filter(|datum| Some(datum.request) == first);
    let newest = first.flat_map(|datum| datum.values).map(|(value, _)| value).fold(0.0, f64::max);
    assert!(newest > 2_900.0, "first came {newest}");
}

#[test]
fn throttles_in_every_spelling_are_waited_out() {
    for throttle in Throttle::ALL {
        let fault = Fault { operation: "*", times: Times::Count(2), kind: Kind::Throttle(throttle) };
        let (aws, ambiguous) = deliver_through(fault, 50, |_| {});
        assert_eq!(ambiguous, 0, "a throttle is an answer");
        check_numbers(&aws, 50, &[], 0);
    }
}

#[test]
fn every_second_request_throttled() {
    let fault = Fault { operation: "*", times: Times::EveryNth(2), kind: Kind::Throttle(Throttle::ALL[0]) };
    let (aws, _) = deliver_through(fault, 500, |_| {});
    check_numbers(&aws, 500, &[], 0);
}

#[test]
fn sends_without_an_answer_are_counted_and_may_double() {
    for kind in [Kind::ResetAfterApplying, Kind::Truncate] {
        let fault = Fault { operation: "*", times: Times::Count(3), kind };
        let (aws, ambiguous) = deliver_through(fault, 100, |_| {});
        assert!(ambiguous > 0);
        check_numbers(&aws, 100, &[], ambiguous);
    }
}

#[test]
fn answers_that_are_not_of_aws_are_no_answers() {
    // A proxy's page, with status 200.
    let (aws, _) =
        deliver_through(Fault { operation: "*", times: Times::Count(3), kind: Kind::Garbage }, 100, |_| {});
    check_numbers(&aws, 100, &[], 200);
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let (aws, ambiguous) =
        deliver_through(Fault { operation: "*", times: Times::Count(2), kind: Kind::Hang }, 50, |_| {});
    assert!(ambiguous > 0, "it was written");
    check_numbers(&aws, 50, &[], ambiguous);
}

#[test]
fn one_poison_among_a_thousand_is_isolated() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    aws.fault(Fault::always("PutMetricData", Kind::Poison(Poison::Metric("poison".into()))));
    aws.fault(Fault::always("PutLogEvents", Kind::Poison(Poison::Text("number 700".into()))));
    aws.down();
    let mut program = numbered(&aws, folder.path(), 1_000, Some(400));
    std::thread::sleep(Duration::from_secs(1));
    aws.up().unwrap();
    let (code, stdout, stderr) = program.end();
    assert_eq!((code, told(&stdout, "lost")), (Some(0), 2), "{stderr}");
    let [data, events] = arrived(&aws);
    assert!(!data.contains_key(&400) && data.contains_key(&700));
    assert!(!events.contains_key(&700) && events.contains_key(&400));
    check_numbers(&aws, 1_000, &[400, 700], told(&stdout, "ambiguous"));
    assert!(stderr.contains("poison") && stderr.contains("number 700"), "{stderr}");
}

/// For whoever runs `tests/load/faults.sh`.
#[expect(clippy::print_stdout, reason = "figures")]
fn tell(figures: &str) {
    println!("{figures}");
}

/// Kills a delivery `rounds` times; then lets it finish.
#[track_caller]
fn kill_again_and_again(rounds: u64, count: u64) {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    let (mut ambiguous, mut stored) = (0, 0);
    // Moments that repeat: an odd stride over the time that a run takes to start, store and send.
    for round in 0..rounds {
        let mut program = numbered(&aws, folder.path(), count, None);
        std::thread::sleep(Duration::from_millis(20 + round * 37 % 400));
        program.signal(Signal::KILL);
        let (_, stdout, stderr) = program.end();
        assert!(!stderr.contains("set aside"), "{stderr}");
        ambiguous += told(&stdout, "ambiguous");
        let last = stdout.lines().filter_map(|line| line.strip_prefix("stored ")).next_back();
        stored = last.map_or(stored, |last| last.parse::<u64>().unwrap().max(stored));
    }
    assert!(stored > 0, "nothing was stored before a kill: the moments are too early");
    let (code, stdout, stderr) = numbered(&aws, folder.path(), count, None).end();
    assert_eq!((code, told(&stdout, "lost")), (Some(0), 0), "{stderr}");
    ambiguous += told(&stdout, "ambiguous");
    let doubled: u64 = arrived(&aws).iter().flat_map(BTreeMap::values).map(|times| times - 1).sum();
    tell(&format!(
        "{rounds} kills, {stored} of {count} numbers stored before the last: {doubled} records arrived twice, {ambiguous} were counted as ambiguous, none lost"
    ));
    check_numbers(&aws, count, &[], ambiguous);
}

#[test]
fn killed_at_any_moment_nothing_stored_is_lost() {
    kill_again_and_again(20, 4_000);
}

#[test]
fn a_stop_during_an_outage_keeps_what_waits() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    aws.down();
    let mut first = agent(&aws, folder.path(), &keys(), &[]);
    let begun = Instant::now();
    while status(folder.path()).1["delivery"]["waiting"]["metrics"].as_u64().unwrap_or(0) < 20 {
        assert!(begun.elapsed() < PATIENCE, "nothing waits");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Requests fail: not healthy, and it says where.
    assert_eq!(status(folder.path()).0, Some(4));
    first.signal(Signal::TERM);
    let (code, _, stderr) = first.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(aws.metrics(), []);
    aws.up().unwrap();
    let mut second = agent(&aws, folder.path(), &keys(), &["--for", "1s"]);
    let (code, _, stderr) = second.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(aws.metrics().len() >= 20);
    // Each second once; but that of the stop in two parts, if the second agent came within it.
    let mut times: Vec<i64> = heartbeats(&aws).iter().map(|datum| datum.timestamp_ms).collect();
    times.sort_unstable();
    let twice = times.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(twice <= 1, "{times:?}");
}

#[test]
fn a_missing_permission_is_named_and_stops_nothing_else() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    aws.fault(Fault::always("CreateLogGroup", Kind::Deny));
    let mut agent = agent(&aws, folder.path(), &keys(), &[]);
    wait_for(&aws, "metrics without logs", |aws| heartbeats(aws).len() >= 2);
    let begun = Instant::now();
    let (mut code, mut told) = status(folder.path());
    while told["troubles"].as_object().is_none_or(serde_json::Map::is_empty) {
        assert!(begun.elapsed() < PATIENCE, "{told}");
        std::thread::sleep(Duration::from_millis(50));
        (code, told) = status(folder.path());
    }
    assert_eq!(code, Some(4));
    assert!(told["troubles"].to_string().contains("allow logs:CreateLogGroup to this host's role"), "{told}");
    // Another way than the permission: somebody makes the group.
    aws.create_stream("/vpcwatch/samples", "web-1");
    wait_for(&aws, "the logs too", |aws| aws.event_count("/vpcwatch/samples", "web-1") >= 2);
    agent.signal(Signal::TERM);
    let (code, _, stderr) = agent.end();
    assert_eq!((code, stderr.matches("logs:CreateLogGroup to").count()), (Some(0), 1), "said once: {stderr}");
}

#[test]
fn credentials_that_come_late_or_expire() {
    let (aws, imds, folder) =
        (FakeAws::start().unwrap(), FakeImds::start().unwrap(), tempfile::tempdir().unwrap());
    imds.change(|instance| instance.role = None);
    let mut agent = agent(&aws, folder.path(), &imds.environment(), &[]);
    let begun = Instant::now();
    while !status(folder.path()).1["troubles"].to_string().contains("no credentials") {
        assert!(begun.elapsed() < PATIENCE, "no word of the missing credentials");
        std::thread::sleep(Duration::from_millis(50));
    }
    imds.change(|instance| instance.role = Some("agent-role".into()));
    wait_for(&aws, "data by the role's credentials", |aws| !heartbeats(aws).is_empty());
    let first = aws.requests().iter().filter_map(|request| request.access_key.clone()).next_back().unwrap();
    // Metadata was restarted too, and knows no token any more.
    imds.forget_tokens();
    for given in 1..=imds.credentials_given() {
        aws.expire_access_key(&format!("ASIAFAKE{given:08}"));
    }
    let before = heartbeats(&aws).len();
    wait_for(&aws, "data by fresh credentials", |aws| heartbeats(aws).len() > before + 1);
    let last = aws.requests().iter().filter(|r| r.applied).filter_map(|r| r.access_key.clone()).next_back();
    assert_ne!(last, Some(first));
    agent.signal(Signal::TERM);
    assert_eq!(agent.end().0, Some(0));
}

#[test]
fn timestamps_follow_cloudwatchs_clock() {
    for hours in [1i64, -3, 20 * 24] {
        let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
        aws.set_skew(hours * 3600);
        let mut agent = agent(&aws, folder.path(), &keys(), &[]);
        wait_for(&aws, "three intervals", |aws| heartbeats(aws).len() >= 3);
        agent.signal(Signal::TERM);
        let (code, _, stderr) = agent.end();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("clock"), "{stderr}");
        for datum in heartbeats(&aws) {
            let off = aws.now().as_millisecond() - datum.timestamp_ms;
            assert!((-3_000..120_000).contains(&off), "{off} ms off by a clock {hours} h off");
        }
        assert_eq!(aws.violations(), Vec::<String>::new());
    }
}

#[test]
fn the_clock_of_a_stranger_is_not_believed() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    aws.set_skew(30 * 86_400);
    aws.fault(Fault::always("*", Kind::Garbage));
    let mut agent = agent(&aws, folder.path(), &keys(), &[]);
    wait_for(&aws, "some pages of a stranger", |aws| aws.requests().len() >= 4);
    aws.set_skew(0);
    aws.clear_faults();
    wait_for(&aws, "all of it", |aws| heartbeats(aws).len() >= 3);
    agent.signal(Signal::TERM);
    let (code, _, stderr) = agent.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!stderr.contains("clock") && !stderr.contains("lost"), "{stderr}");
    let off = |datum: &StoredDatum| aws.now().as_millisecond() - datum.timestamp_ms;
    assert!(heartbeats(&aws).iter().all(|datum| (0..120_000).contains(&off(datum))));
}

#[test]
fn what_is_wrong_with_a_log_group_is_not_blamed_on_its_events() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    let (code, message) = ("InvalidParameterException".into(), "1 validation error detected".into());
    aws.fault(Fault::always("CreateLogGroup", Kind::Error { status: 400, code, message }));
    let mut agent = agent(&aws, folder.path(), &keys(), &[]);
    wait_for(&aws, "a group that cannot be made", |aws| {
        aws.requests().iter().filter(|request| request.operation == "CreateLogGroup").count() >= 2
    });
    // Time enough to give up every event one by one, for who would.
    std::thread::sleep(Duration::from_secs(1));
    let sent_before = heartbeats(&aws).len();
    aws.clear_faults();
    wait_for(&aws, "every event", |aws| {
        let events = aws.event_count("/vpcwatch/samples", "web-1");
        events > 0 && events >= sent_before as u64
    });
    agent.signal(Signal::TERM);
    let (code, _, stderr) = agent.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!stderr.contains("given up"), "{stderr}");
}

#[test]
fn a_failure_while_stopping_is_not_the_end_of_it() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    let mut agent = agent(&aws, folder.path(), &keys(), &["--set", "publish.interval=1h"]);
    let begun = Instant::now();
    while status(folder.path()).1["host"].is_null() {
        assert!(begun.elapsed() < PATIENCE, "no status");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_secs(2)); // two samples
    let kind = || Kind::Error { status: 503, code: "ServiceUnavailable".into(), message: "soon".into() };
    aws.fault(Fault::next("PutMetricData", 2, kind()));
    aws.fault(Fault::next("PutLogEvents", 2, kind()));
    agent.signal(Signal::TERM);
    let (code, _, stderr) = agent.end();
    assert_eq!((code, heartbeats(&aws).len()), (Some(0), 1), "{stderr}");
    assert_eq!(aws.event_count("/vpcwatch/samples", "web-1"), 1, "{stderr}");
}

#[test]
fn state_files_that_cannot_be_used_are_set_aside() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    let file = folder.path().join("state.redb");
    let run = || agent(&aws, folder.path(), &keys(), &["--for", "1s"]).end();
    for damage in ["", "no state file at all", &"x".repeat(100_000)] {
        std::fs::write(&file, damage).unwrap();
        let (code, _, stderr) = run();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(damage.is_empty() || stderr.contains("set aside as"), "{stderr}");
    }
    // Cut in half.
    let length = file.metadata().unwrap().len();
    std::fs::File::options().write(true).open(&file).unwrap().set_len(length / 2).unwrap();
    let (code, _, stderr) = run();
    assert_eq!(code, Some(0), "{stderr}");
    // Of another instance, as in an image that was made with state in it.
    let imds = FakeImds::start().unwrap();
    let (code, _, stderr) = agent(&aws, folder.path(), &imds.environment(), &["--for", "1s"]).end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("set aside as"), "{stderr}");
    assert_eq!(aws.violations(), Vec::<String>::new());
}

#[test]
fn one_agent_a_state_file_and_none_is_no_end() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    let mut first = agent(&aws, folder.path(), &keys(), &[]);
    wait_for(&aws, "the first agent", |aws| !heartbeats(aws).is_empty());
    let (code, _, stderr) = agent(&aws, folder.path(), &keys(), &[]).end();
    assert_eq!(code, Some(1));
    assert!(stderr.contains("in use by another vpcwatch"), "{stderr}");
    first.signal(Signal::TERM);
    assert_eq!(first.end().0, Some(0));

    // Where nothing can be written, data still goes out.
    let before = heartbeats(&aws).len();
    let mut diskless =
        agent(&aws, folder.path(), &keys(), &["--set", "state.folder=/proc/nowhere", "--for", "3s"]);
    let (code, _, stderr) = diskless.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("/proc/nowhere") && heartbeats(&aws).len() > before, "{stderr}");
}

#[test]
fn sighup_reads_the_configuration_again() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    let file = folder.path().join("vpcwatch.toml");
    std::fs::write(&file, "metrics.namespace = \"Before\"\n").unwrap();
    let mut agent = agent(&aws, folder.path(), &keys(), &["--config", file.to_str().unwrap()]);
    let of = |namespace: &'static str| {
        move |aws: &FakeAws| heartbeats(aws).iter().filter(|datum| datum.namespace == namespace).count() >= 2
    };
    wait_for(&aws, "the first namespace", of("Before"));
    // One with mistakes changes nothing.
    std::fs::write(&file, "metrics.namespace = \"AWS/Mine\"\n").unwrap();
    agent.signal(Signal::HUP);
    let seen = heartbeats(&aws).len();
    wait_for(&aws, "the same namespace still", |aws| heartbeats(aws).len() > seen + 1);
    std::fs::write(&file, "metrics.namespace = \"After\"\n").unwrap();
    agent.signal(Signal::HUP);
    wait_for(&aws, "the second namespace", of("After"));
    agent.signal(Signal::TERM);
    let (code, _, stderr) = agent.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("not reloaded") && stderr.contains("AWS/Mine"), "{stderr}");
}

#[test]
fn a_proxy_is_asked_for_aws_and_never_for_metadata_or_loopback() {
    // A proxy that takes connections and answers nothing: whoever is asked through it is not reached.
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, address.clone()));
    let (aws, imds, folder) =
        (FakeAws::start().unwrap(), FakeImds::start().unwrap(), tempfile::tempdir().unwrap());
    let environment = [&imds.environment()[..], &proxies[..]].concat();
    let mut direct = agent(&aws, folder.path(), &environment, &[]);
    wait_for(&aws, "data past the proxy", |aws| !heartbeats(aws).is_empty());
    direct.signal(Signal::TERM);
    assert_eq!(direct.end().0, Some(0));
    proxy.set_nonblocking(true).unwrap();
    assert!(proxy.accept().is_err(), "the proxy was asked for something on this host");

    proxy.set_nonblocking(false).unwrap();
    let elsewhere = [("AWS_ENDPOINT_URL", "http://cloudwatch.invalid".to_owned())];
    let environment = [&keys()[..], &proxies[..], &elsewhere[..]].concat();
    let agent = agent(&aws, folder.path(), &environment, &["--for", "1s"]);
    let mut request = String::new();
    BufReader::new(proxy.accept().unwrap().0).read_line(&mut request).unwrap();
    assert!(request.starts_with("POST http://cloudwatch.invalid/"), "{request}");
    drop(agent);
}

#[test]
fn a_second_signal_ends_at_once() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    aws.fault(Fault::always("*", Kind::Hang));
    let mut agent = agent(&aws, folder.path(), &keys(), &[]);
    wait_for(&aws, "a request that hangs", |aws| !aws.requests().is_empty());
    agent.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    agent.signal(Signal::TERM);
    let begun = Instant::now();
    let (code, _, stderr) = agent.end();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// Minutes long: `tests/load/faults.sh` runs these, and prints what they measured.
mod long {
    use super::*;

    #[test]
    #[ignore = "minutes; tests/load/faults.sh"]
    fn two_hundred_kills() {
        kill_again_and_again(200, 30_000);
    }

    /// An agent that publishes each second while `trouble` does what it does; then it has to catch up.
    fn outage(what: &str, trouble: impl FnOnce(&FakeAws)) {
        let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
        let mut agent = agent(&aws, folder.path(), &keys(), &[]);
        wait_for(&aws, "the first interval", |aws| !heartbeats(aws).is_empty());
        trouble(&aws);
        let over = aws.now().as_millisecond();
        let begun = Instant::now();
        wait_for(&aws, "what came after the trouble", |aws| {
            heartbeats(aws).iter().any(|datum| datum.timestamp_ms > over)
        });
        let newest_first = begun.elapsed();
        agent.signal(Signal::TERM);
        let (code, _, stderr) = agent.end();
        assert_eq!(code, Some(0), "{stderr}");
        let mut times: Vec<i64> = heartbeats(&aws).iter().map(|datum| datum.timestamp_ms / 1000).collect();
        times.sort_unstable();
        let gaps = times.windows(2).filter(|pair| pair[1] - pair[0] > 2).count();
        let doubled = times.windows(2).filter(|pair| pair[1] == pair[0]).count();
        tell(&format!(
            "{what}: {} intervals over {} s, {gaps} gaps, {doubled} doubled, {} ambiguous sends; \
             the newest came {:.1} s after the end",
            times.len(),
            times.last().unwrap() - times.first().unwrap(),
            aws.ambiguous(),
            newest_first.as_secs_f64(),
        ));
        // A busy machine may miss a second; it then has one interval less, not a gap of more.
        assert_eq!(gaps, 0);
        assert!(doubled as u64 <= aws.ambiguous());
        assert_eq!(aws.violations(), Vec::<String>::new());
    }

    /// More intervals than may wait between two stages.
    #[test]
    #[ignore = "minutes; tests/load/faults.sh"]
    fn instance_metadata_that_comes_two_minutes_late() {
        let (aws, imds, folder) =
            (FakeAws::start().unwrap(), FakeImds::start().unwrap(), tempfile::tempdir().unwrap());
        imds.down();
        let mut agent = agent(&aws, folder.path(), &imds.environment(), &[]);
        std::thread::sleep(Duration::from_mins(2));
        imds.up().unwrap();
        wait_for(&aws, "an hour's worth of intervals", |aws| heartbeats(aws).len() >= 60);
        let now = aws.now().as_millisecond();
        wait_for(&aws, "the newest", |aws| heartbeats(aws).iter().any(|datum| datum.timestamp_ms > now));
        agent.signal(Signal::TERM);
        assert_eq!(agent.end().0, Some(0));
        tell(&format!("metadata 2 minutes late: {} intervals arrived, 60 may wait", heartbeats(&aws).len()));
    }

    #[test]
    #[ignore = "minutes; tests/load/faults.sh"]
    fn ten_minutes_without_cloudwatch() {
        outage("10 minutes down", |aws| {
            aws.down();
            std::thread::sleep(Duration::from_mins(10));
            aws.up().unwrap();
        });
    }

    #[test]
    #[ignore = "minutes; tests/load/faults.sh"]
    fn flapping() {
        outage("3 s down, 2 s up, for 3 minutes", |aws| {
            for _ in 0..36 {
                aws.down();
                std::thread::sleep(Duration::from_secs(3));
                aws.up().unwrap();
                std::thread::sleep(Duration::from_secs(2));
            }
        });
    }

    #[test]
    #[ignore = "minutes; tests/load/faults.sh"]
    fn nine_in_ten_throttled() {
        outage("9 of 10 requests throttled for 5 minutes", |aws| {
            let kind = Kind::Throttle(Throttle::ALL[0]);
            aws.fault(Fault { operation: "*", times: Times::Share(0.9, 1), kind });
            std::thread::sleep(Duration::from_mins(5));
            aws.clear_faults();
        });
    }

    #[test]
    #[ignore = "minutes; tests/load/faults.sh"]
    fn a_server_that_accepts_and_never_answers() {
        outage("no answer for 2 minutes", |aws| {
            aws.fault(Fault::always("*", Kind::Hang));
            std::thread::sleep(Duration::from_mins(2));
            aws.clear_faults();
        });
    }
}

/// What a run says of an environment or a place that it cannot use; it ends with 1, and without a panic.
#[test]
fn environments_that_the_sdk_would_panic_on_are_refused_in_words() {
    let (aws, folder) = (FakeAws::start().unwrap(), tempfile::tempdir().unwrap());
    for (name, value, words) in [
        ("AWS_ENDPOINT_URL", "", "AWS_ENDPOINT_URL: \"\" is no URL"),
        ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"),
        ("AWS_ENDPOINT_URL", "not a url", "\"not a url\" is no URL; write http://HOST"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "169.254.169.254", "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        ("AWS_ACCESS_KEY_ID", "AK\nIA", "AWS_ACCESS_KEY_ID: it has characters"),
        ("AWS_CA_BUNDLE", "/nonexistent.pem", "/nonexistent.pem (AWS_CA_BUNDLE): No such file"),
    ] {
        let environment = [&keys()[..], &[(name, value.to_owned())]].concat();
        let (code, _, stderr) = agent(&aws, folder.path(), &environment, &["--for", "1s"]).end();
        assert_eq!(code, Some(1), "{name}: {stderr}");
        assert!(stderr.contains(words) && !stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn an_empty_region_is_none_and_absurd_dates_are_passed_over() {
    let (aws, imds, folder) =
        (FakeAws::start().unwrap(), FakeImds::start().unwrap(), tempfile::tempdir().unwrap());
    aws.set_skew(7_900 * 365 * 86_400 / 2); // some four thousand years ahead
    let environment = [&imds.environment()[..], &[("AWS_REGION", String::new())]].concat();
    let mut agent = agent(&aws, folder.path(), &environment, &[]);
    wait_for(&aws, "an attempt", |aws| aws.requests().len() >= 2);
    aws.set_skew(0);
    wait_for(&aws, "data in the instance's region", |aws| !heartbeats(aws).is_empty());
    agent.signal(Signal::TERM);
    let (code, _, stderr) = agent.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("sending to eu-west-3") && !stderr.contains("clock"), "{stderr}");
}

#[test]
fn a_status_that_is_none_is_told_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let status = |path: &Path| {
        let file = format!("status.file={}", path.display());
        let mut command = assert_cmd::Command::new(PATH);
        command.args(["status", "--set", &file]).env_clear().timeout(Duration::from_secs(20));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    let junk = folder.path().join("junk");
    std::fs::write(&junk, "[1, 2]").unwrap();
    for (path, words) in [
        (pipe, "not a regular file"),
        (junk, "no status of vpcwatch"),
        (folder.path().join("none"), "no agent tells its status"),
        (folder.path().to_owned(), "not a regular file"),
    ] {
        let (code, stderr) = status(&path);
        assert_eq!(code, Some(4), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
}

/// The state file of this instance, while no agent has it open.
fn state(folder: &Path, owner: &str) -> Store {
    Store::open(&folder.join("state.redb"), owner, 8 << 20).unwrap().0
}

fn baseline() -> ValueKey {
    ValueKey::Baseline("syn_flood".into())
}

/// Runs the agent on this instance until it has sent what it saw after it knew who it was; gives standard error.
fn run_for_some_seconds(aws: &FakeAws, imds: &FakeImds, folder: &Path) -> String {
    let before = heartbeats(aws).len();
    let mut agent = agent(aws, folder, &imds.environment(), &[]);
    wait_for(aws, "its first data", |aws| heartbeats(aws).len() > before);
    let known = aws.now().as_millisecond();
    wait_for(aws, "later data", |aws| heartbeats(aws).iter().any(|datum| datum.timestamp_ms > known));
    agent.signal(Signal::TERM);
    let (code, _, stderr) = agent.end();
    assert_eq!(code, Some(0), "{stderr}");
    stderr
}

/// Where and how well completed handshakes are known in the state file.
fn completed(folder: &Path, owner: &str) -> Option<(f64, u64)> {
    let stored = state(folder, owner).value(&baseline())?;
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    Some((stored["completed"]["mean"].as_f64().unwrap(), stored["completed"]["seen"].as_u64().unwrap()))
}

#[test]
fn what_was_learned_survives_restarts_but_not_another_instance() {
    let (aws, imds, folder) =
        (FakeAws::start().unwrap(), FakeImds::start().unwrap(), tempfile::tempdir().unwrap());
    imds.change(|instance| instance.id = "i-0abc".into());
    let usual = json!({"mean": 30.0, "variance": 4.0, "seen": 500});
    let learned =
        json!({"version": 1, "unanswered": usual, "resets": usual, "completed": usual, "half_open": usual});
    let learned = Some(learned.to_string().into_bytes());
    state(folder.path(), "i-0abc").append(Vec::new(), vec![(baseline(), learned)]);
    // A run of some seconds learns too little to store: what is stored after it was there before.
    let (mut mean, mut seen) = (30.0, 500);
    for run in 0..2 {
        run_for_some_seconds(&aws, &imds, folder.path());
        let (later_mean, later_seen) = completed(folder.path(), "i-0abc").unwrap();
        assert!(later_seen > seen, "run {run}: {seen}, then {later_seen}");
        // Nobody connects there: that comes to be usual, slowly.
        assert!(later_mean < mean, "run {run}: {mean}, then {later_mean}");
        (mean, seen) = (later_mean, later_seen);
    }
    // An image was made of it.
    imds.change(|instance| instance.id = "i-0new".into());
    let stderr = run_for_some_seconds(&aws, &imds, folder.path());
    assert!(stderr.contains("set aside"), "{stderr}");
    assert_eq!(completed(folder.path(), "i-0new"), None);
}

#[test]
fn what_was_learned_and_cannot_be_read_is_passed_over() {
    let (aws, imds, folder) =
        (FakeAws::start().unwrap(), FakeImds::start().unwrap(), tempfile::tempdir().unwrap());
    let usual = json!({"mean": 30.0, "variance": 4.0, "seen": 500});
    let newer =
        json!({"version": 2, "unanswered": usual, "resets": usual, "completed": usual, "half_open": usual});
    let nested = "[".repeat(100_000);
    imds.change(|instance| instance.id = "i-0abc".into());
    for (text, told) in [(newer.to_string(), false), ("{\"version\":1,".into(), true), (nested, true)] {
        let bytes = Some(text.clone().into_bytes());
        state(folder.path(), "i-0abc").append(Vec::new(), vec![(baseline(), bytes.clone())]);
        let stderr = run_for_some_seconds(&aws, &imds, folder.path());
        assert_eq!(stderr.contains("learned cannot be read"), told, "{stderr}");
        assert_eq!(state(folder.path(), "i-0abc").value(&baseline()), bytes, "it has learned nothing better");
    }
}
