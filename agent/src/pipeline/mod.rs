//! Receives [`Event`]s one at a time, hands on [`Record`]s. Synchronous and pure: it reads no file, no clock and no
//! network, and cannot fail; the same events give the same records.

mod render;
mod rollup;
pub mod sparse;

use std::collections::HashSet;

use crate::detectors::{self, Detector};
use crate::model::event::Event;
use crate::model::finding::Finding;
use crate::model::interval::Interval;
use crate::model::record::{Dimension, Record};
use rollup::Rollup;
use sparse::Sparse;

/// What the pipeline needs of the configuration, and who this host is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Length of a publishing interval, seconds.
    pub interval_seconds: u32,
    /// Namespace of the metrics.
    pub namespace: String,
    /// Names of the metrics to send.
    pub chosen: HashSet<&'static str>,
    /// The dimension that tells this host from others.
    pub identity: Dimension,
    /// Log group of the samples event.
    pub samples_group: String,
    /// Log group of findings.
    pub findings_group: String,
}

/// Turns events into records.
#[derive(Debug)]
pub struct Pipeline {
    settings: Settings,
    detectors: Vec<Box<dyn Detector + Send>>,
    rollup: Rollup,
    sparse: Sparse,
}

impl Pipeline {
    /// A pipeline that has seen nothing.
    pub fn new(settings: Settings) -> Self {
        let rollup = Rollup::new(settings.interval_seconds);
        Pipeline { settings, detectors: detectors::all(), rollup, sparse: Sparse::default() }
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
                    records.extend(render::finding(&finding, snapshot.time, &self.settings));
                    records.push(Record::Finding(Box::new(finding)));
                }
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

    fn publish(&mut self, mut interval: Interval) -> Vec<Record> {
        self.sparse.decide_all(&self.settings, &mut interval);
        let mut records = render::metrics(&interval, &self.settings);
        records.push(Record::Log(render::samples(&interval, &self.settings)));
        records.push(Record::Summary(Box::new(interval)));
        records
    }
}
