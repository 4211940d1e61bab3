//! What the parts of a running agent say of themselves. The status and the self-metrics read it; nobody decides by it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::gaps::{Gap, Gaps};
use crate::host::clock::wall;
use crate::model::identity::{Identity, Instance};
use crate::model::meters::{Loss, Meters};
use crate::model::snapshot::{SourceOutcome, SourceReport};
use crate::model::spool::{Destination, Entry, Kind};
use crate::store::{Cause, Shed};

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub time: Timestamp,
    /// Where.
    pub place: String,
    /// What.
    pub what: String,
}

/// Shared by all parts.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    meters: Meters,
    /// What is wrong now, by where.
    troubles: BTreeMap<String, String>,
    /// Sources that did not give all that they should, at the last snapshot.
    sources: BTreeMap<String, String>,
    last_error: Option<LastError>,
    identity: Option<Identity>,
    instance: Option<Instance>,
    region: Option<String>,
    gaps: Gaps,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere ends the process; counters are never half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes counters.
    pub fn count(&self, change: impl FnOnce(&mut Meters)) {
        change(&mut self.state().meters);
    }

    /// The counters now.
    pub fn meters(&self) -> Meters {
        self.state().meters.clone()
    }

    /// Something is wrong at `place`, until [`Board::well`].
    pub fn trouble(&self, place: &str, what: &str) {
        let mut state = self.state();
        state.troubles.insert(place.to_owned(), what.to_owned());
        state.last_error = Some(LastError { time: wall(), place: place.to_owned(), what: what.to_owned() });
    }

    /// Nothing is wrong at `place` any more.
    pub fn well(&self, place: &str) {
        self.state().troubles.remove(place);
    }

    /// What is wrong now: where, and what.
    pub fn troubles(&self) -> BTreeMap<String, String> {
        self.state().troubles.clone()
    }

    /// What went wrong last, also if it is well again.
    pub fn last_error(&self) -> Option<LastError> {
        self.state().last_error.clone()
    }

    /// How the sources fared at a snapshot.
    pub fn sources(&self, reports: &[SourceReport]) {
        let mut state = self.state();
        state.sources.clear();
        for report in reports {
            let message = report.message.clone().unwrap_or_default();
            match report.outcome {
                SourceOutcome::Failed => {
                    state.sources.insert(report.name.clone(), format!("failed: {message}"))
                }
                SourceOutcome::Degraded => {
                    state.sources.insert(report.name.clone(), format!("degraded: {message}"))
                }
                _ => None,
            };
        }
    }

    /// Sources that did not give all that they should: name, and what is missing.
    pub fn bad_sources(&self) -> BTreeMap<String, String> {
        self.state().sources.clone()
    }

    /// Records were lost on their way to `destination`: counted, and told in a gap record.
    pub fn lost(&self, destination: &Destination, kind: Kind, cause: Loss, records: u64) {
        if records > 0 {
            let mut state = self.state();
            state.meters.count_lost(cause, records);
            state.gaps.note(destination, kind, cause, records, None);
        }
    }

    /// The state file gave up frames.
    pub fn shed(&self, shed: Vec<Shed>) {
        let mut state = self.state();
        for shed in shed {
            let cause = match shed.cause {
                Cause::Full => Loss::Full,
                Cause::TooLarge => Loss::Rejected,
                Cause::Damaged => Loss::Damaged,
            };
            state.meters.count_lost(cause, shed.records);
            state.gaps.note(
                &shed.destination,
                shed.kind,
                cause,
                shed.records,
                Some((shed.oldest, shed.newest)),
            );
        }
    }

    /// Who this host is, and where it sends to.
    pub fn about(&self, identity: Identity, instance: Option<Instance>, region: Option<&str>) {
        let mut state = self.state();
        (state.identity, state.instance) = (Some(identity), instance);
        state.region = region.map(str::to_owned);
    }

    /// The instance, as it was last learned.
    pub fn instance(&self) -> Option<Instance> {
        self.state().instance.clone()
    }

    /// The instance was looked at again.
    pub fn set_instance(&self, instance: Instance) {
        self.state().instance = Some(instance);
    }

    /// Where it sends to now.
    pub fn region(&self, region: Option<&str>) {
        self.state().region = region.map(str::to_owned);
    }

    /// Who this host is, once it is known, and where it sends to.
    pub fn known(&self) -> (Option<Identity>, Option<Instance>, Option<String>) {
        let state = self.state();
        (state.identity.clone(), state.instance.clone(), state.region.clone())
    }

    /// Gap records of everything that was not told yet.
    pub fn last_gaps(&self, render: impl Fn(&Gap) -> Entry) -> Vec<Entry> {
        self.state().gaps.rest().iter().map(render).collect()
    }

    /// Gap records that are due, rendered by `render`.
    pub fn gap_entries(&self, now_ms: i64, render: impl Fn(&Gap) -> Entry) -> Vec<Entry> {
        self.state().gaps.due(now_ms).iter().map(render).collect()
    }
}
