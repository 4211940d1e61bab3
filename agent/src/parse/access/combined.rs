//! The common and combined formats, with a virtual host before them or anything behind them: nginx's `log_format combined`,
//! Apache's `"%h %l %u %t \"%r\" %>s %b ..."` and `"%v:%p %h ..."`
//! (<https://nginx.org/en/docs/http/ngx_http_log_module.html>, <https://httpd.apache.org/docs/2.4/mod/mod_log_config.html>);
//! ingress-nginx's and Traefik's, which are told by what stands behind the agent
//! (<https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/log-format/>,
//! <https://doc.traefik.io/traefik/observe/logs-and-access-logs/>).

use std::net::IpAddr;

use super::super::address::{address, word};
use super::latency::{self, among, of_nginx, told, with_unit};
use super::words::{Word, Words, quoted};
use super::{Latency, Request, Time, named, request_line, status};
use crate::model::web_log::{Format, LatencyRule};

/// What stands around the status.
pub(in super::super) struct Parts<'a> {
    pub(in super::super) source: Option<IpAddr>,
    pub(in super::super) user: Option<&'a str>,
    time: &'a str,
    request: &'a str,
    pub(in super::super) status: Option<u16>,
    /// Behind the status.
    rest: &'a str,
}

const NO_REQUEST: &str = "not [time] \"request\" status";

/// The parts in the order of the line: the address is the first that the server wrote, the status the first that stands
/// behind the request. Servers escape quotes in both name and request; of one that does not, the first quote counts
/// that a status follows.
pub(in super::super) fn parts(line: &str) -> Option<Parts<'_>> {
    let (head, behind) = line.split_once("] \"")?;
    let (request, status, rest) = answered(behind)?;
    let (client, names) = head.split_once(' ')?;
    let (source, names) = match address(client) {
        Some(source) => (Some(source), names),
        None if is_virtual_host(client) => (address(word(names)), names.split_once(' ')?.1),
        None => (None, names),
    };
    let (_ident, names) = names.split_once(' ')?;
    let (user, time) = match names.rfind(" [") {
        Some(end) => (names.get(..end)?, names.get(end + 2..)?),
        None => ("-", names.strip_prefix('[')?),
    };
    let user = user.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(user);
    Some(Parts { source, user: named(user), time, request, status, rest })
}

/// The request, its status, and what stands behind that.
fn answered(text: &str) -> Option<(&str, Option<u16>, &str)> {
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let (_, behind) = quoted(rest);
        if behind.is_empty() {
            return None;
        }
        let end = text.len() - behind.len() - 1;
        let answer = behind.strip_prefix(' ');
        if let Some((code, rest)) = answer.map(|answer| answer.split_once(' ').unwrap_or((answer, "")))
            && let Some(status) = status(code)
        {
            return Some((text.get(..end)?, status, rest));
        }
        from = end + 1;
    }
}

/// `www.example.org:443`
fn is_virtual_host(client: &str) -> bool {
    client.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

pub(super) fn read<'a>(line: &'a str, rule: Option<&LatencyRule>) -> Result<Request<'a>, &'static str> {
    let parts = parts(line).filter(|parts| is_time(parts.time)).ok_or(NO_REQUEST)?;
    let (format, latency) = timed(parts.rest, rule);
    let (method, path) = request_line(parts.request);
    Ok(Request {
        format,
        time: Time::Text(parts.time.into()),
        status: parts.status,
        latency,
        source: parts.source,
        user: parts.user.map(Into::into),
        method: method.map(Into::into),
        path: path.map(Into::into),
    })
}

/// `08/Jun/2026:09:08:53 +0000`, or the ISO form that people put in its place.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied();
    bytes.first().is_some_and(u8::is_ascii_digit)
        && ((at(2) == Some(b'/') && at(6) == Some(b'/')) || (at(4) == Some(b'-') && at(7) == Some(b'-')))
}

/// What the words behind the status show: the size, perhaps referer and agent, and what was added.
fn timed(rest: &str, rule: Option<&LatencyRule>) -> (Format, Latency) {
    let mut added = Words::of(rest);
    let _size = added.next();
    let mut quotes = added.clone();
    if let (Some(Word::Quoted(_)), Some(Word::Quoted(_))) = (quotes.next(), quotes.next()) {
        added = quotes;
    }
    let mut ahead = added.clone();
    let first: [Option<Word>; 4] = [ahead.next(), ahead.next(), ahead.next(), ahead.next()];
    let (format, latency) = match first {
        [Some(Word::Bare(length)), Some(Word::Bare(time)), Some(Word::Bracketed(_)), _]
            if is_whole(length) =>
        {
            (Format::IngressNginx, of_nginx(time).unwrap_or(Err(latency::NO_NUMBER)))
        }
        [Some(Word::Bare(count)), Some(Word::Quoted(_)), Some(Word::Quoted(_)), Some(Word::Bare(time))]
            if is_whole(count) && time.ends_with("ms") =>
        {
            (Format::Traefik, with_unit(time).unwrap_or(Err(latency::NO_NUMBER)))
        }
        _ => (Format::Combined, among(added)),
    };
    (format, rule.map_or(latency, |rule| told(rule, Words::of(rest))))
}

fn is_whole(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
