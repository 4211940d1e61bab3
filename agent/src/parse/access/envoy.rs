//! Envoy's default text, and Istio's, which is longer
//! (<https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>,
//! <https://istio.io/latest/docs/tasks/observability/logs/access-log/>). The only address of the default is in
//! `x-forwarded-for`, where clients write what they like: it is not taken for the source.

use super::super::address::endpoint;
use super::latency::{self, told, written};
use super::words::{Word, Words, quoted};
use super::{Request, Time, request_line, status};
use crate::model::web_log::{Format, LatencyRule, TimeUnit};

pub(super) fn read<'a>(line: &'a str, rule: Option<&LatencyRule>) -> Result<Request<'a>, &'static str> {
    parse(line, rule).ok_or("not [time] \"request\" status flags ... duration")
}

fn parse<'a>(line: &'a str, rule: Option<&LatencyRule>) -> Option<Request<'a>> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] \"")?;
    if !time.starts_with(|first: char| first.is_ascii_digit()) || time.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    let (request, rest) = quoted(rest);
    let (code, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    let status = status(code)?;
    let mut words = Words::of(rest);
    let _flags = words.next()?;
    // Istio: details of response and connection, and why the upstream's transport failed.
    let mut ahead = words.clone();
    let (is_istio, received) = match (ahead.next()?, ahead.next()?, ahead.next()?) {
        (Word::Bare(_), Word::Bare(_), Word::Quoted(_)) => (true, ahead.next()?),
        (received, ..) => (false, received),
    };
    if is_istio {
        words = Words::of(rest);
        words.nth(4)?;
    } else {
        words.next()?;
    }
    let (Word::Bare(received), Word::Bare(sent), Word::Bare(duration)) =
        (received, words.next()?, words.next()?)
    else {
        return None;
    };
    let are_sizes = [received, sent].iter().all(|size| size.bytes().all(|byte| byte.is_ascii_digit()));
    if !are_sizes {
        return None;
    }
    let latency = match (rule, duration) {
        (Some(rule), _) => told(rule, Words::of(rest)),
        (None, "-") => Err(latency::NONE),
        (None, duration) => written(duration, TimeUnit::Milliseconds),
    };
    // Behind it: upstream's time, five in quotes, then Istio's cluster, two local addresses, and the client's.
    let client = if is_istio { words.nth(9) } else { None };
    let (method, path) = request_line(request);
    Some(Request {
        format: Format::Envoy,
        time: Time::Text(time.into()),
        status,
        latency,
        source: client.and_then(|client| endpoint(client.text()).0),
        user: None,
        method: method.map(Into::into),
        path: path.map(Into::into),
    })
}
