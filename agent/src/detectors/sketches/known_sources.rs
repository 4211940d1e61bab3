//! Which sources were here before: a Bloom filter ("Space/time trade-offs in hash coding with allowable errors", 1970)
//! in two generations, from Apache `DataSketches`.

use std::mem;

use datasketches::bloom::{BloomFilter, BloomFilterBuilder};

use super::SourceKey;
use super::keyed_hash::{KeyedHash, Purpose};

/// Bits of one generation: 30 KiB.
const BITS: u64 = 30 * 1024 * 8;
/// Bits that each source sets: what is best for a filter of which half is set.
const BITS_A_SOURCE: u16 = 7;

/// Remembers sources for a while, in 60 KiB.
///
/// A source is known from when it was learned until one to two spans of learned time later, unless it is learned again.
/// A known source is never forgotten before that; an unknown one is taken for known with a probability that grows with
/// the number of sources learned: 0.01 % at 10,000 in each generation, 0.6 % at 20,000, and never more than
/// 2 / 2^7 = 1.6 %, for a generation of which half the bits are set (after about 24,300 sources) learns nothing more.
/// So a flood that was learned by mistake costs the newest clients their place, and is gone after two spans.
///
/// What deserves to be known is the caller's to decide: sources of completed handshakes, while nothing is wrong.
#[derive(Debug, Clone)]
pub struct KnownSources {
    hash: KeyedHash,
    span: u64,
    passed: u64,
    young: BloomFilter,
    old: BloomFilter,
}

impl KnownSources {
    /// Nobody known yet; `span` is the learned time in seconds after which a generation ends, at least one.
    pub fn new(seed: u64, span: u64) -> Self {
        let hash = KeyedHash::new(seed, Purpose::KnownSources);
        let empty = empty();
        KnownSources { hash, span: span.max(1), passed: 0, young: empty.clone(), old: empty }
    }

    /// Learns one source, or learns it again.
    pub fn learn(&mut self, source: SourceKey) {
        if !self.is_full() {
            self.young.insert(self.hash.of(&source));
        }
    }

    /// Whether this source was learned in this generation or the one before.
    pub fn is_known(&self, source: SourceKey) -> bool {
        let hash = self.hash.of(&source);
        self.young.contains(&hash) || self.old.contains(&hash)
    }

    /// Time in which it was learned, in seconds. Attacks that are not learned do not count: else a long one would make
    /// all regular clients strangers.
    pub fn learned_for(&mut self, seconds: u64) {
        self.passed = self.passed.saturating_add(seconds);
        if self.passed >= self.span {
            self.passed = 0;
            mem::swap(&mut self.young, &mut self.old);
            self.young.reset();
        }
    }

    /// Whether it learns nothing more until the generation ends.
    pub fn is_full(&self) -> bool {
        self.young.bits_used() >= BITS / 2
    }
}

#[expect(clippy::expect_used, reason = "refuses only sizes out of range, and these are constants")]
fn empty() -> BloomFilter {
    BloomFilterBuilder::with_size(BITS, BITS_A_SOURCE).build().expect("a filter of some bits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken_for_known(known: &KnownSources) -> usize {
        (1 << 40..(1 << 40) + 20_000).filter(|stranger| known.is_known(SourceKey::Prefix(*stranger))).count()
    }

    fn learn(known: &mut KnownSources, sources: impl IntoIterator<Item = u64>) {
        sources.into_iter().for_each(|source| known.learn(SourceKey::Prefix(source)));
    }

    #[test]
    fn strangers_are_strangers() {
        // Of 20,000: what the formula says, and five standard deviations of it.
        for (sources, at_most) in [(10_000u64, 10), (20_000, 170), (24_000, 400), (60_000, 400)] {
            let mut known = KnownSources::new(3, 60);
            learn(&mut known, 0..sources);
            known.learned_for(60);
            learn(&mut known, sources..2 * sources);
            let strangers = taken_for_known(&known);
            assert!(strangers <= at_most, "{sources}: {strangers}");
            assert_eq!(known.is_full(), sources > 24_500, "{sources}");
        }
    }

    #[test]
    fn who_does_not_come_again_is_forgotten() {
        let (once, again) = (SourceKey::Prefix(1), SourceKey::Prefix(2));
        let mut known = KnownSources::new(1, 100);
        known.learn(once);
        known.learn(again);
        known.learned_for(99);
        assert!(known.is_known(once));
        known.learned_for(1);
        assert!(known.is_known(once) && known.is_known(again));
        known.learn(again);
        known.learned_for(100);
        assert!(!known.is_known(once) && known.is_known(again));
        known.learned_for(100);
        assert!(!known.is_known(again));
    }

    #[test]
    fn a_learned_flood_is_gone_after_two_spans() {
        let client = SourceKey::Prefix(7);
        let mut known = KnownSources::new(1, 100);
        learn(&mut known, 100..100_100);
        known.learn(client);
        assert!(known.is_full() && !known.is_known(client));
        known.learned_for(100);
        known.learn(client);
        assert!(known.is_known(client));
        known.learned_for(100);
        known.learn(client);
        assert_eq!((taken_for_known(&known), known.is_full()), (0, false));
    }

    #[test]
    fn one_seed_one_answer() {
        let of = |seed| {
            let mut known = KnownSources::new(seed, 60);
            learn(&mut known, 0..24_000);
            taken_for_known(&known)
        };
        assert_eq!(of(42), 157);
        assert_ne!(of(42), of(43));
    }

    #[test]
    fn memory_is_what_it_says() {
        let known = KnownSources::new(1, 60);
        let bytes = (known.young.capacity() + known.old.capacity()) / 8 + size_of::<KnownSources>();
        assert!(bytes <= 64 * 1024, "{bytes}");
    }

    proptest! {
        #[test]
        fn nobody_is_forgotten_early(seed: u64, sources in prop::collection::vec(any::<u64>(), 0..300), passed in 0u64..100) {
            let mut known = KnownSources::new(seed, 100);
            known.learned_for(passed);
            learn(&mut known, sources.iter().copied());
            known.learned_for(100);
            prop_assert!(sources.iter().all(|source| known.is_known(SourceKey::Prefix(*source))));
        }
    }
}
