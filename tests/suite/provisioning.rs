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
        .map(|alarm| serde_json::to_value(alarm.signed(&desired.owner, &desired.tags)).unwrap())
        .collect();
    let shown = json!({ "tags": desired.tags, "alarms": alarms });
    serde_json::to_string_pretty(&shown).unwrap() + "\n"
}

/// What CloudWatch holds after everything desired was made.
fn made(desired: &Desired) -> Existing {
    Existing {
        alarms: desired.alarms.iter().map(|alarm| alarm.signed(&desired.owner, &desired.tags)).collect(),
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

/// What has to hold of names, whatever they are made of
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>, `API_PutDashboard.html`).
fn check_names(all: &[Desired]) {
    let mut alarms: Vec<&str> = Vec::new();
    for desired in all {
        for alarm in &desired.alarms {
            let name = alarm.alarm_name.as_str();
            assert!(name.chars().count() <= 255 && !name.chars().any(char::is_control), "{name}");
            // By this it is found again.
            assert!(name.starts_with(&desired.prefix()), "{name}");
            let signed = alarm.signed(&desired.owner, &desired.tags);
            assert!(signed.alarm_description.chars().count() <= 1024, "{}", signed.alarm_description);
            alarms.push(name);
        }
        // All are found again, as they are and as what nobody wants any more.
        let plan = compare(desired, &made(desired));
        assert!(plan.alarms.values().all(|change| *change == Change::Same), "{plan:?}");
        let nothing = Desired { alarms: Vec::new(), ..desired.clone() };
        let plan = compare(&nothing, &made(desired));
        assert_eq!(plan.alarms.len(), desired.alarms.len());
        assert!(plan.alarms.values().all(|change| *change == Change::Delete), "{plan:?}");
        assert!(desired.tags.iter().all(|(_, value)| value.len() <= 256));
        let dashboard = &desired.dashboard.as_ref().unwrap().name;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(dashboard.len() <= 255 && dashboard.bytes().all(allowed), "{dashboard}");
    }
    let count = alarms.len();
    alarms.sort_unstable();
    alarms.dedup();
    assert_eq!(alarms.len(), count, "two have the same name");
}

#[test]
fn names_stay_within_limits_and_apart() {
    let logs: Vec<String> = ["a", "b"]
        .map(|end| format!("{{ name = '{}{end}', files = ['/var/log/{end}.log'] }}", "l".repeat(63)))
        .to_vec();
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), format!("web.logs = [{}]\n", logs.join(", "))).unwrap();
    let config = |namespace: &str| {
        let sets = [
            ("metrics.namespace", namespace),
            ("provision.anomaly_bands", "true"),
            ("provision.tags", "team=network"),
        ];
        let sets = sets.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        Config::load(&Layers::new("/nonexistent".into(), Some(file.path().into()), sets)).unwrap()
    };
    let nics = ["fifteen-letters", "a b", "v\u{e9}th", "a\u{1}", "eth0.4094@x:y"].map(|name| nic(name, true));
    let usual = config("VpcWatch");
    let of_host = |name: &str| {
        let identity = Identity::of_host(name);
        let subject = Subject { scope: Scope::Instance, identity: &identity, interfaces: &nics };
        provision::desired(&usual.settings, &usual.wishes, &subject, "eu-west-3")
    };
    let (long, odd) = ("h".repeat(254), "\u{e9}\u{1f980}: a/b*'\"\\ ".repeat(15));
    let hosts = [
        format!("{long}1"),
        format!("{long}2"),
        format!("{odd}1"),
        format!("{odd}2"),
        "h".repeat(128),
        "h".repeat(129),
        "web: 1".into(),
        "web 1".into(),
        "web1".into(),
        "web-1".into(),
    ];
    check_names(&hosts.map(|host| of_host(&host)));

    let instance = instance();
    let of_namespace = |namespace: &str| {
        let (config, subject) =
            (config(namespace), Subject { scope: Scope::Fleet, identity: &instance, interfaces: &[] });
        provision::desired(&config.settings, &config.wishes, &subject, "ap-southeast-1")
    };
    let long = "N".repeat(254);
    let namespaces =
        [&format!("{long}1"), &format!("{long}2"), "Shop/Net", "Shop_Net", "Shop Net", "~/'\"\\"];
    let fleets = namespaces.map(of_namespace);
    check_names(&fleets);
    let mut dashboards: Vec<&str> =
        fleets.iter().map(|fleet| fleet.dashboard.as_ref().unwrap().name.as_str()).collect();
    dashboards.sort_unstable();
    dashboards.dedup();
    assert_eq!(dashboards.len(), namespaces.len(), "what shows something else is called otherwise");
}

#[test]
fn hosts_of_a_namespace_write_the_same_dashboard_whatever_they_are() {
    let of = |sets: &[(&str, &str)], identity: &Identity, scope| {
        desired_of(scope, sets, identity, &[]).dashboard.unwrap()
    };
    let group = Instance { auto_scaling_group: Some("web".into()), ..Instance::default() };
    let group = Instance { instance_id: "i-2".into(), ..group }.identity(&InstanceDimension::ALL);
    let usual = of(&[], &instance(), Scope::Instance);
    for (sets, identity) in [
        (&[][..], &group),
        (&[("metrics.set", "full"), ("publish.interval", "2m")], &Identity::of_host("web-1")),
        (&[("web.logs", "[{ name = 'shop', files = ['/var/log/shop.log'] }]")], &instance()),
    ] {
        for scope in [Scope::Instance, Scope::Fleet, Scope::None] {
            assert_eq!(of(sets, identity, scope), usual);
        }
    }
    // What cannot be shown together is another's.
    let other = of(&[("logs.findings_group", "/shop/findings")], &instance(), Scope::Instance);
    assert!(other.name != usual.name && other.body != usual.body);
}

#[test]
fn tags_that_change_alone_are_a_change_and_tags_of_others_are_not_read() {
    let of = |tags: &str| desired(&[("provision.tags", tags)], &instance(), &[]);
    let (none, one, two) = (desired(&[], &instance(), &[]), of("team=network"), of("team=network,cost=4"));
    for (wanted, there) in [(&one, &none), (&two, &one), (&one, &two), (&none, &one)] {
        let plan = compare(wanted, &made(there));
        for change in plan.alarms.values() {
            let Change::Update(fields) = change else { panic!("{change:?}") };
            assert_eq!((fields.len(), fields[0].field.as_str()), (1, "Tags"));
        }
        assert_ne!(wanted.hash(), there.hash());
    }
    let plan = compare(&two, &made(&of("cost=4,team=network")));
    assert!(plan.alarms.values().all(|change| *change == Change::Same), "their order is none");

    let aws = FakeAws::start().unwrap();
    let apply = |tags: &str| {
        agent::printed(&provision_with(&aws, &["apply"], &[&format!("provision.tags={tags}")]), 0)
    };
    let tags = || {
        let alarms = aws.alarms();
        assert!(alarms.iter().all(|alarm| alarm.tags == alarms[0].tags), "{alarms:?}");
        alarms[0].tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    apply("team=network,old=1");
    assert_eq!(tags(), "old=1 team=network vpcwatch:owner=web-1 vpcwatch:tags=team=old");
    // A person's own stays.
    for alarm in aws.alarms() {
        aws.put_alarm_as_person(&alarm.name, |alarm| alarm.tags.push(("mine".into(), "1".into())));
    }
    apply("team=security");
    assert_eq!(tags(), "mine=1 team=security vpcwatch:owner=web-1 vpcwatch:tags=team");
    let asked = aws.requests().len();
    assert!(apply("team=security").starts_with("nothing to do"));
    let later = aws.requests();
    assert!(!later[asked..].iter().any(|request| request.operation.contains("Tag")), "tags are not read");
    agent::printed(&provision_with(&aws, &["apply"], &[]), 0);
    assert_eq!(tags(), "mine=1 vpcwatch:owner=web-1");
    assert_eq!(aws.violations(), Vec::<String>::new());
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
    there.alarms.push(neighbour.signed("i-0123456789abcdef0-b", &[]));
    there.dashboard = Some(json!({ "widgets": [] }));
    let plan = compare(&now, &there);
    assert!(matches!(&plan.alarms[&now.alarms[0].alarm_name], Change::Edited(fields) if fields.len() == 1));
    assert_eq!(plan.alarms[&now.alarms[1].alarm_name], Change::Foreign);
    assert!(!plan.alarms.contains_key("vpcwatch-i-0123456789abcdef0-b-syn-flood"));
    assert_eq!(plan.dashboard.unwrap().1, Change::Foreign);
}

/// `vpcwatch provision` against the strict fake.
fn provision(aws: &FakeAws, verb: &[&str]) -> Output {
    provision_with(aws, verb, &["web.logs=[{ name = 'shop', files = ['/var/log/shop.log'] }]"])
}

fn provision_with(aws: &FakeAws, verb: &[&str], sets: &[&str]) -> Output {
    let mut command = Command::new(agent::PATH);
    command.env_clear().envs(aws.environment()).env("AWS_REGION", "eu-west-3");
    command.env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    command.arg("provision").args(verb).arg("--root").arg(fixture("kernel-6.18"));
    command.args(["--set", "identity.host=web-1"]);
    sets.iter().for_each(|set| {
        command.args(["--set", set]);
    });
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
fn a_quota_that_is_reached_is_said_and_the_rest_is_made_once_it_is_raised() {
    let aws = FakeAws::start().unwrap();
    aws.set_alarm_limit(5);
    let told = agent::printed(&provision(&aws, &["apply"]), 1);
    assert!(told.contains("LimitExceeded") && aws.alarms().len() == 5, "{told}");
    assert_eq!(
        (aws.dashboards().len(), aws.groups().len()),
        (1, 2),
        "what has no part in it is made: {told}"
    );
    aws.set_alarm_limit(5_000);
    agent::printed(&provision(&aws, &["apply"]), 0);
    assert!(agent::printed(&provision(&aws, &["apply"]), 0).starts_with("nothing to do"));
    assert_eq!(aws.violations(), Vec::<String>::new());
}

#[test]
fn topics_of_elsewhere_are_named_before_anything_is_touched() {
    for (region, topic, words) in [
        (
            "eu-west-3",
            "arn:aws:sns:us-east-1:123456789012:pager",
            Some("is of another region than eu-west-3"),
        ),
        ("eu-west-3", "arn:aws-cn:sns:eu-west-3:123456789012:pager", Some("ARNs there begin with arn:aws:")),
        (
            "cn-north-1",
            "arn:aws:sns:cn-north-1:123456789012:pager",
            Some("ARNs there begin with arn:aws-cn:"),
        ),
        ("us-gov-west-1", "arn:aws:sns:us-gov-west-1:123456789012:pager", Some("begin with arn:aws-us-gov:")),
        ("cn-north-1", "arn:aws-cn:sns:cn-north-1:123456789012:pager", None),
        ("us-gov-west-1", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:pager", None),
    ] {
        let aws = FakeAws::start().unwrap();
        let (topic, of_region) = (format!("provision.actions={topic}"), format!("aws.region={region}"));
        let output = provision_with(&aws, &["apply"], &[&topic, &of_region, "metrics.set=essential"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if let Some(words) = words {
            assert!(output.status.code() == Some(1) && told.contains(words), "{told}");
            assert_eq!(aws.requests(), []);
        } else {
            agent::printed(&output, 0);
            // Alarms of that partition, notifying a topic of it.
            assert!(aws.alarms().iter().all(|alarm| alarm.arn.contains(region)));
        }
        assert_eq!(aws.violations(), Vec::<String>::new());
    }
}

#[test]
fn a_dashboard_of_our_name_that_somebody_else_made_stays_even_by_force() {
    let aws = FakeAws::start().unwrap();
    let (name, body) = ("vpcwatch-VpcWatch-eu-west-3", "{\"widgets\": []}");
    aws.put_dashboard_as_person(name, body);
    for verb in [&["apply"][..], &["apply", "--force"], &["destroy", "--force"]] {
        let told = agent::printed(&provision_with(&aws, verb, &["metrics.set=essential"]), 0);
        assert!(told.contains(&format!("left alone: {name}: it has our name and not our mark")), "{told}");
        assert_eq!(aws.dashboards()[name], body);
    }
    assert!(aws.alarms().is_empty());
}
