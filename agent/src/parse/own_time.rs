//! Times that daemons put into their own logs, before or instead of a syslog head.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;

/// A time as it is written: of the clock on the wall, and where the line says so, of which zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// What the clock showed.
    pub(crate) at: DateTime,
    /// East of UTC; None where the line does not say: the log's zone.
    pub(crate) offset: Option<Offset>,
}

/// `2026/09/30 09:23:53` (nginx's error log).
pub(super) fn slashed(text: &str) -> Option<Written> {
    read("%Y/%m/%d %H:%M:%S%.f", text)
}

/// `[Fri Sep 09 10:42:29.902022 2026]` (Apache's error log), `Mon Jun  8 12:08:53 2026` (vsftpd). The day of the week may be
/// in any language.
pub(super) fn of_c(text: &str) -> Option<Written> {
    let (_, after_weekday) = text.split_once(' ')?;
    read("%b %d %H:%M:%S%.f %Y", after_weekday.trim_start())
}

/// `[10/Oct/2026:13:55:36 -0700]` (access logs), `[27/Jul/2026 16:06:44]` (Webmin's), the first of the line.
pub(super) fn of_access_log(text: &str) -> Option<Written> {
    of_access(text.split_once('[')?.1)
}

/// The same, behind its bracket.
pub(super) fn of_access(time: &str) -> Option<Written> {
    read("%d/%b/%Y:%H:%M:%S", time).or_else(|| read("%d/%b/%Y %H:%M:%S", time))
}

/// `2026-07-24T14:49:49.398440Z`, `2026-09-28 09:22:18.536 UTC`, `2026-11-09  5:13:12`, `2026-05-28 18:08:01,124`, `[2026-...`
/// and `[20260407-12:11:06]`: at the start, or behind a few words (`log_line_prefix` of `PostgreSQL`).
pub(super) fn dashed(text: &str) -> Option<Written> {
    let mut rest = text;
    for _ in 0..WORDS_BEFORE {
        let time = rest.trim_start_matches(['[', ' ', '\t']);
        if time.starts_with(|first: char| first.is_ascii_digit())
            && let Some(written) = of_a_dash(time)
        {
            return Some(written);
        }
        rest = rest.split_once(' ')?.1;
    }
    None
}

/// How many words may stand before a dashed time.
const WORDS_BEFORE: usize = 4;

fn of_a_dash(time: &str) -> Option<Written> {
    let dash = time.bytes().position(|byte| !byte.is_ascii_digit())?;
    match (dash, time.as_bytes().get(dash)?) {
        (4, b'-') => read("%Y-%m-%dT%H:%M:%S%.f", time).or_else(|| read("%Y-%m-%d %k:%M:%S%.f", time)),
        (8, b'-') => read("%Y%m%d-%H:%M:%S", time),
        (6, b' ') => read("%y%m%d %k:%M:%S", time),
        _ => None,
    }
}

fn read(format: &str, text: &str) -> Option<Written> {
    let (time, length) = BrokenDownTime::parse_prefix(format, text).ok()?;
    Some(Written { at: time.to_datetime().ok()?, offset: text.get(length..).and_then(offset) })
}

/// `Z`, ` UTC`, ` GMT`, `+02:00`, ` -0700`. Other names of zones are not worth guessing at.
fn offset(behind: &str) -> Option<Offset> {
    let zone = behind.trim_start_matches(' ');
    if zone.starts_with('Z') || zone.starts_with("UTC") || zone.starts_with("GMT") {
        return Some(Offset::UTC);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut digits = zone
        .bytes()
        .skip(1)
        .filter(|&byte| byte != b':')
        .take(4)
        .map(|byte| i32::from(byte) - i32::from(b'0'));
    let mut two = || -> Option<i32> {
        let number = digits.next()? * 10 + digits.next()?;
        (0..=59).contains(&number).then_some(number)
    };
    let (hours, minutes) = (two()?, two()?);
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::{self, Offset};

    use super::{Written, dashed, of_access_log, of_c, slashed};

    type Case = (fn(&str) -> Option<Written>, &'static str, Option<Written>);

    #[test]
    fn times() {
        let at = date(2026, 6, 8).at(9, 8, 53, 0);
        let fine = date(2026, 6, 8).at(9, 8, 53, 250_000_000);
        let cases: [Case; 20] = [
            (slashed, "2026/06/08 09:08:53 [error] 1#1: x", Some(Written { at, offset: None })),
            (slashed, "2026/13/08 09:08:53 [error]", None),
            (
                of_c,
                "[Mon Jun 08 09:08:53.250000 2026] [core:error] x",
                Some(Written { at: fine, offset: None }),
            ),
            (of_c, "[Lun Jun 08 09:08:53 2026] [error] x", Some(Written { at, offset: None })),
            (of_c, "Mon Jun  8 09:08:53 2026 [pid 2] x", Some(Written { at, offset: None })),
            (
                of_access_log,
                "192.0.2.1 - - [08/Jun/2026:09:08:53 -0730] \"GET",
                Some(Written { at, offset: Some(hours(-7, -30)) }),
            ),
            (
                of_access_log,
                "192.0.2.1 - - [08/Jun/2026:09:08:53 +0000] \"GET",
                Some(Written { at, offset: Some(Offset::UTC) }),
            ),
            (of_access_log, "178.4.0 [8/Jun/2026 09:08:53] root - x", Some(Written { at, offset: None })),
            (of_access_log, "192.0.2.1 - - \"GET", None),
            (
                dashed,
                "2026-06-08T09:08:53.250Z 1 [Note] x",
                Some(Written { at: fine, offset: Some(Offset::UTC) }),
            ),
            (
                dashed,
                "2026-06-08T09:08:53.250+02:00 1 [Note] x",
                Some(Written { at: fine, offset: Some(tz::offset(2)) }),
            ),
            (dashed, "2026-06-08  9:08:53 8 [Warning] x", Some(Written { at, offset: None })),
            (dashed, "260608  9:08:53 [Warning] x", Some(Written { at, offset: None })),
            (
                dashed,
                "2026-06-08 09:08:53.250 UTC [1] x",
                Some(Written { at: fine, offset: Some(Offset::UTC) }),
            ),
            (
                dashed,
                "192.0.2.1 2026-06-08 09:08:53.250 CEST [1] x",
                Some(Written { at: fine, offset: None }),
            ),
            (dashed, "2026-06-08 09:08:53,250 host proftpd[1] x", Some(Written { at, offset: None })),
            (dashed, "[20260608-09:08:53] [INFO ] x", Some(Written { at, offset: None })),
            (
                dashed,
                "[2026-06-08T09:08:53.250+0200] [INFO ] x",
                Some(Written { at: fine, offset: Some(tz::offset(2)) }),
            ),
            (dashed, "a b c d e f 2026-06-08 09:08:53", None),
            (dashed, "", None),
        ];
        for (parse, text, want) in cases {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    fn hours(hours: i32, minutes: i32) -> Offset {
        Offset::from_seconds(hours * 3600 + minutes * 60).unwrap()
    }
}
