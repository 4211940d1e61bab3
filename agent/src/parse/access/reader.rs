//! Lines of access logs in, counts and refused logins out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::refused::Refused;
use super::template;
use super::w3c::Fields;
use super::{Request, Time, read};
use crate::model::log_line::{LogLine, LogLines};
use crate::model::login::{Count, Login, Outcome};
use crate::model::web_log::{Format, Requests, WebLog, binned};
use crate::parse::own_time::{self, Written};
use crate::parse::stamp::{LastSecond, Stamp};

/// Logs of which something is remembered; beyond that all is forgotten.
const LOGS: usize = 256;
/// Remarks that wait to be told; more are as good as told.
const REMARKS: usize = 16;
/// Bytes of a line that are shown where it is not understood.
const SHOWN: usize = 120;
/// How far ahead of our clock a line's time may be until that is remarked.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// Reads lines of access logs.
#[derive(Debug, Default)]
pub struct AccessReader {
    logs: HashMap<Arc<str>, Memory>,
    counts: BTreeMap<Arc<str>, Requests>,
    unread: Option<u64>,
    remarks: VecDeque<String>,
}

/// What is remembered of a file.
#[derive(Debug, Default)]
struct Memory {
    fields: Fields,
    format: Option<Format>,
    refused: Refused,
    last: LastSecond,
    /// What was told of it already.
    told: Vec<&'static str>,
}

/// What a line tells, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// What it is, if it is a request.
    pub format: Option<Format>,
    /// The answer.
    pub status: Option<u16>,
    /// Milliseconds.
    pub latency: Option<f64>,
    /// Who asked.
    pub source: Option<std::net::IpAddr>,
    /// The path, see [`template`].
    pub template: Option<String>,
    /// When it was.
    pub time: Option<Timestamp>,
    /// Why there is no request, or no latency; empty where there is nothing to say.
    pub note: &'static str,
}

const DIRECTIVE: &str = "a directive, no request";
const FORMAT: &str = "the format changes within the log";
const FUTURE: &str = "times are ahead of this host's clock by more than five minutes";
const UNREAD: &str = "lines are not understood, and not counted as requests";
const NO_TIME: &str = "times are missing or cannot be read";

impl AccessReader {
    /// Counts what lines tell of requests, and gives the logins that were refused, in their order.
    pub fn logins(&mut self, log: &WebLog, lines: &LogLines) -> Vec<Login> {
        if self.logs.len() >= LOGS && !self.logs.contains_key(&lines.log) {
            self.logs.clear();
        }
        let mut memory = self.logs.remove(&lines.log).unwrap_or_default();
        let mut logins = Vec::new();
        for line in &lines.lines {
            logins.extend(self.line(log, lines, &mut memory, line));
        }
        self.logs.insert(Arc::clone(&lines.log), memory);
        self.counts.entry(Arc::clone(&log.name)).or_default();
        self.unread.get_or_insert(0);
        logins
    }

    fn line(&mut self, log: &WebLog, lines: &LogLines, memory: &mut Memory, line: &LogLine) -> Option<Login> {
        if line.text.is_empty() || memory.fields.directive(&line.text) {
            return None;
        }
        let request = match read(&line.text, log.format, log.latency.as_ref(), &memory.fields) {
            Ok(request) => request,
            Err(why) => {
                *self.unread.get_or_insert(0) += 1;
                self.remark(memory, lines, UNREAD, || {
                    let cut = if line.is_cut { "; it was longer than a line may be" } else { "" };
                    format!("the first is {:?}: {why}{cut}", shown(&line.text))
                });
                return None;
            }
        };
        if let Some(before) = memory.format.replace(request.format).filter(|before| *before != request.format)
        {
            let change = || format!("from {} to {}", before.as_str(), request.format.as_str());
            self.remark(memory, lines, FORMAT, change);
        }
        if let Err(why) = request.latency {
            self.remark(memory, lines, why, || "latency is not known of such lines".to_owned());
        }
        let time = time(&request.time, lines.read, &lines.zone, &mut memory.last);
        match time {
            None => {
                self.remark(memory, lines, NO_TIME, || "such lines are of when they were read".to_owned());
            }
            Some(time) if time.duration_since(lines.read) > AHEAD => {
                self.remark(memory, lines, FUTURE, || format!("the first is {time}"));
            }
            Some(_) => {}
        }
        self.count(&log.name, &request);
        login(&request, time.unwrap_or(lines.read), &mut memory.refused)
    }

    fn count(&mut self, name: &Arc<str>, request: &Request<'_>) {
        if !self.counts.contains_key(name) {
            self.counts.insert(Arc::clone(name), Requests::default());
        }
        let Some(counts) = self.counts.get_mut(name) else { return };
        counts.requests += 1;
        match request.status.unwrap_or(0) {
            status @ 400..=499 => {
                counts.client_errors += 1;
                counts.unauthorized += u64::from(matches!(status, 401 | 403));
            }
            500..=599 => counts.server_errors += 1,
            _ => {}
        }
        if let Ok(milliseconds) = request.latency {
            counts.latency.add(binned(milliseconds));
        }
    }

    /// Tells something of a file once.
    fn remark(
        &mut self,
        memory: &mut Memory,
        lines: &LogLines,
        what: &'static str,
        more: impl FnOnce() -> String,
    ) {
        if memory.told.contains(&what) {
            return;
        }
        memory.told.push(what);
        if self.remarks.len() < REMARKS {
            self.remarks.push_back(format!("{}: {what}; {}", lines.log, more()));
        }
    }

    /// What each log that was read told since this was last asked, by its name.
    pub fn take(&mut self) -> Vec<(Arc<str>, Requests)> {
        let take = |(name, counts): (&Arc<str>, &mut Requests)| (Arc::clone(name), std::mem::take(counts));
        self.counts.iter_mut().map(take).collect()
    }

    /// Lines that were not understood since this was last asked; None where no access log is read.
    pub fn take_unread(&mut self) -> Option<u64> {
        self.unread.as_mut().map(std::mem::take)
    }

    /// What is to be told of logs: each thing once for each file.
    pub fn take_remarks(&mut self) -> impl Iterator<Item = String> {
        self.remarks.drain(..)
    }

    /// Forgets logs that are no longer measured.
    pub fn keep(&mut self, names: &[Arc<str>]) {
        self.counts.retain(|name, _| names.contains(name));
    }

    /// What a line of a log tells.
    pub fn explain(&mut self, log: &WebLog, name: &Arc<str>, line: &str, at: Timestamp) -> Explained {
        let memory = self.logs.entry(Arc::clone(name)).or_default();
        let none = |note| Explained {
            format: None,
            status: None,
            latency: None,
            source: None,
            template: None,
            time: None,
            note,
        };
        if memory.fields.directive(line) {
            return none(DIRECTIVE);
        }
        match read(line, log.format, log.latency.as_ref(), &memory.fields) {
            Err(why) => none(why),
            Ok(request) => Explained {
                format: Some(request.format),
                status: request.status,
                latency: request.latency.ok(),
                source: request.source,
                template: request.path.as_deref().map(template::of),
                time: time(&request.time, at, &TimeZone::UTC, &mut memory.last),
                note: request.latency.err().unwrap_or_default(),
            },
        }
    }
}

fn shown(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SHOWN)).unwrap_or(text)
}

/// When a request was; None where there is no time, or none that there ever was.
fn time(written: &Time<'_>, read: Timestamp, zone: &TimeZone, last: &mut LastSecond) -> Option<Timestamp> {
    let stamp = match written {
        Time::None => return None,
        Time::Epoch(seconds) => {
            return SignedDuration::try_from_secs_f64(*seconds).ok().and_then(since_epoch);
        }
        Time::Utc(date, time) => {
            let at = format!("{date}T{time}").parse().ok()?;
            Stamp::from(Written { at, offset: Some(jiff::tz::Offset::UTC) })
        }
        Time::Text(text) if text.as_bytes().get(2) == Some(&b'/') => {
            own_time::of_access(text).map(Stamp::from)?
        }
        Time::Text(text) => {
            let iso = Stamp::read(text).map(|(stamp, _)| stamp);
            iso.or_else(|| own_time::slashed(text).map(Stamp::from))?
        }
    };
    stamp.time(read, zone, last)
}

fn since_epoch(duration: SignedDuration) -> Option<Timestamp> {
    Timestamp::UNIX_EPOCH.checked_add(duration).ok()
}

/// A refused request as a failed login, if it is one.
fn login(request: &Request<'_>, time: Timestamp, refused: &mut Refused) -> Option<Login> {
    let (status @ (401 | 403), source) = (request.status?, request.source?) else { return None };
    let attempts = match (status, &request.user) {
        (401, Some(_)) => 1,
        _ => refused.attempts(source, time.as_second()),
    };
    (attempts > 0).then(|| Login {
        time,
        service: "web".into(),
        pid: None,
        source: Some(source),
        port: None,
        user: request.user.as_deref().map(str::to_owned),
        is_known_user: None,
        outcome: Outcome::Failure,
        method: Some("http".into()),
        count: Count::Daemon(attempts),
        rule: if status == 401 { "web.401" } else { "web.403" },
        is_trusted: false,
    })
}
