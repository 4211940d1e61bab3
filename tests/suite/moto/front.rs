//! The front itself: AWS's own client understands moto's refusals through it.

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::retry::RetryConfig;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
use aws_sdk_cloudwatch::types::MetricDatum;

use super::{ACCESS_KEY, Moto, REGION, SECRET_KEY};

#[test]
fn refusals_come_through() {
    let moto = Moto::start();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(&moto.endpoint)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
        .retry_config(RetryConfig::disabled());
    let client = Client::from_conf(config.build());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let datum = MetricDatum::builder().metric_name("Load").values(1.0).counts(1.0).counts(2.0).build();
    let put = client.put_metric_data().namespace("Example").metric_data(datum).send();

    let error = runtime.block_on(put).unwrap_err();
    assert_eq!(error.raw_response().map(|response| response.status().as_u16()), Some(400));
    let error = error.into_service_error();
    assert!(error.is_invalid_parameter_value_exception(), "{error:?}");
    assert!(error.message().unwrap().contains("must be of the same size"), "{error:?}");
    assert_eq!(moto.read_back(REGION).kinds().len(), 0);
}
