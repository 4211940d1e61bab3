//! The stand-ins for AWS, met with AWS's own clients: what they accept, what they refuse, and how they fail.
#![expect(clippy::result_large_err, reason = "the SDK's own errors, as they come")]

mod faults;
mod http;
mod logs;
mod metadata;
mod metrics;
mod provisioning;

use std::time::Duration;

use aws_sdk_cloudwatch as cloudwatch;
use aws_sdk_cloudwatchlogs as cloudwatchlogs;
use cloudwatch::config::retry::RetryConfig;
use cloudwatch::config::timeout::TimeoutConfig;
use cloudwatch::config::{BehaviorVersion, Credentials, Region};
use cloudwatch::error::{ProvideErrorMetadata, SdkError};
use cloudwatch::operation::put_metric_data::PutMetricDataError;
use cloudwatch::primitives::DateTime;
use cloudwatch::types::MetricDatum;
use cloudwatchlogs::operation::put_log_events::{PutLogEventsError, PutLogEventsOutput};
use cloudwatchlogs::types::InputLogEvent;
use vpcwatch_tests::fake_aws::FakeAws;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const GROUP: &str = "/vpcwatch/findings";
const STREAM: &str = "i-0123456789abcdef0";

/// The fake with the real clients of both services, which try once.
struct Bench {
    fake: FakeAws,
    metrics: cloudwatch::Client,
    logs: cloudwatchlogs::Client,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let fake = FakeAws::start().unwrap();
        let credentials = Credentials::new("AKIAEXAMPLE", "not-a-secret", None, None, "test");
        let time_out = TimeoutConfig::builder().operation_timeout(Duration::from_secs(5)).build();
        let version = BehaviorVersion::v2026_01_12();
        let metrics = cloudwatch::Config::builder()
            .behavior_version(version)
            .endpoint_url(fake.endpoint())
            .region(Region::new("eu-west-3"))
            .credentials_provider(credentials.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(time_out.clone());
        let logs = cloudwatchlogs::Config::builder()
            .behavior_version(version)
            .endpoint_url(fake.endpoint())
            .region(Region::new("eu-west-3"))
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .timeout_config(time_out);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Bench {
            fake,
            metrics: cloudwatch::Client::from_conf(metrics.build()),
            logs: cloudwatchlogs::Client::from_conf(logs.build()),
            runtime,
        }
    }

    /// With [`GROUP`] and [`STREAM`].
    fn with_stream() -> Self {
        let bench = Bench::new();
        bench.fake.create_stream(GROUP, STREAM);
        bench
    }

    fn put(&self, data: Vec<MetricDatum>) -> Result<(), SdkError<PutMetricDataError>> {
        self.put_in("vpcwatch", data)
    }

    fn put_in(&self, namespace: &str, data: Vec<MetricDatum>) -> Result<(), SdkError<PutMetricDataError>> {
        let call = self.metrics.put_metric_data().namespace(namespace).set_metric_data(Some(data));
        self.runtime.block_on(call.send()).map(|_| ())
    }

    fn put_events(
        &self,
        events: Vec<InputLogEvent>,
    ) -> Result<PutLogEventsOutput, SdkError<PutLogEventsError>> {
        self.put_events_in(GROUP, STREAM, events)
    }

    fn put_events_in(
        &self,
        group: &str,
        stream: &str,
        events: Vec<InputLogEvent>,
    ) -> Result<PutLogEventsOutput, SdkError<PutLogEventsError>> {
        let call = self.logs.put_log_events().log_group_name(group).log_stream_name(stream);
        self.runtime.block_on(call.set_log_events(Some(events)).send())
    }

    /// An event so many milliseconds from now.
    fn event(&self, from_now_ms: i64, message: &str) -> InputLogEvent {
        let time = self.fake.now().as_millisecond() + from_now_ms;
        InputLogEvent::builder().timestamp(time).message(message).build().unwrap()
    }

    /// A time so many seconds from now.
    fn time(&self, from_now: i64) -> DateTime {
        DateTime::from_secs(self.fake.now().as_second() + from_now)
    }
}

fn named(name: &str) -> cloudwatch::types::builders::MetricDatumBuilder {
    MetricDatum::builder().metric_name(name)
}

fn datum(value: f64) -> MetricDatum {
    named("Load").value(value).build()
}

/// Status, code and message of a refusal.
fn refusal<E: ProvideErrorMetadata>(error: &SdkError<E>) -> (u16, &str, &str) {
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    (status, error.code().unwrap_or_default(), error.message().unwrap_or_default())
}
