//! Alarms, their tags and dashboards: what is kept, and what is refused.

use std::time::Duration;

use cloudwatch::error::ProvideErrorMetadata;
use cloudwatch::operation::put_metric_alarm::builders::PutMetricAlarmFluentBuilder;
use cloudwatch::types::{
    AlarmType, ComparisonOperator, Dimension, MetricAlarm, MetricDataQuery, StandardUnit, StateValue,
    Statistic, Tag,
};
use vpcwatch_tests::fake_aws::{Fault, Kind};

use super::{Bench, cloudwatch, refusal};

const TOPIC: &str = "arn:aws:sns:eu-west-3:123456789012:pager";
const ARN: &str = "arn:aws:cloudwatch:eu-west-3:123456789012:alarm:";
const OPERATIONS: [&str; 11] = [
    "PutMetricAlarm",
    "DescribeAlarms",
    "DeleteAlarms",
    "SetAlarmState",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
    "PutDashboard",
    "GetDashboard",
    "DeleteDashboards",
    "ListDashboards",
];

/// Without quotas a second, which only one test is about.
fn bench() -> Bench {
    let bench = Bench::new();
    for operation in OPERATIONS {
        bench.fake.set_quota(operation, 10_000);
    }
    bench
}

/// The least that an alarm must have.
fn least(bench: &Bench, name: &str) -> PutMetricAlarmFluentBuilder {
    let alarm = bench.metrics.put_metric_alarm().alarm_name(name).namespace("vpcwatch").metric_name("Load");
    let alarm = alarm.statistic(Statistic::Maximum).period(60).evaluation_periods(3).threshold(1.5);
    alarm.comparison_operator(ComparisonOperator::GreaterThanThreshold)
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}

fn put(bench: &Bench, alarm: PutMetricAlarmFluentBuilder) {
    bench.runtime.block_on(alarm.send()).unwrap();
}

fn described(bench: &Bench, name: &str) -> MetricAlarm {
    let call = bench.metrics.describe_alarms().alarm_names(name).send();
    let mut found = bench.runtime.block_on(call).unwrap().metric_alarms.unwrap();
    assert_eq!(found.len(), 1, "{name}");
    found.remove(0)
}

fn tags(bench: &Bench, name: &str) -> Vec<(String, String)> {
    let call = bench.metrics.list_tags_for_resource().resource_arn(format!("{ARN}{name}"));
    let tags = bench.runtime.block_on(call.send()).unwrap().tags.unwrap();
    tags.into_iter().map(|tag| (tag.key.unwrap(), tag.value.unwrap())).collect()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn names(bench: &Bench) -> Vec<String> {
    bench.fake.alarms().into_iter().map(|alarm| alarm.name).collect()
}

#[test]
fn an_alarm_comes_back_as_it_was_put() {
    let bench = bench();
    let before = bench.fake.now().as_second();
    let alarm = least(&bench, "full")
        .alarm_description("why, and what to do")
        .actions_enabled(false)
        .alarm_actions(TOPIC)
        .ok_actions(TOPIC)
        .insufficient_data_actions(TOPIC)
        .dimensions(dimension("b", "2"))
        .dimensions(dimension("a", "1"))
        .unit(StandardUnit::CountSecond)
        .datapoints_to_alarm(2)
        .treat_missing_data("notBreaching")
        .tags(tag("owner", "vpcwatch"));
    put(&bench, alarm);

    let found = described(&bench, "full");
    assert_eq!(found.alarm_arn(), Some(&*format!("{ARN}full")));
    assert_eq!(found.alarm_description(), Some("why, and what to do"));
    assert_eq!(found.actions_enabled(), Some(false));
    for actions in [found.alarm_actions(), found.ok_actions(), found.insufficient_data_actions()] {
        assert_eq!(actions, [TOPIC]);
    }
    assert_eq!((found.namespace(), found.metric_name()), (Some("vpcwatch"), Some("Load")));
    assert_eq!(found.dimensions(), [dimension("a", "1"), dimension("b", "2")]);
    assert_eq!((found.statistic(), found.extended_statistic()), (Some(&Statistic::Maximum), None));
    assert_eq!((found.period(), found.evaluation_periods()), (Some(60), Some(3)));
    assert_eq!((found.datapoints_to_alarm(), found.threshold()), (Some(2), Some(1.5)));
    assert_eq!(found.unit(), Some(&StandardUnit::CountSecond));
    assert_eq!(found.comparison_operator(), Some(&ComparisonOperator::GreaterThanThreshold));
    assert_eq!(found.treat_missing_data(), Some("notBreaching"));
    assert_eq!(found.state_value(), Some(&StateValue::InsufficientData));
    for time in [found.alarm_configuration_updated_timestamp(), found.state_updated_timestamp()] {
        assert!((before..before + 60).contains(&time.unwrap().secs()));
    }
    let kept = &bench.fake.alarms()[0];
    assert_eq!((kept.name.as_str(), kept.tags.as_slice()), ("full", [pair("owner", "vpcwatch")].as_slice()));

    let percentile = least(&bench, "percentile").set_statistic(None).extended_statistic("p99.9");
    put(&bench, percentile.evaluate_low_sample_count_percentile("ignore").period(10));
    let found = described(&bench, "percentile");
    assert_eq!((found.statistic(), found.extended_statistic()), (None, Some("p99.9")));
    assert_eq!(found.evaluate_low_sample_count_percentile(), Some("ignore"));
    assert_eq!((found.actions_enabled(), found.period()), (Some(true), Some(10)));
    assert_eq!((found.unit(), found.treat_missing_data(), found.datapoints_to_alarm()), (None, None, None));
    assert_eq!(bench.fake.violations(), [""; 0]);
}

#[test]
fn a_second_put_replaces_all_but_tags_and_state() {
    let bench = bench();
    put(&bench, least(&bench, "a").alarm_description("old").alarm_actions(TOPIC).tags(tag("kept", "1")));
    let call = bench.metrics.set_alarm_state().alarm_name("a").state_value(StateValue::Alarm);
    bench.runtime.block_on(call.state_reason("drill").state_reason_data("{}").send()).unwrap();
    put(&bench, least(&bench, "a").threshold(2.0).tags(tag("ignored", "2")));
    let found = described(&bench, "a");
    assert_eq!((found.threshold(), found.alarm_description()), (Some(2.0), None));
    assert_eq!(found.alarm_actions(), [""; 0]);
    assert_eq!((found.state_value(), found.state_reason()), (Some(&StateValue::Alarm), Some("drill")));
    assert_eq!(found.state_reason_data(), Some("{}"));
    assert_eq!(tags(&bench, "a"), [pair("kept", "1")]);
}

#[test]
fn tags_are_added_replaced_and_removed() {
    let bench = bench();
    put(&bench, least(&bench, "a").tags(tag("a", "1")).tags(tag("b", "2")));
    let tagged = |arn: &str, tags: Vec<Tag>| {
        let call = bench.metrics.tag_resource().resource_arn(arn).set_tags(Some(tags));
        bench.runtime.block_on(call.send())
    };
    let arn = format!("{ARN}a");
    tagged(&arn, vec![tag("b", "3"), tag("c", "")]).unwrap();
    let call = bench.metrics.untag_resource().resource_arn(&arn).tag_keys("a").tag_keys("absent");
    bench.runtime.block_on(call.send()).unwrap();
    assert_eq!(tags(&bench, "a"), [pair("b", "3"), pair("c", "")]);

    let error = tagged(&format!("{ARN}absent"), vec![tag("a", "1")]).unwrap_err();
    assert_eq!((refusal(&error).0, refusal(&error).1), (404, "ResourceNotFoundException"));
    assert!(error.as_service_error().unwrap().is_resource_not_found_exception());
    assert_eq!(bench.fake.violations(), [""; 0]);
    let many = (0..49).map(|n| tag(&n.to_string(), "")).collect();
    for bad in [many, vec![tag("aws:a", "1")], vec![tag("", "1")], vec![tag("a", "1"), tag("a", "2")]] {
        let error = tagged(&arn, bad).unwrap_err();
        assert!(error.as_service_error().unwrap().is_invalid_parameter_value_exception(), "{error:?}");
    }
    assert_eq!(tags(&bench, "a").len(), 2);
}

#[test]
fn alarms_come_in_pages() {
    let bench = bench();
    for n in 0..7 {
        put(&bench, least(&bench, &format!("a-{n}")));
    }
    put(&bench, least(&bench, "b"));
    let (mut pages, mut token) = (Vec::new(), None);
    loop {
        let call = bench.metrics.describe_alarms().alarm_name_prefix("a-").max_records(3);
        let page = bench.runtime.block_on(call.set_next_token(token).send()).unwrap();
        let found = page.metric_alarms.unwrap_or_default();
        pages.push(found.into_iter().filter_map(|alarm| alarm.alarm_name).collect::<Vec<String>>());
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec!["a-0", "a-1", "a-2"], vec!["a-3", "a-4", "a-5"], vec!["a-6"]]);

    let call = bench.metrics.describe_alarms().alarm_types(AlarmType::CompositeAlarm);
    let composite = bench.runtime.block_on(call.send()).unwrap();
    assert_eq!((composite.metric_alarms().len(), composite.next_token()), (0, None));
    assert_eq!(bench.fake.violations(), [""; 0]);

    let call = bench.metrics.describe_alarms().next_token("nonsense");
    let error = bench.runtime.block_on(call.send()).unwrap_err();
    assert!(error.as_service_error().unwrap().is_invalid_next_token());
    for bad in [
        bench.metrics.describe_alarms().max_records(101),
        bench.metrics.describe_alarms().max_records(0),
        bench.metrics.describe_alarms().alarm_names("a").alarm_name_prefix("a"),
        bench.metrics.describe_alarms().set_alarm_names(Some(vec!["a".into(); 101])),
    ] {
        bench.runtime.block_on(bad.send()).unwrap_err();
    }
}

#[test]
fn names_of_alarms_that_are_absent_are_passed_over_in_deletion() {
    let bench = bench();
    for name in ["a", "b", "c"] {
        put(&bench, least(&bench, name));
    }
    let delete = |names: Vec<String>| {
        bench.runtime.block_on(bench.metrics.delete_alarms().set_alarm_names(Some(names)).send())
    };
    delete(vec!["a".into(), "absent".into(), "c".into()]).unwrap();
    assert_eq!(names(&bench), ["b"]);
    assert_eq!(refusal(&delete(vec!["b".into(); 101]).unwrap_err()).1, "ValidationError");
    assert_eq!(names(&bench), ["b"]);
}

#[test]
fn the_state_of_an_absent_alarm_cannot_be_set() {
    let bench = bench();
    let set = |name: &str, data: &str| {
        let call = bench.metrics.set_alarm_state().alarm_name(name).state_value(StateValue::Ok);
        bench.runtime.block_on(call.state_reason("drill").state_reason_data(data).send())
    };
    let error = set("absent", "{}").unwrap_err();
    assert_eq!((refusal(&error).0, refusal(&error).1), (404, "ResourceNotFound"));
    assert!(error.as_service_error().unwrap().is_resource_not_found());
    assert_eq!(bench.fake.violations(), [""; 0]);
    assert!(set("absent", "{").unwrap_err().as_service_error().unwrap().is_invalid_format_fault());
}

#[test]
fn each_rule_of_an_alarm_refuses_it() {
    let bench = bench();
    let alarm = || least(&bench, "a");
    let topic = |region: &str| format!("arn:aws:sns:{region}:123456789012:pager");
    let six = (0..6).map(|n| format!("{TOPIC}{n}")).collect();
    let cases = vec![
        ("alarmName", alarm().alarm_name("")),
        ("alarmName", alarm().alarm_name("n".repeat(256))),
        ("control", alarm().alarm_name("a\nb")),
        ("alarmDescription", alarm().alarm_description("d".repeat(1_025))),
        ("AlarmName is required", alarm().set_alarm_name(None)),
        ("Namespace is required", alarm().set_namespace(None)),
        ("MetricName is required", alarm().set_metric_name(None)),
        ("evaluationPeriods", alarm().evaluation_periods(0)),
        ("EvaluationPeriods is required", alarm().set_evaluation_periods(None)),
        ("DatapointsToAlarm must be less than or equal", alarm().datapoints_to_alarm(4)),
        ("datapointsToAlarm", alarm().datapoints_to_alarm(0)),
        ("Period must be", alarm().period(0)),
        ("Period must be", alarm().period(40)),
        ("Period must be", alarm().period(90)),
        ("Period is required", alarm().set_period(None)),
        ("more than a day", alarm().period(300).evaluation_periods(289)),
        ("more than seven days", alarm().period(3_600).evaluation_periods(169)),
        ("Exactly one", alarm().set_statistic(None)),
        ("mutually exclusive", alarm().extended_statistic("p99")),
        ("at 'statistic'", alarm().statistic("Median".into())),
        ("ExtendedStatistic is invalid", alarm().set_statistic(None).extended_statistic("p101")),
        ("Threshold is required", alarm().set_threshold(None)),
        ("Threshold must", alarm().threshold(f64::NAN)),
        ("ComparisonOperator is required", alarm().set_comparison_operator(None)),
        ("comparisonOperator", alarm().comparison_operator("Above".into())),
        ("treatMissingData", alarm().treat_missing_data("notbreaching")),
        ("only for percentiles", alarm().evaluate_low_sample_count_percentile("ignore")),
        ("at 'unit'", alarm().unit("Apples".into())),
        ("AlarmActions must not have more than 5", alarm().set_alarm_actions(Some(six))),
        ("Invalid arn syntax: pager", alarm().alarm_actions("pager")),
        (
            "Invalid region us-east-1 specified. Only eu-west-3 is supported.",
            alarm().ok_actions(topic("us-east-1")),
        ),
        (
            "Invalid partition aws-cn specified. Only aws is supported.",
            alarm().insufficient_data_actions("arn:aws-cn:sns:cn-north-1:123456789012:pager"),
        ),
        ("no actions of sqs", alarm().alarm_actions("arn:aws:sqs:eu-west-3:123456789012:queue")),
        ("twice", alarm().alarm_actions(TOPIC).alarm_actions(TOPIC)),
        ("same dimension", alarm().dimensions(dimension("a", "1")).dimensions(dimension("a", "2"))),
        ("dimensions.member.value", alarm().dimensions(dimension("a", ""))),
        ("50 tags", alarm().set_tags(Some((0..51).map(|n| tag(&n.to_string(), "")).collect()))),
    ];
    for (n, (part, bad)) in cases.into_iter().enumerate() {
        let error = bench.runtime.block_on(bad.send()).unwrap_err();
        let (status, code, message) = refusal(&error);
        assert_eq!((status, code), (400, "ValidationError"), "{n}: {message}");
        assert!(message.contains(part), "{n}, {part}: {message}");
        assert_eq!(bench.fake.violations().len(), n + 1);
    }
    let both = alarm().metrics(MetricDataQuery::builder().id("m").expression("SELECT 1").build());
    let error = bench.runtime.block_on(both.send()).unwrap_err();
    assert!(refusal(&error).2.contains("beside Metrics"), "{error:?}");
    assert_eq!(bench.fake.alarms(), []);

    put(&bench, least(&bench, &"n".repeat(255)).alarm_description("d".repeat(1_024)).datapoints_to_alarm(3));
    put(&bench, alarm().period(3_600).evaluation_periods(168));
    put(&bench, alarm().period(300).evaluation_periods(288));
    assert_eq!(bench.fake.alarms().len(), 2);
}

#[test]
fn a_new_alarm_beyond_the_limit_is_refused() {
    let bench = bench();
    bench.fake.set_alarm_limit(1);
    put(&bench, least(&bench, "a"));
    put(&bench, least(&bench, "a").threshold(3.0));
    let error = bench.runtime.block_on(least(&bench, "b").send()).unwrap_err();
    assert_eq!(refusal(&error).1, "LimitExceeded");
    assert!(error.as_service_error().unwrap().is_limit_exceeded_fault());
    assert_eq!(names(&bench), ["a"]);
    assert_eq!(bench.fake.violations(), [""; 0]);
}

#[test]
fn a_quota_of_provisioning_may_be_met_without_fault() {
    let bench = Bench::new();
    let sent = (0..4).map(|_| bench.runtime.block_on(least(&bench, "a").send()));
    let refused: Vec<String> =
        sent.filter_map(|sent| Some(sent.err()?.code().unwrap_or_default().to_owned())).collect();
    assert_eq!(refused, ["Throttling"]);
    assert_eq!((bench.fake.over_quota("PutMetricAlarm"), bench.fake.over_quota("DeleteAlarms")), (1, 0));
    assert_eq!(bench.fake.violations(), [""; 0]);
    std::thread::sleep(Duration::from_secs(1));
    put(&bench, least(&bench, "a"));
}

#[test]
fn one_operation_can_be_denied() {
    let bench = bench();
    bench.fake.fault(Fault::always("PutMetricAlarm", Kind::Deny));
    bench.fake.fault(Fault::always("DescribeAlarms", Kind::Deny));
    bench.fake.fault(Fault::always("GetDashboard", Kind::Deny));
    let error = bench.runtime.block_on(least(&bench, "a").send()).unwrap_err();
    let (status, code, message) = refusal(&error);
    assert_eq!((status, code), (403, "AccessDenied"));
    let words = format!("perform: cloudwatch:PutMetricAlarm on resource: {ARN}a because");
    assert!(message.contains(&words), "{message}");
    let error = bench.runtime.block_on(bench.metrics.describe_alarms().send()).unwrap_err();
    assert!(refusal(&error).2.contains(&format!("on resource: {ARN}* because")), "{error:?}");
    let error = bench.runtime.block_on(bench.metrics.get_dashboard().dashboard_name("d").send()).unwrap_err();
    assert!(refusal(&error).2.contains("on resource: arn:aws:cloudwatch::123456789012:dashboard/d because"));
    bench.runtime.block_on(bench.metrics.list_dashboards().send()).unwrap();
}

#[test]
fn a_person_changes_and_removes_what_there_is() {
    let bench = bench();
    put(&bench, least(&bench, "a"));
    assert!(bench.fake.put_alarm_as_person("a", |alarm| alarm.threshold = Some(9.0)));
    assert_eq!(described(&bench, "a").threshold(), Some(9.0));
    assert!(bench.fake.remove_alarm("a") && !bench.fake.remove_alarm("a"));
    assert!(!bench.fake.put_alarm_as_person("a", |_| ()));
    bench.fake.put_dashboard_as_person("d", "{}");
    assert_eq!(bench.fake.dashboards()["d"], "{}");
}

#[test]
fn dashboards_are_put_listed_and_deleted() {
    let bench = bench();
    let body =
        r##"{"widgets":[{"type":"text","x":0,"y":0,"width":24,"height":2,"properties":{"markdown":"#"}}]}"##;
    let put = |name: &str, body: &str| {
        let call = bench.metrics.put_dashboard().dashboard_name(name).dashboard_body(body);
        bench.runtime.block_on(call.send())
    };
    let get = |name: &str| bench.runtime.block_on(bench.metrics.get_dashboard().dashboard_name(name).send());
    let delete = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let call = bench.metrics.delete_dashboards().set_dashboard_names(Some(names));
        bench.runtime.block_on(call.send())
    };
    for name in ["a-1", "a-2", "b"] {
        assert_eq!(put(name, body).unwrap().dashboard_validation_messages(), []);
    }
    let found = get("a-1").unwrap();
    assert_eq!((found.dashboard_name(), found.dashboard_body()), (Some("a-1"), Some(body)));
    assert_eq!(found.dashboard_arn(), Some("arn:aws:cloudwatch::123456789012:dashboard/a-1"));
    let call = bench.metrics.list_dashboards().dashboard_name_prefix("a-");
    let listed = bench.runtime.block_on(call.send()).unwrap();
    let entries = listed.dashboard_entries();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (entries[1].dashboard_name(), entries[1].size()),
        (Some("a-2"), i64::try_from(body.len()).ok())
    );
    assert!((bench.fake.now().as_second() - entries[0].last_modified().unwrap().secs()).abs() < 60);

    assert!(get("absent").unwrap_err().as_service_error().unwrap().is_dashboard_not_found_error());
    let error = delete(&["a-1", "absent"]).unwrap_err();
    assert_eq!((refusal(&error).0, refusal(&error).1), (404, "ResourceNotFound"));
    assert_eq!(bench.fake.dashboards().len(), 3, "all or none");
    assert_eq!(bench.fake.violations(), [""; 0]);
    delete(&["a-1", "b"]).unwrap();
    assert_eq!(bench.fake.dashboards().into_keys().collect::<Vec<String>>(), ["a-2"]);

    let many = format!(r#"{{"widgets":[{}]}}"#, vec![r#"{"type":"text","properties":{}}"#; 501].join(","));
    for (name, bad) in [
        ("", body),
        ("a b", body),
        (&*"n".repeat(256), body),
        ("c", "{"),
        ("c", "[]"),
        ("c", "{}"),
        ("c", r#"{"widgets":[{}]}"#),
        ("c", r#"{"widgets":[{"type":"text","width":25,"properties":{}}]}"#),
        ("c", &many),
    ] {
        let error = put(name, bad).unwrap_err();
        assert_eq!(refusal(&error).1, "InvalidParameterInput", "{name} {bad:.40}");
        assert!(error.as_service_error().unwrap().is_dashboard_invalid_input_error());
    }
    assert_eq!(bench.fake.dashboards().len(), 1);
}
