//! What there should be in CloudWatch, as goldens: every alarm, the dashboard; and what becomes of names and interfaces.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use vpcwatch::config::{Config, Layers};
use vpcwatch::model::alarms::Scope;
use vpcwatch::model::catalog;
use vpcwatch::model::identity::{Identity, Instance, InstanceDimension};
use vpcwatch::provision::{self, Change, Desired, Existing, Measure, Nic, Subject, compare};
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
    desired_of(Scope::Instance, sets, identity, nics)
}

fn desired_of(scope: Scope, sets: &[(&str, &str)], identity: &Identity, nics: &[Nic]) -> Desired {
    let config = config(sets);
    let subject = Subject { scope, identity, interfaces: nics };
    provision::desired(&config.settings, &config.wishes, &subject, "eu-west-3")
}

/// The alarms as they are sent, to look at.
fn shown(desired: &Desired) -> String {
    let alarms: Vec<Value> = desired
        .alarms
        .iter()
        .map(|alarm| serde_json::to_value(alarm.signed(&desired.owner)).unwrap())
        .collect();
    let shown = json!({ "tags": desired.tags, "alarms": alarms });
    serde_json::to_string_pretty(&shown).unwrap() + "\n"
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
    golden::check("provision/alarms.json", &shown(&desired));
    let dashboard = desired.dashboard.unwrap();
    let shown = serde_json::to_string_pretty(&dashboard.signed()).unwrap();
    golden::check("provision/dashboard.json", &(format!("{}\n{shown}\n", dashboard.name)));
    // All hosts share it.
    assert!(!shown.contains("i-0123"));
}

#[test]
fn alarms_of_a_fleet_are_the_same_whoever_of_it_asks() {
    let of = |id: &str, nics: &[Nic]| {
        let instance = Instance { instance_id: id.into(), ..Instance::default() };
        let identity = instance.identity(&[InstanceDimension::InstanceId]);
        desired_of(Scope::Fleet, &[("provision.actions", TOPIC)], &identity, nics)
    };
    let one = of("i-1", &[nic("ens5", true)]);
    assert_eq!(one, of("i-2", &[]));
    assert_eq!(one.hash(), of("i-2", &[]).hash());
    golden::check("provision/fleet.json", &shown(&one));
    assert!(!one.alarms.iter().any(|alarm| alarm.alarm_name.contains("agent-silent")));

    // Of an Auto Scaling group, where that is a dimension: it has alarms of its own.
    let chosen = [InstanceDimension::InstanceId, InstanceDimension::AutoScalingGroupName];
    let group = Instance { auto_scaling_group: Some("web/blue".into()), ..Instance::default() };
    let group = desired_of(
        Scope::Fleet,
        &[],
        &Instance { instance_id: "i-3".into(), ..group }.identity(&chosen),
        &[],
    );
    assert!(group.owner.starts_with("fleet-VpcWatch-group-webblue-"), "{}", group.owner);
    let Measure::Metrics { queries, .. } = &group.alarms[0].measure else { panic!() };
    let query = queries[0].expression.as_deref().unwrap();
    let expected = "SELECT MAX(syn_flood_active) FROM SCHEMA(\"VpcWatch\", InstanceId, AutoScalingGroupName) \
                    WHERE AutoScalingGroupName = 'web/blue' GROUP BY InstanceId ORDER BY MAX() DESC";
    assert_eq!(query, expected);
    // A query looks three hours back and no further.
    let hourly = desired_of(Scope::Fleet, &[("publish.interval", "1h")], &instance(), &[]);
    assert!(hourly.alarms.iter().all(|alarm| alarm.evaluation_periods <= 3));
}

#[test]
fn what_is_unusual_is_an_alarm_where_it_is_wished_for() {
    let nics = [nic("ens5", false)];
    let without = desired(&[], &instance(), &nics);
    let with = desired(&[("provision.anomaly_bands", "true")], &instance(), &nics);
    let bands = Desired { alarms: with.alarms[without.alarms.len()..].to_vec(), ..with.clone() };
    golden::check("provision/anomaly_bands.json", &shown(&bands));
    assert_eq!(bands.alarms.iter().map(provision::Alarm::metrics).sum::<u32>(), 9);
    let fleet = desired_of(Scope::Fleet, &[("provision.anomaly_bands", "true")], &instance(), &nics);
    assert!(!fleet.alarms.iter().any(|alarm| alarm.alarm_name.contains("unusual")));
    assert!(desired_of(Scope::None, &[], &instance(), &nics).alarms.is_empty());
}

#[test]
fn an_access_log_has_alarms_of_its_own() {
    let log = ("web.logs", "[{ name = 'shop', files = ['/var/log/shop.log'] }]");
    let without = desired(&[], &instance(), &[]);
    let with = desired(&[log, ("web.slow", "3s")], &instance(), &[]);
    let of_log = Desired { alarms: with.alarms[without.alarms.len()..].to_vec(), ..with };
    golden::check("provision/web.json", &shown(&of_log));
    assert_eq!(of_log.alarms.iter().map(provision::Alarm::metrics).sum::<u32>(), 3);
    let fleet = desired_of(Scope::Fleet, &[log], &instance(), &[]);
    assert!(!fleet.alarms.iter().any(|alarm| alarm.alarm_name.contains("web-")));
    let essential = desired(&[log, ("metrics.set", "essential")], &instance(), &[]);
    assert!(!essential.alarms.iter().any(|alarm| alarm.alarm_name.contains("web-")));
}

#[test]
fn alarms_have_the_dimensions_of_their_metrics_to_the_letter() {
    let identity = Identity::of_host("web: 1");
    let desired = desired(&[], &identity, &[nic("eth0", false), nic("v\u{e9}th", false)]);
    for alarm in &desired.alarms {
        let looked_at = alarm.metric().unwrap();
        let metric = catalog::find(&looked_at.metric_name).unwrap();
        let names: Vec<&str> = looked_at.dimensions.iter().map(|d| d.name.as_str()).collect();
        let expected: &[&str] =
            if metric.reading.per_interface() { &["host", "interface"] } else { &["host"] };
        assert_eq!(names, expected, "{}", alarm.alarm_name);
        assert!(looked_at.dimensions.iter().all(|d| d.value.is_ascii()), "{alarm:?}");
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
    assert!(essential.alarms.iter().all(|alarm| alarm.metric().unwrap().metric_name != "net_drop_in"));
    assert!(essential.alarms.iter().any(|alarm| alarm.metric().unwrap().metric_name == "syn_flood_active"));
}

#[test]
fn a_longer_interval_makes_longer_periods() {
    let desired = desired(&[("publish.interval", "90s")], &instance(), &[]);
    assert!(desired.alarms.iter().all(|alarm| alarm.metric().unwrap().period == 120));
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
    there.alarms[0].threshold = Some(7.0);
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
    command.args(["--set", "web.logs=[{ name = 'shop', files = ['/var/log/shop.log'] }]"]);
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
