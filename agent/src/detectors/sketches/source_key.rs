//! Who sent something, as the sketches count it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An IPv4 address, or the /64 prefix of an IPv6 address: within its /64 a single host takes any address it likes,
/// so whole addresses would make one sender look like a crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKey {
    /// An IPv4 address, also one that was mapped into IPv6.
    Address(Ipv4Addr),
    /// The upper half of an IPv6 address.
    Prefix(u64),
}

impl From<IpAddr> for SourceKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => SourceKey::Address(address),
            IpAddr::V6(address) => {
                SourceKey::Prefix(u64::try_from(address.to_bits() >> 64).unwrap_or_default())
            }
        }
    }
}

/// Written byte by byte: what `derive` feeds a hasher depends on the platform.
impl Hash for SourceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (family, number) = match self {
            SourceKey::Address(address) => (4, u64::from(address.to_bits())),
            SourceKey::Prefix(prefix) => (6, *prefix),
        };
        state.write_u8(family);
        state.write(&number.to_le_bytes());
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceKey::Address(address) => write!(f, "{address}"),
            SourceKey::Prefix(prefix) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*prefix) << 64)),
        }
    }
}

/// As people read it.
impl Serialize for SourceKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SourceKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address: IpAddr = text.trim_end_matches("/64").parse().map_err(de::Error::custom)?;
        Ok(SourceKey::from(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_keys() {
        let cases = [
            ("198.18.0.1", "198.18.0.1"),
            ("::ffff:198.18.0.1", "198.18.0.1"),
            ("2001:db8::", "2001:db8::/64"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
            ("::1", "::/64"),
        ];
        for (address, expected) in cases {
            let key = SourceKey::from(address.parse::<IpAddr>().unwrap());
            assert_eq!(key.to_string(), expected, "{address}");
            let stored = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<SourceKey>(&stored).unwrap(), key, "{stored}");
        }
        assert_ne!(SourceKey::Prefix(1), SourceKey::Address(Ipv4Addr::from_bits(1)));
    }
}
