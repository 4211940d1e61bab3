//! What there should be in CloudWatch, as goldens: every alarm, the dashboard; and what becomes of names and interfaces.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use vpcwatch::config::{Config, Layers};
use vpcwatch::model::catalog;
use vpcwatch::model::identity::{Identity, Instance, InstanceDimension};
use vpcwatch::provision::{self, Change, Desired, Existing, Nic, compare};
use vpcwatch_tests::fake_aws::{FakeAws, Fault, Kind, Throttle};
use vpcwatch_tests::{fixture, golden};

use crate::agent;

const TOPIC: &str = "arn:aws:sns:eu-west-3:123456789012:pager";

fn config(sets: &[(&str, &str)]) -> Config {
    let sets = sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Config::load(&Layers::new("/nonexistent".into(), None, sets)).unwrap()
}

fn instance() -> Identity {
    let instance = Instance { instance_id: "i-0123456789abcdef0".into(), ..Instance::default() };
    instance.identity(&[InstanceDimension::InstanceId])
}

fn nic(name: &str, has_allowances: bool) -> Nic {
    Nic { name: name.into(), has_allowances }
}

fn desired(sets: &[(&str, &str)], identity: &Identity, nics: &[Nic]) -> Desired {
    let config = config(sets);
    provision::desired(&config.settings, &config.wishes, identity, nics, "eu-west-3")
}

/// What CloudWatch holds after everything desired was made.
fn made(desired: &Desired) -> Existing {
    Existing {
        alarms: desired.alarms.iter().map(|alarm| alarm.signed(&desired.owner)).collect(),
        dashboard: desired.dashboard.as_ref().map(provision::Dashboard::signed),
    }
}

#[test]
fn alarms_and_dashboard_of_an_instance() {
    let desired = desired(&[("provision.actions", TOPIC)], &instance(), &[nic("ens5", true)]);
    let alarms: Vec<Value> = desired
        .alarms
        .iter()
        .map(|alarm| serde_json::to_value(alarm.signed(&desired.owner)).unwrap())
        .collect();
    let shown = serde_json::to_string_pretty(&json!({ "tags": desired.tags, "alarms": alarms })).unwrap();
    golden::check("provision/alarms.json", &(shown + "\n"));
    let dashboard = desired.dashboard.unwrap();
    let shown = serde_json::to_string_pretty(&dashboard.signed()).unwrap();
    golden::check("provision/dashboard.json", &(format!("{}\n{shown}\n", dashboard.name)));
    // All hosts share it.
    assert!(!shown.contains("i-0123"));
}

#[test]
fn alarms_have_the_dimensions_of_their_metrics_to_the_letter() {
    let identity = Identity::of_host("web: 1");
    let desired = desired(&[], &identity, &[nic("eth0", false), nic("v\u{e9}th", false)]);
    for alarm in &desired.alarms {
        let metric = catalog::find(&alarm.metric_name).unwrap();
        let names: Vec<&str> = alarm.dimensions.iter().map(|d| d.name.as_str()).collect();
        let expected: &[&str] =
            if metric.reading.per_interface() { &["host", "interface"] } else { &["host"] };
        assert_eq!(names, expected, "{}", alarm.alarm_name);
        assert!(alarm.dimensions.iter().all(|d| d.value.is_ascii()), "{alarm:?}");
    }
    // Interfaces without ENA's counters have no alarms on them.
    assert!(!desired.alarms.iter().any(|alarm| alarm.alarm_name.contains("ena-")));
}

#[test]
fn names_stay_within_limits_and_apart() {
    let long = "h".repeat(512);
    let nics = [nic("fifteen-letters", true)];
    let of = |name: &str| desired(&[], &Identity::of_host(name), &nics);
    let (one, other) = (of(&format!("{long}1")), of(&format!("{long}2")));
    for (a, b) in one.alarms.iter().zip(&other.alarms) {
        assert!(a.alarm_name.len() <= 255 && a.alarm_name != b.alarm_name, "{}", a.alarm_name);
        assert!(a.signed(&one.owner).alarm_description.len() <= 1024, "{}", a.alarm_description);
    }
    assert!(one.tags.iter().all(|(_, value)| value.len() <= 256));
}

#[test]
fn what_is_not_sent_has_no_alarm() {
    let all = desired(&[], &instance(), &[]).alarms.len();
    let fewer = desired(&[("metrics.exclude", "conntrack_utilization")], &instance(), &[]).alarms.len();
    assert_eq!(fewer, all - 1);
    let essential = desired(&[("metrics.set", "essential")], &instance(), &[nic("ens5", true)]);
    assert!(essential.alarms.iter().all(|alarm| alarm.metric_name != "net_drop_in"));
    assert!(essential.alarms.iter().any(|alarm| alarm.metric_name == "syn_flood_active"));
}

#[test]
fn a_longer_interval_makes_longer_periods() {
    let desired = desired(&[("publish.interval", "90s")], &instance(), &[]);
    assert!(desired.alarms.iter().all(|alarm| alarm.period == 120));
}

#[test]
fn what_was_made_is_the_same_and_what_changed_is_known_for_whose_change_it_is() {
    let now = desired(&[], &instance(), &[nic("ens5", false)]);
    let plan = compare(&now, &made(&now));
    assert!(plan.alarms.values().all(|change| *change == Change::Same), "{plan:?}");
    assert_eq!(plan.dashboard.unwrap().1, Change::Same);

    // We changed: an update, field by field; what nothing wants any more goes.
    let later = desired(&[("publish.interval", "2m"), ("metrics.set", "essential")], &instance(), &[]);
    let plan = compare(&later, &made(&now));
    let change = &plan.alarms["vpcwatch-i-0123456789abcdef0-syn-flood"];
    let Change::Update(fields) = change else { panic!("{change:?}") };
    assert_eq!((fields.len(), fields[0].field.as_str(), fields[0].to.as_str()), (1, "Period", "120"));
    assert_eq!(plan.alarms["vpcwatch-i-0123456789abcdef0-conntrack"], Change::Delete);

    // A person changed: left alone, whatever we want now.
    let mut there = made(&now);
    there.alarms[0].threshold = 7.0;
    there.alarms[1].alarm_description = "rewritten".into();
    // Another host's, whose name begins as this one's does.
    let mut neighbour = now.alarms[2].clone();
    neighbour.alarm_name = "vpcwatch-i-0123456789abcdef0-b-syn-flood".into();
    there.alarms.push(neighbour.signed("i-0123456789abcdef0-b"));
    there.dashboard = Some(json!({ "widgets": [] }));
    let plan = compare(&now, &there);
    assert!(matches!(&plan.alarms[&now.alarms[0].alarm_name], Change::Edited(fields) if fields.len() == 1));
    assert_eq!(plan.alarms[&now.alarms[1].alarm_name], Change::Foreign);
    assert!(!plan.alarms.contains_key("vpcwatch-i-0123456789abcdef0-b-syn-flood"));
    assert_eq!(plan.dashboard.unwrap().1, Change::Foreign);
}

/// `vpcwatch provision` against the strict fake.
fn provision(aws: &FakeAws, verb: &[&str]) -> Output {
    let mut command = Command::new(agent::PATH);
    command.env_clear().envs(aws.environment()).env("AWS_REGION", "eu-west-3");
    command.env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    command.arg("provision").args(verb).arg("--root").arg(fixture("kernel-6.18"));
    command.args(["--set", "identity.host=web-1"]);
    assert_cmd::Command::from_std(command).timeout(Duration::from_mins(2)).output().unwrap()
}

#[test]
fn what_is_asked_of_aws_breaks_none_of_its_rules() {
    let aws = FakeAws::start().unwrap();
    agent::printed(&provision(&aws, &["apply"]), 0);
    let made = aws.alarms().len();
    assert!(made > 8 && aws.dashboards().len() == 1);
    assert!(agent::printed(&provision(&aws, &["apply"]), 0).starts_with("nothing to do"));
    // Deleted underneath: made again, alone.
    aws.remove_alarm("vpcwatch-web-1-syn-flood");
    assert!(agent::printed(&provision(&aws, &["apply"]), 0).contains("1 done, 0 left alone, 0 failed"));
    agent::printed(&provision(&aws, &["destroy"]), 0);
    assert!(aws.alarms().is_empty() && aws.dashboards().is_empty());
    assert_eq!(aws.violations(), Vec::<String>::new());
}

#[test]
fn one_permission_of_ten_that_is_missing_is_named_and_the_rest_is_done() {
    let aws = FakeAws::start().unwrap();
    aws.fault(Fault::always("PutMetricAlarm", Kind::Deny));
    let told = agent::printed(&provision(&aws, &["apply"]), 1);
    assert!(told.contains("allow cloudwatch:PutMetricAlarm to this host's role"), "{told}");
    assert!(aws.alarms().is_empty() && aws.dashboards().len() == 1, "{told}");
    aws.clear_faults();
    // It goes on where it stopped, through throttles.
    aws.fault(Fault::next("PutMetricAlarm", 2, Kind::Throttle(Throttle::ThrottlingException)));
    agent::printed(&provision(&aws, &["apply"]), 0);
    assert!(aws.alarms().len() > 8);
}

#[test]
fn a_quota_that_is_reached_is_said() {
    let aws = FakeAws::start().unwrap();
    aws.set_alarm_limit(3);
    let told = agent::printed(&provision(&aws, &["apply"]), 1);
    assert!(told.contains("LimitExceeded") && aws.alarms().len() == 3, "{told}");
}
