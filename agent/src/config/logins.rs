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
const FILES: &str = "write { path = \"/var/log/nginx/error.log\", service = \"nginx\" }, or the path alone";
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
            attempts: self.number("logins.attempts", 2..=10_000),
            users: self.number("logins.users", 2..=1000),
            slow_attempts: self.number("logins.slow_attempts", 4..=10_000),
            sources: self.number("logins.sources", 3..=10_000),
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
fn items<T>(
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
struct Item<'a> {
    table: &'a Map<String, Value>,
    cure: &'static str,
}

impl<'a> Item<'a> {
    fn of(value: &'a Value, keys: &[&str], cure: &'static str) -> Result<Self, Wrong> {
        let ValueKind::Table(table) = &value.kind else {
            return Err((format!("{} is no table", toml(value)), cure.into()));
        };
        let mut unknown = table.keys().filter(|key| !keys.contains(&key.as_str()));
        match unknown.next() {
            Some(key) => Err((format!("there is no {key:?} in it"), format!("it has {}", keys.join(", ")))),
            None => Ok(Item { table, cure }),
        }
    }

    fn text(&self, key: &str) -> Result<String, Wrong> {
        let missing = || (format!("{key} is missing"), self.cure.to_owned());
        plain(self.table.get(key).ok_or_else(missing)?, self.cure)
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, Wrong> {
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let texts = each(value, TEXTS, |text| Ok(text.to_owned()));
        texts.map_err(|wrongs| wrongs.into_iter().next().unwrap_or_default())
    }

    fn text_or(&self, key: &str, otherwise: &str) -> Result<String, Wrong> {
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
    if !Path::new(&path).is_absolute() || path.contains('\0') {
        return Err((format!("{path:?} is no absolute path"), "write it from / on".into()));
    }
    glob::Pattern::new(&path).map_err(|error| {
        (format!("{path:?}: {error}"), "* ? and [...] stand for characters of a name".into())
    })?;
    Ok(FileRule { pattern: path, grammar: grammar(&service, patterns)? })
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

fn unit(text: &str) -> Result<String, Wrong> {
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
