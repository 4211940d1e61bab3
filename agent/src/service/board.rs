//! What the parts of a running agent say of themselves. The status and the self-metrics read it; nobody decides by it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::gaps::{Gap, Gaps};
use crate::model::meters::{Loss, Meters};
use crate::model::spool::{Destination, Entry, Kind};
use crate::store::{Cause, Shed};

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
        self.state().troubles.insert(place.to_owned(), what.to_owned());
    }

    /// Nothing is wrong at `place` any more.
    pub fn well(&self, place: &str) {
        self.state().troubles.remove(place);
    }

    /// What is wrong now: where, and what.
    pub fn troubles(&self) -> BTreeMap<String, String> {
        self.state().troubles.clone()
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
                Cause::TooOld => Loss::TooOld,
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

    /// Gap records that are due, rendered by `render`.
    pub fn gap_entries(&self, now_ms: i64, render: impl Fn(&Gap) -> Entry) -> Vec<Entry> {
        self.state().gaps.due(now_ms).iter().map(render).collect()
    }
}
