//! `PutLogEvents`: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>.
//!
//! Events are put first; group and stream are made only when the service says that they are missing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_cloudwatchlogs::types::{InputLogEvent, RejectedLogEventsInfo};
use jiff::Timestamp;
use tokio::sync::watch;

use super::deliver::{Accepted, Limits, Sink};
use crate::aws::{Failure, Link, classify};
use crate::model::spool::{Destination, Payload, StoredEvent};

const PUT: &str = "logs:PutLogEvents";
const CREATE_GROUP: &str = "logs:CreateLogGroup";
const CREATE_STREAM: &str = "logs:CreateLogStream";
const SET_RETENTION: &str = "logs:PutRetentionPolicy";

/// What each event counts beside its text.
const EVENT_OVERHEAD: usize = 26;

/// Sends log events.
#[derive(Debug)]
pub struct CloudWatchLogs {
    link: Arc<Link>,
    /// Days to keep each group that we make.
    retention: watch::Receiver<HashMap<String, Option<u16>>>,
    /// Where to go on, of streams that are being made.
    steps: Mutex<HashMap<Destination, Step>>,
}

/// What is done next for a stream. Remembered, for each step may be throttled, and need not be taken again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Put,
    CreateStream,
    CreateGroup,
    /// The answer was lost: if the group is there, it was probably made here.
    CreateGroupAgain,
    SetRetention,
}

/// Put, stream, group, retention, stream, put; and once more, if somebody deletes them meanwhile.
const MAX_STEPS: usize = 12;

impl CloudWatchLogs {
    /// Sends by that link; groups that it makes are kept for so many days.
    pub fn new(link: Arc<Link>, retention: watch::Receiver<HashMap<String, Option<u16>>>) -> Self {
        CloudWatchLogs { link, retention, steps: Mutex::default() }
    }

    async fn put(&self, group: &str, stream: &str, events: &[StoredEvent]) -> Result<Accepted, Failure> {
        let connection = self.link.connection();
        let request = connection.logs().put_log_events().log_group_name(group).log_stream_name(stream);
        let request = request.set_log_events(Some(events.iter().filter_map(input).collect()));
        match request.send().await {
            Ok(answer) => {
                Ok(answer.rejected_log_events_info().map(accepted(events.len())).unwrap_or_default())
            }
            Err(error) => Err(classify(&error, PUT)),
        }
    }

    /// Makes the group; tells whether it was made here. Made by someone else, it keeps their retention.
    async fn create_group(&self, group: &str) -> Result<bool, Failure> {
        let connection = self.link.connection();
        let created = connection.logs().create_log_group().log_group_name(group).send().await;
        match created.map_err(|error| classify(&error, CREATE_GROUP)) {
            Ok(_) => Ok(true),
            Err(Failure::Exists) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Optional: not every role allows it, and logs that are kept for ever are still logs.
    async fn set_retention(&self, group: &str) -> Result<(), Failure> {
        let Some(days) = self.retention.borrow().get(group).copied().flatten() else { return Ok(()) };
        let connection = self.link.connection();
        let request = connection.logs().put_retention_policy().log_group_name(group);
        match request.retention_in_days(i32::from(days)).send().await {
            Ok(_) => Ok(()),
            Err(error) => match classify(&error, SET_RETENTION) {
                // Nobody else sets it, so it is worth another try.
                again @ Failure::Retry { .. } => Err(again),
                failure => {
                    let why = failure.why();
                    tracing::warn!(
                        "log group {group} was made, but is kept for ever and not for {days} days: {why}"
                    );
                    Ok(())
                }
            },
        }
    }

    async fn create_stream(&self, group: &str, stream: &str) -> Result<(), Failure> {
        let connection = self.link.connection();
        let created =
            connection.logs().create_log_stream().log_group_name(group).log_stream_name(stream).send().await;
        match created.map_err(|error| classify(&error, CREATE_STREAM)) {
            Ok(_) | Err(Failure::Exists) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn step(&self, destination: &Destination) -> Step {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.get(destination).copied().unwrap_or(Step::Put)
    }

    fn remember(&self, destination: &Destination, step: Step) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            Step::Put => steps.remove(destination),
            step => steps.insert(destination.clone(), step),
        };
    }
}

impl Sink for CloudWatchLogs {
    type Record = StoredEvent;

    const LIMITS: Limits = Limits {
        records: 10_000,
        bytes: 1_048_576,
        span: Duration::from_mins(24 * 60 - 1),
        age: Duration::from_mins(14 * 24 * 60 - 10),
        ahead: Duration::from_mins(2 * 60 - 10),
        // 5,000 requests a second are allowed in a region; a million lines are some 200.
        pause: Duration::from_millis(500),
    };

    fn unpack(payload: Payload) -> Vec<StoredEvent> {
        match payload {
            Payload::Logs(events) => events,
            Payload::Metrics(_) => Vec::new(),
        }
    }

    fn pack(records: Vec<StoredEvent>) -> Payload {
        Payload::Logs(records)
    }

    fn time(event: &StoredEvent) -> Timestamp {
        event.timestamp
    }

    fn set_time(event: &mut StoredEvent, time: Timestamp) {
        event.timestamp = time;
    }

    fn bytes(event: &StoredEvent) -> usize {
        event.message.len() + EVENT_OVERHEAD
    }

    fn name(event: &StoredEvent) -> String {
        let beginning: String = event.message.chars().take(80).collect();
        format!("event of {}, {} bytes: {beginning:?}", event.timestamp, event.message.len())
    }

    async fn send(&self, destination: &Destination, events: &[StoredEvent]) -> Result<Accepted, Failure> {
        let Destination::Logs { group, stream } = destination else { return Ok(Accepted::default()) };
        let mut missing = String::new();
        for _ in 0..MAX_STEPS {
            let result = match self.step(destination) {
                Step::Put => match self.put(group, stream, events).await {
                    Err(Failure::Missing { why }) => {
                        missing = why;
                        Ok(Step::CreateStream)
                    }
                    result => return result,
                },
                Step::CreateStream => match self.create_stream(group, stream).await {
                    Ok(()) => Ok(Step::Put),
                    Err(Failure::Missing { .. }) => Ok(Step::CreateGroup),
                    Err(failure) => Err(failure),
                },
                step @ (Step::CreateGroup | Step::CreateGroupAgain) => match self.create_group(group).await {
                    Ok(made) if made || step == Step::CreateGroupAgain => Ok(Step::SetRetention),
                    Ok(_) => Ok(Step::CreateStream),
                    Err(failure) => {
                        if matches!(failure, Failure::Retry { ambiguous: true, .. }) {
                            self.remember(destination, Step::CreateGroupAgain);
                        }
                        Err(failure)
                    }
                },
                Step::SetRetention => self.set_retention(group).await.map(|()| Step::CreateStream),
            };
            match result {
                Ok(next) => self.remember(destination, next),
                Err(failure @ Failure::Retry { .. }) => return Err(failure),
                // Somebody has to do something; perhaps make the group. So begin with putting again. The events are
                // not what is wrong.
                Err(failure) => {
                    self.remember(destination, Step::Put);
                    return Err(Failure::Waiting { why: failure.why().to_owned() });
                }
            }
        }
        // Somebody takes them away as quickly as we make them.
        Err(Failure::Missing { why: missing })
    }

    async fn reconnect(&self) {
        self.link.reconnect().await;
    }
}

fn input(event: &StoredEvent) -> Option<InputLogEvent> {
    let timestamp = event.timestamp.as_millisecond();
    InputLogEvent::builder().timestamp(timestamp).message(&event.message).build().ok()
}

/// Events that were refused one by one: those before an index for their age, those from one on for being ahead.
fn accepted(events: usize) -> impl Fn(&RejectedLogEventsInfo) -> Accepted {
    move |refused| {
        let index = |at: Option<i32>| at.and_then(|at| usize::try_from(at).ok());
        let old = index(refused.too_old_log_event_end_index())
            .max(index(refused.expired_log_event_end_index()))
            .unwrap_or(0)
            .min(events);
        let new_from = index(refused.too_new_log_event_start_index()).unwrap_or(events).clamp(old, events);
        Accepted { too_old: old, too_new: events - new_from }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_events_are_counted_by_cause() {
        let info = |old, new, expired| {
            RejectedLogEventsInfo::builder()
                .set_too_old_log_event_end_index(old)
                .set_too_new_log_event_start_index(new)
                .set_expired_log_event_end_index(expired)
                .build()
        };
        for (refused, (too_old, too_new)) in [
            (info(None, None, None), (0, 0)),
            (info(Some(3), None, None), (3, 0)),
            (info(Some(2), Some(8), Some(4)), (4, 2)),
            (info(Some(99), Some(-1), None), (10, 0)),
        ] {
            let accepted = accepted(10)(&refused);
            assert_eq!((accepted.too_old, accepted.too_new), (too_old, too_new), "{refused:?}");
        }
    }
}
