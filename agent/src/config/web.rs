//! Which access logs are measured: `web.logs`.

use std::sync::Arc;

use config::Value;

use super::check::{Checking, Wrong};
use super::logins::{Item, file_pattern, items};
use crate::model::log_line::Grammar;
use crate::model::web_log::{Format, LatencyField, LatencyRule, TimeUnit, WebLog};
use crate::tail::FileRule;

const LOGS: &str = "write [[web.logs]], name = \"shop\", files = ['/var/log/nginx/shop.log']";
const KEYS: [&str; 5] = ["name", "files", "format", "latency_field", "latency_unit"];

impl Checking<'_> {
    /// The names of the logs, and which files they are.
    pub(super) fn web_logs(&mut self) -> (Vec<Arc<str>>, Vec<FileRule>) {
        let logs = self.read("web.logs", |value| items(value, LOGS, web_log));
        let mut names: Vec<Arc<str>> = Vec::new();
        for (log, _) in &logs {
            if names.contains(&log.name) {
                let origin = self.origin("web.logs");
                let wrong =
                    (format!("two logs are called {:?}", log.name), "rename one, or join their files".into());
                self.note("web.logs", origin, wrong);
            }
            names.push(Arc::clone(&log.name));
        }
        let rule = |(log, files): (WebLog, Vec<String>)| {
            let log = Arc::new(log);
            files
                .into_iter()
                .map(move |pattern| FileRule { pattern, grammar: Grammar::Access(Arc::clone(&log)) })
        };
        (names, logs.into_iter().flat_map(rule).collect())
    }
}

fn web_log(value: &Value) -> Result<(WebLog, Vec<String>), Wrong> {
    let item = Item::of(value, &KEYS, LOGS)?;
    let name = item.text("name")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
        return Err((
            format!("{name:?} cannot be a log's name"),
            "write up to 64 of A-Z a-z 0-9 - _ .".into(),
        ));
    }
    let of_log = |(wrong, cure): Wrong| (format!("log {name:?}: {wrong}"), cure);
    let files = item.texts("files").map_err(of_log)?;
    if files.is_empty() {
        return Err(of_log(("files is missing or empty".into(), LOGS.into())));
    }
    files.iter().try_for_each(|path| file_pattern(path)).map_err(of_log)?;
    let format = format(&item.text_or("format", "auto")?).map_err(of_log)?;
    let latency = latency(&item.text_or("latency_field", "")?, &item.text_or("latency_unit", "")?);
    let latency = latency.map_err(of_log)?;
    Ok((WebLog { name: name.as_str().into(), format, latency }, files))
}

/// None recognises each line.
fn format(name: &str) -> Result<Option<Format>, Wrong> {
    if name == "auto" {
        return Ok(None);
    }
    let found = Format::ALL.into_iter().find(|format| format.as_str() == name);
    found.map(Some).ok_or_else(|| {
        let names = Format::ALL.map(Format::as_str).join(", ");
        (format!("there is no format {name:?}"), format!("write auto, or one of {names}"))
    })
}

fn latency(field: &str, unit: &str) -> Result<Option<LatencyRule>, Wrong> {
    if field.is_empty() && unit.is_empty() {
        return Ok(None);
    }
    let unit = TimeUnit::ALL.into_iter().find(|(name, _)| *name == unit).map(|(_, unit)| unit);
    let unit = unit.ok_or_else(|| {
        ("latency_unit is none of s, ms, us, ns".to_owned(), "write the unit of latency_field".to_owned())
    })?;
    let field = match field {
        "last" => LatencyField::Last,
        "" => {
            let cure = "write \"last\", the number of the word behind the status, or a key";
            return Err(("latency_field is missing".into(), cure.into()));
        }
        field => match field.parse() {
            Ok(0) => {
                return Err(("latency_field is 0".into(), "the first word behind the status is 1".into()));
            }
            Ok(number) => LatencyField::Word(number),
            Err(_) => LatencyField::Key(field.into()),
        },
    };
    Ok(Some(LatencyRule { field, unit }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_with as load;

    #[test]
    fn no_log_is_measured_by_default() {
        let config = load(&[]).unwrap();
        assert_eq!((config.settings.web_logs, config.tails.files), (Vec::new(), Vec::new()));
    }

    #[test]
    fn every_key_has_its_place() {
        let logs = r#"[{ name = "shop", files = ["/a/*.log", "/b"] },
            { name = "api", files = ["/c"], format = "json", latency_field = "took", latency_unit = "us" }]"#;
        let config = load(&[("web.logs", logs), ("logins.files", "/a/x.log")]).unwrap();
        assert_eq!(config.settings.web_logs, ["shop".into(), "api".into()]);
        let shop = Arc::new(WebLog { name: "shop".into(), format: None, latency: None });
        let latency = LatencyRule { field: LatencyField::Key("took".into()), unit: TimeUnit::Microseconds };
        let api = Arc::new(WebLog { name: "api".into(), format: Some(Format::Json), latency: Some(latency) });
        let file = |pattern: &str, grammar| FileRule { pattern: pattern.into(), grammar };
        let expected = [
            file("/a/*.log", Grammar::Access(shop.clone())),
            file("/b", Grammar::Access(shop)),
            file("/c", Grammar::Access(api)),
            file("/a/x.log", Grammar::Auto),
        ];
        assert_eq!(config.tails.files, expected);
    }

    #[test]
    fn what_is_wrong_is_one_mistake_with_its_cure() {
        let with = |more: &str| format!("[{{ name = 'a', files = ['/a'] {more} }}]");
        for (logs, told) in [
            ("[{ files = ['/a'] }]".to_owned(), "name is missing"),
            ("[{ name = 'a' }]".to_owned(), "log \"a\": files is missing"),
            ("[{ name = 'a', files = ['a'] }]".to_owned(), "\"a\" is no absolute path"),
            ("[{ name = 'a b', files = ['/a'] }]".to_owned(), "\"a b\" cannot be a log's name"),
            (with(", format = 'nginx'"), "there is no format \"nginx\"; write auto"),
            (with(", latency_unit = 'ms'"), "latency_field is missing"),
            (with(", latency_field = 'last'"), "latency_unit is none of"),
            (with(", latency_field = '0', latency_unit = 's'"), "latency_field is 0"),
            (with(", file = '/b'"), "there is no \"file\" in it"),
            (
                "[{ name = 'a', files = ['/a'] }, { name = 'a', files = ['/b'] }]".to_owned(),
                "two logs are called \"a\"",
            ),
        ] {
            let mistakes = load(&[("web.logs", &logs)]).unwrap_err();
            assert!(mistakes.contains("has 1 mistake:") && mistakes.contains(told), "{logs}: {mistakes}");
        }
    }
}
