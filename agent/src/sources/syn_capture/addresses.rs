//! Whose packets they are: this host's own addresses.

use std::collections::HashSet;
use std::net::IpAddr;

use super::packet::Opening;
use crate::model::syns::{SynKind, SynPacket};

/// This host's addresses, all interfaces' together: a host takes packets for any of them at each interface.
#[derive(Debug, Default)]
pub(super) struct OwnAddresses(HashSet<IpAddr>);

impl OwnAddresses {
    pub(super) fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        OwnAddresses(addresses.into_iter().map(|address| address.to_canonical()).collect())
    }

    /// What a packet is to this host; `None` for an answer to another.
    pub(super) fn judge(&self, opening: &Opening) -> Option<SynPacket> {
        let kind = match (self.has(opening.destination), opening.answer) {
            (true, false) => SynKind::Syn,
            (true, true) => SynKind::Answer,
            (false, false) => SynKind::Forwarded,
            (false, true) => return None,
        };
        Some(SynPacket { source: opening.source, port: opening.port, kind })
    }

    fn has(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.0.contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_destination() {
        let own = OwnAddresses::new(["10.9.0.2", "fd09::2", "::ffff:10.9.0.3"].map(|a| a.parse().unwrap()));
        let kind = |destination: &str, answer| {
            let source = "198.18.0.1".parse().unwrap();
            let opening = Opening { source, destination: destination.parse().unwrap(), port: 80, answer };
            own.judge(&opening).map(|packet| packet.kind)
        };
        for mine in ["10.9.0.2", "10.9.0.3", "fd09::2", "127.0.0.1", "127.9.9.9", "::1"] {
            assert_eq!(
                (kind(mine, false), kind(mine, true)),
                (Some(SynKind::Syn), Some(SynKind::Answer)),
                "{mine}"
            );
        }
        for other in
            ["10.9.0.1", "10.9.0.255", "255.255.255.255", "224.0.0.1", "fd09::1", "ff02::1", "0.0.0.0", "::"]
        {
            assert_eq!((kind(other, false), kind(other, true)), (Some(SynKind::Forwarded), None), "{other}");
        }
    }
}
