//! The operations of CloudWatch Logs that an agent needs.
//!
//! Limits: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>, with
//! `API_CreateLogGroup.html`, `API_CreateLogStream.html`, `API_PutRetentionPolicy.html`,
//! `API_RejectedLogEventsInfo.html`, `API_GetLogEvents.html`, `API_DescribeLogStreams.html` and `API_DeleteLogStream.html` beside it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::faults::Poison;
use super::protocol::Refusal;

const MOST_BYTES: usize = 1_048_576;
const BYTES_PER_EVENT: usize = 26;
const MOST_EVENTS: usize = 10_000;
/// Of one answer of `DescribeLogStreams`.
const MOST_STREAMS: usize = 50;
/// "no larger than 1 MB"; the page does not say whether that counts the 26 bytes. Here it does, as it did in the errors
/// of the time when the limit was 256 KB.
const LARGEST_EVENT: usize = 1_048_576;
const LONGEST_SPAN_MS: i64 = 24 * 3_600_000;
const OLDEST: SignedDuration = SignedDuration::from_hours(14 * 24);
const NEWEST: SignedDuration = SignedDuration::from_hours(2);
const LONGEST_NAME: usize = 512;
const RETENTION_DAYS: [i64; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1_096, 1_827, 2_192, 2_557, 2_922, 3_288,
    3_653,
];

/// An event that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The request that brought it.
    pub request: u64,
    /// In milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its text.
    pub message: String,
}

/// A log group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) retention_days: Option<i64>,
    pub(super) streams: BTreeMap<String, Stream>,
}

/// A log stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) events: Vec<StoredEvent>,
    /// As many as were accepted, whether or not they are kept.
    pub(super) count: u64,
}

/// A request as far as JSON goes.
#[derive(Debug)]
pub(super) struct Input(Value);

/// What a request changed, or would change.
#[derive(Debug)]
pub(super) enum Change {
    Group { group: String },
    Stream { group: String, stream: String },
    Retention { group: String, days: i64 },
    Events { group: String, stream: String, events: Vec<StoredEvent> },
    Read { group: String, stream: String, most: usize },
    List { group: String, prefix: String, most: usize, after: Option<String> },
    DeleteStream { group: String, stream: String },
}

impl Input {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(value @ Value::Object(_)) => Ok(Input(value)),
            Ok(_) => Err(malformed("not an object")),
            Err(error) => Err(malformed(error.to_string())),
        }
    }

    /// How many events.
    pub(super) fn len(&self) -> usize {
        self.0.get("logEvents").and_then(Value::as_array).map_or(0, Vec::len)
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn has(&self, poison: &Poison) -> bool {
        let Poison::Text(wanted) = poison else { return false };
        let events = self.0.get("logEvents").and_then(Value::as_array).into_iter().flatten();
        events.filter_map(|event| event.get("message")?.as_str()).any(|message| message.contains(wanted))
    }

    /// What the request asks for, if it is well formed.
    pub(super) fn judge(self, operation: &str, request: u64) -> Result<Change, Refusal> {
        let group = self.group()?;
        Ok(match operation {
            "CreateLogGroup" => Change::Group { group },
            "CreateLogStream" => Change::Stream { group, stream: self.stream()? },
            "PutRetentionPolicy" => {
                let days = self.0.get("retentionInDays").and_then(Value::as_i64);
                let days = days.ok_or_else(|| malformed("retentionInDays is not a number"))?;
                if !RETENTION_DAYS.contains(&days) {
                    let allowed = RETENTION_DAYS.map(|days| days.to_string()).join(", ");
                    return Err(constraint(
                        &days.to_string(),
                        "retentionInDays",
                        &format!("Member must satisfy enum value set: [{allowed}]"),
                    ));
                }
                Change::Retention { group, days }
            }
            "PutLogEvents" => {
                let stream = self.stream()?;
                Change::Events { group, stream, events: self.events(request)? }
            }
            "GetLogEvents" => {
                if self.0.get("startFromHead").and_then(Value::as_bool) != Some(true) {
                    return Err(malformed("the fake reads from the head alone"));
                }
                Change::Read { group, stream: self.stream()?, most: self.most("limit", MOST_EVENTS)? }
            }
            "DescribeLogStreams" => Change::List {
                group,
                prefix: self.text("logStreamNamePrefix").to_owned(),
                most: self.most("limit", MOST_STREAMS)?,
                after: self.0.get("nextToken").and_then(Value::as_str).map(str::to_owned),
            },
            "DeleteLogStream" => Change::DeleteStream { group, stream: self.stream()? },
            _ => return Err(Refusal::violation("UnknownOperationException", "no such operation")),
        })
    }

    /// How many are asked for at most.
    fn most(&self, member: &str, most: usize) -> Result<usize, Refusal> {
        let Some(asked) = self.0.get(member).filter(|asked| !asked.is_null()) else { return Ok(most) };
        let number = asked.as_u64().and_then(|number| usize::try_from(number).ok());
        let number = number.filter(|number| (1..=most).contains(number));
        let rule = format!("Member must be from 1 to {most}");
        number.ok_or_else(|| constraint(&asked.to_string(), member, &rule))
    }

    fn group(&self) -> Result<String, Refusal> {
        let name = self.name("logGroupName")?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte);
        if !name.bytes().all(allowed) {
            let rule = r"Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+";
            return Err(constraint(&name, "logGroupName", rule));
        }
        if name.starts_with("aws/") {
            return Err(invalid("Log groups starting with aws/ are reserved for AWS."));
        }
        Ok(name)
    }

    fn stream(&self) -> Result<String, Refusal> {
        let name = self.name("logStreamName")?;
        if name.contains([':', '*']) {
            let rule = "Member must satisfy regular expression pattern: [^:*]*";
            return Err(constraint(&name, "logStreamName", rule));
        }
        Ok(name)
    }

    fn name(&self, member: &str) -> Result<String, Refusal> {
        let name = match self.0.get(member) {
            None | Some(Value::Null) => return Err(constraint("null", member, "Member must not be null")),
            Some(value) => value.as_str().ok_or_else(|| malformed(format!("{member} is not text")))?,
        };
        length(name, member, name.chars().count(), LONGEST_NAME)?;
        Ok(name.to_owned())
    }

    fn events(&self, request: u64) -> Result<Vec<StoredEvent>, Refusal> {
        let list = self.0.get("logEvents").and_then(Value::as_array);
        let list = list.ok_or_else(|| malformed("logEvents is not a list"))?;
        length("", "logEvents", list.len(), MOST_EVENTS)?;
        let mut events = Vec::with_capacity(list.len());
        for (event, n) in list.iter().zip(1..) {
            let place = format!("logEvents.{n}.member");
            let message = event.get("message").and_then(Value::as_str);
            let message = message.ok_or_else(|| malformed(format!("{place}.message is not text")))?;
            let timestamp_ms = event.get("timestamp").and_then(Value::as_i64);
            let timestamp_ms =
                timestamp_ms.ok_or_else(|| malformed(format!("{place}.timestamp is not a number")))?;
            length(message, &format!("{place}.message"), message.len(), usize::MAX)?;
            if timestamp_ms < 0 {
                let rule = "Member must have value greater than or equal to 0";
                return Err(constraint(&timestamp_ms.to_string(), &format!("{place}.timestamp"), rule));
            }
            events.push(StoredEvent { request, timestamp_ms, message: message.to_owned() });
        }
        let sizes = events.iter().map(|event| event.message.len() + BYTES_PER_EVENT);
        if let Some(size) = sizes.clone().find(|size| *size > LARGEST_EVENT) {
            return Err(invalid(format!(
                "Log event too large: {size} bytes exceeds limit of {LARGEST_EVENT}"
            )));
        }
        let size: usize = sizes.sum();
        if size > MOST_BYTES {
            return Err(invalid(format!("Upload too large: {size} bytes exceeds limit of {MOST_BYTES}")));
        }
        if !events.is_sorted_by_key(|event| event.timestamp_ms) {
            let message = "Log events in a single PutLogEvents request must be in chronological order.";
            return Err(invalid(message));
        }
        Ok(events)
    }
}

/// Applies a change, and answers it. `keep` tells whether to keep events, or only a stream's first.
pub(super) fn apply(
    change: Change,
    groups: &mut BTreeMap<String, Group>,
    now: Timestamp,
    keep: bool,
) -> Result<Applied, Refusal> {
    match change {
        Change::Group { group } => {
            if groups.contains_key(&group) {
                return Err(exists("group"));
            }
            groups.insert(group, Group::default());
            Ok(Applied::default())
        }
        Change::Stream { group, stream } => {
            let streams = &mut find(groups, &group)?.streams;
            if streams.contains_key(&stream) {
                return Err(exists("stream"));
            }
            streams.insert(stream, Stream::default());
            Ok(Applied::default())
        }
        Change::Retention { group, days } => {
            find(groups, &group)?.retention_days = Some(days);
            Ok(Applied::default())
        }
        Change::Events { group, stream, events } => {
            let group = find(groups, &group)?;
            let retention = group.retention_days.map(|days| SignedDuration::from_hours(24 * days));
            let stream = group.streams.get_mut(&stream).ok_or_else(|| absent("stream"))?;
            let (events, rejected, info) = sift(events, now, retention)?;
            let bytes = events.iter().map(|event| event.message.len() as u64).sum();
            let count = events.len() as u64;
            stream.count += count;
            // The first says that there is one: who reads a stream from its head sees no difference.
            let room = if keep { usize::MAX } else { usize::from(stream.events.is_empty()) };
            stream.events.extend(events.into_iter().take(room));
            let mut output = json!({ "nextSequenceToken": format!("{:056}", stream.count) });
            if let (Some(info), Some(output)) = (info, output.as_object_mut()) {
                output.insert("rejectedLogEventsInfo".into(), info);
            }
            Ok(Applied { output: Some(output), accepted: count, rejected, bytes })
        }
        Change::Read { group, stream, most } => {
            let stream = find(groups, &group)?.streams.get(&stream).ok_or_else(|| absent("stream"))?;
            let events = stream.events.iter().take(most);
            let events = events.map(|e| json!({ "timestamp": e.timestamp_ms, "message": e.message }));
            let output = json!({ "events": events.collect::<Vec<Value>>() });
            Ok(Applied { output: Some(output), ..Applied::default() })
        }
        Change::List { group, prefix, most, after } => {
            let streams = &find(groups, &group)?.streams;
            let output = list(streams, &prefix, most, after.as_deref());
            Ok(Applied { output: Some(output), ..Applied::default() })
        }
        Change::DeleteStream { group, stream } => {
            let removed = find(groups, &group)?.streams.remove(&stream);
            removed.map(|_| Applied::default()).ok_or_else(|| absent("stream"))
        }
    }
}

/// Streams in the order of their names, after the one that the token names.
fn list(streams: &BTreeMap<String, Stream>, prefix: &str, most: usize, after: Option<&str>) -> Value {
    let mut found = streams
        .iter()
        .filter(|(name, _)| name.starts_with(prefix) && after.is_none_or(|after| name.as_str() > after));
    let page: Vec<Value> =
        found.by_ref().take(most).map(|(name, _)| json!({ "logStreamName": name })).collect();
    let token = page.last().filter(|_| found.next().is_some()).map(|last| last["logStreamName"].clone());
    let mut output = json!({ "logStreams": page });
    if let (Some(token), Some(output)) = (token, output.as_object_mut()) {
        output.insert("nextToken".into(), token);
    }
    output
}

/// What came of a request.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) output: Option<Value>,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) bytes: u64,
}

/// The events whose time will do, how many will not, and the service's way to say which: events are in chronological
/// order, so that old ones end and new ones begin at an index. The 24 hours are of those whose time will do.
fn sift(
    events: Vec<StoredEvent>,
    now: Timestamp,
    retention: Option<SignedDuration>,
) -> Result<(Vec<StoredEvent>, u64, Option<Value>), Refusal> {
    let before = |time: Timestamp| events.partition_point(|event| event.timestamp_ms < time.as_millisecond());
    let too_old = before(now - OLDEST);
    let expired = retention.map_or(0, |retention| before(now - retention));
    let newest = (now + NEWEST).as_millisecond();
    let too_new = events.partition_point(|event| event.timestamp_ms <= newest);
    let (first, all) = (too_old.max(expired), events.len());
    let mut info = serde_json::Map::new();
    for (name, index, any) in [
        ("tooOldLogEventEndIndex", too_old, too_old > 0),
        ("expiredLogEventEndIndex", expired, expired > 0),
        ("tooNewLogEventStartIndex", too_new, too_new < all),
    ] {
        if any {
            info.insert(name.into(), index.into());
        }
    }
    let good: Vec<StoredEvent> = events.into_iter().take(too_new).skip(first).collect();
    if let (Some(oldest), Some(newest)) = (good.first(), good.last())
        && newest.timestamp_ms - oldest.timestamp_ms > LONGEST_SPAN_MS
    {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    let rejected = (all - good.len()) as u64;
    Ok((good, rejected, (!info.is_empty()).then_some(Value::Object(info))))
}

fn find<'a>(groups: &'a mut BTreeMap<String, Group>, name: &str) -> Result<&'a mut Group, Refusal> {
    groups.get_mut(name).ok_or_else(|| absent("group"))
}

fn absent(what: &str) -> Refusal {
    Refusal::new(400, "ResourceNotFoundException", format!("The specified log {what} does not exist."))
}

fn exists(what: &str) -> Refusal {
    Refusal::new(400, "ResourceAlreadyExistsException", format!("The specified log {what} already exists"))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::violation("InvalidParameterException", message)
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::violation("SerializationException", message)
}

fn constraint(value: &str, member: &str, rule: &str) -> Refusal {
    invalid(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
    ))
}

/// Refuses what is empty or longer than allowed.
fn length(value: &str, member: &str, length: usize, longest: usize) -> Result<(), Refusal> {
    if length == 0 {
        return Err(constraint(value, member, "Member must have length greater than or equal to 1"));
    }
    if length > longest {
        let rule = format!("Member must have length less than or equal to {longest}");
        return Err(constraint(value, member, &rule));
    }
    Ok(())
}
