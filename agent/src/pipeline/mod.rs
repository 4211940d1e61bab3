//! Receives [`Event`]s one at a time, hands on [`Record`]s. Synchronous and pure: it reads no file, no clock and no
//! network, and cannot fail; the same events give the same records.

mod render;
mod rollup;
pub mod sparse;

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::detectors::{self, Detector};
use crate::model::event::{Event, Learned};
use crate::model::finding::Finding;
use crate::model::identity::Identity;
use crate::model::interval::Interval;
use crate::model::log_line::{Cursor, Grammar, LogLines};
use crate::model::record::Record;
use crate::model::settings::Settings;
use crate::parse::LoginReader;
use crate::parse::access::AccessReader;
use render::Render;
pub(crate) use render::dimension_value;
pub use render::stream_name;
use rollup::{Measured, Rollup};
use sparse::Sparse;

/// Intervals and findings that wait until it is known who this host is: an hour of the default interval, and a few
/// megabytes at most. On EC2 that is known within a second, unless instance metadata is down.
const MAX_WAITING: usize = 60;

/// Between two times that what detectors have learned is handed on. What is usual changes slowly: a kill costs so much.
const LEARNED_MS: u64 = 5 * 60 * 1000;

/// What is to be rendered once there is an identity.
#[derive(Debug)]
enum Waiting {
    Interval(Interval),
    Finding(Box<Finding>, Timestamp),
}

/// Turns events into records.
#[derive(Debug)]
pub struct Pipeline {
    settings: Settings,
    identity: Option<Identity>,
    waiting: VecDeque<Waiting>,
    /// What waited and had to make room.
    crowded_out: u64,
    logins: LoginReader,
    access: AccessReader,
    /// What is to be said of access logs in the interval that is open.
    remarks: Vec<String>,
    detectors: Vec<Box<dyn Detector + Send>>,
    /// How far logs were read, where that is not handed on yet: it goes with what was made of the lines before it.
    cursors: BTreeMap<String, Cursor>,
    /// Lines read since the last snapshot, and how many of them were cut; nothing where no log is read.
    lines: Option<(u32, u32)>,
    /// What is wrong with logs, by log.
    log_troubles: BTreeMap<String, String>,
    /// When what they have learned was last handed on, on the snapshots' monotonic clock.
    learned_ms: Option<u64>,
    rollup: Rollup,
    sparse: Sparse,
}

impl Pipeline {
    /// A pipeline that has seen nothing; `seed` is that of its detectors' sketches. It hands on no metric and no log event before [`Event::Identity`].
    pub fn new(settings: Settings, seed: u64) -> Self {
        Pipeline {
            identity: None,
            waiting: VecDeque::new(),
            crowded_out: 0,
            logins: LoginReader::new(&settings.login_patterns),
            access: AccessReader::default(),
            remarks: Vec::new(),
            detectors: detectors::all(&settings.detectors, seed),
            cursors: BTreeMap::new(),
            lines: None,
            log_troubles: BTreeMap::new(),
            learned_ms: None,
            rollup: Rollup::new(settings.interval_seconds),
            sparse: Sparse::default(),
            settings,
        }
    }

    /// Takes in one event; gives what it completes.
    pub fn handle(&mut self, event: &Event) -> Vec<Record> {
        match event {
            Event::Snapshot(snapshot) => {
                let findings = self.detect(event);
                let measured = self.measurements();
                let closed = self.rollup.observe(snapshot, &measured);
                // What was counted of the lines read so far is in the interval that closes, and in what was learned: a
                // cursor that went before it would lose them in a crash, one that went later would count them twice.
                let is_time = self.is_time_to_store(snapshot.monotonic_ms);
                let is_time = if self.cursors.is_empty() { is_time } else { closed.is_some() };
                let mut records = closed.map(|interval| self.publish(interval)).unwrap_or_default();
                records.extend(self.tell(findings, snapshot.time));
                if is_time {
                    records.extend(self.stored());
                }
                records
            }
            Event::Lines(lines) => self.read(event, lines),
            Event::Login(login) => {
                let findings = self.detect(event);
                self.tell(findings, login.time)
            }
            Event::LogTrouble { log, what } => {
                match what {
                    Some(what) => self.log_troubles.insert(log.clone(), what.clone()),
                    None => self.log_troubles.remove(log),
                };
                Vec::new()
            }
            Event::Identity(identity) => {
                self.identity = Some(identity.clone());
                let waiting = std::mem::take(&mut self.waiting);
                waiting.into_iter().flat_map(|item| self.hand_on(item)).collect()
            }
            Event::Learned(learned) => {
                let mut detectors = self.detectors.iter_mut();
                if let Some(detector) = detectors.find(|detector| detector.name() == learned.detector) {
                    detector.restore(&learned.values);
                }
                Vec::new()
            }
            Event::Settings(settings) => {
                let changed = settings.interval_seconds != self.settings.interval_seconds;
                let records = match changed {
                    // As at the end: cursors go with the interval that counts their lines.
                    true if !self.cursors.is_empty() && self.rollup.is_open() => self.finish(),
                    true => self.close(),
                    false => Vec::new(),
                };
                self.rollup.set_interval(settings.interval_seconds);
                self.detectors.iter_mut().for_each(|detector| detector.configure(&settings.detectors));
                self.logins.configure(&settings.login_patterns);
                self.access.keep(&settings.web_logs);
                self.settings.clone_from(settings);
                records
            }
        }
    }

    /// Closes the open interval and hands on what was learned: the agent is stopping, or intervals of another length begin.
    pub fn finish(&mut self) -> Vec<Record> {
        let measured = self.measurements();
        self.rollup.tell(&measured);
        let mut records = self.close();
        records.extend(self.stored());
        records
    }

    fn measurements(&mut self) -> Measured {
        let mut measured: Vec<_> = self.detectors.iter_mut().flat_map(|d| d.measurements()).collect();
        if let Some((lines, cut)) = self.lines.as_mut().map(std::mem::take) {
            measured.push(("agent_log_lines", lines.into()));
            measured.push(("agent_log_lines_cut", cut.into()));
        }
        #[expect(clippy::cast_precision_loss, reason = "logs")]
        if self.lines.is_some() || !self.log_troubles.is_empty() {
            measured.push(("agent_log_troubles", self.log_troubles.len() as f64));
        }
        #[expect(clippy::cast_precision_loss, reason = "lines of a second")]
        measured.extend(self.access.take_unread().map(|lines| ("agent_log_lines_unread", lines as f64)));
        Measured { host: measured, logs: self.access.take() }
    }

    fn detect(&mut self, event: &Event) -> Vec<Finding> {
        self.detectors.iter_mut().flat_map(|detector| detector.observe(event)).collect()
    }

    /// Hands on findings at once, outside the interval: an alarm must not wait for its end.
    fn tell(&mut self, findings: Vec<Finding>, now: Timestamp) -> Vec<Record> {
        let mut records = Vec::new();
        for finding in findings {
            records.push(Record::Finding(Box::new(finding.clone())));
            records.extend(self.hand_on(Waiting::Finding(Box::new(finding), now)));
        }
        records
    }

    /// Takes in lines: what each tells of a login, and then that they were read.
    fn read(&mut self, event: &Event, lines: &LogLines) -> Vec<Record> {
        let logins = match &lines.grammar {
            Grammar::Access(log) => self.access.logins(log, lines),
            _ => self.logins.logins(lines),
        };
        self.remarks.extend(self.access.take_remarks());
        let logins = logins.into_iter().map(|login| Event::Login(Box::new(login)));
        let mut findings: Vec<Finding> = Vec::new();
        for login in logins {
            findings.extend(self.detect(&login));
        }
        findings.extend(self.detect(event));
        let (read, cut) = self.lines.get_or_insert_default();
        for line in &lines.lines {
            *read = read.saturating_add(1);
            *cut = cut.saturating_add(line.is_cut.into());
        }
        if let Some(cursor) = &lines.cursor {
            self.cursors.insert(cursor.log.clone(), cursor.clone());
        }
        // A crash before the interval closes has it found again, under the same id.
        self.tell(findings, lines.read)
    }

    fn close(&mut self) -> Vec<Record> {
        match self.rollup.close() {
            Some(interval) => self.publish(interval),
            None => Vec::new(),
        }
    }

    /// The open interval so far, for people to look at; changes nothing.
    pub fn preview(&self) -> Option<Interval> {
        let mut interval = self.rollup.preview()?;
        self.sparse.clone().decide_all(&self.settings, &mut interval);
        Some(interval)
    }

    /// Intervals and findings that were lost because too many waited for an identity.
    pub fn crowded_out(&self) -> u64 {
        self.crowded_out
    }

    /// Whether it is some minutes since this was last true, or since the first snapshot.
    fn is_time_to_store(&mut self, now_ms: u64) -> bool {
        match self.learned_ms {
            Some(last) if (last..last.saturating_add(LEARNED_MS)).contains(&now_ms) => false,
            last => {
                self.learned_ms = Some(now_ms);
                last.is_some_and(|last| last <= now_ms) // else another run of the agent begins
            }
        }
    }

    /// What detectors have learned. Only once it is known who this host is: before that there is no state file for it,
    /// and what an earlier run had learned may still come.
    fn learned(&self) -> Vec<Record> {
        if self.identity.is_none() {
            return Vec::new();
        }
        let learned = self.detectors.iter().filter_map(|detector| {
            Some(Learned { detector: detector.name().to_owned(), values: detector.learned()? })
        });
        learned.map(Record::Learned).collect()
    }

    /// What is for the state file: what was learned, and how far the logs were read for it.
    fn stored(&mut self) -> Vec<Record> {
        let mut records = self.learned();
        if self.identity.is_some() {
            records.extend(std::mem::take(&mut self.cursors).into_values().map(Record::Cursor));
        }
        records
    }

    fn publish(&mut self, mut interval: Interval) -> Vec<Record> {
        interval.troubles.extend(self.log_troubles.iter().map(|(log, what)| format!("{log}: {what}")));
        interval.remarks.append(&mut self.remarks);
        self.sparse.decide_all(&self.settings, &mut interval);
        let mut records = self.hand_on(Waiting::Interval(interval.clone()));
        records.push(Record::Summary(Box::new(interval)));
        records
    }

    /// Renders it, or lets it wait until there is an identity to render it with.
    fn hand_on(&mut self, item: Waiting) -> Vec<Record> {
        let Some(identity) = &self.identity else {
            if self.waiting.len() == MAX_WAITING {
                self.waiting.pop_front();
                self.crowded_out += 1;
            }
            self.waiting.push_back(item);
            return Vec::new();
        };
        let render = Render { settings: &self.settings, identity };
        match item {
            Waiting::Interval(interval) => {
                let mut records = render.metrics(&interval);
                records.push(Record::Log(render.samples(&interval)));
                records
            }
            Waiting::Finding(finding, now) => render.finding(&finding, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::model::counters::KernelCounters;
    use crate::model::log_line::{Grammar, LogLine};
    use crate::model::settings::DetectorSettings;
    use crate::model::snapshot::Snapshot;
    use crate::model::web_log::WebLog;

    fn settings(interval_seconds: u32) -> Settings {
        Settings {
            interval_seconds,
            namespace: "N".into(),
            chosen: ["syn_flood_active"].into(),
            samples_group: "/g".into(),
            findings_group: "/f".into(),
            detectors: DetectorSettings::default(),
            login_patterns: Vec::new(),
            web_logs: Vec::new(),
        }
    }

    fn identified() -> Pipeline {
        let mut pipeline = Pipeline::new(settings(60), 0);
        pipeline.handle(&Event::Identity(Identity::of_host("h")));
        pipeline
    }

    fn learned(records: Vec<Record>) -> Vec<Learned> {
        let of = |record| if let Record::Learned(learned) = record { Some(learned) } else { None };
        records.into_iter().filter_map(of).collect()
    }

    /// A quiet host for these seconds; gives those in which something learned is handed on.
    fn watch(pipeline: &mut Pipeline, seconds: std::ops::Range<u64>) -> Vec<u64> {
        let hands_on = |second: &u64| {
            let time = Timestamp::from_second(1_800_000_000 + i64::try_from(*second).unwrap()).unwrap();
            let mut snapshot = Snapshot::at(time, second * 1000);
            snapshot.counters = Some(KernelCounters::default());
            !learned(pipeline.handle(&Event::Snapshot(Arc::new(snapshot)))).is_empty()
        };
        seconds.filter(hands_on).collect()
    }

    #[test]
    fn what_was_learned_is_handed_on_every_five_minutes_and_at_the_end() {
        let mut pipeline = identified();
        assert_eq!(watch(&mut pipeline, 1000..1700), [1300, 1600]);
        // Another interval is not the end.
        let other = Event::Settings(Box::new(settings(30)));
        assert_eq!(learned(pipeline.handle(&other)), []);
        assert_eq!(watch(&mut pipeline, 1700..1901), [1900]);
        // The clock began anew: another run, in a recording.
        assert_eq!(watch(&mut pipeline, 0..400), [300]);
        let last = learned(pipeline.finish());
        assert_eq!(last.iter().map(|learned| learned.detector.as_str()).collect::<Vec<_>>(), ["syn_flood"]);
    }

    #[test]
    fn little_is_not_handed_on_and_nothing_before_it_is_known_who_this_is() {
        let mut pipeline = identified();
        watch(&mut pipeline, 0..60);
        assert_eq!(learned(pipeline.finish()), []);
        let mut nobody = Pipeline::new(settings(60), 0);
        assert_eq!(watch(&mut nobody, 0..1000), [] as [u64; 0]);
        assert_eq!(learned(nobody.finish()), []);
        nobody.handle(&Event::Identity(Identity::of_host("h")));
        assert_eq!(watch(&mut nobody, 1000..1300), [1200]);
    }

    #[test]
    fn what_an_earlier_run_learned_goes_to_its_detector() {
        let mut earlier = identified();
        watch(&mut earlier, 0..200);
        let stored = learned(earlier.finish()).remove(0);
        let mut later = identified();
        let stranger = Learned { detector: "no_such".into(), values: stored.values.clone() };
        assert!(later.handle(&Event::Learned(stranger)).is_empty());
        assert_eq!(learned(later.finish()), []);
        assert!(later.handle(&Event::Learned(stored.clone())).is_empty());
        assert_eq!(learned(later.finish()), [stored]);
    }

    fn lines(log: &str, place: &[u8]) -> Event {
        let lines = vec![LogLine { text: "no login".into(), ..LogLine::default() }];
        Event::Lines(Arc::new(LogLines {
            log: log.into(),
            grammar: Grammar::Auto,
            lines,
            read: Timestamp::UNIX_EPOCH,
            is_behind: false,
            zone: TimeZone::UTC,
            cursor: Some(Cursor { log: log.into(), place: place.into() }),
        }))
    }

    /// What is handed on of how far logs were read.
    fn cursors(records: Vec<Record>) -> Vec<(String, Vec<u8>)> {
        let of = |record| {
            if let Record::Cursor(Cursor { log, place }) = record { Some((log, place)) } else { None }
        };
        records.into_iter().filter_map(of).collect()
    }

    /// Lines that were counted, in the interval that is told.
    fn told_lines(records: &[Record]) -> String {
        let of = |record: &Record| {
            if let Record::Summary(interval) = record { Some(interval.clone()) } else { None }
        };
        let interval = records.iter().find_map(of).unwrap();
        let lines = interval.series.iter().find(|series| series.metric.name == "agent_log_lines").unwrap();
        lines.distribution.sum().to_string()
    }

    #[test]
    fn an_access_log_is_told_by_its_name() {
        let mut settings = settings(60);
        settings.web_logs = vec!["shop".into()];
        settings.chosen.extend(["http_requests", "http_5xx", "http_request_latency"]);
        let mut pipeline = Pipeline::new(settings, 0);
        pipeline.handle(&Event::Identity(Identity::of_host("h")));
        let line = |status: u16, seconds: &str| LogLine {
            text: format!(
                "192.0.2.4 - - [15/Jan/2027:08:00:00 +0000] \"GET / HTTP/1.1\" {status} 5 \"-\" \"x\" {seconds}"
            ),
            ..LogLine::default()
        };
        let lines = Event::Lines(Arc::new(LogLines {
            log: "/a".into(),
            grammar: Grammar::Access(Arc::new(WebLog::recognised("shop"))),
            lines: vec![line(200, "0.012"), line(200, "0.012"), line(500, "1.000"), line(404, "17")],
            read: Timestamp::from_second(1_800_000_000).unwrap(),
            is_behind: false,
            zone: TimeZone::UTC,
            cursor: None,
        }));
        for event in [second(0), lines, second(1)] {
            pipeline.handle(&event);
        }
        let mut told: Vec<String> = Vec::new();
        for record in pipeline.handle(&second(60)) {
            match record {
                Record::Metric(datum) if datum.metric_name.starts_with("http_") => {
                    let dimensions: Vec<_> =
                        datum.dimensions.iter().map(|d| format!("{}={}", d.name, d.value)).collect();
                    let values: Vec<_> =
                        datum.values.iter().zip(&datum.counts).map(|(v, n)| format!("{v}*{n}")).collect();
                    told.push(format!("{} {} {}", datum.metric_name, dimensions.join(","), values.join(" ")));
                }
                Record::Summary(interval) => {
                    assert!(
                        interval.remarks.iter().any(|remark| remark.contains("/a: a number without a unit"))
                    );
                }
                _ => {}
            }
        }
        let expected = [
            "http_requests host=h,log=shop 0*1 4*1",
            "http_5xx host=h,log=shop 0*1 1*1",
            "http_request_latency host=h,log=shop 12*2 1008*1",
        ];
        assert_eq!(told, expected);
    }

    fn second(second: i64) -> Event {
        let time = Timestamp::from_second(1_800_000_000 + second).unwrap();
        Event::Snapshot(Arc::new(Snapshot::at(time, u64::try_from(second).unwrap() * 1000)))
    }

    #[test]
    fn a_cursor_goes_with_the_interval_that_counts_its_lines() {
        let mut pipeline = identified();
        pipeline.handle(&second(0));
        let events = [lines("journal", b"1"), lines("journal", b"2"), lines("secure", b"7"), second(59)];
        assert!(events.iter().all(|event| cursors(pipeline.handle(event)).is_empty()));
        let records = pipeline.handle(&second(60));
        assert!(matches!(records.last(), Some(Record::Cursor(_))), "after the records of the interval");
        assert!(records.iter().any(|record| matches!(record, Record::Log(_))));
        let both = [("journal".to_owned(), b"2".to_vec()), ("secure".to_owned(), b"7".to_vec())];
        assert_eq!(told_lines(&records), "3");
        assert_eq!(cursors(records), both);
        assert_eq!(cursors(pipeline.handle(&second(120))), [], "it was handed on");
        pipeline.handle(&lines("journal", b"3"));
        let last = pipeline.finish();
        assert_eq!(told_lines(&last), "1");
        assert_eq!(cursors(last), [("journal".to_owned(), b"3".to_vec())]);
    }

    #[test]
    fn a_cursor_goes_with_an_interval_that_another_length_closes() {
        let mut pipeline = identified();
        let other = |seconds| Event::Settings(Box::new(settings(seconds)));
        for event in [second(0), lines("journal", b"1")] {
            pipeline.handle(&event);
        }
        let records = pipeline.handle(&other(30));
        assert_eq!(told_lines(&records), "1");
        assert_eq!(cursors(records), [("journal".to_owned(), b"1".to_vec())]);
        // Once more before the next interval has begun: it is that one that will count the line.
        pipeline.handle(&lines("journal", b"2"));
        assert_eq!(cursors(pipeline.handle(&other(60))), []);
        pipeline.handle(&second(1));
        let records = pipeline.handle(&second(60));
        assert_eq!(told_lines(&records), "1");
        assert_eq!(cursors(records), [("journal".to_owned(), b"2".to_vec())]);
    }

    #[test]
    fn a_cursor_waits_until_it_is_known_who_this_is() {
        let mut nobody = Pipeline::new(settings(60), 0);
        nobody.handle(&second(0));
        nobody.handle(&lines("journal", b"1"));
        assert_eq!(cursors(nobody.handle(&second(60))), []);
        nobody.handle(&Event::Identity(Identity::of_host("h")));
        assert_eq!(cursors(nobody.handle(&second(120))), [("journal".to_owned(), b"1".to_vec())]);
    }
}
