//! Addresses as daemons write them. Names are never looked up: where a daemon wrote one, there is no address.

use std::net::IpAddr;

/// An address: bare or in brackets, with or without a zone (`%eth0`), an IPv4 one within IPv6 as IPv4.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    let without_zone = bare.split_once('%').map_or(bare, |(address, _)| address);
    without_zone.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// An address that may have a port behind it: `A`, `A:port`, `[A]:port`, `A(port)`.
pub(super) fn endpoint(text: &str) -> (Option<IpAddr>, Option<u16>) {
    if let Some(alone) = address(text) {
        return (Some(alone), None);
    }
    let split = match text.strip_suffix(')') {
        Some(open) => open.rsplit_once('('),
        None => text.rsplit_once(':'),
    };
    let Some((host, port)) = split else { return (None, None) };
    (address(host), port.parse().ok())
}

/// The text up to the first space, or all of it.
pub(super) fn word(text: &str) -> &str {
    text.split_once(' ').map_or(text, |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::{address, endpoint};

    #[test]
    fn addresses() {
        for (text, want) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("[2001:db8::7]", Some("2001:db8::7")),
            ("fe80::7%eth0", Some("fe80::7")),
            ("2001:0DB8:72a:1936:2d49:83ed:d49a:6ffd", Some("2001:db8:72a:1936:2d49:83ed:d49a:6ffd")),
            ("www.example.org", None),
            ("unknown", None),
            ("unix:", None),
            ("192.0.2.7:22", None),
            ("192.0.2.300", None),
            ("", None),
        ] {
            assert_eq!(address(text), want.map(|address| address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn endpoints() {
        for (text, want, port) in [
            ("192.0.2.7", Some("192.0.2.7"), None),
            ("192.0.2.7:4022", Some("192.0.2.7"), Some(4022)),
            ("192.0.2.7(4022)", Some("192.0.2.7"), Some(4022)),
            ("[2001:db8::7]:4022", Some("2001:db8::7"), Some(4022)),
            ("2001:db8::7(4022)", Some("2001:db8::7"), Some(4022)),
            ("2001:db8::7", Some("2001:db8::7"), None),
            ("www.example.org:4022", None, Some(4022)),
            ("[local]", None, None),
            ("", None, None),
        ] {
            assert_eq!(endpoint(text), (want.map(|address| address.parse().unwrap()), port), "{text}");
        }
    }
}
