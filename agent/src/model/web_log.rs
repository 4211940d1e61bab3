//! Access logs that are measured: what the configuration says of one, and what its lines tell.

use std::sync::Arc;

use super::distribution::Distribution;

/// An access log of the configuration: one entry of `web.logs`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WebLog {
    /// Its name: the value of the dimension `log`.
    pub name: Arc<str>,
    /// What its lines are; `None` recognises each line by its structure.
    pub format: Option<Format>,
    /// Where the latency stands and what it is measured in, where lines do not tell that themselves.
    pub latency: Option<LatencyRule>,
}

impl WebLog {
    /// A log of that name, each line of which is recognised by its structure.
    pub fn recognised(name: &str) -> Self {
        WebLog { name: name.into(), format: None, latency: None }
    }
}

/// How the latency is written, where the structure of a line cannot tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LatencyRule {
    /// Which word or key.
    pub field: LatencyField,
    /// What it is measured in.
    pub unit: TimeUnit,
}

/// Where a latency stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LatencyField {
    /// The last word of the line.
    Last,
    /// The word with this number behind the status: the size is the first, and what stands in quotes or brackets is one.
    Word(usize),
    /// A key: of a JSON object, of a `key=value` word, or of `#Fields:`.
    Key(Box<str>),
}

/// What a latency is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words say it")]
pub enum TimeUnit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl TimeUnit {
    /// All of them, with the names that configuration and logs give them.
    pub const ALL: [(&'static str, TimeUnit); 4] = [
        ("s", TimeUnit::Seconds),
        ("ms", TimeUnit::Milliseconds),
        ("us", TimeUnit::Microseconds),
        ("ns", TimeUnit::Nanoseconds),
    ];

    /// So much of it in milliseconds.
    pub fn milliseconds(self, amount: f64) -> f64 {
        match self {
            TimeUnit::Seconds => amount * 1e3,
            TimeUnit::Milliseconds => amount,
            TimeUnit::Microseconds => amount / 1e3,
            TimeUnit::Nanoseconds => amount / 1e6,
        }
    }
}

/// What a line of an access log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The common and combined formats of nginx and Apache, and what people add behind them.
    Combined,
    /// ingress-nginx's default.
    IngressNginx,
    /// Traefik's own form of the common format.
    Traefik,
    /// A JSON object with nginx's names of variables, or names alike.
    Json,
    /// Caddy's JSON.
    Caddy,
    /// Traefik's JSON.
    TraefikJson,
    /// Envoy's JSON, as Istio configures it.
    EnvoyJson,
    /// Envoy's default text, or Istio's.
    Envoy,
    /// `HAProxy`'s `option httplog`.
    Haproxy,
    /// Application Load Balancer.
    Alb,
    /// Classic Load Balancer.
    Elb,
    /// `CloudFront`'s standard log.
    CloudFront,
    /// W3C extended log of IIS.
    Iis,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 13] = [
        Format::Combined,
        Format::IngressNginx,
        Format::Traefik,
        Format::Json,
        Format::Caddy,
        Format::TraefikJson,
        Format::EnvoyJson,
        Format::Envoy,
        Format::Haproxy,
        Format::Alb,
        Format::Elb,
        Format::CloudFront,
        Format::Iis,
    ];

    /// Its name in the configuration and in `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Combined => "combined",
            Format::IngressNginx => "ingress-nginx",
            Format::Traefik => "traefik",
            Format::Json => "json",
            Format::Caddy => "caddy",
            Format::TraefikJson => "traefik-json",
            Format::EnvoyJson => "envoy-json",
            Format::Envoy => "envoy",
            Format::Haproxy => "haproxy",
            Format::Alb => "alb",
            Format::Elb => "elb",
            Format::CloudFront => "cloudfront",
            Format::Iis => "iis",
        }
    }
}

/// What the lines of one access log told since the last reading.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requests {
    /// Requests.
    pub requests: u64,
    /// Of them, those answered with 400 to 499.
    pub client_errors: u64,
    /// Those answered with 500 to 599.
    pub server_errors: u64,
    /// Those answered with 401 or 403.
    pub unauthorized: u64,
    /// Milliseconds that requests took, of those that tell; see [`binned`].
    pub latency: Distribution,
}

/// Bits of a latency that are kept: 32 bins from any power of two to the next.
const BITS: u32 = 5;
/// Mantissa of a double.
const MANTISSA: u32 = f64::MANTISSA_DIGITS - 1;

/// The nearest middle of a bin, for milliseconds: 1/32 ms apart below 1 ms, and above that at most 1/32 of the value. So whole
/// milliseconds up to 64 stay as they are, no other value moves by more than 1.6 %, and from nothing to an hour there are
/// 740 bins: fewer than a [`Distribution`] holds, so it is folded once at the most, when it is published.
pub fn binned(milliseconds: f64) -> f64 {
    if milliseconds < 1.0 {
        return (milliseconds * 32.0).round() / 32.0;
    }
    let (half, kept) = (1_u64 << (MANTISSA - BITS - 1), !((1_u64 << (MANTISSA - BITS)) - 1));
    f64::from_bits(milliseconds.to_bits().wrapping_add(half) & kept)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exactness is what is tested")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_milliseconds_stay() {
        for whole in 0..=64 {
            assert_eq!(binned(f64::from(whole)), f64::from(whole));
        }
        assert_eq!((binned(65.0), binned(67.0), binned(0.01), binned(0.02)), (66.0, 68.0, 0.0, 0.03125));
        assert_eq!((binned(1023.9), binned(0.999)), (1024.0, 1.0));
    }

    proptest! {
        #[test]
        fn no_latency_moves_far(milliseconds in 0.0f64..1e12) {
            let moved = (binned(milliseconds) - milliseconds).abs();
            prop_assert!(moved <= (milliseconds / 64.0).max(1.0 / 64.0), "{milliseconds}: {moved}");
            prop_assert_eq!(binned(binned(milliseconds)), binned(milliseconds));
        }
    }

    #[test]
    fn an_hour_of_every_latency_is_never_folded_while_it_is_held() {
        let mut values = std::collections::BTreeSet::new();
        let mut milliseconds = 0.001;
        while milliseconds < 3_600_000.0 {
            values.insert(binned(milliseconds).to_bits());
            milliseconds *= 1.0005;
        }
        assert!(values.len() < super::super::distribution::MAX_HELD, "{}", values.len());
    }
}
