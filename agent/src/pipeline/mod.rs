//! Receives [`Event`]s one at a time, hands on [`Record`]s. Synchronous and pure: it reads no file, no clock and no
//! network, and cannot fail; the same events give the same records.

mod render;
mod rollup;
pub mod sparse;

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::detectors::{self, Detector};
use crate::model::event::Event;
use crate::model::finding::Finding;
use crate::model::identity::Identity;
use crate::model::interval::Interval;
use crate::model::record::Record;
use crate::model::settings::Settings;
use render::Render;
pub use render::stream_name;
use rollup::Rollup;
use sparse::Sparse;

/// Intervals and findings that wait until it is known who this host is: an hour of the default interval, and a few
/// megabytes at most. On EC2 that is known within a second, unless instance metadata is down.
const MAX_WAITING: usize = 60;

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
    detectors: Vec<Box<dyn Detector + Send>>,
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
            detectors: detectors::all(&settings.detectors, seed),
            rollup: Rollup::new(settings.interval_seconds),
            sparse: Sparse::default(),
            settings,
        }
    }

    /// Takes in one event; gives what it completes.
    pub fn handle(&mut self, event: &Event) -> Vec<Record> {
        match event {
            Event::Snapshot(snapshot) => {
                let findings: Vec<Finding> =
                    self.detectors.iter_mut().flat_map(|d| d.observe(event)).collect();
                let measured: Vec<_> = self.detectors.iter().flat_map(|d| d.measurements()).collect();
                let closed = self.rollup.observe(snapshot, &measured);
                let mut records = closed.map(|interval| self.publish(interval)).unwrap_or_default();
                // At once, outside the interval: an alarm must not wait for its end.
                for finding in findings {
                    records.push(Record::Finding(Box::new(finding.clone())));
                    records.extend(self.hand_on(Waiting::Finding(Box::new(finding), snapshot.time)));
                }
                records
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
                let records = if changed { self.finish() } else { Vec::new() };
                self.rollup.set_interval(settings.interval_seconds);
                self.detectors.iter_mut().for_each(|detector| detector.configure(&settings.detectors));
                self.settings.clone_from(settings);
                records
            }
        }
    }

    /// Closes the open interval, for the agent is stopping.
    pub fn finish(&mut self) -> Vec<Record> {
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

    fn publish(&mut self, mut interval: Interval) -> Vec<Record> {
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
