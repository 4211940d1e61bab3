//! When a line was written, as far as it says so.

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

use crate::model::shipped::LineTime;
use crate::parse::LineTimes;

/// Keys under which programs write the time of a JSON line.
const KEYS: [&str; 7] = ["time", "timestamp", "@timestamp", "ts", "date", "datetime", "asctime"];
/// How far into a JSON line its time is sought.
const JSON_HEAD: usize = 1024;
/// Above this a number counts milliseconds, and above that a thousand times smaller units: as seconds it were the year 5138.
const AS_SECONDS: f64 = 1e11;

/// Finds times.
#[derive(Debug)]
pub(super) struct When {
    rule: LineTime,
    known: LineTimes,
}

impl When {
    pub(super) fn new(rule: LineTime) -> Self {
        When { rule, known: LineTimes::default() }
    }

    /// The time that a line says it is of; none where it says none.
    pub(super) fn written(&mut self, line: &str, read: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.rule {
            LineTime::Read => Some(read),
            LineTime::Format(format) => formatted(format, line, zone),
            LineTime::Auto if line.starts_with('{') => self.of_json(line, read, zone),
            LineTime::Auto => self.known.find(line, read, zone),
        }
    }

    fn of_json(&mut self, line: &str, read: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let head = line.get(..line.floor_char_boundary(JSON_HEAD)).unwrap_or(line);
        KEYS.iter().find_map(|key| {
            let value = head.match_indices(key).find_map(|(at, _)| {
                let is_opened = head.get(..at)?.ends_with('"');
                let behind = head.get(at + key.len()..)?.strip_prefix('"')?.trim_start().strip_prefix(':')?;
                is_opened.then_some(behind.trim_start())
            })?;
            match value.strip_prefix('"') {
                Some(text) => self.known.find(text.split('"').next()?, read, zone),
                None => of_epoch(value),
            }
        })
    }
}

/// Seconds since 1970, or milliseconds, microseconds or nanoseconds by their size.
fn of_epoch(value: &str) -> Option<Timestamp> {
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    // Nanoseconds have nineteen digits; a number of hundreds would be infinite, and stay so however often it is divided.
    let mut seconds: f64 = value.get(..end).filter(|number| number.len() <= 32)?.parse().ok()?;
    while seconds >= AS_SECONDS {
        seconds /= 1e3;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 1e14")]
    Timestamp::from_millisecond((seconds * 1e3).round() as i64).ok()
}

/// The time at the beginning of a line, behind brackets and the like.
pub(crate) fn formatted(format: &str, line: &str, zone: &TimeZone) -> Option<Timestamp> {
    let line = line.trim_start_matches(['[', '(', '<', '"', ' ', '\t']);
    let (time, _) = BrokenDownTime::parse_prefix(format, line).ok()?;
    // With an offset it is a point in time; without, what the clock on the wall showed.
    match (time.offset(), time.to_datetime()) {
        (None, Ok(at)) => Some(zone.to_ambiguous_timestamp(at).compatible().ok()?),
        _ => time.to_timestamp().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_where_programs_write_them() {
        let read: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let paris = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let endless = format!("{{\"ts\":{}}}", "1".repeat(310)); // infinite, as a number
        let format = |format: &str| LineTime::Format(format.into());
        for (rule, line, expected) in [
            (LineTime::Auto, "2026-11-24T10:11:12.5Z GET /", at("2026-11-24T10:11:12.5Z")),
            (LineTime::Auto, "2026-11-24 10:11:12,500 INFO x", at("2026-11-24T09:11:12.5Z")),
            (LineTime::Auto, "Nov 24 10:11:12 web app[1]: x", at("2026-11-24T09:11:12Z")),
            (LineTime::Auto, "[24/Nov/2026:10:11:12 +0000] \"GET /\"", at("2026-11-24T10:11:12Z")),
            (LineTime::Auto, "{\"level\":\"info\",\"ts\":1795515072.25}", at("2026-11-24T10:11:12.25Z")),
            (LineTime::Auto, "{\"time\": 1795515072250}", at("2026-11-24T10:11:12.25Z")),
            (LineTime::Auto, endless.as_str(), None),
            (LineTime::Auto, "{\"@timestamp\": \"2026-11-24T10:11:12Z\"}", at("2026-11-24T10:11:12Z")),
            (LineTime::Auto, "{\"uptime\": 5, \"msg\": \"time\"}", None),
            (LineTime::Auto, "\tat java.lang.Thread.run(Thread.java:1)", None),
            (LineTime::Read, "2026-11-24T10:11:12Z", Some(read)),
            (format("%d.%m.%Y %H:%M:%S"), "[24.11.2026 10:11:12] x", at("2026-11-24T09:11:12Z")),
            (format("%d.%m.%Y %H:%M:%S %z"), "24.11.2026 10:11:12 +0000 x", at("2026-11-24T10:11:12Z")),
            (format("%s"), "1795515072 x", at("2026-11-24T10:11:12Z")),
            (format("%d.%m.%Y %H:%M:%S"), "no time", None),
        ] {
            assert_eq!(When::new(rule.clone()).written(line, read, &paris), expected, "{rule:?} {line}");
        }
    }
}
