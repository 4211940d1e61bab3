//! CloudWatch Logs: groups, streams, events.

use cloudwatchlogs::operation::create_log_group::CreateLogGroupError;
use cloudwatchlogs::operation::create_log_stream::CreateLogStreamError;
use cloudwatchlogs::operation::put_log_events::PutLogEventsError;
use cloudwatchlogs::operation::put_retention_policy::PutRetentionPolicyError;
use cloudwatchlogs::types::InputLogEvent;
use vpcwatch_tests::fake_aws::StoredEvent;

use super::{Bench, DAY, GROUP, HOUR, STREAM, cloudwatchlogs, refusal};

#[test]
fn events_need_a_group_and_a_stream() {
    let bench = Bench::new();
    let logs = &bench.logs;
    let absent =
        |what| (400, "ResourceNotFoundException", format!("The specified log {what} does not exist."));
    let put = |message: &str| bench.put_events(vec![bench.event(0, message)]);
    let found = |(status, code, message): (u16, _, &str)| (status, code, message.to_owned());

    let error = put("early").unwrap_err();
    assert_eq!(found(refusal(&error)), absent("group"));
    assert!(matches!(error.as_service_error().unwrap(), PutLogEventsError::ResourceNotFoundException(_)));
    let stream = || logs.create_log_stream().log_group_name(GROUP).log_stream_name(STREAM).send();
    let error = bench.runtime.block_on(stream()).unwrap_err();
    assert_eq!(found(refusal(&error)), absent("group"));

    let group = || logs.create_log_group().log_group_name(GROUP).send();
    bench.runtime.block_on(group()).unwrap();
    let error = bench.runtime.block_on(group()).unwrap_err();
    assert!(matches!(
        error.as_service_error().unwrap(),
        CreateLogGroupError::ResourceAlreadyExistsException(_)
    ));
    assert_eq!(found(refusal(&put("early").unwrap_err())), absent("stream"));

    bench.runtime.block_on(stream()).unwrap();
    let error = bench.runtime.block_on(stream()).unwrap_err();
    assert!(matches!(
        error.as_service_error().unwrap(),
        CreateLogStreamError::ResourceAlreadyExistsException(_)
    ));
    let time = bench.fake.now().as_millisecond();
    let event = InputLogEvent::builder().timestamp(time).message("Grüße\n\u{1f600}").build().unwrap();
    assert_eq!(bench.put_events(vec![event]).unwrap().rejected_log_events_info(), None);

    let kept = StoredEvent { request: 7, timestamp_ms: time, message: "Grüße\n\u{1f600}".into() };
    assert_eq!(bench.fake.events(GROUP, STREAM), [kept]);
    assert_eq!(bench.fake.event_count(GROUP, STREAM), 1);
    assert_eq!(bench.fake.streams(GROUP), [STREAM]);
    assert_eq!(bench.fake.totals().event_bytes, 12);
    assert_eq!(bench.fake.violations(), [""; 0]);
}

#[test]
fn retention_is_of_days_that_the_service_knows() {
    let bench = Bench::with_stream();
    let put = |group: &str, days| {
        let call = bench.logs.put_retention_policy().log_group_name(group).retention_in_days(days);
        bench.runtime.block_on(call.send())
    };
    assert_eq!(bench.fake.groups()[GROUP], None);
    put(GROUP, 30).unwrap();
    let error = put(GROUP, 31).unwrap_err();
    assert!(matches!(
        error.as_service_error().unwrap(),
        PutRetentionPolicyError::InvalidParameterException(_)
    ));
    assert_eq!(refusal(&put("other", 30).unwrap_err()).1, "ResourceNotFoundException");
    assert_eq!(bench.fake.groups()[GROUP], Some(30));
    assert_eq!(bench.fake.violations().len(), 1);
}

#[test]
fn events_of_the_wrong_time_are_refused_one_by_one() {
    let bench = Bench::with_stream();
    let hour_ms = HOUR * 1_000;
    let events = || {
        let at = |from_now, message| bench.event(from_now, message);
        vec![
            at(-15 * 24 * hour_ms, "too old"),
            at(-8 * 24 * hour_ms, "expired if kept for seven days"),
            at(-1_000, "good"),
            at(2 * hour_ms - 5_000, "good too"),
            at(2 * hour_ms + 5_000, "too new"),
        ]
    };
    let put = |events| bench.put_events(events).unwrap().rejected_log_events_info().copied_indexes();
    // Without retention the second would do, but then the span is more than a day.
    let without_second = events().into_iter().enumerate().filter(|(n, _)| *n != 1).map(|(_, event)| event);
    assert_eq!(put(without_second.collect()), (Some(1), None, Some(3)));
    let call = bench.logs.put_retention_policy().log_group_name(GROUP).retention_in_days(7);
    bench.runtime.block_on(call.send()).unwrap();
    assert_eq!(put(events()), (Some(1), Some(2), Some(4)));
    assert_eq!(put(vec![bench.event(-9 * 24 * hour_ms, "expired")]), (None, Some(1), None));

    let kept = bench.fake.events(GROUP, STREAM);
    let messages: Vec<&str> = kept.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(messages, ["good", "good too", "good", "good too"]);
    assert_eq!((bench.fake.totals().rejected, bench.fake.totals().events), (6, 4));
    assert_eq!(bench.fake.requests()[2].rejected, 3);
    assert_eq!(bench.fake.violations(), [""; 0]);
}

/// What a rejection says: too old up to, expired up to, too new from.
trait Indexes {
    fn copied_indexes(self) -> (Option<i32>, Option<i32>, Option<i32>);
}

impl Indexes for Option<&cloudwatchlogs::types::RejectedLogEventsInfo> {
    fn copied_indexes(self) -> (Option<i32>, Option<i32>, Option<i32>) {
        let info = self.unwrap();
        (
            info.too_old_log_event_end_index(),
            info.expired_log_event_end_index(),
            info.too_new_log_event_start_index(),
        )
    }
}

#[test]
fn the_largest_batches_are_accepted() {
    let bench = Bench::with_stream();
    bench.put_events((0..10_000).map(|_| bench.event(0, "x")).collect()).unwrap();
    bench.put_events(vec![bench.event(0, &"x".repeat(1_048_576 - 26))]).unwrap();
    let now = bench.fake.now().as_millisecond();
    let at = |time| InputLogEvent::builder().timestamp(time).message("x").build().unwrap();
    bench.put_events(vec![at(now - DAY * 1_000), at(now)]).unwrap();
    assert_eq!(bench.fake.event_count(GROUP, STREAM), 10_003);
    assert_eq!(bench.fake.violations(), [""; 0]);
}

#[test]
fn each_limit_of_events_refuses_the_request() {
    let bench = Bench::with_stream();
    let now = bench.fake.now().as_millisecond();
    let at = |time, message: &str| InputLogEvent::builder().timestamp(time).message(message).build().unwrap();
    let cases = [
        ("less than or equal to 10000", vec![at(now, "x"); 10_001]),
        ("greater than or equal to 1", vec![]),
        ("'logEvents.2.member.message'", vec![at(now, "x"), at(now, "")]),
        (
            "Log event too large: 1048577 bytes exceeds limit of 1048576",
            vec![at(now, &"x".repeat(1_048_551))],
        ),
        // 1,024 events of 1,000 bytes of UTF-8 in 500 characters, each counted with 26 more.
        ("Upload too large: 1050624 bytes exceeds limit of 1048576", vec![at(now, &"ü".repeat(500)); 1_024]),
        ("chronological order", vec![at(now, "x"), at(now - 1, "x")]),
        ("cannot span more than 24 hours", vec![at(now - DAY * 1_000 - 1, "x"), at(now, "x")]),
        ("greater than or equal to 0", vec![at(-1, "x")]),
    ];
    for (n, (part, events)) in cases.into_iter().enumerate() {
        let error = bench.put_events(events).unwrap_err();
        let (status, code, message) = refusal(&error);
        assert_eq!((status, code), (400, "InvalidParameterException"), "{part}: {message}");
        assert!(message.contains(part), "{part}: {message}");
        assert!(matches!(error.as_service_error().unwrap(), PutLogEventsError::InvalidParameterException(_)));
        assert_eq!(bench.fake.violations().len(), n + 1);
    }
    assert_eq!(bench.fake.event_count(GROUP, STREAM), 0);
}

#[test]
fn names_have_rules() {
    let bench = Bench::with_stream();
    let long = "n".repeat(513);
    for group in ["", "with space", "star*", "aws/mine", "Größe", &long] {
        let error = bench.put_events_in(group, STREAM, vec![bench.event(0, "x")]).unwrap_err();
        assert_eq!(refusal(&error).1, "InvalidParameterException", "{group}");
        let error = bench.runtime.block_on(bench.logs.create_log_group().log_group_name(group).send());
        assert_eq!(refusal(&error.unwrap_err()).1, "InvalidParameterException", "{group}");
    }
    for stream in ["", "a:b", "a*b", &long] {
        let error = bench.put_events_in(GROUP, stream, vec![bench.event(0, "x")]).unwrap_err();
        assert_eq!(refusal(&error).1, "InvalidParameterException", "{stream}");
    }
    bench.runtime.block_on(bench.logs.create_log_group().log_group_name("a.-_/#Z9").send()).unwrap();
    let call = bench.logs.create_log_stream().log_group_name(GROUP).log_stream_name("Größe, und mehr");
    bench.runtime.block_on(call.send()).unwrap();
}

#[test]
fn counting_keeps_the_first_text_alone() {
    let bench = Bench::with_stream();
    bench.fake.count_only();
    bench.put_events(vec![bench.event(0, "x"); 3]).unwrap();
    assert_eq!(bench.fake.events(GROUP, STREAM).len(), 1);
    assert_eq!((bench.fake.event_count(GROUP, STREAM), bench.fake.totals().event_bytes), (3, 3));
}
