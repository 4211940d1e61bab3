//! Which instance of a fleet makes its alarms: the one that creates a log stream that nobody created before. Its name is made of what
//! there should be and of the date, so that each change, and each day, is done once. Who did it says so in a second stream.
//!
//! `CreateLogStream` is the vote, for it fails when the stream is there
//! (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogStream.html>); the stream lies in the group of
//! findings, where instances create streams anyway. An account has fifty of these calls a second, which a fleet that boots needs
//! for the streams of its instances. So who comes writes an event to the stream first, of which there are five thousand a second,
//! and creates it only where it is not there.

use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::pace::Paced;
use crate::aws::{Failure, classify};

const CREATE: &str = "logs:CreateLogStream";
const CREATE_GROUP: &str = "logs:CreateLogGroup";
const WRITE: &str = "logs:PutLogEvents";
const READ: &str = "logs:GetLogEvents";
const LIST: &str = "logs:DescribeLogStreams";
const DELETE: &str = "logs:DeleteLogStream";

/// What begins the names of all such streams.
pub const STREAMS: &str = "vpcwatch-provision/";
/// What an instance writes that would do it.
const HERE: &str = "here";
/// What it writes when everything is there, and the end of the stream's name that has it.
const DONE: &str = "done";

/// Where the votes of a fleet are.
#[derive(Debug, Clone, Copy)]
pub struct Election<'a> {
    /// The connection.
    pub paced: Paced<'a>,
    /// The log group.
    pub group: &'a str,
    /// The fleet's name.
    pub fleet: &'a str,
}

impl Election<'_> {
    /// The stream of that plan on that day (UTC).
    pub fn stream(&self, hash: &str, now: Timestamp) -> String {
        format!("{}{}/{hash}", self.streams(), day(now))
    }

    fn streams(&self) -> String {
        format!("{STREAMS}{}/", self.fleet)
    }

    /// Whether this instance is to do it: false when another came first.
    pub async fn stand(&self, stream: &str, now: Timestamp) -> Result<bool, Failure> {
        match self.write(stream, HERE, now).await {
            Ok(()) => return Ok(false),
            Err(Failure::Missing { .. }) => {}
            Err(failure) => return Err(failure),
        }
        match self.create(stream).await {
            Err(Failure::Missing { .. }) => {
                let group = self.paced.call(|| async {
                    let created = self
                        .paced
                        .connection
                        .logs()
                        .create_log_group()
                        .log_group_name(self.group)
                        .send()
                        .await;
                    created.map(|_| ()).map_err(|error| classify(&error, CREATE_GROUP))
                });
                match group.await {
                    Ok(()) | Err(Failure::Exists) => {}
                    Err(failure) => return Err(failure),
                }
                elected(self.create(stream).await)
            }
            created => elected(created),
        }
    }

    async fn create(&self, stream: &str) -> Result<(), Failure> {
        let created = self.paced.call(|| async {
            let create = self.paced.connection.logs().create_log_stream().log_group_name(self.group);
            let created = create.log_stream_name(stream).send().await;
            created.map(|_| ()).map_err(|error| classify(&error, CREATE))
        });
        created.await
    }

    /// Whether somebody has said that everything is there.
    pub async fn is_done(&self, stream: &str) -> Result<bool, Failure> {
        let stream = &done_stream(stream);
        let read = self.paced.call(|| async {
            let read = self.paced.connection.logs().get_log_events().log_group_name(self.group);
            let read = read.log_stream_name(stream).start_from_head(true).limit(1).send().await;
            read.map(|answer| !answer.events().is_empty()).map_err(|error| classify(&error, READ))
        });
        match read.await {
            // Nobody has, or somebody deleted it.
            Err(Failure::Missing { .. }) => Ok(false),
            other => other,
        }
    }

    /// Says that everything is there, and takes away what earlier days left.
    pub async fn done(&self, stream: &str, now: Timestamp) -> Result<(), Failure> {
        let stream = &done_stream(stream);
        elected(self.create(stream).await)?;
        self.write(stream, DONE, now).await?;
        let yesterday = now.checked_sub(jiff::SignedDuration::from_hours(24)).unwrap_or(now);
        let recent = [day(now), day(yesterday)].map(|day| format!("{}{day}/", self.streams()));
        self.remove(|stream| !recent.iter().any(|recent| stream.starts_with(recent))).await.map(|_| ())
    }

    async fn write(&self, stream: &str, message: &str, now: Timestamp) -> Result<(), Failure> {
        let written = self.paced.call(|| async {
            let event = InputLogEvent::builder().message(message).timestamp(now.as_millisecond());
            let event = event.build().map_err(|error| Failure::again(error.to_string()))?;
            let put = self.paced.connection.logs().put_log_events().log_group_name(self.group);
            let put = put.log_stream_name(stream).log_events(event).send().await;
            put.map(|_| ()).map_err(|error| classify(&error, WRITE))
        });
        written.await
    }

    /// Deletes this fleet's streams.
    pub async fn clear(&self) -> Result<usize, Failure> {
        self.remove(|_| true).await
    }

    async fn remove(&self, which: impl Fn(&str) -> bool) -> Result<usize, Failure> {
        let streams = self.streams();
        let mut found: Vec<String> = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = self.paced.call(|| async {
                let list = self.paced.connection.logs().describe_log_streams().log_group_name(self.group);
                let list = list.log_stream_name_prefix(&streams).set_next_token(next.clone()).send().await;
                list.map_err(|error| classify(&error, LIST))
            });
            let page = match page.await {
                Err(Failure::Missing { .. }) => break,
                page => page?,
            };
            next = page.next_token().map(str::to_owned);
            let names =
                page.log_streams.unwrap_or_default().into_iter().filter_map(|stream| stream.log_stream_name);
            found.extend(names.filter(|name| which(name)));
            if next.is_none() {
                break;
            }
        }
        for stream in &found {
            let deleted = self.paced.call(|| async {
                let delete = self.paced.connection.logs().delete_log_stream().log_group_name(self.group);
                let deleted = delete.log_stream_name(stream).send().await;
                deleted.map(|_| ()).map_err(|error| classify(&error, DELETE))
            });
            match deleted.await {
                // Another was faster.
                Ok(()) | Err(Failure::Missing { .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(found.len())
    }
}

fn elected(created: Result<(), Failure>) -> Result<bool, Failure> {
    match created {
        Ok(()) => Ok(true),
        Err(Failure::Exists) => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn done_stream(stream: &str) -> String {
    format!("{stream}/{DONE}")
}

fn day(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).date().to_string()
}
