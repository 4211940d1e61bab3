//! Who sent most: Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements
//! in data streams", 2005).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use super::keyed_hash::{KeyedHash, Purpose};

/// Counts the heaviest of any number of keys in a fixed number of counters.
///
/// With N the weight added and m counters, every reported `count` is at least the truth and at most N/m above it, and
/// `count - error` is at most the truth; a key of more than N/m is always among the counters. That holds for any
/// sequence of keys, also one made to hurt: the seed only keeps the lookup quick. Adding costs O(log m).
#[derive(Debug, Clone)]
pub struct HeavyHitters<K> {
    capacity: usize,
    total: u64,
    arrivals: u64,
    counters: HashMap<K, Counter, KeyedHash>,
    /// The same keys, least count first, and of equals the one that came first.
    order: BTreeMap<Rank, K>,
}

#[derive(Debug, Clone, Copy)]
struct Counter {
    rank: Rank,
    error: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    count: u64,
    arrival: u64,
}

/// A key and its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heavy<K> {
    /// Whose weight it is.
    pub key: K,
    /// Its weight, at most.
    pub count: u64,
    /// By how much `count` may be too high.
    pub error: u64,
}

impl<K> Heavy<K> {
    /// Its weight, at least.
    pub fn at_least(&self) -> u64 {
        self.count - self.error
    }
}

impl<K: Copy + Eq + Hash> HeavyHitters<K> {
    /// Nothing counted yet; `capacity` is the number of counters, at least one.
    pub fn new(seed: u64, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let hash = KeyedHash::new(seed, Purpose::HeavyHitters);
        HeavyHitters {
            capacity,
            total: 0,
            arrivals: 0,
            // Twice the room: a table that is less than half full never grows to be rid of what was removed.
            counters: HashMap::with_capacity_and_hasher(2 * capacity, hash),
            order: BTreeMap::new(),
        }
    }

    /// Adds weight to a key.
    pub fn add(&mut self, key: K, weight: u64) {
        self.total = self.total.saturating_add(weight);
        if let Some(counter) = self.counters.get_mut(&key) {
            self.order.remove(&counter.rank);
            counter.rank.count = counter.rank.count.saturating_add(weight);
            self.order.insert(counter.rank, key);
            return;
        }
        let error = self.inheritance();
        self.arrivals += 1;
        let rank = Rank { count: error.saturating_add(weight), arrival: self.arrivals };
        self.counters.insert(key, Counter { rank, error });
        self.order.insert(rank, key);
    }

    /// What a new key begins with. When no counter is left, the least one changes its owner and keeps its count: the
    /// newcomer may have come that often unseen.
    fn inheritance(&mut self) -> u64 {
        let least = if self.counters.len() < self.capacity { None } else { self.order.pop_first() };
        least.map_or(0, |(rank, key)| {
            self.counters.remove(&key);
            rank.count
        })
    }

    /// The `k` heaviest, heaviest first; of equals the one that is surer, then the one that came first.
    pub fn top(&self, k: usize) -> Vec<Heavy<K>> {
        let mut all: Vec<(Rank, Heavy<K>)> = self
            .order
            .iter()
            .filter_map(|(rank, key)| {
                let error = self.counters.get(key)?.error;
                Some((*rank, Heavy { key: *key, count: rank.count, error }))
            })
            .collect();
        all.sort_unstable_by_key(|(rank, heavy)| (Reverse(heavy.count), heavy.error, rank.arrival));
        all.into_iter().take(k).map(|(_, heavy)| heavy).collect()
    }

    /// What is known of one key; nothing if it is not among the counters.
    pub fn of(&self, key: &K) -> Option<Heavy<K>> {
        let Counter { rank, error } = self.counters.get(key)?;
        Some(Heavy { key: *key, count: rank.count, error: *error })
    }

    /// All weight that was added.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Halves everything, so that what is old weighs less: called once in a while, it makes a sliding window. The bounds
    /// stay true of halved weights, with room for halves being rounded: `count` is at most N/m + 1 above the truth, and
    /// `error` at most N/m + 2.
    pub fn halve(&mut self) {
        self.total = self.total.div_ceil(2);
        for counter in self.counters.values_mut() {
            let at_least = (counter.rank.count - counter.error) / 2;
            counter.rank.count = counter.rank.count.div_ceil(2);
            counter.error = counter.rank.count - at_least;
        }
        self.order = self.counters.iter().map(|(key, counter)| (counter.rank, *key)).collect();
    }

    /// Forgets everything but the seed.
    pub fn clear(&mut self) {
        self.total = 0;
        self.arrivals = 0;
        self.counters.clear();
        self.order.clear();
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn top_and_total() {
        let mut heavy = HeavyHitters::new(1, 3);
        for (port, weight) in [(443, 5), (80, 3), (22, 1), (25, 1), (443, 2)] {
            heavy.add(port, weight);
        }
        let expected = [
            Heavy { key: 443, count: 7, error: 0 },
            Heavy { key: 80, count: 3, error: 0 },
            Heavy { key: 25, count: 2, error: 1 },
        ];
        assert_eq!(heavy.top(3), expected);
        assert_eq!(heavy.top(1), expected[..1]);
        assert_eq!([443, 80, 25].map(|key| heavy.of(&key).unwrap()), expected);
        assert_eq!(heavy.of(&22), None, "it made room");
        assert_eq!((heavy.total(), expected[2].at_least()), (12, 1));
        heavy.clear();
        assert_eq!((heavy.total(), heavy.top(3)), (0, Vec::new()));
    }

    #[test]
    fn halves_forget() {
        let mut heavy = HeavyHitters::new(1, 4);
        heavy.add("old", 1000);
        (0..10).for_each(|_| heavy.halve());
        heavy.add("new", 5);
        assert_eq!(heavy.top(1), [Heavy { key: "new", count: 5, error: 0 }]);
        assert_eq!(heavy.total(), 6);
    }

    #[test]
    fn weights_beyond_all_measure_do_not_overflow() {
        let mut heavy = HeavyHitters::new(1, 2);
        for key in 0..5 {
            heavy.add(key, u64::MAX);
        }
        heavy.halve();
        assert_eq!(heavy.total(), u64::MAX / 2 + 1);
        assert_eq!(heavy.top(9).len(), 2);
    }

    #[test]
    fn many_keys_do_not_grow_it() {
        let mut heavy = HeavyHitters::new(1, 64);
        let room = heavy.counters.capacity();
        for key in 0..100_000u32 {
            heavy.add(key, 1);
            if key % 100 == 0 {
                heavy.add(u32::MAX, 2);
            }
        }
        assert_eq!((heavy.counters.len(), heavy.order.len()), (64, 64));
        assert!(heavy.counters.capacity() <= room, "{} of {room}", heavy.counters.capacity());
        assert_eq!(heavy.top(1)[0].key, u32::MAX);
    }

    /// The seed decides how quickly a key is found, not what is counted.
    #[test]
    fn the_answer_is_the_same_for_every_seed() {
        let of = |seed| {
            let mut heavy = HeavyHitters::new(seed, 16);
            (0..5_000u64).for_each(|number| heavy.add(number * number % 97, number % 7));
            heavy.halve();
            heavy.top(16)
        };
        assert_eq!(of(1), of(2));
        assert_eq!(of(1)[0], Heavy { key: 75, count: 472, error: 468 });
    }

    proptest! {
        /// Compared to true weights, halved as exact fractions.
        #[test]
        fn bounds_hold(
            seed: u64,
            capacity in 1usize..20,
            added in prop::collection::vec((0u8..60, 0u64..1000, prop::bool::weighted(0.02)), 0..400),
        ) {
            let mut heavy = HeavyHitters::new(seed, capacity);
            let mut truth = std::collections::HashMap::<u8, f64>::new();
            for (key, weight, halves) in added {
                heavy.add(key, weight);
                *truth.entry(key).or_default() += weight as f64;
                if halves {
                    heavy.halve();
                    truth.values_mut().for_each(|weight| *weight /= 2.0);
                }
            }
            let total: f64 = truth.values().sum();
            let top = heavy.top(capacity);
            let slack = total / capacity as f64 + 1.0;
            for Heavy { key, count, error } in &top {
                let truth = truth[key];
                prop_assert!((count - error) as f64 <= truth && truth <= *count as f64, "{key}: {count} {error} {truth}");
                prop_assert!(*error as f64 <= slack + 1.0 , "{error} {slack}");
                prop_assert!(*count as f64 - truth <= slack, "{count} {truth} {slack}");
            }
            for (key, weight) in &truth {
                prop_assert!(*weight <= slack || top.iter().any(|heavy| heavy.key == *key), "{key} of {weight} is missing");
            }
            prop_assert!(top.len() <= capacity && top.is_sorted_by(|a, b| a.count >= b.count));
        }
    }
}
