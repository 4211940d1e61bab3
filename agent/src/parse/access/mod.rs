//! What lines of access logs tell of requests.
//! Receives lines of access logs, hands on how many requests there were, how they ended, how long they took, and who was
//! refused. Never guesses: a latency whose unit or place a line does not show is not known, and it is said why.
//!
//! Each line is recognised by itself, by its structure, so that a log may change its format at any line:
//!
//! | a line that | is | its latency |
//! |---|---|---|
//! | begins with `{` | JSON: of Caddy, Traefik, Envoy, or with nginx's names ([`json`]) | by the key: `request_time` s (a fraction), `duration` s (Caddy) or ms (Envoy), `Duration` ns (Traefik) |
//! | begins with `#`, or follows `#Fields:` | W3C extended: `CloudFront`, IIS ([`w3c`]) | `time-taken`: s of `CloudFront`, ms of IIS |
//! | begins with `[time] "` | Envoy's text ([`envoy`]) | the number before the upstream's, ms |
//! | has a time and a load balancer's name, then addresses with ports | ALB, ELB ([`balancer`]) | three fractions of a second, -1 for none |
//! | has `address:port [time] frontend backend/server T/T/T/T/T` | `HAProxy` ([`haproxy`]) | `Ta`, ms |
//! | has `[time] "request" status size` | common, combined and what is added to it ([`combined`]) | a fraction of three digits (s), a number with its unit, `rt=` |
//!
//! What a client sends (path, agent, user) never decides who is told as its source: parsers anchor on what the server wrote.

mod balancer;
pub(super) mod combined;
mod envoy;
mod haproxy;
mod json;
mod latency;
mod reader;
mod refused;
pub mod template;
mod w3c;
mod words;

#[cfg(test)]
mod tests;

pub use reader::{AccessReader, Explained};

use std::borrow::Cow;
use std::net::IpAddr;

use crate::model::web_log::{Format, LatencyRule};

/// Milliseconds, or why they are not known.
pub(crate) type Latency = Result<f64, &'static str>;

/// What one line tells of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request<'a> {
    pub(crate) format: Format,
    pub(crate) time: Time<'a>,
    /// None where there was no answer: 0, -1 or `-`.
    pub(crate) status: Option<u16>,
    pub(crate) latency: Latency,
    /// Who asked, as the server saw it; None where the log has a name, nothing, or only what the client says.
    pub(crate) source: Option<IpAddr>,
    pub(crate) user: Option<Cow<'a, str>>,
    pub(crate) method: Option<Cow<'a, str>>,
    /// With its query.
    pub(crate) path: Option<Cow<'a, str>>,
}

/// When it was, as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Time<'a> {
    None,
    /// In one of the forms that logs have.
    Text(Cow<'a, str>),
    /// Day and time of day, of UTC (W3C).
    Utc(&'a str, &'a str),
    /// Seconds since the epoch.
    Epoch(f64),
}

/// A status: three digits; 0, -1 and `-` are none. The outer None where it is not written like one.
#[expect(clippy::option_option, reason = "no answer is something else than no status")]
fn status(word: &str) -> Option<Option<u16>> {
    match word {
        "-" | "-1" | "0" | "000" => Some(None),
        _ if word.len() == 3 => {
            let status = word.bytes().try_fold(0_u16, |status, byte| {
                byte.is_ascii_digit().then(|| status * 10 + u16::from(byte - b'0'))
            })?;
            (100..=999).contains(&status).then_some(Some(status))
        }
        _ => None,
    }
}

/// `GET /path HTTP/1.1`: the method, and the path, which may hold spaces where the server lets them pass.
fn request_line(line: &str) -> (Option<&str>, Option<&str>) {
    let Some((method, rest)) = line.split_once(' ').filter(|(method, _)| is_method(method)) else {
        return (None, None);
    };
    let path = match rest.rsplit_once(' ') {
        Some((path, protocol)) if protocol.starts_with("HTTP/") => path,
        _ => rest,
    };
    (Some(method), Some(path).filter(|path| !path.is_empty()))
}

/// A token of letters (RFC 9110, 9.1; `M-SEARCH` and their like have a dash).
fn is_method(word: &str) -> bool {
    (1..=32).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-' || byte == b'_')
        && word != "-"
}

/// Who is `-` is nobody.
fn named(user: &str) -> Option<&str> {
    Some(user).filter(|user| !user.is_empty() && *user != "-")
}

/// Reads a line by its structure, or as what it is said to be. `w3c` is what directives of the same file told.
fn read<'a>(
    line: &'a str,
    told: Option<Format>,
    rule: Option<&LatencyRule>,
    w3c: &w3c::Fields,
) -> Result<Request<'a>, &'static str> {
    let line = line.trim_end();
    let Some(told) = told else { return by_structure(line, rule, w3c) };
    let request = match told {
        Format::Combined | Format::IngressNginx | Format::Traefik => combined::read(line, rule),
        Format::Json | Format::Caddy | Format::TraefikJson | Format::EnvoyJson => json::read(line, rule),
        Format::Envoy => envoy::read(line, rule),
        Format::Haproxy => haproxy::read(line, rule),
        Format::Alb | Format::Elb => balancer::read(line, rule),
        Format::CloudFront | Format::Iis => w3c::read(line, rule, w3c, Some(told)),
    }?;
    if request.format == told { Ok(request) } else { Err("a request, but of another format than was told") }
}

fn by_structure<'a>(
    line: &'a str,
    rule: Option<&LatencyRule>,
    w3c: &w3c::Fields,
) -> Result<Request<'a>, &'static str> {
    match line.as_bytes().first() {
        None => return Err("empty"),
        Some(b'{') => return json::read(line, rule),
        Some(b'[') => return envoy::read(line, rule),
        Some(_) => {}
    }
    let request = combined::read(line, rule)
        .or_else(|_| balancer::read(line, rule))
        .or_else(|_| haproxy::read(line, rule))
        .or_else(|_| w3c::read(line, rule, w3c, None));
    request.map_err(|_| "no request of any format that is known")
}
