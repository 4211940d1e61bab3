//! Names of users, as far as they may be told.
//!
//! People type passwords where the user's name belongs. So only names of users that exist are kept and told; all others are
//! one mask, the same whatever the text and its length.

use super::generations::{AsHashed, Generations};
use super::patterns::NOBODY;
use crate::detectors::sketches::KeyedHash;

/// Names that are kept, and at most twice as many: 60 KiB.
const NAMES: usize = 512;
/// Characters of a name that are told.
const LENGTH: usize = 64;
/// Stands for every name that is not told.
pub(super) const MASK: &str = "(unknown user)";

/// Names by their hashes.
#[derive(Debug)]
pub(super) struct Names {
    hash: KeyedHash,
    names: Generations<u32, String, AsHashed>,
}

impl Names {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Names { hash, names: Generations::new(AsHashed::default(), NAMES) }
    }

    /// The hash that stands for the user; 0 and 1 have other meanings.
    pub(super) fn of(&self, user: &str) -> u32 {
        u32::try_from(self.hash.of(&user.as_bytes()) >> 32).unwrap_or_default().max(2)
    }

    /// The name may be told from now on.
    pub(super) fn learn(&mut self, hash: u32, name: &str) {
        if hash != NOBODY && self.names.get(&hash).is_none() {
            self.names.put(hash, printable(name));
        }
    }

    /// What is told of a user.
    pub(super) fn told(&self, hash: u32) -> String {
        self.names.get(&hash).cloned().unwrap_or_else(|| MASK.to_owned())
    }

    /// Whether the name may be told.
    pub(super) fn is_told(&self, hash: u32) -> bool {
        self.names.get(&hash).is_some()
    }

    pub(super) fn kept(&self, most: usize) -> Vec<(u32, String)> {
        let mut kept: Vec<_> = self.names.iter().map(|(hash, name)| (*hash, name.clone())).collect();
        kept.sort_unstable();
        kept.truncate(most);
        kept
    }

    pub(super) fn restore(&mut self, kept: Vec<(u32, String)>) {
        kept.into_iter().for_each(|(hash, name)| self.learn(hash, &name));
    }

    pub(super) fn forget_all(&mut self) {
        self.names = Generations::new(AsHashed::default(), NAMES);
    }
}

/// Without what a terminal or a page obeys: control characters, and those that turn or hide text.
fn printable(name: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    name.chars().take(LENGTH).map(|c| if is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::sketches::Purpose;

    #[test]
    fn names_are_printable() {
        for (name, told) in [
            ("root", "root"),
            ("a\u{1b}[31m\nb\0", "a\u{fffd}[31m\u{fffd}b\u{fffd}"),
            ("\u{202e}toor\u{200b}", "\u{fffd}toor\u{fffd}"),
            ("Jörg Müller", "Jörg Müller"),
        ] {
            assert_eq!(printable(name), told);
        }
        assert_eq!(printable(&"x".repeat(1000)).len(), LENGTH);
    }

    #[test]
    fn who_is_not_known_is_masked() {
        let mut names = Names::new(KeyedHash::new(1, Purpose::Logins));
        let (root, secret) = (names.of("root"), names.of("hunter2"));
        names.learn(root, "root");
        names.learn(NOBODY, "nobody");
        assert_eq!([root, secret, NOBODY].map(|hash| names.told(hash)), ["root", MASK, MASK]);
    }
}
