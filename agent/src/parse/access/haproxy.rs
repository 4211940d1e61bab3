//! `HAProxy`'s `option httplog` and `httpslog`, with a syslog head or without
//! (<https://docs.haproxy.org/3.0/configuration.html#8.2.3>): `client:port [time] frontend backend/server TR/Tw/Tc/Tr/Ta status
//! bytes cookie cookie flags counts queues {captured} "request"`. With `option logasap` `Ta` has a plus: the request was not over
//! yet, and its latency is not known.

use super::super::address::endpoint;
use super::latency::{self, told, written};
use super::words::Words;
use super::{Latency, Request, Time, request_line, status};
use crate::model::web_log::{Format, LatencyRule, TimeUnit};

pub(super) fn read<'a>(line: &'a str, rule: Option<&LatencyRule>) -> Result<Request<'a>, &'static str> {
    parse(line, rule).ok_or("not address:port [time] frontend backend/server timers status")
}

fn parse<'a>(line: &'a str, rule: Option<&LatencyRule>) -> Option<Request<'a>> {
    let (head, rest) = line.split_once(" [").filter(|(_, rest)| is_time(rest)).or_else(|| {
        // The head has its process id in brackets.
        let (pid, rest) = line.split_once("]: ")?;
        let (client, behind) = rest.split_once(" [")?;
        Some((line.get(..pid.len() + 3 + client.len())?, behind))
    })?;
    let client = head.rsplit_once(' ').map_or(head, |(_, client)| client);
    let (time, rest) = rest.split_once("] ")?;
    let mut words = rest.splitn(5, ' ');
    let (_frontend, server, timers) = (words.next()?, words.next()?, words.next()?);
    let (code, behind) = (words.next()?, words.next()?);
    if !is_time(time) || !server.contains('/') || timers.split('/').count() != 5 {
        return None;
    }
    let status = status(code)?;
    let request = behind.split_once(" \"")?.1;
    let request = request.split_once('"').map_or(request, |(request, _)| request);
    let (method, path) = request_line(request);
    Some(Request {
        format: Format::Haproxy,
        time: Time::Text(time.into()),
        status,
        latency: rule.map_or_else(|| whole(timers), |rule| told(rule, Words::of(behind))),
        source: client_of(client),
        user: None,
        method: method.map(Into::into),
        path: path.map(Into::into),
    })
}

/// `192.0.2.1:4022`, `2001:db8::1:4022`: the port is always there, and IPv6 has no brackets.
fn client_of(client: &str) -> Option<std::net::IpAddr> {
    let (host, port) = client.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    endpoint(host).0
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_digit)
        && bytes.get(2) == Some(&b'/')
        && bytes.get(6) == Some(&b'/')
}

fn whole(timers: &str) -> Latency {
    match timers.rsplit_once('/').map_or("", |(_, whole)| whole) {
        whole if whole.starts_with('+') => Err("logged before the request was over"),
        "-1" => Err(latency::NONE),
        whole => written(whole, TimeUnit::Milliseconds),
    }
}
