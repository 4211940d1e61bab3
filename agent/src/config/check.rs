//! From what is written to what is meant: each value is looked at, and every mistake is gathered.

use std::collections::HashSet;

use config::{Value, ValueKind};
use glob::Pattern;

use super::{Config, Mistake, Mistakes, Origin, Written, toml};
use crate::model::catalog::{self, CATALOG, Set};
use crate::sources::InterfaceRules;

/// Gives the configuration, or every mistake of it and of its reading.
pub(super) fn check(written: &Written, mistakes: Vec<Mistake>) -> Result<Config, Mistakes> {
    let mut checking = Checking { written, mistakes };
    let config = Config {
        interval_seconds: checking.interval(),
        namespace: checking.text("metrics.namespace", namespace),
        chosen: checking.chosen(),
        samples_group: checking.text("logs.samples_group", log_group),
        host: Some(checking.text("identity.host", host)).filter(|host| !host.is_empty()),
        interfaces: InterfaceRules {
            include: checking.patterns("interfaces.include"),
            exclude: checking.patterns("interfaces.exclude"),
            loopback: checking.truth("interfaces.loopback"),
            container_veths: checking.truth("interfaces.container_veths"),
        },
    };
    if checking.mistakes.is_empty() { Ok(config) } else { Err(Mistakes(checking.mistakes)) }
}

/// What is wrong with a value, and the cure.
type Wrong = (String, String);

struct Checking<'a> {
    written: &'a Written,
    mistakes: Vec<Mistake>,
}

impl Checking<'_> {
    /// Reads one key with `read`; a mistake is noted, and gives the type's empty value, which nobody will see.
    fn read<T: Default>(&mut self, key: &str, read: impl FnOnce(&Value) -> Result<T, Wrong>) -> T {
        let Some(setting) = self.written.0.get(key) else {
            let missing =
                ("missing from the built-in defaults".to_owned(), "report this as a bug".to_owned());
            self.note(key, Origin::Default, missing);
            return T::default();
        };
        read(&setting.value).unwrap_or_else(|wrong| {
            self.note(key, setting.origin.clone(), wrong);
            T::default()
        })
    }

    fn note(&mut self, key: &str, origin: Origin, (problem, cure): Wrong) {
        self.mistakes.push(Mistake { origin, key: Some(key.to_owned()), problem, cure });
    }

    fn text(&mut self, key: &str, allowed: fn(&str) -> Result<(), Wrong>) -> String {
        self.read(key, |value| {
            let text = plain(value, "write it in quotes")?;
            allowed(&text).map(|()| text)
        })
    }

    fn truth(&mut self, key: &str) -> bool {
        self.read(key, |value| {
            let wrong =
                |_| (format!("{} is neither true nor false", toml(value)), "write true or false".to_owned());
            value.clone().into_bool().map_err(wrong)
        })
    }

    fn interval(&mut self) -> u32 {
        self.read("publish.interval", |value| {
            let cure = || "write whole seconds from 1s to 1h, with the unit: 60s".to_owned();
            let text = plain(value, &cure())?;
            let duration =
                humantime::parse_duration(&text).map_err(|error| (format!("{text:?}: {error}"), cure()))?;
            let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
            if duration.subsec_nanos() == 0 && (1..=3600).contains(&seconds) {
                Ok(seconds)
            } else {
                Err((format!("{text:?} is out of range"), cure()))
            }
        })
    }

    fn patterns(&mut self, key: &str) -> Vec<Pattern> {
        self.read(key, |value| {
            let pattern = |text: &String| {
                Pattern::new(text).map_err(|error| {
                    (
                        format!("{text:?}: {error}"),
                        "write a name in which * and ? stand for characters".to_owned(),
                    )
                })
            };
            list(value)?.iter().map(pattern).collect()
        })
    }

    fn chosen(&mut self) -> HashSet<&'static str> {
        let set = self.read("metrics.set", |value| {
            let names = Set::ALL.map(Set::as_str).join(", ");
            let cure = format!("write one of {names}");
            let text = plain(value, &cure)?;
            let found = Set::ALL.into_iter().find(|set| set.as_str() == text);
            found.map(Some).ok_or_else(|| (format!("there is no set {text:?}"), cure))
        });
        let set = set.unwrap_or(Set::Full);
        let include = self.read("metrics.include", metrics);
        let exclude = self.read("metrics.exclude", |value| {
            let names = metrics(value)?;
            match names.iter().find(|name| catalog::find(name).is_some_and(|m| m.set == Set::Essential)) {
                None => Ok(names),
                Some(name) => {
                    Err((format!("{name} is essential: alarms rest on it"), "take it off this list".into()))
                }
            }
        });
        let in_set = CATALOG.iter().filter(|metric| metric.set <= set).map(|metric| metric.name);
        in_set.chain(include).filter(|name| !exclude.contains(name)).collect()
    }
}

/// Text or a number, as text.
fn plain(value: &Value, cure: &str) -> Result<String, Wrong> {
    match value.kind {
        ValueKind::Array(_) | ValueKind::Table(_) | ValueKind::Nil => {
            Err((format!("{} is not a single value", toml(value)), cure.to_owned()))
        }
        _ => value.clone().into_string().map_err(|error| (error.to_string(), cure.to_owned())),
    }
}

fn list(value: &Value) -> Result<Vec<String>, Wrong> {
    let cure = "write a list of texts: [\"a\", \"b\"]";
    match &value.kind {
        ValueKind::Array(items) => items.iter().map(|item| plain(item, cure)).collect(),
        _ => Err((format!("{} is not a list", toml(value)), cure.to_owned())),
    }
}

/// Names of metrics of the catalog.
fn metrics(value: &Value) -> Result<Vec<&'static str>, Wrong> {
    let find = |name: &String| {
        let near = || CATALOG.iter().map(|m| (strsim::osa_distance(m.name, name), m.name)).min();
        let cure = || match near() {
            Some((distance, known)) if distance <= name.len() / 3 => format!("did you mean {known}?"),
            _ => "the README lists every metric".to_owned(),
        };
        catalog::find(name).map(|m| m.name).ok_or_else(|| (format!("there is no metric {name:?}"), cure()))
    };
    list(value)?.iter().map(find).collect()
}

/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>, `Namespace`.
fn namespace(text: &str) -> Result<(), Wrong> {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !text.trim().is_empty();
    if printable && text.len() <= 255 && !text.starts_with(':') && !text.starts_with("AWS/") {
        return Ok(());
    }
    let cure = "write 1 to 255 ASCII characters, not beginning with \":\" or \"AWS/\"";
    Err((format!("{text:?} cannot be a CloudWatch namespace"), cure.into()))
}

/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html>, `logGroupName`.
fn log_group(text: &str) -> Result<(), Wrong> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte);
    if (1..=512).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err((format!("{text:?} cannot be a log group's name"), "write 1 to 512 of A-Z a-z 0-9 . - _ / #".into()))
}

/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>, `Value`; empty is the
/// system's name.
fn host(text: &str) -> Result<(), Wrong> {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if text.is_empty()
        || (printable && !text.trim().is_empty() && text.len() <= 512 && !text.starts_with(':'))
    {
        return Ok(());
    }
    Err((
        format!("{text:?} cannot be a dimension's value"),
        "write up to 512 ASCII characters, or leave it empty".into(),
    ))
}
