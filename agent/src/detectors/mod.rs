//! Receives events, hands on findings. Pure: the same events give the same findings, and memory does not grow with
//! the number of attackers.

mod arrivals;
mod baseline;
mod cusum;
mod logins;
mod port_scan;
mod rates_of_snapshots;
pub mod sketches;
mod stray_segments;
mod syn_flood;
mod track;

use crate::model::event::Event;
use crate::model::finding::Finding;
use crate::model::settings::DetectorSettings;

/// Looks for one family of things.
pub trait Detector: std::fmt::Debug {
    /// Its name, under which what it learned is kept.
    fn name(&self) -> &'static str;

    /// Takes in one event; gives findings that it opens, updates or closes.
    fn observe(&mut self, event: &Event) -> Vec<Finding>;

    /// What it measured at the last event, and what it counted since it was last asked, by the catalog's names.
    fn measurements(&mut self) -> Vec<(&'static str, f64)>;

    /// Works by other settings from now on, and forgets nothing.
    fn configure(&mut self, settings: &DetectorSettings);

    /// What it has learned of what is usual here; nothing while that is little, or there is nothing to learn.
    fn learned(&self) -> Option<serde_json::Value> {
        None
    }

    /// Takes over what was learned in an earlier run; values that it does not understand change nothing.
    fn restore(&mut self, _learned: &serde_json::Value) {}
}

/// Every detector. `seed` goes into their sketches: with the same seed the same events give the same findings, and
/// who does not know it cannot make sources that collide.
pub fn all(settings: &DetectorSettings, seed: u64) -> Vec<Box<dyn Detector + Send>> {
    vec![
        Box::new(syn_flood::SynFlood::new(settings, seed)),
        Box::new(port_scan::PortScan::new(settings, seed)),
        Box::new(stray_segments::StraySegments::new(settings)),
        Box::new(logins::Logins::new(settings, seed)),
    ]
}
