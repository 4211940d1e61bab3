//! One tick: asks each source in turn, times it, and marks what is missing. Receives nothing, hands on a
//! [`Snapshot`]; never waits and never gives up because a source failed.

use std::time::Instant;

use crate::host::clock::{Monotonic, wall};
use crate::model::snapshot::{Snapshot, SourceOutcome, SourceReport};
use crate::sources::{Source, SourceError};

/// Asks the sources.
pub struct Sampler {
    sources: Vec<Box<dyn Source>>,
    clock: Monotonic,
    last: Vec<SourceOutcome>,
}

impl Sampler {
    /// A sampler of these sources, asked in this order.
    pub fn new(sources: Vec<Box<dyn Source>>, clock: Monotonic) -> Self {
        let last = vec![SourceOutcome::Ok; sources.len()];
        Sampler { sources, clock, last }
    }

    /// Samples from other sources from now on: the configuration was read again.
    pub fn replace_sources(&mut self, sources: Vec<Box<dyn Source>>) {
        self.last = vec![SourceOutcome::Ok; sources.len()];
        self.sources = sources;
    }

    /// Takes one snapshot. A source that changes between good and bad is told to the operator, once each way.
    pub fn sample(&mut self) -> Snapshot {
        let mut snapshot = Snapshot::at(wall(), self.clock.milliseconds());
        for (source, last) in self.sources.iter_mut().zip(&mut self.last) {
            let begun = Instant::now();
            let (outcome, message) = match source.read(&mut snapshot) {
                Ok(()) => (SourceOutcome::Ok, None),
                Err(SourceError::Absent(why)) => (SourceOutcome::Absent, Some(why)),
                Err(SourceError::Degraded(why)) => (SourceOutcome::Degraded, Some(why)),
                Err(SourceError::Failed(why)) => (SourceOutcome::Failed, Some(why)),
            };
            let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            if outcome != *last {
                tell(source.name(), outcome, message.as_deref().unwrap_or_default());
            }
            *last = outcome;
            snapshot.sources.push(SourceReport { name: source.name().to_owned(), took_us, outcome, message });
        }
        snapshot
    }
}

fn tell(source: &str, outcome: SourceOutcome, why: &str) {
    match outcome {
        SourceOutcome::Ok => tracing::info!("{source}: working"),
        SourceOutcome::Absent => tracing::debug!("{source}: {why}"),
        SourceOutcome::Degraded => tracing::warn!("{source}: degraded: {why}"),
        SourceOutcome::Failed => tracing::warn!("{source}: failed, the other sources go on: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Conntrack;

    struct Broken;
    impl Source for Broken {
        fn name(&self) -> &'static str {
            "broken"
        }
        fn read(&mut self, _: &mut Snapshot) -> Result<(), SourceError> {
            Err(SourceError::Failed("on purpose".into()))
        }
    }

    struct Working;
    impl Source for Working {
        fn name(&self) -> &'static str {
            "working"
        }
        fn read(&mut self, into: &mut Snapshot) -> Result<(), SourceError> {
            into.conntrack = Some(Conntrack { entries: 1, limit: 2 });
            Ok(())
        }
    }

    #[test]
    fn a_source_fails_alone_and_is_marked() {
        let mut sampler = Sampler::new(vec![Box::new(Broken), Box::new(Working)], Monotonic::start());
        let snapshot = sampler.sample();
        assert!(snapshot.conntrack.is_some());
        let outcomes: Vec<_> = snapshot.sources.iter().map(|s| (s.name.as_str(), s.outcome)).collect();
        assert_eq!(outcomes, [("broken", SourceOutcome::Failed), ("working", SourceOutcome::Ok)]);
        assert_eq!(snapshot.sources[0].message.as_deref(), Some("on purpose"));
    }
}
