//! `PutMetricData`: what is kept, and what is refused.

use cloudwatch::operation::put_metric_data::PutMetricDataError;
use cloudwatch::primitives::DateTime;
use cloudwatch::types::{Dimension, MetricDatum, StandardUnit, StatisticSet};
use vpcwatch_tests::fake_aws::{Statistics, StoredDatum};

use super::{Bench, DAY, HOUR, cloudwatch, datum, named, refusal};

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}

fn numbers(count: u32) -> Vec<f64> {
    (0..count).map(f64::from).collect()
}

#[test]
fn a_datum_is_kept_as_it_was_sent() {
    let bench = Bench::new();
    let time = bench.fake.now().as_millisecond() - 60_001;
    let full = named("Load")
        .dimensions(dimension("b", "2"))
        .dimensions(dimension("a", "1"))
        .timestamp(DateTime::from_millis(time))
        .set_values(Some(vec![0.5, 2.0]))
        .set_counts(Some(vec![3.0, 1.0]))
        .unit(StandardUnit::CountSecond)
        .storage_resolution(1)
        .build();
    let set = StatisticSet::builder().sample_count(2.0).sum(5.0).minimum(1.0).maximum(4.0).build();
    bench.put(vec![full, named("Set").statistic_values(set).timestamp(bench.time(0)).build()]).unwrap();
    bench.put(vec![datum(-7.0)]).unwrap();

    let kept = bench.fake.metrics();
    let expected = StoredDatum {
        request: 0,
        namespace: "vpcwatch".into(),
        name: "Load".into(),
        dimensions: vec![("a".into(), "1".into()), ("b".into(), "2".into())],
        timestamp_ms: time,
        values: vec![(0.5, 3.0), (2.0, 1.0)],
        statistics: None,
        unit: Some("Count/Second".into()),
        resolution: 1,
    };
    assert_eq!(kept[0], expected);
    assert_eq!(kept[1].statistics, Some(Statistics { samples: 2.0, sum: 5.0, minimum: 1.0, maximum: 4.0 }));
    assert_eq!(
        (kept[2].request, kept[2].values.as_slice(), kept[2].resolution),
        (1, [(-7.0, 1.0)].as_slice(), 60)
    );
    let sums = bench.fake.sums();
    assert_eq!((sums["Load"].data, sums["Load"].samples, sums["Load"].sum), (2, 5.0, -3.5));
    assert_eq!((sums["Set"].samples, sums["Set"].sum), (2.0, 5.0));

    let requests = bench.fake.requests();
    let first = &requests[0];
    assert_eq!((first.operation.as_str(), first.status, first.records), ("PutMetricData", Some(200), 2));
    assert!(first.applied && !first.gzip && first.bytes > 100);
    assert_eq!(first.access_key.as_deref(), Some("AKIAEXAMPLE"));
    assert_eq!(bench.fake.totals().data, 3);
    assert_eq!(bench.fake.violations(), [""; 0]);
}

#[test]
fn the_largest_of_everything_is_accepted() {
    let bench = Bench::new();
    let dimensions = (0..30).map(|n| dimension(&format!("{n:0255}"), &"v".repeat(1_024)));
    let largest = named(&"n".repeat(255))
        .set_dimensions(Some(dimensions.collect()))
        .set_values(Some(numbers(150)))
        .timestamp(bench.time(5 - 14 * DAY))
        .build();
    let edges = named("edge").set_values(Some(vec![2f64.powi(360), -2f64.powi(360)]));
    bench.put_in(&"s".repeat(255), vec![largest, edges.timestamp(bench.time(2 * HOUR - 5)).build()]).unwrap();
    bench.put(vec![datum(1.0); 1_000]).unwrap();
    assert_eq!(bench.fake.metrics().len(), 1_002);
    assert!(bench.fake.requests()[1].gzip, "the client compresses a large body");
    assert_eq!(bench.fake.violations(), [""; 0]);
}

#[test]
fn each_limit_of_a_datum_refuses_the_request() {
    let bench = Bench::new();
    let with = |dimensions: Vec<Dimension>| named("Load").value(1.0).set_dimensions(Some(dimensions)).build();
    let of = |values: &[f64]| named("Load").set_values(Some(values.to_vec()));
    let set = StatisticSet::builder().sample_count(1.0).sum(1.0).minimum(1.0).maximum(1.0).build();
    let contradiction = StatisticSet::builder().sample_count(1.0).sum(1.0).minimum(2.0).maximum(1.0).build();
    let at = |from_now| named("Load").value(1.0).timestamp(bench.time(from_now)).build();
    let cases = [
        ("Values must not have a size", "InvalidParameterValue", of(&numbers(151)).build()),
        ("same size", "InvalidParameterValue", of(&[1.0, 2.0]).counts(1.0).build()),
        ("twice", "InvalidParameterValue", of(&[1.0, 1.0]).build()),
        ("above zero", "InvalidParameterValue", of(&[1.0]).counts(0.0).build()),
        ("not be empty", "InvalidParameterValue", of(&[]).build()),
        ("value NaN", "InvalidParameterValue", datum(f64::NAN)),
        ("value inf", "InvalidParameterValue", datum(f64::INFINITY)),
        ("Value is invalid", "InvalidParameterValue", datum(2f64.powi(361))),
        ("Values.member.2 is invalid", "InvalidParameterValue", of(&[1.0, -2f64.powi(361)]).build()),
        ("At least one", "InvalidParameterCombination", named("Load").build()),
        ("exclusive", "InvalidParameterCombination", of(&[1.0]).value(1.0).build()),
        ("exclusive", "InvalidParameterCombination", of(&[1.0]).statistic_values(set).build()),
        ("contradicts", "InvalidParameterValue", named("Load").statistic_values(contradiction).build()),
        ("MetricName is required", "MissingParameter", MetricDatum::builder().value(1.0).build()),
        ("it is empty", "InvalidParameterValue", named("").value(1.0).build()),
        ("it is too long", "InvalidParameterValue", named(&"n".repeat(256)).value(1.0).build()),
        ("printable ASCII", "InvalidParameterValue", named("Größe").value(1.0).build()),
        (
            "Dimensions must not",
            "InvalidParameterValue",
            with((0..31).map(|n| dimension(&n.to_string(), "v")).collect()),
        ),
        ("begins with a colon", "InvalidParameterValue", with(vec![dimension(":a", "v")])),
        ("it is too long", "InvalidParameterValue", with(vec![dimension(&"n".repeat(256), "v")])),
        ("it is too long", "InvalidParameterValue", with(vec![dimension("a", &"v".repeat(1_025))])),
        ("it is empty", "InvalidParameterValue", with(vec![dimension("a", "")])),
        ("it is blank", "InvalidParameterValue", with(vec![dimension("a", "  ")])),
        ("printable ASCII", "InvalidParameterValue", with(vec![dimension("a", "v\n")])),
        (
            "same dimension name twice",
            "InvalidParameterValue",
            with(vec![dimension("a", "1"), dimension("a", "2")]),
        ),
        ("past two weeks", "InvalidParameterValue", at(-5 - 14 * DAY)),
        ("in the future", "InvalidParameterValue", at(5 + 2 * HOUR)),
        ("Unit is invalid", "InvalidParameterValue", named("Load").value(1.0).unit("Apples".into()).build()),
        (
            "StorageResolution",
            "InvalidParameterValue",
            named("Load").value(1.0).storage_resolution(5).build(),
        ),
    ];
    for (n, (part, code, bad)) in cases.iter().enumerate() {
        let error = bench.put(vec![datum(1.0), bad.clone()]).unwrap_err();
        let (status, found, message) = refusal(&error);
        assert_eq!((status, found), (400, *code), "{n}: {message}");
        assert!(message.contains(part), "{n}: {message}");
        assert!(message.contains("member.2") || message.starts_with("No metric"), "{n}: {message}");
        let typed = match error.as_service_error().unwrap() {
            PutMetricDataError::InvalidParameterValueException(_) => "InvalidParameterValue",
            PutMetricDataError::InvalidParameterCombinationException(_) => "InvalidParameterCombination",
            PutMetricDataError::MissingRequiredParameterException(_) => "MissingParameter",
            _ => "",
        };
        assert_eq!(typed, *code, "{n}");
        assert_eq!(bench.fake.violations().len(), n + 1);
    }
    assert_eq!(bench.fake.metrics(), []);
    let message = bench.put(vec![datum(f64::NAN), datum(1.0), datum(f64::NAN)]).unwrap_err();
    assert_eq!(
        refusal(&message).2,
        "The value NaN for parameter MetricData.member.1.Value is invalid.\n\
         The value NaN for parameter MetricData.member.3.Value is invalid."
    );
}

#[test]
fn each_limit_of_a_request_refuses_it() {
    let bench = Bench::new();
    let put = |namespace: &str, data| bench.put_in(namespace, data).unwrap_err();
    for namespace in ["", " ", ":x", "AWS/EC2", "Größe", &"s".repeat(256)] {
        let error = put(namespace, vec![datum(1.0)]);
        assert_eq!(refusal(&error).1, "InvalidParameterValue", "{namespace}");
    }
    assert_eq!(refusal(&put("vpcwatch", vec![])).1, "MissingParameter");
    let error = put("vpcwatch", vec![datum(1.0); 1_001]);
    assert_eq!(refusal(&error).2, "The collection MetricData must not have a size greater than 1000.");

    let data = |value_length| {
        let dimensions = (0..10).map(|n| dimension(&n.to_string(), &"v".repeat(value_length))).collect();
        vec![named("Load").value(1.0).set_dimensions(Some(dimensions)).build(); 110]
    };
    bench.put(data(1_000)).unwrap(); // large, but compressed by the client
    let uncompressed = cloudwatch::config::Config::builder().disable_request_compression(true);
    let call = bench.metrics.put_metric_data().namespace("vpcwatch").set_metric_data(Some(data(1_000)));
    let error = bench.runtime.block_on(call.customize().config_override(uncompressed).send()).unwrap_err();
    assert_eq!((refusal(&error).0, refusal(&error).1), (413, "RequestEntityTooLarge"));
    assert_eq!(bench.fake.metrics().len(), 110);
    assert_eq!(bench.fake.violations().len(), 9);
}

#[test]
fn counting_keeps_sums_and_no_data() {
    let bench = Bench::new();
    bench.fake.count_only();
    bench.put(vec![datum(1.0), datum(2.5)]).unwrap();
    assert_eq!(bench.fake.metrics(), []);
    assert_eq!((bench.fake.sums()["Load"].data, bench.fake.sums()["Load"].sum), (2, 3.5));
    assert_eq!(bench.fake.totals().data, 2);
}
