//! The evaluator of alarms against the tables of
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html>.

use jiff::Timestamp;
use vpcwatch_tests::alarm_evaluator::{Arrival, Change, Habits, Metrics, Missing, State, judge};
use vpcwatch_tests::fake_aws::{StoredAlarm, StoredDatum, StoredQuery, StoredStat};

use State::{Alarm, InsufficientData, Ok};

/// `0` does not breach, `X` does, `-` is missing; the most recent stands to the right.
fn range(text: &str) -> Vec<Option<bool>> {
    let period = |c| match c {
        '0' => Some(false),
        'X' => Some(true),
        _ => None,
    };
    text.split(' ').map(|word| period(word.chars().next().unwrap())).collect()
}

/// Of `missing`, `ignore`, `breaching` and `notBreaching`; with `ignore`, none where the state is retained.
type Row = (&'static str, [Option<State>; 4]);

const RETAIN: Option<State> = None;
const OK: Option<State> = Some(Ok);
const ALARM: Option<State> = Some(Alarm);
const INSUFFICIENT: Option<State> = Some(InsufficientData);

fn check(datapoints: usize, rows: &[Row]) {
    let ways = [Missing::Missing, Missing::Ignore, Missing::Breaching, Missing::NotBreaching];
    for (text, expected) in rows {
        for (missing, expected) in ways.into_iter().zip(expected) {
            for now in [Ok, Alarm, InsufficientData] {
                let state = judge(&range(text), datapoints, 3, missing, now);
                assert_eq!(state, expected.unwrap_or(now), "{datapoints} of 3, {text}, {missing:?}, {now:?}");
            }
        }
    }
}

#[test]
fn three_of_three_as_the_page_has_it() {
    check(
        3,
        &[
            ("0 - X - X", [OK, OK, OK, OK]),
            ("0 - - - -", [OK, OK, OK, OK]),
            ("- - - - -", [INSUFFICIENT, RETAIN, ALARM, OK]),
            ("0 X X - X", [ALARM, ALARM, ALARM, ALARM]),
            ("- - X - -", [ALARM, RETAIN, ALARM, OK]),
            // Of the text below the table: not yet.
            ("- - - - X", [INSUFFICIENT, RETAIN, ALARM, OK]),
            ("- - - X -", [INSUFFICIENT, RETAIN, ALARM, OK]),
            // Without gaps the two oldest do not matter.
            ("X X 0 X X", [OK, OK, OK, OK]),
            ("0 0 X X X", [ALARM, ALARM, ALARM, ALARM]),
        ],
    );
}

#[test]
fn two_of_three_as_the_page_has_it() {
    check(
        2,
        &[
            ("0 - X - X", [ALARM, ALARM, ALARM, ALARM]),
            ("0 0 X 0 X", [ALARM, ALARM, ALARM, ALARM]),
            ("0 - X - -", [OK, OK, ALARM, OK]),
            ("- - - - 0", [OK, OK, ALARM, OK]),
            ("- - - X -", [ALARM, RETAIN, ALARM, OK]),
            ("- - - - X", [INSUFFICIENT, RETAIN, ALARM, OK]),
            ("X X 0 0 0", [OK, OK, OK, OK]),
        ],
    );
}

const BEGIN: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(BEGIN + second).unwrap()
}

fn datum(name: &str, of: &[(&str, &str)], minute: i64, values: &[(f64, f64)]) -> StoredDatum {
    StoredDatum {
        request: 0,
        namespace: "N".into(),
        name: name.into(),
        dimensions: of.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        timestamp_ms: (BEGIN + minute * 60) * 1000,
        values: values.to_vec(),
        statistics: None,
        unit: None,
        resolution: 60,
    }
}

fn arrival(second: i64, datum: StoredDatum) -> Arrival {
    Arrival { at: at(second), datum }
}

fn alarm(statistic: &str, comparison: &str, threshold: f64) -> StoredAlarm {
    StoredAlarm {
        name: "a".into(),
        arn: String::new(),
        description: None,
        actions_enabled: true,
        ok_actions: Vec::new(),
        alarm_actions: Vec::new(),
        insufficient_data_actions: Vec::new(),
        metric_name: "m".into(),
        namespace: "N".into(),
        statistic: Some(statistic.into()),
        extended_statistic: None,
        dimensions: vec![("host".into(), "h".into())],
        period: 60,
        queries: Vec::new(),
        threshold_metric_id: None,
        unit: None,
        evaluation_periods: 1,
        datapoints_to_alarm: None,
        threshold: Some(threshold),
        comparison_operator: comparison.into(),
        treat_missing_data: Some("notBreaching".into()),
        evaluate_low_sample_count_percentile: None,
        tags: Vec::new(),
        state: String::new(),
        state_reason: String::new(),
        state_reason_data: None,
        state_updated: Timestamp::UNIX_EPOCH,
        updated: Timestamp::UNIX_EPOCH,
    }
}

fn changes(alarm: &StoredAlarm, data: Vec<Arrival>, habits: Habits, minutes: i64) -> Vec<(i64, State)> {
    let changes = Metrics::new(data).changes(alarm, habits, at(0), at(minutes * 60)).unwrap();
    changes.into_iter().map(|Change { at, to }| (at.as_second() - BEGIN, to)).collect()
}

/// What a period's value is, looked at through thresholds around it.
#[track_caller]
fn check_value(statistic: &str, expected: f64) {
    let values = [(1.0, 90.0), (5.0, 9.0), (200.0, 1.0)];
    let data = vec![arrival(61, datum("m", &[("host", "h")], 0, &values))];
    for (comparison, threshold, breaches) in [
        ("GreaterThanOrEqualToThreshold", expected, true),
        ("GreaterThanOrEqualToThreshold", expected + 0.01, false),
        ("GreaterThanThreshold", expected - 0.01, true),
        ("GreaterThanThreshold", expected, false),
        ("LessThanThreshold", expected + 0.01, true),
        ("LessThanThreshold", expected, false),
        ("LessThanOrEqualToThreshold", expected, true),
        ("LessThanOrEqualToThreshold", expected - 0.01, false),
    ] {
        let habits = Habits { second: 2, ..Habits::default() };
        let changes = changes(&alarm(statistic, comparison, threshold), data.clone(), habits, 2);
        assert_eq!(changes.contains(&(62, Alarm)), breaches, "{statistic} {comparison} {threshold}");
    }
}

#[test]
fn statistics_and_comparisons() {
    check_value("SampleCount", 100.0);
    check_value("Sum", 335.0);
    check_value("Average", 3.35);
    check_value("Minimum", 1.0);
    check_value("Maximum", 200.0);
    check_value("p50", 1.0);
    check_value("p99", 5.0);
    check_value("p99.9", 200.0);
}

#[test]
fn what_is_not_there_yet_is_not_seen_and_the_last_points_are_looked_at_again() {
    let is_on = alarm("Maximum", "GreaterThanOrEqualToThreshold", 1.0);
    let data = vec![arrival(70, datum("m", &[("host", "h")], 0, &[(1.0, 1.0)]))];
    let with = |further, second| changes(&is_on, data.clone(), Habits { further, second }, 20);
    assert_eq!(with(0, 0), [(0, Ok)], "it came when its minute was no longer looked at");
    assert_eq!(with(0, 15), [(15, Ok), (75, Alarm), (135, Ok)]);
    assert_eq!(with(2, 0), [(0, Ok), (120, Alarm), (240, Ok)]);
    assert_eq!(with(10, 0), [(0, Ok), (120, Alarm), (720, Ok)]);
}

#[test]
fn another_dimension_is_another_metric() {
    let is_on = alarm("Maximum", "GreaterThanOrEqualToThreshold", 1.0);
    for of in [&[("host", "i")][..], &[("host", "h"), ("interface", "eth0")], &[]] {
        let data = vec![arrival(10, datum("m", of, 0, &[(1.0, 1.0)]))];
        assert_eq!(changes(&is_on, data, Habits::default(), 5), [(0, Ok)], "{of:?}");
    }
}

#[test]
fn a_longer_period_is_of_its_minutes_together() {
    let two = StoredAlarm { period: 120, ..alarm("Sum", "GreaterThanOrEqualToThreshold", 2.0) };
    let one = |minute| arrival(minute * 60 + 30, datum("m", &[("host", "h")], minute, &[(1.0, 1.0)]));
    let habits = Habits { further: 0, second: 0 };
    assert_eq!(changes(&two, vec![one(3), one(4)], habits, 9), [(0, Ok), (300, Alarm), (360, Ok)]);
}

fn query(id: &str, expression: Option<&str>, metric: Option<&str>) -> StoredQuery {
    let stat = metric.map(|name| StoredStat {
        namespace: "N".into(),
        metric_name: name.into(),
        dimensions: vec![("host".into(), "h".into())],
        period: 60,
        stat: "Sum".into(),
    });
    let is_result = expression.is_some();
    StoredQuery {
        id: id.into(),
        expression: expression.map(str::to_owned),
        stat,
        period: Some(60).filter(|_| metric.is_none()),
        label: None,
        return_data: is_result,
    }
}

#[test]
fn metric_math() {
    // Both in the first minute, the second alone in the next.
    let of = [("host", "h")];
    let data = vec![
        arrival(1, datum("a", &of, 0, &[(6.0, 1.0)])),
        arrival(1, datum("b", &of, 0, &[(10.0, 2.0)])),
        arrival(1, datum("b", &of, 1, &[(10.0, 2.0)])),
    ];
    for (expression, breaching) in [
        ("100 * a / b", &[60][..]),
        ("100 * FILL(a, 30) / b", &[60, 120]),
        ("IF(b >= 20, 100 * FILL(a, 30) / b, 0)", &[60, 120]),
        ("IF(b > 20, 100 * FILL(a, 30) / b, 0)", &[]),
        ("a - (2 + 1) * 2 + 30", &[60]),
        ("b - 2 - 2 - 2 + 15", &[60, 120]),
        ("b / (a - 6)", &[]),
        ("(a == 6) * 30", &[60]),
    ] {
        let queries = vec![
            query("a", None, Some("a")),
            query("b", None, Some("b")),
            query("r", Some(expression), None),
        ];
        let alarm = StoredAlarm { queries, ..alarm("Sum", "GreaterThanOrEqualToThreshold", 29.0) };
        let changes = changes(&alarm, data.clone(), Habits { further: 0, second: 0 }, 4);
        let states = |second: &i64| {
            changes.iter().rfind(|change| change.0 <= *second).map(|change| change.1) == Some(Alarm)
        };
        let seen: Vec<i64> = [0, 60, 120, 180].into_iter().filter(states).collect();
        assert_eq!(seen, breaching, "{expression}");
    }
}

#[test]
fn what_is_not_known_is_not_evaluated() {
    let usual = || alarm("Sum", "GreaterThanOrEqualToThreshold", 1.0);
    let of = |text: &str| vec![query("r", Some(text), None), query("a", None, Some("a"))];
    for alarm in [
        StoredAlarm { comparison_operator: "LessThanLowerThreshold".into(), ..usual() },
        StoredAlarm { threshold: None, ..usual() },
        StoredAlarm { unit: Some("Count".into()), ..usual() },
        StoredAlarm { period: 10, ..usual() },
        StoredAlarm { queries: of("RATE(a)"), ..usual() },
        StoredAlarm { queries: of("a +"), ..usual() },
        StoredAlarm { queries: of("c"), ..usual() },
        StoredAlarm { queries: of("SELECT MAX(m) FROM N"), ..usual() },
    ] {
        let result = Metrics::default().changes(&alarm, Habits::default(), at(0), at(60));
        assert!(result.is_err(), "{alarm:?}");
    }
}

#[test]
fn each_host_of_a_fleet_is_judged_apart() {
    let text = "SELECT MAX(m) FROM SCHEMA(\"N\", InstanceId, Group) WHERE Group = 'g' GROUP BY InstanceId ORDER BY MAX() DESC";
    let two_of_three = StoredAlarm {
        queries: vec![query("q", Some(text), None)],
        evaluation_periods: 3,
        datapoints_to_alarm: Some(2),
        ..alarm("", "GreaterThanOrEqualToThreshold", 1.0)
    };
    let of = |instance, group, minute, value: f64| {
        let dimensions = [("Group", group), ("InstanceId", instance)];
        arrival(minute * 60 + 59, datum("m", &dimensions, minute, &[(value, 1.0)]))
    };
    let minutes = |instance: &'static str, group: &'static str, values: [f64; 6]| {
        values.into_iter().zip(0..).map(move |(value, minute)| of(instance, group, minute, value))
    };
    let on_each_once: Vec<_> = minutes("i-1", "g", [0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
        .chain(minutes("i-2", "g", [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]))
        .chain(minutes("i-3", "other", [1.0; 6]))
        .collect();
    assert_eq!(changes(&two_of_three, on_each_once, Habits::default(), 6), [(0, Ok)]);
    let on_one: Vec<_> =
        minutes("i-1", "g", [0.0, 1.0, 1.0, 0.0, 0.0, 0.0]).chain(minutes("i-2", "g", [0.0; 6])).collect();
    let expected = [(0, Ok), (180, Alarm), (300, Ok)];
    assert_eq!(changes(&two_of_three, on_one, Habits::default(), 6), expected);
}
