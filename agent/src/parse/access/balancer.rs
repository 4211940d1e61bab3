//! Application and Classic Load Balancer, as they write to S3
//! (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html>,
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/access-log-collection.html>). The latency is the sum of the
//! three times; -1 in one of them: the target never got the request, or never answered.

use super::super::address::endpoint;
use super::latency::{self, of, told};
use super::words::{Word, Words};
use super::{Latency, Request, Time, request_line, status};
use crate::model::web_log::{Format, LatencyRule, TimeUnit};

const TYPES: [&str; 6] = ["http", "https", "h2", "grpcs", "ws", "wss"];

pub(super) fn read<'a>(line: &'a str, rule: Option<&LatencyRule>) -> Result<Request<'a>, &'static str> {
    parse(line, rule).ok_or("not a load balancer's line")
}

fn parse<'a>(line: &'a str, rule: Option<&LatencyRule>) -> Option<Request<'a>> {
    let (format, rest) = match line.split_once(' ')? {
        (kind, rest) if TYPES.contains(&kind) => (Format::Alb, rest),
        _ => (Format::Elb, line),
    };
    let mut bare = rest.splitn(10, ' ');
    let (time, _balancer) = (bare.next()?, bare.next()?);
    let (client, target) = (bare.next()?, bare.next()?);
    let times = [bare.next()?, bare.next()?, bare.next()?];
    let (code, _target_code, rest) = (bare.next()?, bare.next()?, bare.next()?);
    let are_times = times.iter().all(|time| time.parse::<f64>().is_ok());
    if time.as_bytes().get(10) != Some(&b'T') || !are_times || !(target == "-" || target.contains(':')) {
        return None;
    }
    let status = status(code)?;
    let (source, port) = endpoint(client);
    port?;
    let Some(Word::Quoted(request)) = Words::of(rest).nth(2) else { return None };
    let (method, path) = request_line(request);
    Some(Request {
        format,
        time: Time::Text(time.into()),
        status,
        latency: rule.map_or_else(|| sum(times), |rule| told(rule, Words::of(rest))),
        source,
        user: None,
        method: method.map(Into::into),
        path: path.map(Into::into),
    })
}

fn sum(times: [&str; 3]) -> Latency {
    let mut sum = 0.0;
    for time in times {
        let seconds: f64 = time.parse().map_err(|_| latency::NO_NUMBER)?;
        if seconds < 0.0 {
            return Err("the target did not answer");
        }
        sum += seconds;
    }
    of(sum, TimeUnit::Seconds)
}
