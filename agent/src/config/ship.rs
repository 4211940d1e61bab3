//! Which logs are shipped: `logs.ship`.

use std::ops::RangeInclusive;

use config::Value;
use jiff::tz::TimeZone;
use regex_lite::Regex;

use super::check::{Checking, Wrong, log_group, retention_days, size};
use super::logins::{Item, file_pattern, items, unit};
use crate::model::shipped::{LineTime, Origin, PLACEHOLDERS, ShippedLog};

const LOGS: &str = "write [[logs.ship]], name = \"shop\", files = ['/var/log/shop/*.log']";
const KEYS: [&str; 12] = [
    "name",
    "files",
    "units",
    "group",
    "stream",
    "time",
    "zone",
    "first_line",
    "include",
    "exclude",
    "daily_limit",
    "retention_days",
];
/// What a day may have: less would be one event.
const LIMITS: RangeInclusive<u64> = 1 << 20..=1 << 40;
/// Each has a thread of its own, a journalctl or up to 400 files, and unfinished events: what `TasksMax`, `LimitNOFILE` and
/// `MemoryHigh` of the unit allow.
const MOST: usize = 12;

impl Checking<'_> {
    /// The logs; their groups are added to those that there are.
    pub(super) fn shipped_logs(&mut self, retention: &mut Vec<(String, Option<u16>)>) -> Vec<ShippedLog> {
        let logs = self.read("logs.ship", |value| items(value, LOGS, shipped_log));
        let mut wrongs = Vec::new();
        if logs.len() > MOST {
            wrongs.push((format!("{} logs are too many", logs.len()), format!("join some; {MOST} at most")));
        }
        let own = retention.clone();
        for (n, (log, days)) in logs.iter().enumerate() {
            let name = &log.name;
            if logs.iter().take(n).any(|(other, _)| other.name == *name) {
                wrongs.push((
                    format!("two logs are called {name:?}"),
                    "rename one, or join their files".into(),
                ));
            }
            if own.iter().any(|(group, _)| *group == log.group) {
                let what = format!("log {name:?}: the group {} is for the agent's own events", log.group);
                wrongs.push((what, "name another group".into()));
            } else if let Some((group, other)) = retention.iter().find(|(group, _)| *group == log.group) {
                if other != days {
                    let what = format!("log {name:?}: the group {group} has other retention_days elsewhere");
                    wrongs.push((what, "write the same, or name another group".into()));
                }
            } else {
                retention.push((log.group.clone(), *days));
            }
        }
        let origin = self.origin("logs.ship");
        wrongs.into_iter().for_each(|wrong| self.note("logs.ship", origin.clone(), wrong));
        logs.into_iter().map(|(log, _)| log).collect()
    }
}

fn shipped_log(value: &Value) -> Result<(ShippedLog, Option<u16>), Wrong> {
    let item = Item::of(value, &KEYS, LOGS)?;
    let name = item.text("name")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
        let cure = "write up to 64 of A-Z a-z 0-9 - _ .";
        return Err((format!("{name:?} cannot be a log's name"), cure.into()));
    }
    let read = || -> Result<(ShippedLog, Option<u16>), Wrong> {
        let group = item.text_or("group", "/vpcwatch/logs")?;
        log_group(&group)?;
        let zone = item.text_or("zone", "")?;
        let first_line = Some(item.text_or("first_line", "")?).filter(|pattern| !pattern.is_empty());
        let (include, exclude) = (item.texts("include")?, item.texts("exclude")?);
        first_line.iter().chain(&include).chain(&exclude).try_for_each(|pattern| regular(pattern))?;
        let log = ShippedLog {
            name: name.as_str().into(),
            from: origin(item.texts("files")?, &item.texts("units")?)?,
            group,
            stream: stream(item.text_or("stream", "{instance_id}/{name}")?)?,
            time: time(item.text_or("time", "auto")?)?,
            zone: if zone.is_empty() { None } else { Some(self::zone(&zone)?) },
            first_line,
            include,
            exclude,
            daily_limit: size(&item.text_or("daily_limit", "200MiB")?, &LIMITS)?,
        };
        Ok((log, retention_days(&item.text_or("retention_days", "30")?)?))
    };
    read().map_err(|(wrong, cure)| (format!("log {name:?}: {wrong}"), cure))
}

fn origin(files: Vec<String>, units: &[String]) -> Result<Origin, Wrong> {
    match (files.is_empty(), units.is_empty()) {
        (false, true) => {
            files.iter().try_for_each(|path| file_pattern(path))?;
            Ok(Origin::Files(files))
        }
        (true, false) => Ok(Origin::Units(units.iter().map(|name| unit(name)).collect::<Result<_, _>>()?)),
        (true, true) => Err(("it has neither files nor units".into(), LOGS.into())),
        (false, false) => Err(("it has files and units".into(), "make two logs of it".into())),
    }
}

fn stream(template: String) -> Result<String, Wrong> {
    let mut rest = template.clone();
    PLACEHOLDERS.iter().for_each(|known| rest = rest.replace(known, ""));
    if template.is_empty() || rest.contains(['{', '}']) {
        let cure = format!("write a name in which {} are replaced", PLACEHOLDERS.join(" "));
        return Err((format!("{template:?} cannot be a stream's name"), cure));
    }
    Ok(template)
}

fn time(text: String) -> Result<LineTime, Wrong> {
    Ok(match text.as_str() {
        "auto" => LineTime::Auto,
        "read" => LineTime::Read,
        _ => {
            // A form is good if what it writes can be read with it to a point in time.
            let known = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
            let written = jiff::fmt::strtime::format(&text, &known).ok();
            let is_read = |line: String| {
                let (time, _) = jiff::fmt::strtime::BrokenDownTime::parse_prefix(&text, &line).ok()?;
                time.to_timestamp()
                    .or_else(|_| time.to_datetime()?.to_zoned(TimeZone::UTC).map(|at| at.timestamp()))
                    .ok()
            };
            if !text.contains('%') || written.and_then(is_read).is_none() {
                let cure =
                    "write \"auto\", \"read\", or a form with year, day and time: \"%d.%m.%Y %H:%M:%S\"";
                return Err((format!("{text:?} is no form of time"), cure.into()));
            }
            LineTime::Format(text)
        }
    })
}

fn zone(name: &str) -> Result<TimeZone, Wrong> {
    // Also where no zones are installed.
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        (format!("there is no time zone {name:?}"), "write UTC, or a name below /usr/share/zoneinfo".into())
    })
}

fn regular(pattern: &str) -> Result<(), Wrong> {
    let wrong = |error| (format!("{pattern:?}: {error}"), "correct the regular expression".into());
    Regex::new(pattern).map(|_| ()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_with as load;

    #[test]
    fn nothing_is_shipped_by_default() {
        let config = load(&[]).unwrap();
        assert_eq!((config.shipped.len(), config.retention.len()), (0, 2));
    }

    #[test]
    fn every_key_has_its_place() {
        let logs = r#"[{ name = "shop", files = ["/a/*.log"] },
            { name = "api", units = ["api.service"], group = "/api", stream = "{hostname}-{file}",
              time = "%d.%m.%Y %H:%M:%S", zone = "UTC", first_line = '^\d', include = ["a"], exclude = ["b", "c"],
              daily_limit = "1GiB", retention_days = 7 }]"#;
        let config = load(&[("logs.ship", logs)]).unwrap();
        let shop = ShippedLog {
            name: "shop".into(),
            from: Origin::Files(vec!["/a/*.log".into()]),
            group: "/vpcwatch/logs".into(),
            stream: "{instance_id}/{name}".into(),
            time: LineTime::Auto,
            zone: None,
            first_line: None,
            include: Vec::new(),
            exclude: Vec::new(),
            daily_limit: 200 << 20,
        };
        let api = ShippedLog {
            name: "api".into(),
            from: Origin::Units(vec!["api.service".into()]),
            group: "/api".into(),
            stream: "{hostname}-{file}".into(),
            time: LineTime::Format("%d.%m.%Y %H:%M:%S".into()),
            zone: Some(TimeZone::UTC),
            first_line: Some(r"^\d".into()),
            include: vec!["a".into()],
            exclude: vec!["b".into(), "c".into()],
            daily_limit: 1 << 30,
        };
        assert_eq!(*config.shipped, [shop, api]);
        let groups = [("/vpcwatch/logs".to_owned(), Some(30)), ("/api".to_owned(), Some(7))];
        assert_eq!(config.retention[2..], groups);
        assert_eq!(config.wishes.groups.len(), 4);
    }

    #[test]
    fn what_is_wrong_is_one_mistake_with_its_cure() {
        let with = |more: &str| format!("[{{ name = 'a', files = ['/a'], {more} }}]");
        for (logs, told) in [
            ("[{ files = ['/a'] }]".to_owned(), "name is missing"),
            ("[{ name = 'a' }]".to_owned(), "log \"a\": it has neither files nor units"),
            (with("units = ['a.service']"), "it has files and units; make two"),
            ("[{ name = 'a b', files = ['/a'] }]".to_owned(), "cannot be a log's name"),
            ("[{ name = 'a', files = ['a'] }]".to_owned(), "\"a\" is no absolute path"),
            ("[{ name = 'a', units = ['a'] }]".to_owned(), "\"a\" is no unit"),
            (with("group = 'a b'"), "cannot be a log group's name"),
            (with("group = '/vpcwatch/findings'"), "is for the agent's own events; name another"),
            (
                with("stream = '{ip}'"),
                "\"{ip}\" cannot be a stream's name; write a name in which {instance_id}",
            ),
            (with("time = 'iso'"), "\"iso\" is no form of time; write \"auto\""),
            (with("time = '%H:%M'"), "\"%H:%M\" is no form of time"),
            (with("zone = 'Mars/Base'"), "there is no time zone \"Mars/Base\""),
            (with("first_line = '('"), "correct the regular expression"),
            (with("exclude = ['[']"), "correct the regular expression"),
            (with("daily_limit = '1KiB'"), "\"1KiB\" is out of range"),
            (with("retention_days = 2"), "cannot keep logs for 2 days"),
            (with("file = '/b'"), "there is no \"file\" in it"),
            (
                "[{ name = 'a', files = ['/a'] }, { name = 'a', files = ['/b'] }]".to_owned(),
                "two logs are called \"a\"",
            ),
            (
                "[{ name = 'a', files = ['/a'] }, { name = 'b', files = ['/b'], retention_days = 7 }]"
                    .to_owned(),
                "has other retention_days elsewhere",
            ),
        ] {
            let mistakes = load(&[("logs.ship", &logs)]).unwrap_err();
            assert!(mistakes.contains("has 1 mistake:") && mistakes.contains(told), "{logs}: {mistakes}");
        }
    }
}
