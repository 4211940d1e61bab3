//! The configuration: layers as written, checked into what is meant.
//!
//! `agent/default.toml` is the lowest layer, the manual, and the list of keys that exist.

mod check;
mod detectors;
mod layers;
mod logins;
mod provision;
mod ship;
mod web;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::identity::InstanceDimension;
use crate::model::settings::Settings;
use crate::model::shipped::ShippedLog;
use crate::provision::Wishes;
use crate::sources::SourceRules;
use crate::tail::TailRules;

pub use layers::{Layers, Origin, Setting, Written, toml};
pub use provision::AtStart;

/// What is meant: every value checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `publish.interval`, `metrics.*`, the names of the log groups, and what detectors call unusual.
    pub settings: Settings,
    /// Log groups and the days that CloudWatch keeps them; none for ever.
    pub retention: Vec<(String, Option<u16>)>,
    /// `identity.dimensions`.
    pub dimensions: Vec<InstanceDimension>,
    /// `identity.host`; `None` for the system's name.
    pub host: Option<String>,
    /// `aws.region`; `None` for the one that is found.
    pub region: Option<String>,
    /// `aws.ca_bundle`; `None` for `AWS_CA_BUNDLE`.
    pub ca_bundle: Option<PathBuf>,
    /// `state.folder`.
    pub state_folder: PathBuf,
    /// `state.limit` in bytes.
    pub state_limit: u64,
    /// `status.file`; `None` for none.
    pub status_file: Option<PathBuf>,
    /// `interfaces.*` and `syn_flood.capture`.
    pub sources: SourceRules,
    /// Which logs are read.
    pub tails: TailRules,
    /// `logs.ship`.
    pub shipped: Arc<Vec<ShippedLog>>,
    /// `provision.at_start`.
    pub provision_at_start: AtStart,
    /// The rest of `provision.*`, and the log groups.
    pub wishes: Wishes,
    /// `cost.monthly_limit` in US dollars; `None` for none.
    pub monthly_limit: Option<f64>,
}

impl Config {
    /// Checks what was written. An error holds every mistake of it, and those of its reading.
    pub fn check(written: &Written, mistakes: Vec<Mistake>) -> Result<Config, Mistakes> {
        check::check(written, mistakes)
    }

    /// Reads and checks all layers.
    pub fn load(layers: &Layers) -> Result<Config, Mistakes> {
        let (written, mistakes) = layers.read();
        Config::check(&written, mistakes)
    }
}

/// Mistakes shown: a file that is no configuration at all has thousands.
const MAX_SHOWN: usize = 50;

/// One thing wrong in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it was written.
    pub origin: Origin,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub cure: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        write!(f, "{}; {}", self.problem, self.cure)
    }
}

/// Everything wrong in the configuration; never empty.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} mistake{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().take(MAX_SHOWN).try_for_each(|mistake| write!(f, "\n  {mistake}"))?;
        match count.saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl Layers {
    /// The layers of a host: its files, this process's environment, and what the command line sets.
    pub fn new(folder: PathBuf, file: Option<PathBuf>, sets: Vec<(String, String)>) -> Self {
        Layers { folder, file, sets, environment: None }
    }
}

/// The configuration of the default file and these, or its mistakes.
#[cfg(test)]
fn load_with(sets: &[(&str, &str)]) -> Result<Config, String> {
    let sets = sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let environment = Some(std::collections::HashMap::new());
    let layers = Layers { environment, ..Layers::new("/nonexistent".into(), None, sets) };
    Config::load(&layers).map_err(|mistakes| mistakes.to_string())
}
