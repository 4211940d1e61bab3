//! Guessing of passwords, in its patterns.

use crate::detectors::Detector;
use crate::model::event::Event;
use crate::model::finding::Finding;
use crate::model::settings::{DetectorSettings, LoginSettings};

/// Looks for guessing of passwords.
#[derive(Debug)]
pub(super) struct Logins {
    settings: LoginSettings,
}

impl Logins {
    pub(super) fn new(settings: &DetectorSettings, _seed: u64) -> Self {
        Logins { settings: settings.logins.clone() }
    }
}

impl Detector for Logins {
    fn name(&self) -> &'static str {
        "logins"
    }

    fn observe(&mut self, _event: &Event) -> Vec<Finding> {
        Vec::new()
    }

    fn measurements(&mut self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    fn configure(&mut self, settings: &DetectorSettings) {
        self.settings.clone_from(&settings.logins);
    }
}
