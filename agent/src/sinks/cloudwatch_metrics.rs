//! `PutMetricData`: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum as Datum, StandardUnit};
use jiff::Timestamp;

use super::deliver::{Accepted, Limits, Sink};
use crate::aws::{Failure, Link, classify};
use crate::model::record::MetricDatum;
use crate::model::spool::{Destination, Payload};

const ACTION: &str = "cloudwatch:PutMetricData";

/// Sends metric data.
#[derive(Debug)]
pub struct CloudWatchMetrics {
    link: Arc<Link>,
}

impl CloudWatchMetrics {
    /// Sends by that link.
    pub fn new(link: Arc<Link>) -> Self {
        CloudWatchMetrics { link }
    }
}

impl Sink for CloudWatchMetrics {
    type Record = MetricDatum;

    const LIMITS: Limits = Limits {
        records: 1000,
        // 1 MB a request, compressed; counted here before it is compressed, so that it always fits.
        bytes: 1_000_000,
        // Data of one request may be of any times.
        span: Duration::MAX,
        // Two weeks back, less what a request may wait on its way.
        age: Duration::from_mins(14 * 24 * 60 - 10),
        ahead: Duration::from_mins(2 * 60 - 10),
        // 500 requests a second are allowed in a region; a day's intervals are some 40 requests.
        pause: Duration::from_secs(2),
    };

    fn unpack(payload: Payload) -> Vec<MetricDatum> {
        match payload {
            Payload::Metrics(data) => data,
            Payload::Logs(_) => Vec::new(),
        }
    }

    fn pack(records: Vec<MetricDatum>) -> Payload {
        Payload::Metrics(records)
    }

    fn time(datum: &MetricDatum) -> Timestamp {
        datum.timestamp
    }

    fn set_time(datum: &mut MetricDatum, time: Timestamp) {
        datum.timestamp = time;
    }

    /// As CBOR (<https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>): nine bytes a number, and the
    /// keys.
    fn bytes(datum: &MetricDatum) -> usize {
        let dimension = |d: &crate::model::record::Dimension| d.name.len() + d.value.len() + 24;
        let dimensions: usize = datum.dimensions.iter().map(dimension).sum();
        160 + datum.metric_name.len() + dimensions + 9 * (datum.values.len() + datum.counts.len())
    }

    fn name(datum: &MetricDatum) -> String {
        format!("metric {} of {}", datum.metric_name, datum.timestamp)
    }

    async fn send(&self, destination: &Destination, data: &[MetricDatum]) -> Result<Accepted, Failure> {
        let Destination::Metrics { namespace } = destination else { return Ok(Accepted::default()) };
        let connection = self.link.connection();
        let request = connection.cloudwatch().put_metric_data().namespace(namespace);
        let request = request.set_metric_data(Some(data.iter().map(datum).collect()));
        match request.send().await {
            Ok(_) => Ok(Accepted::default()),
            Err(error) => Err(classify(&error, ACTION)),
        }
    }

    async fn reconnect(&self) {
        self.link.reconnect().await;
    }
}

fn datum(datum: &MetricDatum) -> Datum {
    let dimensions =
        datum.dimensions.iter().map(|d| Dimension::builder().name(&d.name).value(&d.value).build()).collect();
    Datum::builder()
        .metric_name(datum.metric_name.as_ref())
        .set_dimensions(Some(dimensions))
        .timestamp(DateTime::from_millis(datum.timestamp.as_millisecond()))
        .set_values(Some(datum.values.clone()))
        .set_counts(Some(datum.counts.clone()))
        .unit(StandardUnit::from(datum.unit.as_ref()))
        .storage_resolution(i32::try_from(datum.storage_resolution).unwrap_or(60))
        .build()
}
