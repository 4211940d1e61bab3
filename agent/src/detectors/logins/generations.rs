//! A table that forgets: in two generations, of which the older one goes when the younger one is full.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

use crate::detectors::sketches::KeyedHash;

/// Keeps the last `capacity` keys that were put, and at most twice as many. Takes no memory while it is empty.
#[derive(Debug, Clone)]
pub(super) struct Generations<K, V> {
    capacity: usize,
    young: HashMap<K, V, KeyedHash>,
    old: HashMap<K, V, KeyedHash>,
}

impl<K: Hash + Eq, V> Generations<K, V> {
    pub(super) fn new(hash: KeyedHash, capacity: usize) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::sketches::Purpose;

    #[test]
    fn what_was_put_last_is_kept_and_memory_is_bounded() {
        let mut table = Generations::new(KeyedHash::new(1, Purpose::Logins), 100);
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
