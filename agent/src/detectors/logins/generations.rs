//! A table that forgets: in two generations, of which the older one goes when the younger one is full.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::mem;

/// Keeps the last `capacity` keys that were put, and at most twice as many. Takes no memory while it is empty.
#[derive(Debug, Clone)]
pub(super) struct Generations<K, V, S> {
    capacity: usize,
    young: HashMap<K, V, S>,
    old: HashMap<K, V, S>,
}

impl<K: Hash + Eq, V, S: BuildHasher + Copy> Generations<K, V, S> {
    pub(super) fn new(hash: S, capacity: usize) -> Self {
        Generations { capacity, young: HashMap::with_hasher(hash), old: HashMap::with_hasher(hash) }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Takes it out, so that it can be changed and put again.
    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.capacity && !self.young.contains_key(&key) {
            self.old = mem::replace(&mut self.young, HashMap::with_hasher(*self.old.hasher()));
        }
        self.young.insert(key, value);
    }

    /// Everything, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let old = self.old.iter().filter(|(key, _)| !self.young.contains_key(key));
        self.young.iter().chain(old)
    }
}

/// For tables whose keys are keyed hashes already: only spreads their bits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AsHashed(u64);

impl BuildHasher for AsHashed {
    type Hasher = AsHashed;

    fn build_hasher(&self) -> AsHashed {
        *self
    }
}

impl Hasher for AsHashed {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // The odd number next to 2^64 divided by the golden ratio (Knuth, volume 3, 6.4).
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_last_is_kept_and_memory_is_bounded() {
        let mut table = Generations::new(AsHashed::default(), 100);
        for number in 0..10_000u32 {
            table.put(number, number);
            table.put(7, number); // it comes again and again
            assert_eq!(table.get(&7), Some(&number));
        }
        assert!(table.iter().count() <= 200);
        assert!((9_901..10_000).all(|number| table.get(&number) == Some(&number)));
        assert_eq!((table.take(&9_999), table.get(&9_999)), (Some(9_999), None));
    }
}
