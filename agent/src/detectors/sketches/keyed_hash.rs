//! The hash that the sketches share: SipHash-1-3, keyed by the seed (Aumasson and Bernstein, "`SipHash`: a fast
//! short-input PRF", 2012). The standard library's own hasher promises neither an algorithm nor a stable result, and
//! fast unkeyed ones let a sender choose keys that collide.

use std::fmt;
use std::hash::{BuildHasher, Hash};

use siphasher::sip::SipHasher13;

/// What a hash is for: each purpose has a function of its own, so that two sketches of one seed tell nothing of
/// each other.
#[derive(Debug, Clone, Copy)]
pub(in crate::detectors) enum Purpose {
    Distinct = 1,
    HeavyHitters = 2,
    Collisions = 3,
    CollisionDraw = 4,
    Scanners = 5,
    ScannerDraw = 6,
    KnownSources = 7,
    Logins = 8,
    LoginDraw = 9,
}

/// A keyed hash function; builds the hashers of tables too.
#[derive(Clone, Copy)]
pub(in crate::detectors) struct KeyedHash {
    seed: u64,
    purpose: Purpose,
}

impl KeyedHash {
    pub(in crate::detectors) fn new(seed: u64, purpose: Purpose) -> Self {
        KeyedHash { seed, purpose }
    }

    pub(in crate::detectors) fn of(self, key: &impl Hash) -> u64 {
        self.hash_one(key)
    }

    /// The `number`th draw of a sequence that only the seed tells: evenly from 0 up to `below`, off by at most
    /// `below` in 2^64.
    pub(in crate::detectors) fn draw(self, number: u64, below: u64) -> u64 {
        u64::try_from((u128::from(self.of(&number)) * u128::from(below)) >> 64).unwrap_or_default()
    }
}

impl BuildHasher for KeyedHash {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.seed, self.purpose as u64)
    }
}

/// Without the seed: what is logged must not tell it.
impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedHash").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::SourceKey;
    use super::*;

    /// A change here breaks the replay of every recording.
    #[test]
    fn is_the_same_on_every_machine_and_tells_purposes_apart() {
        let key: SourceKey = "198.18.0.1".parse::<std::net::IpAddr>().unwrap().into();
        let hash = |seed, purpose| KeyedHash::new(seed, purpose).of(&key);
        assert_eq!(hash(1, Purpose::Distinct), 1_640_305_387_997_681_561);
        assert_ne!(hash(1, Purpose::Distinct), hash(2, Purpose::Distinct));
        assert_ne!(hash(1, Purpose::Distinct), hash(1, Purpose::Scanners));
    }

    #[test]
    fn draws_are_even() {
        let hash = KeyedHash::new(7, Purpose::CollisionDraw);
        let mut seen = [0u32; 10];
        (0..10_000).for_each(|number| seen[usize::try_from(hash.draw(number, 10)).unwrap()] += 1);
        // Five standard deviations of 30.
        assert!(seen.iter().all(|times| (850..1150).contains(times)), "{seen:?}");
    }

    #[test]
    fn the_seed_is_not_printed() {
        let printed = format!("{:?}", KeyedHash::new(123_456_789, Purpose::Distinct));
        assert!(!printed.contains("123456789"), "{printed}");
    }
}
