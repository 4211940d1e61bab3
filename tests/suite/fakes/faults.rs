//! How the stand-in fails, as the client sees it.

use std::time::{Duration, Instant};

use cloudwatch::config::timeout::TimeoutConfig;
use cloudwatch::error::{ProvideErrorMetadata, SdkError};
use vpcwatch_tests::fake_aws::{Fault, Kind, Poison, Throttle, Times};

use super::{Bench, GROUP, STREAM, cloudwatch, datum, named, refusal};

/// The name of an error's kind.
fn kind<E>(error: &SdkError<E>) -> &'static str {
    match error {
        SdkError::TimeoutError(_) => "time-out",
        SdkError::DispatchFailure(_) => "dispatch",
        SdkError::ResponseError(_) => "response",
        SdkError::ServiceError(_) => "service",
        _ => "other",
    }
}

/// Puts a datum, and says what came of it.
fn put(bench: &Bench) -> &'static str {
    bench.put(vec![datum(1.0)]).map_or_else(|error| kind(&error), |()| "sent")
}

/// The same with less patience.
fn put_briefly(bench: &Bench) -> &'static str {
    let time_out = TimeoutConfig::builder().operation_timeout(Duration::from_millis(500)).build();
    let briefly = cloudwatch::config::Config::builder().timeout_config(time_out);
    let call = bench.metrics.put_metric_data().namespace("vpcwatch").metric_data(datum(1.0));
    let sent = bench.runtime.block_on(call.customize().config_override(briefly).send());
    sent.map_or_else(|error| kind(&error), |_| "sent")
}

fn put_event(bench: &Bench) -> &'static str {
    bench.put_events(vec![bench.event(0, "x")]).map_or_else(|error| kind(&error), |_| "sent")
}

/// Waits until the fake has seen so many answers lost after the request took effect.
fn ambiguous(bench: &Bench, count: u64) {
    // The client closes its connection only while its runtime runs.
    bench.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
    let limit = Duration::from_secs(5);
    bench.fake.wait_for("a lost answer", limit, |fake| fake.ambiguous() == count).unwrap();
}

#[test]
fn an_error_is_the_one_asked_for_as_often_as_asked() {
    let bench = Bench::with_stream();
    let error = |status, code: &str| Kind::Error { status, code: code.into(), message: "as asked".into() };
    bench.fake.fault(Fault::next("PutMetricData", 2, error(500, "InternalServiceError")));
    bench.fake.fault(Fault::next("PutLogEvents", 1, error(503, "ServiceUnavailableException")));
    for _ in 0..2 {
        let failed = bench.put(vec![datum(1.0)]).unwrap_err();
        assert_eq!(refusal(&failed), (500, "InternalServiceError", "as asked"));
        assert!(failed.as_service_error().unwrap().is_internal_service_fault());
    }
    let failed = bench.put_events(vec![bench.event(0, "x")]).unwrap_err();
    assert_eq!(refusal(&failed), (503, "ServiceUnavailableException", "as asked"));
    assert!(failed.as_service_error().unwrap().is_service_unavailable_exception());
    assert_eq!((put(&bench), put_event(&bench)), ("sent", "sent"));
    assert_eq!((bench.fake.metrics().len(), bench.fake.event_count(GROUP, STREAM)), (1, 1));
    assert_eq!(bench.fake.violations(), [""; 0], "a fault is not the client's");
}

#[test]
fn a_throttle_has_several_names() {
    let bench = Bench::with_stream();
    let names = Throttle::ALL.map(|throttle| {
        bench.fake.fault(Fault::next("*", 2, Kind::Throttle(throttle)));
        let of_metrics = bench.put(vec![datum(1.0)]).unwrap_err();
        let of_logs = bench.put_events(vec![bench.event(0, "x")]).unwrap_err();
        let (status, code, _) = refusal(&of_metrics);
        (status, code.to_owned(), of_logs.code().unwrap().to_owned())
    });
    let expected = [
        (400, "ThrottlingException", "ThrottlingException"),
        (400, "Throttling", "Throttling"),
        (503, "RequestLimitExceeded", "RequestLimitExceeded"),
        (429, "TooManyRequestsException", "TooManyRequestsException"),
        (503, "ServiceUnavailable", "ServiceUnavailableException"),
    ];
    assert_eq!(names, expected.map(|(status, a, b)| (status, a.to_owned(), b.to_owned())));
}

#[test]
fn a_share_is_drawn_alike_each_time() {
    let run = |times| {
        let bench = Bench::new();
        bench.fake.fault(Fault { operation: "*", times, kind: Kind::Throttle(Throttle::Throttling) });
        (0..40).map(|_| put(&bench) == "sent").collect::<Vec<bool>>()
    };
    let share = run(Times::Share(0.9, 7));
    assert_eq!(share, run(Times::Share(0.9, 7)));
    let passed = share.iter().filter(|passed| **passed).count();
    assert!((1..=10).contains(&passed), "{passed} of 40 passed at a share of 0.9");
    let every_third = run(Times::EveryNth(3));
    assert_eq!(every_third[..6], [true, true, false, true, true, false]);
}

#[test]
fn what_is_lost_before_it_took_effect_was_not_kept() {
    let bench = Bench::new();
    for (fault, expected) in [(Kind::Hang, "time-out"), (Kind::Reset, "dispatch")] {
        bench.fake.fault(Fault::next("*", 1, fault));
        assert_eq!(put_briefly(&bench), expected);
    }
    assert_eq!((bench.fake.metrics(), bench.fake.ambiguous()), (vec![], 0));
    assert_eq!(put(&bench), "sent");
}

#[test]
fn what_is_lost_after_it_took_effect_was_kept() {
    let bench = Bench::new();
    let late = Kind::Delay(Duration::from_mins(1));
    for (n, fault, expected) in
        [(1, Kind::ResetAfterApplying, "dispatch"), (2, Kind::Truncate, "response"), (3, late, "time-out")]
    {
        bench.fake.fault(Fault::next("*", 1, fault));
        assert_eq!(put_briefly(&bench), expected);
        ambiguous(&bench, n);
    }
    assert_eq!(bench.fake.metrics().len(), 3);
    let requests = bench.fake.requests();
    assert!(requests.iter().all(|request| request.applied && request.status.is_none()), "{requests:#?}");
}

#[test]
fn a_delay_is_as_long_as_asked() {
    let bench = Bench::new();
    let delay = Duration::from_millis(50);
    bench.fake.fault(Fault::always("PutMetricData", Kind::Delay(delay)));
    let began = Instant::now();
    assert_eq!(put(&bench), "sent");
    assert!(began.elapsed() >= delay);
    assert_eq!((bench.fake.metrics().len(), bench.fake.ambiguous()), (1, 0));
}

#[test]
fn a_web_page_is_no_answer_of_logs() {
    let bench = Bench::with_stream();
    bench.fake.fault(Fault::always("*", Kind::Garbage));
    assert_eq!(put_event(&bench), "service");
    // The client does not read the answer of PutMetricData: who calls it must look at the answer's headers.
    assert_eq!(put(&bench), "sent");
    assert_eq!((bench.fake.metrics(), bench.fake.event_count(GROUP, STREAM)), (vec![], 0));
}

#[test]
fn a_denial_names_the_action() {
    let bench = Bench::with_stream();
    bench.fake.fault(Fault::always("*", Kind::Deny));
    let user = "User: arn:aws:sts::123456789012:assumed-role/vpcwatch/i-0123456789abcdef0 is not authorized to perform: ";
    let error = bench.put(vec![datum(1.0)]).unwrap_err();
    let message = format!(
        "{user}cloudwatch:PutMetricData because no identity-based policy allows the cloudwatch:PutMetricData action"
    );
    assert_eq!(refusal(&error), (403, "AccessDenied", message.as_str()));

    let error = bench.put_events(vec![bench.event(0, "x")]).unwrap_err();
    let message = format!(
        "{user}logs:PutLogEvents on resource: arn:aws:logs:eu-west-3:123456789012:log-group:{GROUP}:log-stream:{STREAM} \
         because no identity-based policy allows the logs:PutLogEvents action"
    );
    assert_eq!(refusal(&error), (400, "AccessDeniedException", message.as_str()));
}

#[test]
fn a_poison_refuses_the_batch_that_has_it() {
    let bench = Bench::with_stream();
    bench.fake.fault(Fault::always("*", Kind::Poison(Poison::Metric("Bad".into()))));
    bench.fake.fault(Fault::always("*", Kind::Poison(Poison::Text("bad".into()))));
    let error = bench.put(vec![datum(1.0), named("Bad").value(1.0).build()]).unwrap_err();
    assert!(error.as_service_error().unwrap().is_invalid_parameter_value_exception());
    let error = bench.put_events(vec![bench.event(0, "x"), bench.event(0, "a bad one")]).unwrap_err();
    assert!(error.as_service_error().unwrap().is_invalid_parameter_exception());
    assert_eq!((put(&bench), put_event(&bench)), ("sent", "sent"));
    assert_eq!((bench.fake.metrics().len(), bench.fake.event_count(GROUP, STREAM)), (1, 1));
}

#[test]
fn a_quota_throttles() {
    let bench = Bench::with_stream();
    bench.fake.set_quota("PutMetricData", 2);
    bench.fake.set_quota("PutLogEvents", 0);
    assert_eq!((put(&bench), put(&bench)), ("sent", "sent"));
    assert_eq!(refusal(&bench.put(vec![datum(1.0)]).unwrap_err()), (400, "Throttling", "Rate exceeded"));
    let error = bench.put_events(vec![bench.event(0, "x")]).unwrap_err();
    assert_eq!(refusal(&error), (400, "ThrottlingException", "Rate exceeded"));
    assert_eq!(
        bench.fake.violations(),
        [
            "request 2 PutMetricData: Throttling: Rate exceeded",
            "request 3 PutLogEvents: ThrottlingException: Rate exceeded"
        ]
    );
}

#[test]
fn keys_expire() {
    let bench = Bench::with_stream();
    bench.fake.expire_access_key("AKIAEXAMPLE");
    let message = "The security token included in the request is expired";
    assert_eq!(refusal(&bench.put(vec![datum(1.0)]).unwrap_err()), (403, "ExpiredToken", message));
    let error = bench.put_events(vec![bench.event(0, "x")]).unwrap_err();
    assert_eq!(refusal(&error), (400, "ExpiredTokenException", message));
}

#[test]
fn clocks_must_agree() {
    for (skew, words) in [(-400, "Signature not yet current: "), (400, "Signature expired: ")] {
        let bench = Bench::with_stream();
        bench.fake.set_skew(skew);
        let error = bench.put(vec![datum(1.0)]).unwrap_err();
        let (status, code, message) = refusal(&error);
        assert_eq!((status, code), (403, "SignatureDoesNotMatch"));
        assert!(message.starts_with(words), "{message}");
        let date = error.raw_response().unwrap().headers().get("date").unwrap();
        let date = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
        assert!(date.duration_since(bench.fake.now()).abs() <= jiff::SignedDuration::from_secs(2), "{date}");

        let error = bench.put_events(vec![bench.event(0, "x")]).unwrap_err();
        let (status, code, message) = refusal(&error);
        assert_eq!((status, code), (400, "InvalidSignatureException"));
        assert!(message.starts_with(words), "{message}");
        // From that answer's Date both clients know better.
        assert_eq!((put(&bench), put_event(&bench)), ("sent", "sent"));
    }
    for skew in [-200, 200] {
        let bench = Bench::with_stream();
        bench.fake.set_skew(skew);
        assert_eq!((put(&bench), put_event(&bench)), ("sent", "sent"));
    }
}

#[test]
fn down_and_up_again_at_the_same_place() {
    let bench = Bench::new();
    assert_eq!(put(&bench), "sent");
    bench.fake.down();
    assert_eq!(put(&bench), "dispatch");
    bench.fake.up().unwrap();
    assert_eq!(put(&bench), "sent");
    assert_eq!(bench.fake.metrics().len(), 2);
}

#[test]
fn going_down_ends_what_hangs() {
    let bench = Bench::new();
    bench.fake.fault(Fault::always("*", Kind::Hang));
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| bench.put(vec![datum(1.0)]).map_err(|error| kind(&error)));
        let limit = Duration::from_secs(5);
        bench.fake.wait_for("the request", limit, |fake| fake.requests().len() == 1).unwrap();
        bench.fake.down();
        assert_eq!(hanging.join().unwrap(), Err("dispatch"));
    });
}
