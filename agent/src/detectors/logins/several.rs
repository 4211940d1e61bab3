//! Small counts that fit into a finding and into the state file.

use serde::{Deserialize, Serialize};

/// How many different ones there were, of hashes: exactly up to [`Several::LEAST`], then by the least of them ("Counting
/// distinct elements in a data stream", Bar-Yossef and others, 2002), off by 13 % (standard error). A quarter of a kilobyte.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Several(Vec<u32>);

impl Several {
    const LEAST: usize = 64;

    pub(super) fn insert(&mut self, hash: u32) {
        let Err(place) = self.0.binary_search(&hash) else { return };
        if place < Self::LEAST {
            self.0.insert(place, hash);
            self.0.truncate(Self::LEAST);
        }
    }

    pub(super) fn count(&self) -> u64 {
        match self.0.last() {
            Some(last) if self.0.len() >= Self::LEAST => {
                let below = (Self::LEAST as u64 - 1) << u32::BITS;
                below / u64::from(*last).max(1)
            }
            _ => self.0.len() as u64,
        }
    }
}

/// How often each of a few came: those that came most, if they came often (Metwally and others, "Efficient computation
/// of frequent and top-k elements in data streams", 2005).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally<K>(Vec<(K, u32)>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Tally(Vec::new())
    }
}

impl<K: Copy + Ord> Tally<K> {
    const MOST: usize = 16;

    pub(super) fn add(&mut self, key: K, times: u32) {
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| *known == key) {
            *count = count.saturating_add(times);
        } else if self.0.len() < Self::MOST {
            self.0.push((key, times));
        } else if let Some(least) = self.0.iter_mut().min_by_key(|(_, count)| *count) {
            *least = (key, least.1.saturating_add(times));
        }
    }

    /// Those that came most, most first.
    pub(super) fn top(&self) -> Vec<(K, u32)> {
        let mut top = self.0.clone();
        top.sort_unstable_by_key(|(key, count)| (std::cmp::Reverse(*count), *key));
        top
    }

    /// How often the one came that came most.
    pub(super) fn most(&self) -> u32 {
        self.0.iter().map(|(_, count)| *count).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::sketches::{KeyedHash, Purpose};

    #[test]
    fn few_are_counted_and_many_estimated() {
        for (many, off) in [(0u32, 0), (1, 0), (50, 0), (63, 0), (1_000, 400), (100_000, 40_000)] {
            let (mut several, hash) = (Several::default(), KeyedHash::new(1, Purpose::Logins));
            for number in (0..many).chain(0..many) {
                several.insert((hash.of(&number) >> 32) as u32);
            }
            assert!(several.count().abs_diff(many.into()) <= off, "{many}: {}", several.count());
            assert!(several.0.len() <= Several::LEAST);
        }
    }

    #[test]
    fn who_comes_most_is_told_in_a_crowd() {
        let mut tally = Tally::default();
        for number in 0..10_000u32 {
            tally.add(number, 1);
            tally.add(1, 1);
        }
        assert_eq!((tally.top()[0], tally.most()), ((1, 10_001), 10_001));
        assert_eq!(tally.top().len(), 16);
    }
}
