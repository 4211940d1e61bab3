//! Lines of logs to log events: joins lines that belong together, finds out when they were written, leaves out what is not
//! wanted, and stops at the day's limit. Receives [`LogLines`], hands on [`Shipment`]s; pure.
//!
//! What a shipment hands to the state file belongs together: the events, how far the log was read for them, the event
//! that is not finished, and what was used of the day's limit. Stored in one transaction, a kill at any moment loses
//! no line, sends none twice, and resets no limit.

mod day;
mod when;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use regex_lite::Regex;

use self::day::Day;
use self::when::When;
use crate::model::log_line::{LogLine, LogLines};
use crate::model::shipped::{ShippedLog, StreamNames};
use crate::model::spool::{Destination, StoredEvent};

/// What an event may take, lines joined: a value of the state file holds one that is not finished. CloudWatch Logs takes a
/// megabyte.
pub const EVENT: usize = 192 * 1024;
/// Bytes that unfinished events may take together; beyond that they are finished.
const UNFINISHED: usize = 4 << 20;
/// So long after a line with a time was read, lines without one are of its time.
const INHERITED: SignedDuration = SignedDuration::from_secs(5);
/// Files of which the time of the last line is remembered; beyond that all are forgotten.
const FILES: usize = 1024;
/// An event whose last line is so old is finished, whether another began or not.
pub const QUIET_MS: u64 = 5_000;
/// An event that claims to be of so much later was stamped wrongly: it gets the time when it was read. CloudWatch Logs
/// refuses what is two hours ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);
/// So does one that claims to be older: CloudWatch Logs refuses what is fourteen days old, and a day is for an outage.
const BEHIND: SignedDuration = SignedDuration::from_hours(13 * 24);
/// What CloudWatch Logs bills for each event beside its text
/// (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>).
const EVENT_OVERHEAD: u64 = 26;

/// What is to be stored together.
#[derive(Debug, Default, PartialEq)]
pub struct Shipment {
    /// Events, in the order of their lines.
    pub events: Vec<(Destination, Vec<StoredEvent>)>,
    /// What the next run begins with: under the key behind [`prefix`]; `None` removes.
    pub kept: BTreeMap<String, Option<Vec<u8>>>,
    /// What was done with the lines.
    pub counts: Counts,
}

impl Shipment {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.kept.is_empty()
    }

    fn push(&mut self, destination: Destination, event: StoredEvent) {
        match self.events.last_mut() {
            Some((last, events)) if *last == destination => events.push(event),
            _ => self.events.push((destination, vec![event])),
        }
    }
}

/// What was done with lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that go out.
    pub shipped: u64,
    /// Bytes of them, as they are billed.
    pub bytes: u64,
    /// Events that the configuration leaves out.
    pub left_out: u64,
    /// Events beyond the day's limit.
    pub over_limit: u64,
    /// Events that claim to be of a time that CloudWatch Logs refuses, and have the time when they were read.
    pub mistimed: u64,
    /// Lines that were longer than a line may be, and were cut.
    pub cut: u64,
}

/// The prefix of all keys of that log in the state file.
pub fn prefix(name: &str) -> String {
    format!("ship {name} ")
}

/// Whether a key in the state file is of a shipped log.
pub fn is_of_a_shipped_log(key: &str) -> bool {
    key.starts_with("ship ")
}

/// Keys of what is kept: where reading stands (with the reader's own key), the event that is not finished (with the log's
/// path), the day's limit.
const AT: &str = "at ";
const OPEN: &str = "open ";
const DAY: &str = "day";

/// An event whose next line may come.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    time: Timestamp,
    text: String,
    /// When its last line came, on the caller's monotonic clock.
    since_ms: u64,
}

/// Makes events of the lines of one log, which may be many files.
#[derive(Debug)]
pub struct Shipper {
    log: ShippedLog,
    names: StreamNames,
    first_line: Option<Regex>,
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    when: When,
    open: BTreeMap<Arc<str>, Open>,
    /// The time of each file's last line that had one of its own, and when it was read: of what follows it soon and has none.
    times: BTreeMap<Arc<str>, (Timestamp, Timestamp)>,
    day: Day,
}

impl Shipper {
    /// Goes on with what an earlier run kept, by the keys behind [`prefix`]; gives also where reading stood, by the reader's own
    /// keys.
    pub fn new(
        log: ShippedLog,
        names: StreamNames,
        kept: impl IntoIterator<Item = (String, Vec<u8>)>,
        now_ms: u64,
    ) -> (Self, BTreeMap<String, Vec<u8>>) {
        let (mut at, mut open, mut day) = (BTreeMap::new(), BTreeMap::new(), Day::default());
        for (key, value) in kept {
            if let Some(key) = key.strip_prefix(AT) {
                at.insert(key.to_owned(), value);
            } else if let Some(path) = key.strip_prefix(OPEN) {
                open.extend(Open::read(&value, now_ms).map(|open| (Arc::from(path), open)));
            } else if key == DAY {
                day = Day::read(&value);
            }
        }
        // All of them were compiled when the configuration was checked.
        let all =
            |patterns: &[String]| patterns.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect();
        let shipper = Shipper {
            first_line: log.first_line.as_deref().and_then(|pattern| Regex::new(pattern).ok()),
            include: all(&log.include),
            exclude: all(&log.exclude),
            when: When::new(log.time.clone()),
            times: BTreeMap::new(),
            open,
            day,
            names,
            log,
        };
        (shipper, at)
    }

    /// Takes in lines.
    pub fn ship(&mut self, lines: &LogLines, now_ms: u64) -> Shipment {
        let mut shipment = Shipment::default();
        self.turn_the_day(lines.read, &mut shipment);
        let was_open = self.open.contains_key(&lines.log);
        let zone = self.log.zone.clone().unwrap_or_else(|| lines.zone.clone());
        for line in &lines.lines {
            shipment.counts.cut += u64::from(line.is_cut);
            self.line(lines, line, &zone, now_ms, &mut shipment);
        }
        self.bound(&mut shipment);
        if let Some(cursor) = &lines.cursor {
            let place = Some(cursor.place.clone()).filter(|place| !place.is_empty());
            shipment.kept.insert(format!("{AT}{}", cursor.log), place);
        }
        if was_open || self.open.contains_key(&lines.log) {
            self.keep_open(&lines.log, &mut shipment);
        }
        self.keep_day(&mut shipment);
        shipment
    }

    /// Unfinished events of many files may not fill the memory.
    fn bound(&mut self, shipment: &mut Shipment) {
        if self.open.values().map(|open| open.text.len()).sum::<usize>() <= UNFINISHED {
            return;
        }
        for log in self.open.keys().cloned().collect::<Vec<_>>() {
            self.close(&log, shipment);
            self.keep_open(&log, shipment);
        }
    }

    /// What is due without another line: events that have been quiet, and the end of a day's limit.
    pub fn due(&mut self, now: Timestamp, now_ms: u64) -> Shipment {
        let mut shipment = Shipment::default();
        self.turn_the_day(now, &mut shipment);
        let quiet = |open: &Open| now_ms.saturating_sub(open.since_ms) >= QUIET_MS;
        let due: Vec<Arc<str>> =
            self.open.iter().filter(|(_, open)| quiet(open)).map(|(log, _)| Arc::clone(log)).collect();
        for log in due {
            self.close(&log, &mut shipment);
            self.keep_open(&log, &mut shipment);
        }
        self.keep_day(&mut shipment);
        shipment
    }

    fn line(
        &mut self,
        lines: &LogLines,
        line: &LogLine,
        zone: &TimeZone,
        now_ms: u64,
        shipment: &mut Shipment,
    ) {
        let writer = writer(line);
        if let Some(first_line) = &self.first_line
            && !first_line.is_match(&line.text)
            && let Some(open) = self.open.get_mut(&lines.log)
            // What others of the journal write between belongs to nothing.
            && open.text.starts_with(&writer)
        {
            if open.text.len() + 1 + line.text.len() <= EVENT {
                open.text.push('\n');
                open.text.push_str(&line.text);
                open.since_ms = now_ms;
                return;
            }
            let time = open.time;
            self.close(&lines.log, shipment);
            let text = writer + &line.text;
            self.open.insert(Arc::clone(&lines.log), Open { time, text, since_ms: now_ms });
            return;
        }
        let text = writer + &line.text;
        let written = match &line.writer {
            Some(writer) => Some(writer.time),
            None => self.when.written(&line.text, lines.read, zone),
        };
        let is_refused = |time: &Timestamp| {
            let behind = lines.read.duration_since(*time);
            behind < -AHEAD || behind > BEHIND
        };
        // What has no time of its own is of the time of the line before it, unless that was read long ago.
        let is_own = written.is_some();
        let before = self.times.get(&lines.log);
        let before = before.filter(|(_, read)| lines.read.duration_since(*read) <= INHERITED);
        let time = match written.or(before.map(|(time, _)| *time)) {
            Some(time) if is_refused(&time) => {
                shipment.counts.mistimed += 1;
                lines.read
            }
            Some(time) => time,
            None => lines.read,
        };
        if is_own {
            if self.times.len() >= FILES && !self.times.contains_key(&lines.log) {
                self.times.clear();
            }
            self.times.insert(Arc::clone(&lines.log), (time, lines.read));
        }
        if self.first_line.is_some() {
            self.close(&lines.log, shipment);
            self.open.insert(Arc::clone(&lines.log), Open { time, text, since_ms: now_ms });
        } else {
            self.event(&lines.log, StoredEvent { timestamp: time, message: text }, shipment);
        }
    }

    /// The event that was open is finished.
    fn close(&mut self, log: &Arc<str>, shipment: &mut Shipment) {
        if let Some(open) = self.open.remove(log) {
            self.event(log, StoredEvent { timestamp: open.time, message: open.text }, shipment);
        }
    }

    fn event(&mut self, log: &str, event: StoredEvent, shipment: &mut Shipment) {
        // CloudWatch Logs refuses an event without text, and with it all of its request.
        if event.message.is_empty() {
            return;
        }
        let finds = |pattern: &Regex| pattern.is_match(&event.message);
        let is_included = self.include.is_empty() || self.include.iter().any(finds);
        if !is_included || self.exclude.iter().any(finds) {
            shipment.counts.left_out += 1;
            return;
        }
        let stream = self.stream(log);
        let destination = Destination::Logs { group: self.log.group.clone(), stream: stream.clone() };
        let bytes = event.message.len() as u64 + EVENT_OVERHEAD;
        match self.day.spend(bytes, self.log.daily_limit) {
            day::Spent::Fits => {
                shipment.counts.shipped += 1;
                shipment.counts.bytes += bytes;
                shipment.push(destination, event);
            }
            day::Spent::Reached => {
                shipment.counts.over_limit += 1;
                let gap = self.day.reached(&self.log.name, self.log.daily_limit, event.timestamp);
                shipment.push(destination, gap);
            }
            day::Spent::Over => shipment.counts.over_limit += 1,
        }
        self.day.stream = Some(stream);
    }

    fn turn_the_day(&mut self, now: Timestamp, shipment: &mut Shipment) {
        if let Some(gap) = self.day.turn(now, &self.log.name, self.log.daily_limit) {
            // Where something was beyond the limit, something was written.
            let stream = self.day.stream.clone().unwrap_or_else(|| self.log.name.to_string());
            shipment.push(Destination::Logs { group: self.log.group.clone(), stream }, gap);
        }
    }

    fn keep_open(&self, log: &Arc<str>, shipment: &mut Shipment) {
        shipment.kept.insert(format!("{OPEN}{log}"), self.open.get(log).map(Open::write));
    }

    fn keep_day(&mut self, shipment: &mut Shipment) {
        if let Some(value) = self.day.changed() {
            shipment.kept.insert(DAY.to_owned(), Some(value));
        }
    }

    fn stream(&self, log: &str) -> String {
        let file = log.rsplit('/').next().unwrap_or(log);
        let stream = self
            .log
            .stream
            .replace("{instance_id}", &self.names.instance_id)
            .replace("{hostname}", &self.names.hostname)
            .replace("{name}", &self.log.name)
            .replace("{file}", file);
        stream_name(&stream)
    }
}

impl Open {
    /// Milliseconds, a line's end, and the text.
    fn write(&self) -> Vec<u8> {
        format!("{}\n{}", self.time.as_millisecond(), self.text).into_bytes()
    }

    /// None of what was not written by us.
    fn read(value: &[u8], now_ms: u64) -> Option<Self> {
        let (time, text) = std::str::from_utf8(value).ok()?.split_once('\n')?;
        let time = Timestamp::from_millisecond(time.parse().ok()?).ok()?;
        Some(Open { time, text: text.to_owned(), since_ms: now_ms })
    }
}

/// What stands before an entry of the journal, as syslog shows it; nothing before a line of a file.
fn writer(line: &LogLine) -> String {
    match &line.writer {
        Some(writer) if !writer.program.is_empty() => match writer.pid {
            Some(pid) => format!("{}[{pid}]: ", writer.program),
            None => format!("{}: ", writer.program),
        },
        _ => String::new(),
    }
}

/// What CloudWatch Logs takes as a stream's name: no `:`, no `*`, 512 characters
/// (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogStream.html>).
fn stream_name(name: &str) -> String {
    let allowed = |c: char| if c == ':' || c == '*' || c.is_control() { '_' } else { c };
    name.chars().map(allowed).take(512).collect()
}

#[cfg(test)]
mod tests;
