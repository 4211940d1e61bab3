//! What is read off every answer before it is believed: that it is of AWS at all, and what the service's clock says, by
//! its `Date` header (<https://www.rfc-editor.org/rfc/rfc9110#name-date>). The SDK corrects its signatures by it; the data's own
//! timestamps are ours to correct.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use jiff::Timestamp;

use crate::host::clock::wall;

/// How far the clocks must be apart before data is corrected: headers have whole seconds, answers take their time.
const WORTH_CORRECTING_MS: i64 = 5_000;
/// How far a new reading must be from the one that is applied to replace it.
const WORTH_CHANGING_MS: i64 = 2_000;

/// How far the service's clock is ahead of ours.
#[derive(Debug, Default)]
pub struct ServerClock {
    offset_ms: AtomicI64,
}

impl ServerClock {
    /// Milliseconds, in whole seconds, to add to our time; zero while the clocks agree within a few seconds.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Takes in one answer: the time it was given, and ours when it came.
    fn observe(&self, theirs: Timestamp, ours: Timestamp) {
        // The header was cut to the second, so half a second is added.
        let measured = theirs.as_millisecond() + 500 - ours.as_millisecond();
        let before = self.offset_ms();
        if (measured - before).abs() < WORTH_CHANGING_MS {
            return;
        }
        let after = if measured.abs() < WORTH_CORRECTING_MS { 0 } else { measured / 1000 * 1000 };
        self.offset_ms.store(after, Ordering::Relaxed);
        if after != before && after == 0 {
            tracing::info!("this host's clock agrees with CloudWatch's again");
        } else if after != before {
            let (apart, side) = (after.abs() / 1000, if after > 0 { "behind" } else { "ahead of" });
            tracing::warn!(
                "this host's clock is {apart} s {side} CloudWatch's; timestamps are corrected by that. \
                 Set the clock, best by chrony or systemd-timesyncd"
            );
        }
    }
}

/// Reads each answer before it is believed.
#[derive(Debug)]
pub(super) struct ReadAnswer {
    clock: Arc<ServerClock>,
}

impl ReadAnswer {
    pub(super) fn of(clock: &Arc<ServerClock>) -> Self {
        ReadAnswer { clock: Arc::clone(clock) }
    }
}

#[dyn_dispatch_hint]
impl Intercept for ReadAnswer {
    fn name(&self) -> &'static str {
        "ReadAnswer"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        is_of_aws(context.response())?;
        if let Some(theirs) = context.response().headers().get("date").and_then(http_date) {
            self.clock.observe(theirs, wall());
        }
        Ok(())
    }
}

/// A proxy's or a captive portal's page with status 200 would be taken for success: `PutMetricData` has no output that
/// could fail to be read. The protocols demand headers
/// (<https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>), and AWS numbers every answer.
fn is_of_aws(answer: &HttpResponse) -> Result<(), BoxError> {
    let header = |name| answer.headers().get(name).unwrap_or_default();
    let by_protocol =
        header("smithy-protocol") == "rpc-v2-cbor" || header("content-type").contains("amz-json");
    let is_numbered = !header("x-amzn-requestid").is_empty();
    if by_protocol || is_numbered || !answer.status().is_success() {
        return Ok(());
    }
    Err(NotOfAws.into())
}

/// Somebody else answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not of AWS; is there a proxy or a portal in between?")]
pub(super) struct NotOfAws;

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_applied_in_whole_seconds_and_does_not_waver() {
        let clock = ServerClock::default();
        let at = |ms: i64| Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap();
        let mut seen = Vec::new();
        for (theirs, ours) in [
            (0, 900),            // agree
            (4_000, 0),          // not worth correcting
            (3_600_000, 200),    // an hour behind
            (3_661_000, 60_900), // the same, a second less by latency
            (3_600_000, 3_600_300),
        ] {
            clock.observe(at(theirs), at(ours));
            seen.push(clock.offset_ms());
        }
        assert_eq!(seen, [0, 0, 3_600_000, 3_600_000, 0]);
        clock.observe(at(0), at(7_200_000));
        assert_eq!(clock.offset_ms(), -7_199_000);
    }

    #[test]
    fn dates_as_servers_write_them() {
        let parsed = http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(parsed.to_string(), "1994-11-06T08:49:37Z");
        assert_eq!(http_date("yesterday"), None);
    }
}
