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

use crate::host::clock::{wall, wall_less_boottime_ms};

/// How far the clocks must be apart before data is corrected: headers have whole seconds, answers take their time.
const WORTH_CORRECTING_MS: i64 = 5_000;
/// How far a new reading must be from the one before to replace it.
const WORTH_CHANGING_MS: i64 = 2_000;
const UNKNOWN: i64 = i64::MIN;

/// How far the service's clock is ahead of ours. Kept against `CLOCK_BOOTTIME`, so that it is right at once when
/// somebody sets our clock.
#[derive(Debug)]
pub struct ServerClock {
    /// Their time less our `CLOCK_BOOTTIME`, milliseconds.
    less_boottime_ms: AtomicI64,
}

impl Default for ServerClock {
    fn default() -> Self {
        ServerClock { less_boottime_ms: AtomicI64::new(UNKNOWN) }
    }
}

impl ServerClock {
    /// Whether the service has ever told its time.
    pub fn is_known(&self) -> bool {
        self.less_boottime_ms.load(Ordering::Relaxed) != UNKNOWN
    }

    /// Milliseconds, in whole seconds, to add to our time; zero while the clocks agree within a few seconds, and
    /// while theirs is not known.
    pub fn offset_ms(&self) -> i64 {
        offset(self.less_boottime_ms.load(Ordering::Relaxed), wall_less_boottime_ms())
    }

    /// Takes in the time of an answer that came just now.
    fn observe(&self, theirs: Timestamp) {
        let ours = wall_less_boottime_ms();
        // The header was cut to the second, so half a second is added.
        let measured = theirs.as_millisecond() + 500 - wall().as_millisecond() + ours;
        let before = self.less_boottime_ms.load(Ordering::Relaxed);
        if before != UNKNOWN && (measured - before).abs() < WORTH_CHANGING_MS {
            return;
        }
        self.less_boottime_ms.store(measured, Ordering::Relaxed);
        let (before, after) = (offset(before, ours), offset(measured, ours));
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

/// What to add to a clock of ours, when both clocks are given less the same third.
fn offset(theirs: i64, ours: i64) -> i64 {
    let apart = if theirs == UNKNOWN { 0 } else { theirs - ours };
    if apart.abs() < WORTH_CORRECTING_MS { 0 } else { apart / 1000 * 1000 }
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
        let answer = context.response();
        let is_of_aws = is_of_aws(answer);
        // Anybody's page of an error has a date too.
        if is_of_aws && let Some(theirs) = answer.headers().get("date").and_then(http_date) {
            self.clock.observe(theirs);
        }
        // An error is told by its status, whoever it is from.
        if !is_of_aws && answer.status().is_success() {
            return Err(NotOfAws.into());
        }
        Ok(())
    }
}

/// Whether AWS answered. A proxy's or a captive portal's page with status 200 would be taken for success:
/// `PutMetricData` has no output that could fail to be read. The protocols demand headers
/// (<https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>), and AWS numbers every answer.
pub(super) fn is_of_aws(answer: &HttpResponse) -> bool {
    let header = |name| answer.headers().get(name).unwrap_or_default();
    let by_protocol =
        header("smithy-protocol") == "rpc-v2-cbor" || header("content-type").contains("amz-json");
    by_protocol || !header("x-amzn-requestid").is_empty()
}

/// Somebody else answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not of AWS; is there a proxy or a portal in between?")]
pub(super) struct NotOfAws;

/// A date as HTTP writes it.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_applied_in_whole_seconds_and_follows_a_clock_that_is_set() {
        let hour = 3_600_000;
        for (theirs, ours, expected) in [
            (UNKNOWN, 77, 0),
            (900, 0, 0),           // agree
            (4_900, 0, 0),         // not worth correcting
            (hour + 200, 0, hour), // an hour behind
            (hour + 200, hour, 0), // and set since
            (-2 * hour, 0, -2 * hour),
        ] {
            assert_eq!(offset(theirs, ours), expected, "{theirs} {ours}");
        }
        let clock = ServerClock::default();
        assert!(!clock.is_known() && clock.offset_ms() == 0);
        clock.observe(wall() + jiff::SignedDuration::from_hours(1));
        let first = clock.offset_ms();
        assert!(clock.is_known() && (3_599_000..=3_601_000).contains(&first), "{first}");
        // A second more or less is latency, and does not waver.
        clock.observe(wall() + jiff::SignedDuration::from_secs(3_599));
        assert!((clock.offset_ms() - first).abs() <= 1000);
    }

    #[test]
    fn dates_as_servers_write_them() {
        let parsed = http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(parsed.to_string(), "1994-11-06T08:49:37Z");
        assert_eq!(http_date("yesterday"), None);
    }
}
