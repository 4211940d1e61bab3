//! Times of log lines: as written, and as points in time.
//!
//! RFC 3164 writes no year: it is the latest that does not put the line more than a day after it was read, so that at New
//! Year a log's order is kept, and the 29th of February falls into a leap year.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::address::number;
use super::own_time;

/// How far ahead of our clock a writer's may be.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// Leap years are at most eight years apart (1896, 1904).
const YEARS_BACK: i16 = 8;

/// A time as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    written: Written,
    nanos: u32,
}

/// A time as written but for its fraction: what neighbours in a log have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    year: Option<i16>,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    /// East of Greenwich, in seconds.
    offset: Option<i32>,
}

/// The second that was last worked out, for the next line is of the same as a rule.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LastSecond(Option<(Written, Timestamp, Timestamp)>);

impl LastSecond {
    /// The second that was last worked out.
    pub(super) fn time(self) -> Option<Timestamp> {
        self.0.map(|(_, time, _)| time)
    }
}

impl Stamp {
    /// The time at the beginning of a line, and what follows it.
    pub(super) fn read(text: &str) -> Option<(Stamp, &str)> {
        let first = text.as_bytes().first()?;
        if first.is_ascii_digit() {
            return iso(text);
        }
        if !first.is_ascii_uppercase() {
            return None;
        }
        if let Some(month) = month(text) {
            return rfc3164(month, text.get(3..)?);
        }
        // `journalctl -o short-full`
        let text = text.get(3..)?.strip_prefix(' ').filter(|_| is_weekday(text))?;
        let (stamp, rest) = iso(text)?;
        let (_zone, rest) = rest.trim_start().split_once(' ')?;
        Some((stamp, rest))
    }

    /// Times that daemons with a format of their own write, somewhere in the line: nginx, Apache, vsftpd, audit.
    pub(super) fn find(line: &str) -> Option<Stamp> {
        let line = line.trim_start_matches(['[', '(']);
        Stamp::read(line)
            .map(|(stamp, _)| stamp)
            .or_else(|| own_time::slashed(line).map(Stamp::from))
            .or_else(|| own_time::of_c(line).filter(|_| is_weekday(line)).map(Stamp::from))
            .or_else(|| line.split('[').skip(1).take(4).find_map(own_time::of_access).map(Stamp::from))
    }

    /// When that was. None of a time that there never was.
    pub(super) fn time(self, read: Timestamp, zone: &TimeZone, last: &mut LastSecond) -> Option<Timestamp> {
        let second = match last.0 {
            Some((written, time, then))
                if written == self.written && read.duration_since(then).abs() < AHEAD =>
            {
                time
            }
            _ => {
                let time = self.written.time(read, zone)?;
                last.0 = Some((self.written, time, read));
                time
            }
        };
        second.checked_add(SignedDuration::new(0, i32::try_from(self.nanos).ok()?)).ok()
    }
}

/// Finds the times of lines whatever wrote them, where they are of a known form.
#[derive(Debug, Default)]
pub struct LineTimes(LastSecond);

impl LineTimes {
    /// The time that a line says it is of: at its beginning, or where daemons are known to write it.
    pub fn find(&mut self, line: &str, read: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        // An access log's own time may stand in front, in brackets.
        let of_access = || own_time::of_access(line.strip_prefix('[')?).map(Stamp::from);
        Stamp::find(line).or_else(of_access)?.time(read, zone, &mut self.0)
    }
}

impl From<own_time::Written> for Stamp {
    fn from(own_time::Written { at, offset }: own_time::Written) -> Self {
        let written = Written {
            year: Some(at.year()),
            month: at.month(),
            day: at.day(),
            hour: at.hour(),
            minute: at.minute(),
            second: at.second(),
            offset: offset.map(Offset::seconds),
        };
        Stamp { written, nanos: at.subsec_nanosecond().unsigned_abs() }
    }
}

impl Written {
    fn time(self, read: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let latest = read.checked_add(AHEAD).ok()?;
        if let Some(year) = self.year {
            return self.in_year(year, zone);
        }
        let newest = zone.to_datetime(latest).year();
        (newest - YEARS_BACK..=newest)
            .rev()
            .filter_map(|year| self.in_year(year, zone))
            .find(|time| *time <= latest)
    }

    fn in_year(self, year: i16, zone: &TimeZone) -> Option<Timestamp> {
        let date = Date::new(year, self.month, self.day).ok()?;
        // A leap second is the last of its minute.
        let time = Time::new(self.hour, self.minute, self.second.min(59), 0).ok()?;
        let local = DateTime::from_parts(date, time);
        match self.offset {
            Some(offset) => {
                let utc = local.checked_sub(SignedDuration::from_secs(offset.into())).ok()?;
                TimeZone::UTC.to_timestamp(utc).ok()
            }
            None => zone.to_ambiguous_timestamp(local).compatible().ok(),
        }
    }
}

/// Takes so many digits off.
fn digits(text: &str, count: usize) -> Option<(i8, &str)> {
    let (digits, rest) = text.split_at_checked(count)?;
    Some((i8::try_from(number(digits.as_bytes())?).ok()?, rest))
}

fn year(text: &str) -> Option<(i16, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((i16::try_from(number(digits.as_bytes())?).ok()?, rest))
}

fn month(text: &str) -> Option<i8> {
    let number = match text.as_bytes().get(..3)? {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    Some(number)
}

fn is_weekday(text: &str) -> bool {
    matches!(text.get(..3), Some("Mon" | "Tue" | "Wed" | "Thu" | "Fri" | "Sat" | "Sun"))
}

/// ` 2`, `02`, `2`, `12`, behind a space.
fn day(text: &str) -> Option<(i8, &str)> {
    let text = text.strip_prefix(' ')?;
    let text = text.strip_prefix(' ').unwrap_or(text);
    digits(text, 2).or_else(|| digits(text, 1))
}

/// `08:05:27.123`, and its nanoseconds.
fn clock(text: &str) -> Option<([i8; 3], u32, &str)> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let Some(fraction) = rest.strip_prefix(['.', ',']) else {
        return Some(([hour, minute, second], 0, rest));
    };
    let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = fraction.split_at_checked(count).filter(|_| (1..=9).contains(&count))?;
    let nanos = (count..9).fold(number(digits.as_bytes())?, |nanos, _| nanos * 10);
    Some(([hour, minute, second], nanos, rest))
}

/// Behind the month: `  2 08:05:27 `, `  2 2026 08:05:27 `, `  2 08:05:27 2026 `.
fn rfc3164(month: i8, text: &str) -> Option<(Stamp, &str)> {
    let (day, rest) = day(text)?;
    let rest = rest.strip_prefix(' ')?;
    let (early, rest) = match year(rest).and_then(|(year, rest)| Some((year, rest.strip_prefix(' ')?))) {
        Some((year, rest)) => (Some(year), rest),
        None => (None, rest),
    };
    let ([hour, minute, second], nanos, rest) = clock(rest)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest); // Cisco
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let written = Written { year: early, month, day, hour, minute, second, offset: None };
    Some((Stamp { written, nanos }, rest))
}

/// `2026-03-02T08:05:27.123456+00:00 `, with a space for the `T`, without the fraction, without the offset.
fn iso(text: &str) -> Option<(Stamp, &str)> {
    let (year, rest) = year(text)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let ([hour, minute, second], nanos, rest) = clock(rest.strip_prefix(['T', ' '])?)?;
    let (offset, rest) = match offset(rest) {
        (None, rest) if rest.starts_with(" UTC ") => (Some(0), rest),
        found => found,
    };
    if !rest.is_empty() && !rest.starts_with([' ', ']']) {
        return None;
    }
    let written = Written { year: Some(year), month, day, hour, minute, second, offset };
    Some((Stamp { written, nanos }, rest))
}

/// `Z`, `+01:00`, `+0100`.
fn offset(text: &str) -> (Option<i32>, &str) {
    if let Some(rest) = text.strip_prefix('Z') {
        return (Some(0), rest);
    }
    let read = || {
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let (hours, rest) = digits(text.strip_prefix(['+', '-'])?, 2)?;
        let (minutes, rest) = digits(rest.strip_prefix(':').unwrap_or(rest), 2)?;
        Some((sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60), rest))
    };
    read().map_or((None, text), |(seconds, rest)| (Some(seconds), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, read: &str, zone: &str, expected: Option<&str>) {
        let zone = TimeZone::posix(zone).unwrap();
        let time = Stamp::find(text)
            .and_then(|stamp| stamp.time(read.parse().unwrap(), &zone, &mut LastSecond::default()));
        assert_eq!(time, expected.map(|time| time.parse().unwrap()), "{text:?} read {read}");
    }

    #[test]
    fn years_are_inferred() {
        let cases = [
            ("Mar  2 08:05:27 h", "2026-03-02T08:05:28Z", Some("2026-03-02T08:05:27Z")),
            ("Mar  3 08:05:27 h", "2026-03-02T08:05:28Z", Some("2026-03-03T08:05:27Z")),
            ("Mar  3 08:05:29 h", "2026-03-02T08:05:28Z", Some("2025-03-03T08:05:29Z")),
            ("Dec 31 23:59:59 h", "2026-01-01T00:00:01Z", Some("2025-12-31T23:59:59Z")),
            ("Jan  1 00:00:01 h", "2025-12-31T23:59:59Z", Some("2026-01-01T00:00:01Z")),
            ("Feb 29 12:00:00 h", "2026-03-02T08:00:00Z", Some("2024-02-29T12:00:00Z")),
            ("Feb 29 12:00:00 h", "1903-03-02T08:00:00Z", Some("1896-02-29T12:00:00Z")),
            ("Feb 30 12:00:00 h", "2026-03-02T08:00:00Z", None),
            ("Mar  2 24:05:27 h", "2026-03-02T08:00:00Z", None),
            ("Jun 30 23:59:60 h", "2026-07-02T08:00:00Z", Some("2026-06-30T23:59:59Z")),
        ];
        for (text, read, expected) in cases {
            check(text, read, "UTC0", expected);
        }
    }

    #[test]
    fn zones_apply_where_none_is_written() {
        let (read, zone) = ("2026-07-02T08:05:28Z", "EST5EDT,M3.2.0,M11.1.0");
        let cases = [
            ("Mar  2 08:05:27.5 h", "2026-03-02T13:05:27.5Z"),
            ("Jul  2 01:05:27 h", "2026-07-02T05:05:27Z"),
            ("Mar  8 02:30:00 h", "2026-03-08T07:30:00Z"), // there was no such hour
            ("2026-03-02T08:05:27 h", "2026-03-02T13:05:27Z"),
            ("2026-03-02T08:05:27+0130 h", "2026-03-02T06:35:27Z"),
            ("2026-03-02T08:05:27-01:30 h", "2026-03-02T09:35:27Z"),
            ("2026-03-02T08:05:27.000001Z h", "2026-03-02T08:05:27.000001Z"),
            ("Mon 2026-03-02 08:05:27 UTC h", "2026-03-02T08:05:27Z"),
        ];
        for (text, expected) in cases {
            check(text, read, zone, Some(expected));
        }
    }

    #[test]
    fn daemons_own_times_are_found() {
        let cases = [
            ("2026/03/02 08:05:27 [error] 1#1: x", "2026-03-02T08:05:27Z"),
            ("[Mon Mar 02 08:05:27.25 2026] [auth_basic:error]", "2026-03-02T08:05:27.25Z"),
            ("Mon Mar  2 08:05:27 2026 [pid 5] [bob] FAIL LOGIN", "2026-03-02T08:05:27Z"),
            ("192.0.2.1 - bob [02/Mar/2026:08:05:27 +0100] \"GET /", "2026-03-02T07:05:27Z"),
            ("2026-03-02 08:05:27.1 5 [Note] Access denied", "2026-03-02T08:05:27.1Z"),
            ("[2026-03-02T08:05:27Z] x", "2026-03-02T08:05:27Z"),
        ];
        for (text, expected) in cases {
            check(text, "2026-07-02T08:05:28Z", "UTC0", Some(expected));
        }
    }

    #[test]
    fn the_last_second_is_not_taken_for_another() {
        let (mut last, zone) = (LastSecond::default(), TimeZone::UTC);
        let mut time = |text: &str, read: &str| {
            let (stamp, _) = Stamp::read(text).unwrap();
            stamp.time(read.parse().unwrap(), &zone, &mut last).unwrap().to_string()
        };
        assert_eq!(time("Mar  2 08:05:27 h", "2026-03-02T09:00:00Z"), "2026-03-02T08:05:27Z");
        assert_eq!(time("Mar  2 08:05:27.5 h", "2026-03-02T09:00:00Z"), "2026-03-02T08:05:27.5Z");
        assert_eq!(time("2024-03-02T08:05:27 h", "2026-03-02T09:00:00Z"), "2024-03-02T08:05:27Z");
        assert_eq!(time("Mar  2 08:05:27 h", "2027-03-02T09:00:00Z"), "2027-03-02T08:05:27Z");
    }
}
