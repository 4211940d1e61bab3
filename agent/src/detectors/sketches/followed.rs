//! What is known of each of a bounded number of sources; when a new one comes and there is no place left, one of a few
//! that are drawn makes room.

use std::collections::HashMap;

use super::SourceKey;
use super::keyed_hash::KeyedHash;

/// Sources looked at when one has to go.
const CANDIDATES: u32 = 4;

/// What is known of one source.
pub(in crate::detectors) trait OfSource {
    /// Whose it is.
    fn source(&self) -> SourceKey;
}

/// The sources that are followed.
///
/// When a new one comes and there is no place left, four are drawn by the seed, and of these the lightest goes, of equals the
/// first drawn. So what a source weighs protects it from any number of lighter ones.
#[derive(Debug, Clone)]
pub(in crate::detectors) struct FollowedSources<T> {
    most: usize,
    draw: KeyedHash,
    evicted: u64,
    places: HashMap<SourceKey, usize, KeyedHash>,
    followed: Vec<T>,
}

impl<T: OfSource> FollowedSources<T> {
    /// Nobody yet, and `most` at once; takes no memory while it is empty.
    pub(in crate::detectors) fn new(places: KeyedHash, draw: KeyedHash, most: usize) -> Self {
        FollowedSources { most, draw, evicted: 0, places: HashMap::with_hasher(places), followed: Vec::new() }
    }

    /// Takes the memory for all of them now.
    pub(in crate::detectors) fn with_room(mut self) -> Self {
        self.places.reserve(2 * self.most);
        self.followed.reserve_exact(self.most);
        self
    }

    pub(in crate::detectors) fn of(&self, source: SourceKey) -> Option<&T> {
        self.places.get(&source).and_then(|place| self.followed.get(*place))
    }

    pub(in crate::detectors) fn of_mut(&mut self, source: SourceKey) -> Option<&mut T> {
        self.places.get(&source).and_then(|place| self.followed.get_mut(*place))
    }

    /// What is known of that source; of a new one `blank`, for which the lightest of some may have to go.
    pub(in crate::detectors) fn follow<W: Ord>(
        &mut self,
        source: SourceKey,
        blank: impl FnOnce() -> T,
        weight: impl Fn(&T) -> W,
    ) -> Option<&mut T> {
        if let Some(place) = self.places.get(&source) {
            return self.followed.get_mut(*place);
        }
        let place = self.free_place(weight);
        match self.followed.get_mut(place) {
            Some(followed) => {
                self.places.remove(&followed.source());
                *followed = blank();
            }
            None => self.followed.push(blank()),
        }
        self.places.insert(source, place);
        self.followed.get_mut(place)
    }

    /// The next place, or that of the lightest of some.
    fn free_place<W: Ord>(&mut self, weight: impl Fn(&T) -> W) -> usize {
        if self.followed.len() < self.most {
            return self.followed.len();
        }
        self.evicted = self.evicted.wrapping_add(1);
        let drawn = self.draw.of(&self.evicted);
        let places = self.followed.len() as u64;
        let candidates = (0..CANDIDATES).map(|number| {
            let sixteen = (drawn >> (16 * number)) & 0xffff;
            usize::try_from((sixteen * places) >> 16).unwrap_or_default()
        });
        candidates.min_by_key(|place| self.followed.get(*place).map(&weight)).unwrap_or_default()
    }

    /// All of them, in no order that means anything.
    pub(in crate::detectors) fn iter(&self) -> impl Iterator<Item = &T> {
        self.followed.iter()
    }

    pub(in crate::detectors) fn len(&self) -> usize {
        self.followed.len()
    }

    /// How many are followed at once from now on; to be set while nobody is.
    pub(in crate::detectors) fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Forgets everybody.
    pub(in crate::detectors) fn clear(&mut self) {
        self.places.clear();
        self.followed.clear();
    }

    /// How many have a place, by the index of places.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }
}
