//! Receives events, hands on findings. Pure: the same events give the same findings, and memory does not grow with
//! the number of attackers.

mod baseline;
mod rates_of_snapshots;
mod syn_flood;
mod track;

use crate::model::event::Event;
use crate::model::finding::Finding;

/// Looks for one family of things.
pub trait Detector: std::fmt::Debug {
    /// Takes in one event; gives findings that it opens, updates or closes.
    fn observe(&mut self, event: &Event) -> Vec<Finding>;

    /// What it measured at the last event, by the catalog's names.
    fn measurements(&self) -> Vec<(&'static str, f64)>;
}

/// Every detector.
pub fn all() -> Vec<Box<dyn Detector + Send>> {
    vec![Box::new(syn_flood::SynFlood::default())]
}
