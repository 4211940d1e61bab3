//! From what is written to what is meant: each value is looked at, and every mistake is gathered.

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use config::{Value, ValueKind};
use glob::Pattern;

use super::{Config, Mistake, Mistakes, Origin, Written, toml};
use crate::model::catalog::{self, CATALOG, Metric, Set};
use crate::model::identity::InstanceDimension;
use crate::model::settings::Settings;
use crate::sources::{InterfaceRules, SourceRules};

/// Gives the configuration, or every mistake of it and of its reading.
pub(super) fn check(written: &Written, mistakes: Vec<Mistake>) -> Result<Config, Mistakes> {
    let mut checking = Checking { written, mistakes };
    let (web_logs, web_files) = checking.web_logs();
    let settings = Settings {
        interval_seconds: checking.seconds("publish.interval", 1..=3600),
        namespace: checking.text("metrics.namespace", namespace),
        chosen: checking.chosen(),
        samples_group: checking.text("logs.samples_group", log_group),
        findings_group: checking.text("logs.findings_group", log_group),
        detectors: checking.detectors(),
        login_patterns: checking.login_patterns(),
        web_logs,
    };
    let mut tails = checking.tails(&settings.login_patterns);
    // Of several rules for a file the first counts, and these tell of logins too.
    tails.files.splice(..0, web_files);
    let mut retention = vec![
        (settings.samples_group.clone(), checking.days("logs.samples_retention_days")),
        (settings.findings_group.clone(), checking.days("logs.findings_retention_days")),
    ];
    let shipped = checking.shipped_logs(&mut retention);
    let config = Config {
        tails,
        shipped: shipped.into(),
        provision_at_start: checking.at_start(),
        wishes: checking.wishes(&retention),
        retention,
        settings,
        dimensions: checking.dimensions(),
        monthly_limit: Some(checking.number("cost.monthly_limit", 0.0..=1_000_000.0))
            .filter(|limit| *limit > 0.0),
        host: filled(checking.text("identity.host", host)),
        region: filled(checking.text("aws.region", region)),
        ca_bundle: filled(checking.text("aws.ca_bundle", path_or_nothing)).map(PathBuf::from),
        state_folder: checking.text("state.folder", path).into(),
        state_limit: checking.size("state.limit", 8 << 20..=64 << 30),
        status_file: filled(checking.text("status.file", path_or_nothing)).map(PathBuf::from),
        sources: SourceRules {
            interfaces: InterfaceRules {
                include: checking.patterns("interfaces.include"),
                exclude: checking.patterns("interfaces.exclude"),
                loopback: checking.truth("interfaces.loopback"),
                container_veths: checking.truth("interfaces.container_veths"),
            },
            capture: checking.truth("syn_flood.capture"),
        },
    };
    if checking.mistakes.is_empty() { Ok(config) } else { Err(Mistakes(checking.mistakes)) }
}

/// What is wrong with a value, and the cure.
pub(super) type Wrong = (String, String);

/// Reads keys, and gathers what is wrong with them.
pub(super) struct Checking<'a> {
    pub(super) written: &'a Written,
    pub(super) mistakes: Vec<Mistake>,
}

impl Checking<'_> {
    /// Reads one key with `read`, in every layer: a mistake below a stronger layer waits for that layer to go. Gives
    /// the strongest value, or the type's empty one if that is a mistake, which nobody will see.
    pub(super) fn read<T: Default>(
        &mut self,
        key: &str,
        read: impl Fn(&Value) -> Result<T, Vec<Wrong>>,
    ) -> T {
        let Some(settings) = self.written.0.get(key) else {
            let missing =
                ("missing from the built-in defaults".to_owned(), "report this as a bug".to_owned());
            self.note(key, Origin::Default, missing);
            return T::default();
        };
        let mut strongest = T::default();
        for setting in settings {
            strongest = read(&setting.value).unwrap_or_else(|wrongs| {
                wrongs.into_iter().for_each(|wrong| self.note(key, setting.origin.clone(), wrong));
                T::default()
            });
        }
        strongest
    }

    /// Where the value that holds was written.
    pub(super) fn origin(&self, key: &str) -> Origin {
        let strongest = self.written.0.get(key).and_then(|settings| settings.last());
        strongest.map_or(Origin::Default, |setting| setting.origin.clone())
    }

    pub(super) fn note(&mut self, key: &str, origin: Origin, (problem, cure): Wrong) {
        self.mistakes.push(Mistake { origin, key: Some(key.to_owned()), problem, cure });
    }

    fn text(&mut self, key: &str, allowed: fn(&str) -> Result<(), Wrong>) -> String {
        self.read(key, |value| {
            let text = plain(value, "write it in quotes").map_err(one)?;
            allowed(&text).map_err(one)?;
            Ok(text)
        })
    }

    pub(super) fn truth(&mut self, key: &str) -> bool {
        self.read(key, |value| {
            let wrong =
                || one((format!("{} is neither true nor false", toml(value)), "write true or false".into()));
            value.clone().into_bool().map_err(|_| wrong())
        })
    }

    /// Whole seconds.
    pub(super) fn seconds(&mut self, key: &str, allowed: RangeInclusive<u32>) -> u32 {
        self.read(key, |value| {
            let shown = |seconds: &u32| humantime::format_duration(Duration::from_secs((*seconds).into()));
            let cure = || {
                let (least, most) = (shown(allowed.start()), shown(allowed.end()));
                format!("write whole seconds from {least} to {most}, with the unit: 60s")
            };
            let text = plain(value, &cure()).map_err(one)?;
            let is_bare = text.parse::<f64>().is_ok();
            let duration = humantime::parse_duration(&text).map_err(|error| {
                let why =
                    if is_bare { "has no unit".to_owned() } else { format!("is no duration ({error})") };
                one((format!("{text:?} {why}"), cure()))
            })?;
            let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
            if duration.subsec_nanos() == 0 && allowed.contains(&seconds) {
                Ok(seconds)
            } else {
                Err(one((format!("{text:?} is out of range"), cure())))
            }
        })
    }

    /// A number. What is not finite is in no range.
    pub(super) fn number<T>(&mut self, key: &str, allowed: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Default,
    {
        self.read(key, |value| {
            let cure = || format!("write a number from {} to {}", allowed.start(), allowed.end());
            let text = plain(value, &cure()).map_err(one)?;
            let number =
                text.parse::<T>().map_err(|_| one((format!("{text:?} is no such number"), cure())))?;
            if allowed.contains(&number) {
                Ok(number)
            } else {
                Err(one((format!("{text:?} is out of range"), cure())))
            }
        })
    }

    fn size(&mut self, key: &str, allowed: RangeInclusive<u64>) -> u64 {
        self.read(key, |value| {
            let text = plain(value, "write a size: 256MiB").map_err(one)?;
            size(&text, &allowed).map_err(one)
        })
    }

    /// Days of retention; none for ever.
    fn days(&mut self, key: &str) -> Option<u16> {
        self.read(key, |value| {
            let text = plain(value, "write a number of days").map_err(one)?;
            retention_days(&text).map_err(one)
        })
    }

    fn dimensions(&mut self) -> Vec<InstanceDimension> {
        self.read("identity.dimensions", |value| {
            let names = InstanceDimension::ALL.map(InstanceDimension::as_str).join(", ");
            let mut chosen: Vec<InstanceDimension> = each(value, TEXTS, |name| {
                let found = InstanceDimension::ALL.into_iter().find(|known| known.as_str() == name);
                found.ok_or_else(|| {
                    (format!("there is no dimension {name:?}"), format!("write some of {names}"))
                })
            })?;
            if !chosen.contains(&InstanceDimension::InstanceId) {
                return Err(one((
                    "InstanceId is missing: alarms rest on it".into(),
                    "add \"InstanceId\"".into(),
                )));
            }
            // The host's own first: it names the log streams.
            chosen
                .sort_by_key(|dimension| InstanceDimension::ALL.iter().position(|known| known == dimension));
            chosen.dedup();
            Ok(chosen)
        })
    }

    fn patterns(&mut self, key: &str) -> Vec<Pattern> {
        self.read(key, |value| {
            each(value, TEXTS, |text| {
                Pattern::new(text).map_err(|error| {
                    (
                        format!("{text:?}: {error}"),
                        "write a name in which * and ? stand for characters".to_owned(),
                    )
                })
            })
        })
    }

    fn chosen(&mut self) -> HashSet<&'static str> {
        let set = self.read("metrics.set", |value| {
            let names = Set::ALL.map(Set::as_str).join(", ");
            let cure = format!("write one of {names}");
            let text = plain(value, &cure).map_err(one)?;
            let found = Set::ALL.into_iter().find(|set| set.as_str() == text);
            found.map(Some).ok_or_else(|| one((format!("there is no set {text:?}"), cure)))
        });
        let set = set.unwrap_or(Set::Full);
        let include =
            self.read("metrics.include", |value| each(value, TEXTS, |name| metric(name).map(|m| m.name)));
        let exclude = self.read("metrics.exclude", |value| {
            each(value, TEXTS, |name| match metric(name)? {
                essential if essential.set == Set::Essential => {
                    Err((format!("{name} is essential: alarms rest on it"), "take it off this list".into()))
                }
                other => Ok(other.name),
            })
        });
        let in_set = CATALOG.iter().filter(|metric| metric.set <= set).map(|metric| metric.name);
        in_set.chain(include).filter(|name| !exclude.contains(name)).collect()
    }
}

/// Days for which CloudWatch keeps logs
/// (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html>).
const RETENTION_DAYS: [u16; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Days; none for ever.
pub(super) fn retention_days(text: &str) -> Result<Option<u16>, Wrong> {
    match text.parse::<u16>() {
        Ok(0) => Ok(None),
        Ok(days) if RETENTION_DAYS.contains(&days) => Ok(Some(days)),
        _ => {
            let allowed: Vec<String> = RETENTION_DAYS.iter().map(u16::to_string).collect();
            let cure = format!("write 0 (for ever) or one of {}", allowed.join(" "));
            Err((format!("CloudWatch cannot keep logs for {text} days"), cure))
        }
    }
}

/// A size that is allowed.
pub(super) fn size(text: &str, allowed: &RangeInclusive<u64>) -> Result<u64, Wrong> {
    let shown = |bytes: &u64| ByteSize(*bytes).display().iec_short().to_string();
    let cure = || format!("write a size from {} to {}: 256MiB", shown(allowed.start()), shown(allowed.end()));
    let size = text.parse::<ByteSize>().map_err(|_| (format!("{text:?} is no size"), cure()))?;
    match size.as_u64() {
        bytes if allowed.contains(&bytes) => Ok(bytes),
        _ => Err((format!("{text:?} is out of range"), cure())),
    }
}

fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn one(wrong: Wrong) -> Vec<Wrong> {
    vec![wrong]
}

/// Text or a number, as text.
pub(super) fn plain(value: &Value, cure: &str) -> Result<String, Wrong> {
    match value.kind {
        ValueKind::Array(_) | ValueKind::Table(_) | ValueKind::Nil => {
            Err((format!("{} is not a single value", toml(value)), cure.to_owned()))
        }
        _ => value.clone().into_string().map_err(|error| (error.to_string(), cure.to_owned())),
    }
}

/// How to cure what is no list of texts.
pub(super) const TEXTS: &str = "write a list of texts: [\"a\", \"b\"]";

/// A list, each item read by itself as text: every bad one is a mistake.
pub(super) fn each<T>(
    value: &Value,
    cure: &str,
    read: impl Fn(&str) -> Result<T, Wrong>,
) -> Result<Vec<T>, Vec<Wrong>> {
    let ValueKind::Array(items) = &value.kind else {
        return Err(one((format!("{} is not a list", toml(value)), cure.to_owned())));
    };
    let (mut good, mut wrongs) = (Vec::new(), Vec::new());
    for item in items {
        match plain(item, cure).and_then(|text| read(&text)) {
            Ok(item) => good.push(item),
            Err(wrong) => wrongs.push(wrong),
        }
    }
    if wrongs.is_empty() { Ok(good) } else { Err(wrongs) }
}

/// A metric of the catalog.
fn metric(name: &str) -> Result<&'static Metric, Wrong> {
    let near = || CATALOG.iter().map(|m| (strsim::osa_distance(m.name, name), m.name)).min();
    let cure = || match near() {
        Some((distance, known)) if distance <= name.len() / 3 => format!("did you mean {known}?"),
        _ => "the README lists every metric".to_owned(),
    };
    catalog::find(name).ok_or_else(|| (format!("there is no metric {name:?}"), cure()))
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
pub(super) fn log_group(text: &str) -> Result<(), Wrong> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte);
    let is_reserved = text.starts_with("aws/");
    if (1..=512).contains(&text.len()) && text.bytes().all(allowed) && !is_reserved {
        return Ok(());
    }
    let cure = "write 1 to 512 of A-Z a-z 0-9 . - _ / #, not beginning with aws/";
    Err((format!("{text:?} cannot be a log group's name"), cure.into()))
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

/// An absolute path: a service has no working folder that anyone would think of.
fn path(text: &str) -> Result<(), Wrong> {
    if Path::new(text).is_absolute() && !text.contains('\0') {
        return Ok(());
    }
    Err((format!("{text:?} is no absolute path"), "write it from / on".into()))
}

fn path_or_nothing(text: &str) -> Result<(), Wrong> {
    if text.is_empty() { Ok(()) } else { path(text) }
}

/// Regions are part of host names.
fn region(text: &str) -> Result<(), Wrong> {
    if text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Ok(());
    }
    Err((format!("{text:?} cannot be a region"), "write one like eu-west-3, or leave it empty".into()))
}
