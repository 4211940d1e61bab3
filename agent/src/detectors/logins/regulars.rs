//! Who logged in here within the last days: addresses, users from them, and networks.

use std::net::Ipv4Addr;

use super::generations::Generations;
use super::patterns::Second;
use crate::detectors::sketches::{KeyedHash, SourceKey};

/// Logins that are remembered, and at most twice as many: 130 KiB each when full. A login takes up to three.
const LOGINS: usize = 3072;
/// An address is known for seven days.
const WEEK: Second = 7 * 24 * 3600;
/// In place of a user: anybody from that address, and anybody from that network.
const ANYBODY: u32 = 0;
const NETWORK: u32 = 1;

/// Remembers successful logins for a week.
#[derive(Debug)]
pub(super) struct Regulars(Generations<(SourceKey, u32), Second, KeyedHash>);

impl Regulars {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Regulars(Generations::new(hash, LOGINS))
    }

    pub(super) fn learn(&mut self, source: SourceKey, user: u32, now: Second) {
        for key in [(source, ANYBODY), (source, user.max(2)), (network(source), NETWORK)] {
            self.0.put(key, now);
        }
    }

    /// Whether anybody logged in from there.
    pub(super) fn is_known(&self, source: SourceKey, now: Second) -> bool {
        self.has((source, ANYBODY), now)
    }

    /// Whether this user logged in from there.
    pub(super) fn knows(&self, source: SourceKey, user: u32, now: Second) -> bool {
        self.has((source, user.max(2)), now)
    }

    /// Whether anybody logged in from that neighbourhood: people change their address, but seldom the network that they
    /// come from.
    pub(super) fn knows_network(&self, source: SourceKey, now: Second) -> bool {
        self.has((network(source), NETWORK), now)
    }

    fn has(&self, key: (SourceKey, u32), now: Second) -> bool {
        self.0.get(&key).is_some_and(|at| now.abs_diff(*at) < WEEK)
    }

    /// The last of them, for the state file.
    pub(super) fn kept(&self, most: usize) -> Vec<(SourceKey, u32, Second)> {
        let mut kept: Vec<_> = self.0.iter().map(|((source, user), at)| (*source, *user, *at)).collect();
        kept.sort_unstable_by_key(|(source, user, at)| (std::cmp::Reverse(*at), *source, *user));
        kept.truncate(most);
        kept
    }

    pub(super) fn restore(&mut self, kept: Vec<(SourceKey, u32, Second)>) {
        kept.into_iter().rev().for_each(|(source, user, at)| self.0.put((source, user), at));
    }
}

/// The /16 of an IPv4 address, the /48 of an IPv6 one: what one organization has, about.
fn network(source: SourceKey) -> SourceKey {
    match source {
        SourceKey::Address(address) => {
            SourceKey::Address(Ipv4Addr::from_bits(address.to_bits() & 0xffff_0000))
        }
        SourceKey::Prefix(prefix) => SourceKey::Prefix(prefix & !0xffff),
    }
}
