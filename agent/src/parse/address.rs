//! Addresses as daemons write them.

use std::net::IpAddr;

/// An address, perhaps in brackets, perhaps with a zone (`fe80::1%eth0`); an IPv4 one within IPv6 as IPv4. A name is none, and
/// never looked up.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// A number of decimal digits only.
pub(super) fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |number: u32, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

/// A port.
pub(super) fn port(digits: &str) -> Option<u16> {
    u16::try_from(number(digits.as_bytes())?).ok()
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
    use super::*;

    #[test]
    fn addresses_are_read_and_names_are_not() {
        let cases = [
            ("192.0.2.1", Some("192.0.2.1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("192.0.2.256", None),
            ("192.0.2", None),
            ("192.0.2.1.5", None),
            ("192.0.2.01", None),
            ("host.example", None),
            ("UNKNOWN", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(address(text), expected.map(|text| text.parse().unwrap()), "{text:?}");
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
