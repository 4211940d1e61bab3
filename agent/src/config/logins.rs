//! Where logins are read, and what is guessing: `logins.*`.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::check::{Checking, TEXTS, Wrong, each, one, plain};
use super::detectors::network;
use super::toml;
use crate::model::log_line::Grammar;
use crate::model::settings::{LoginPattern, LoginSettings};
use crate::parse::{self, user_pattern};
use crate::tail::{FileRule, SystemLog, TailRules};

/// What one file or pattern is written as.
const FILES: &str = "write { path = '/var/log/nginx/error.log', service = \"nginx\" }, or the path alone";
const PATTERNS: &str =
    "write { name = \"shop\", regex = 'login of (?P<user>\\S+) from (?P<source>\\S+) failed' }";
/// A list of networks.
const NETWORKS: &str = "write a list of networks: [\"10.0.0.0/8\", \"192.0.2.7\"]";

impl Checking<'_> {
    pub(super) fn logins(&mut self) -> LoginSettings {
        LoginSettings {
            ignore_sources: self.read("logins.ignore_sources", |value| each(value, NETWORKS, network)),
            known_sources: self.read("logins.known_sources", |value| each(value, NETWORKS, network)),
            show_unknown_users: self.truth("logins.show_unknown_users"),
            attempts: self.number("logins.attempts", 2..=1000),
            users: self.number("logins.users", 2..=1000),
            slow_attempts: self.number("logins.slow_attempts", 4..=1000),
            sources: self.number("logins.sources", 3..=1000),
            quiet_seconds: self.seconds("logins.quiet", 60..=24 * 3600),
        }
    }

    /// The operator's own rules, each tried on the lines beside it.
    pub(super) fn login_patterns(&mut self) -> Vec<LoginPattern> {
        let mut names = Vec::new();
        let patterns = self.read("logins.patterns", |value| items(value, PATTERNS, pattern));
        for pattern in &patterns {
            if names.contains(&&pattern.name) {
                let origin = self.origin("logins.patterns");
                let wrong = (format!("two patterns are called {:?}", pattern.name), "rename one".into());
                self.note("logins.patterns", origin, wrong);
            }
            names.push(&pattern.name);
        }
        patterns
    }

    pub(super) fn tails(&mut self, patterns: &[LoginPattern]) -> TailRules {
        let system = self.read("logins.source", |value| {
            let cure = "write \"auto\", \"journal\", \"files\" or \"off\"";
            let text = plain(value, cure).map_err(one)?;
            Ok(match text.as_str() {
                "auto" => SystemLog::Auto,
                "journal" => SystemLog::Journal,
                "files" => SystemLog::Files,
                "off" => SystemLog::Off,
                _ => return Err(one((format!("{text:?} is no such source"), cure.into()))),
            })
        });
        let files = self.read("logins.files", |value| items(value, FILES, |item| file(item, patterns)));
        let units = self.read("logins.units", |value| each(value, TEXTS, unit));
        TailRules { system, files, units }
    }
}

/// A list, each item read by itself: every bad one is a mistake.
pub(super) fn items<T>(
    value: &Value,
    cure: &str,
    read: impl Fn(&Value) -> Result<T, Wrong>,
) -> Result<Vec<T>, Vec<Wrong>> {
    let ValueKind::Array(items) = &value.kind else {
        return Err(one((format!("{} is not a list", toml(value)), format!("write [] or a list; {cure}"))));
    };
    let (mut good, mut wrongs) = (Vec::new(), Vec::new());
    for item in items {
        match read(item) {
            Ok(item) => good.push(item),
            Err(wrong) => wrongs.push(wrong),
        }
    }
    if wrongs.is_empty() { Ok(good) } else { Err(wrongs) }
}

/// The texts of one item's keys; a key that it does not have is a mistake.
pub(super) struct Item<'a> {
    table: &'a Map<String, Value>,
    cure: &'static str,
}

impl<'a> Item<'a> {
    pub(super) fn of(value: &'a Value, keys: &[&str], cure: &'static str) -> Result<Self, Wrong> {
        let ValueKind::Table(table) = &value.kind else {
            return Err((format!("{} is no table", toml(value)), cure.into()));
        };
        let mut unknown = table.keys().filter(|key| !keys.contains(&key.as_str()));
        match unknown.next() {
            Some(key) => Err((format!("there is no {key:?} in it"), format!("it has {}", keys.join(", ")))),
            None => Ok(Item { table, cure }),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<String, Wrong> {
        let missing = || (format!("{key} is missing"), self.cure.to_owned());
        plain(self.table.get(key).ok_or_else(missing)?, self.cure)
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, Wrong> {
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let texts = each(value, TEXTS, |text| Ok(text.to_owned()));
        texts.map_err(|wrongs| wrongs.into_iter().next().unwrap_or_default())
    }

    pub(super) fn text_or(&self, key: &str, otherwise: &str) -> Result<String, Wrong> {
        if self.table.contains_key(key) { self.text(key) } else { Ok(otherwise.to_owned()) }
    }
}

fn file(item: &Value, patterns: &[LoginPattern]) -> Result<FileRule, Wrong> {
    let (path, service) = if let ValueKind::Table(_) = &item.kind {
        let item = Item::of(item, &["path", "service"], FILES)?;
        (item.text("path")?, item.text_or("service", "auto")?)
    } else {
        (plain(item, FILES)?, "auto".to_owned())
    };
    file_pattern(&path)?;
    Ok(FileRule { pattern: path, grammar: grammar(&service, patterns)? })
}

/// A pattern of files is an absolute path.
pub(super) fn file_pattern(path: &str) -> Result<(), Wrong> {
    if !Path::new(path).is_absolute() || path.contains('\0') {
        return Err((format!("{path:?} is no absolute path"), "write it from / on".into()));
    }
    let wrong = |error| (format!("{path:?}: {error}"), "* ? and [...] stand for characters of a name".into());
    glob::Pattern::new(path).map(|_| ()).map_err(wrong)
}

/// The grammar of a service or pattern of that name.
fn grammar(service: &str, patterns: &[LoginPattern]) -> Result<Grammar, Wrong> {
    let own = || patterns.iter().any(|pattern| pattern.name == service);
    let known = parse::grammar(service).or_else(|| own().then(|| Grammar::Pattern(Arc::from(service))));
    known.ok_or_else(|| {
        let names: Vec<&str> = parse::services().collect();
        let cure = format!("write auto, the name of one of logins.patterns, or one of {}", names.join(", "));
        (format!("there is no service {service:?}"), cure)
    })
}

pub(super) fn unit(text: &str) -> Result<String, Wrong> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    if text.contains('.') && text.len() <= 255 && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err((format!("{text:?} is no unit"), "write it with its type: shop.service".into()))
}

fn pattern(item: &Value) -> Result<LoginPattern, Wrong> {
    let item = Item::of(item, &["name", "regex", "success", "lines"], PATTERNS)?;
    let pattern = LoginPattern {
        name: item.text("name")?,
        regex: item.text("regex")?,
        success: item.texts("success")?,
    };
    let named = |what: &dyn Display| format!("pattern {:?}: {what}", pattern.name);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if pattern.name.is_empty() || pattern.name.len() > 64 || !pattern.name.bytes().all(allowed) {
        return Err((
            format!("{:?} cannot be a pattern's name", pattern.name),
            "write up to 64 of A-Z a-z 0-9 - _ .".into(),
        ));
    }
    if parse::grammar(&pattern.name).is_some() {
        return Err((named(&"there is a service of this name"), "choose another".into()));
    }
    let checked = user_pattern::UserPattern::new(&pattern)
        .map_err(|wrong| (named(&wrong), "correct logins.patterns".into()))?;
    if let Some(lines) = item.table.get("lines") {
        let tried = items(lines, LINES, |line| try_line(&checked, line));
        tried
            .map_err(|wrongs| wrongs.into_iter().next().unwrap_or_default())
            .map_err(|(wrong, cure)| (named(&wrong), cure))?;
    }
    Ok(pattern)
}

const LINES: &str = "write { line = \"...\", outcome = \"failure\", source = \"192.0.2.7\", user = \"bob\" }";

/// A line beside a pattern: what the pattern makes of it must be what was written.
fn try_line(pattern: &user_pattern::UserPattern, item: &Value) -> Result<(), Wrong> {
    let item = Item::of(item, &["line", "outcome", "source", "user"], LINES)?;
    let (line, outcome) = (item.text("line")?, item.text("outcome")?);
    if !["failure", "success", "none"].contains(&outcome.as_str()) {
        return Err((format!("{outcome:?} is no outcome"), "write failure, success or none".into()));
    }
    let told = pattern.read(&line);
    let found = told.as_ref().map_or("none", |told| told.outcome.as_str());
    let compare = |what: &str, found: String, expected: &str| {
        if found == expected {
            return Ok(());
        }
        let cure = "correct the regex, or what the line should give".to_owned();
        Err((format!("of the line {line:?} it makes the {what} {found:?}, not {expected:?}"), cure))
    };
    compare("outcome", found.to_owned(), &outcome)?;
    if item.table.contains_key("source") {
        let found = told.as_ref().and_then(|told| told.source).map(|source| source.to_string());
        compare("source", found.unwrap_or_default(), &item.text("source")?)?;
    }
    if item.table.contains_key("user") {
        let found = told.and_then(|told| told.user).map(|user| user.to_string());
        compare("user", found.unwrap_or_default(), &item.text("user")?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_with as load;

    #[test]
    fn the_default_file_says_what_the_model_does() {
        let config = load(&[]).unwrap();
        assert_eq!(config.settings.detectors.logins, LoginSettings::default());
        assert_eq!((config.tails, config.settings.login_patterns), (TailRules::default(), Vec::new()));
    }

    #[test]
    fn every_key_has_its_place() {
        let pattern =
            r"{ name = 'shop', regex = 'from (?P<source>\S+): (?P<outcome>\w+)', success = ['ok'] }";
        let config = load(&[
            ("logins.source", "files"),
            (
                "logins.files",
                r#"["/a/*.log", { path = "/b", service = "sshd" }, { path = "/c", service = "shop" }]"#,
            ),
            ("logins.units", "shop.service, till@1.service"),
            ("logins.patterns", &format!("[{pattern}]")),
            ("logins.ignore_sources", "192.0.2.0/24"),
            ("logins.known_sources", "10.0.0.0/8"),
            ("logins.show_unknown_users", "true"),
            ("logins.attempts", "7"),
            ("logins.users", "8"),
            ("logins.slow_attempts", "9"),
            ("logins.sources", "10"),
            ("logins.quiet", "11m"),
        ])
        .unwrap();
        let file = |pattern: &str, grammar| FileRule { pattern: pattern.into(), grammar };
        let files = vec![
            file("/a/*.log", Grammar::Auto),
            file("/b", Grammar::Service("sshd")),
            file("/c", Grammar::Pattern("shop".into())),
        ];
        let units = vec!["shop.service".to_owned(), "till@1.service".to_owned()];
        assert_eq!(config.tails, TailRules { system: SystemLog::Files, files, units });
        let expected = LoginSettings {
            ignore_sources: vec!["192.0.2.0/24".parse().unwrap()],
            known_sources: vec!["10.0.0.0/8".parse().unwrap()],
            show_unknown_users: true,
            attempts: 7,
            users: 8,
            slow_attempts: 9,
            sources: 10,
            quiet_seconds: 660,
        };
        assert_eq!(config.settings.detectors.logins, expected);
        let shop = LoginPattern {
            name: "shop".into(),
            regex: r"from (?P<source>\S+): (?P<outcome>\w+)".into(),
            success: vec!["ok".into()],
        };
        assert_eq!(config.settings.login_patterns, [shop]);
    }

    #[test]
    fn what_is_wrong_is_one_mistake_with_its_cure() {
        let pattern = |more: &str| format!("[{{ name = 'p', regex = 'x(?P<user>y)' {more} }}]");
        for (key, value, told) in [
            ("logins.source", "syslog", "\"syslog\" is no such source; write \"auto\", \"journal\""),
            ("logins.files", "[{ path = 'var/log/a' }]", "\"var/log/a\" is no absolute path"),
            (
                "logins.files",
                "[{ path = '/a', service = 'nonesuch' }]",
                "there is no service \"nonesuch\"; write auto",
            ),
            (
                "logins.files",
                "[{ path = '/a', servce = 'sshd' }]",
                "there is no \"servce\" in it; it has path, service",
            ),
            ("logins.files", "[{ service = 'sshd' }]", "path is missing"),
            ("logins.files", "[['/a']]", "is not a single value"),
            ("logins.files", "[{ path = '/a[' }]", "stand for characters"),
            ("logins.units", "shop", "\"shop\" is no unit; write it with its type: shop.service"),
            ("logins.units", "a b.service", "is no unit"),
            ("logins.patterns", "[{ regex = 'x' }]", "name is missing"),
            ("logins.patterns", "[{ name = 'p' }]", "regex is missing"),
            ("logins.patterns", "['p']", "is no table"),
            ("logins.patterns", "[{ name = 'a b', regex = 'x' }]", "\"a b\" cannot be a pattern's name"),
            (
                "logins.patterns",
                "[{ name = 'sshd', regex = 'x(?P<user>y)' }]",
                "there is a service of this name",
            ),
            ("logins.patterns", "[{ name = 'p', regex = '(' }]", "pattern \"p\": "),
            ("logins.patterns", "[{ name = 'p', regex = '' }]", "pattern \"p\": "),
            ("logins.patterns", "[{ name = 'p', regex = 'x' }]", "pattern \"p\": "),
            (
                "logins.patterns",
                &pattern(", lines = [{ line = 'xy', outcome = 'none' }]"),
                "makes the outcome \"failure\"",
            ),
            (
                "logins.patterns",
                &pattern(", lines = [{ line = 'a', outcome = 'failure' }]"),
                "makes the outcome \"none\"",
            ),
            (
                "logins.patterns",
                &pattern(", lines = [{ line = 'xy', outcome = 'failure', user = 'x' }]"),
                "makes the user \"y\", not \"x\"",
            ),
            (
                "logins.patterns",
                &pattern(", lines = [{ line = 'xy', outcome = 'perhaps' }]"),
                "\"perhaps\" is no outcome",
            ),
            ("logins.attempts", "1", "write a number from 2 to 1000"),
            ("logins.users", "x", "is no such number"),
            ("logins.quiet", "10s", "is out of range"),
            ("logins.known_sources", "0.0.0.0/0", "is everybody"),
        ] {
            let mistakes = load(&[(key, value)]).unwrap_err();
            assert!(mistakes.contains("has 1 mistake:"), "{key} = {value}: {mistakes}");
            assert!(mistakes.contains(key) && mistakes.contains(told), "{key} = {value}: {mistakes}");
        }
        let twice = "[{ name = 'p', regex = 'x(?P<user>y)' }, { name = 'p', regex = '(?P<user>z)' }]";
        assert!(load(&[("logins.patterns", twice)]).unwrap_err().contains("two patterns are called \"p\""));
    }
}
