//! The configuration as written: the layers read with the `config` crate, one over the other, each value with where
//! it came from. Keys that do not exist are mistakes; values are looked at by [`super::check`].

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat, Source, Value, ValueKind};

use super::Mistake;

const DEFAULT: &str = include_str!("../../default.toml");
const PREFIX: &str = "VPCWATCH";

/// Where to read the layers.
#[derive(Debug, Clone)]
pub struct Layers {
    /// `/etc/vpcwatch`: `vpcwatch.toml` and `conf.d` are read here,
    pub folder: PathBuf,
    /// unless this one file is to be read alone.
    pub file: Option<PathBuf>,
    /// Keys and values of the command line.
    pub sets: Vec<(String, String)>,
    /// Stands in for this process's environment, in tests.
    pub environment: Option<HashMap<String, String>>,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `default.toml`, built in.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable, or the environment as a whole.
    Environment(Option<String>),
    /// `--set` or an option that stands for one.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Origin::Default => write!(f, "default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Environment(Some(name)) => write!(f, "environment variable {name}"),
            Origin::Environment(None) => write!(f, "environment"),
            Origin::CommandLine => write!(f, "command line"),
        }
    }
}

/// A value with where it came from.
#[derive(Debug, Clone)]
pub struct Setting {
    /// As the `config` crate read it.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

/// Every key that exists, with the value of the strongest layer that has it.
#[derive(Debug, Clone)]
pub struct Written(pub BTreeMap<String, Setting>);

impl Layers {
    /// Reads all layers; what cannot be read, and keys that do not exist, are mistakes.
    pub fn read(&self) -> (Written, Vec<Mistake>) {
        let mut reading = Reading { written: BTreeMap::new(), lists: Vec::new(), mistakes: Vec::new() };
        reading.default();
        match &self.file {
            Some(file) => reading.file(file),
            None => self.folder_files(&mut reading),
        }
        reading.environment(self.environment.as_ref());
        for (key, text) in &self.sets {
            reading.set(key, text, Origin::CommandLine);
        }
        (Written(reading.written), reading.mistakes)
    }

    fn folder_files(&self, reading: &mut Reading) {
        let main = self.folder.join("vpcwatch.toml");
        if main.symlink_metadata().is_ok() {
            reading.file(&main);
        }
        let folder = self.folder.join("conf.d");
        let mut files = Vec::new();
        match folder.read_dir() {
            Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => reading.mistakes.push(unreadable(&folder, &error.to_string())),
        }
        files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        files.iter().for_each(|path| reading.file(path));
    }
}

struct Reading {
    written: BTreeMap<String, Setting>,
    /// Keys whose default is a list.
    lists: Vec<String>,
    mistakes: Vec<Mistake>,
}

impl Reading {
    fn default(&mut self) {
        // Our own file, which a test reads: were it damaged, every key would be missing and `check` would say so.
        let layer = File::from_str(DEFAULT, FileFormat::Toml).collect().unwrap_or_default();
        for (key, value) in flat(layer) {
            if matches!(value.kind, ValueKind::Array(_)) {
                self.lists.push(key.clone());
            }
            self.written.insert(key, Setting { value, origin: Origin::Default });
        }
    }

    fn file(&mut self, path: &Path) {
        // Read first: the message of an unreadable file is clearer than the parser's, and a path without the
        // extension that the parser wants serves too.
        let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let collected = read.and_then(|text| {
            let parsed = File::from_str(&text, FileFormat::Toml).collect();
            parsed.map_err(|error| format!("not valid TOML: {}", error.to_string().trim().replace('\n', " ")))
        });
        match collected {
            Ok(layer) => flat(layer).into_iter().for_each(|(key, value)| {
                self.put(key, value, Origin::File(path.to_owned()));
            }),
            Err(error) => self.mistakes.push(unreadable(path, &error)),
        }
    }

    fn environment(&mut self, instead: Option<&HashMap<String, String>>) {
        let source = Environment::with_prefix(PREFIX).prefix_separator("__").separator("__");
        let source =
            source.source(instead.map(|map| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()));
        match source.collect() {
            Ok(layer) => {
                let mut layer: Vec<(String, Value)> = layer.into_iter().collect();
                layer.sort_by(|(a, _), (b, _)| a.cmp(b));
                for (key, value) in layer {
                    let name = format!("{PREFIX}__{}", key.replace('.', "__").to_uppercase());
                    self.set(&key, &value.into_string().unwrap_or_default(), Origin::Environment(Some(name)));
                }
            }
            Err(error) => self.mistakes.push(Mistake {
                origin: Origin::Environment(None),
                key: None,
                problem: error.to_string(),
                cure: "write values as UTF-8 text".into(),
            }),
        }
    }

    /// Puts a value written as plain text; lists are separated by commas.
    fn set(&mut self, key: &str, text: &str, origin: Origin) {
        let value: ValueKind = if self.lists.iter().any(|list| list == key) {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            ValueKind::Array(items.map(|item| Value::new(None, item)).collect())
        } else {
            ValueKind::String(text.to_owned())
        };
        self.put(key.to_owned(), Value::new(None, value), origin);
    }

    fn put(&mut self, key: String, value: Value, origin: Origin) {
        if let Some(setting) = self.written.get_mut(&key) {
            *setting = Setting { value, origin };
        } else if !self.is_empty_section(&key, &value) {
            let cure = self.cure_for_unknown(&key);
            self.mistakes.push(Mistake { origin, key: Some(key), problem: "no such option".into(), cure });
        }
    }

    fn is_empty_section(&self, key: &str, value: &Value) -> bool {
        let section = format!("{key}.");
        matches!(value.kind, ValueKind::Table(_))
            && self.written.keys().any(|known| known.starts_with(&section))
    }

    fn cure_for_unknown(&self, key: &str) -> String {
        let section = format!("{key}.");
        if let Some(inner) = self.written.keys().find(|known| known.starts_with(&section)) {
            return format!("it is a section: write {inner}");
        }
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let distance =
            |known: &str| if last(known) == last(key) { 0 } else { strsim::osa_distance(known, key) };
        let near = self.written.keys().map(|known| (distance(known), known));
        match near.min() {
            Some((distance, known)) if distance <= 2.max(key.len() / 4) => format!("did you mean {known}?"),
            _ => "`vpcwatch config show` lists every option".into(),
        }
    }
}

/// Dotted keys of a layer's tables. A table without keys stands for itself, so that a misspelt one is noticed.
fn flat(layer: config::Map<String, Value>) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    let mut tables = vec![(String::new(), layer)];
    while let Some((prefix, table)) = tables.pop() {
        for (key, value) in table {
            let key = format!("{prefix}{key}");
            match value.kind {
                ValueKind::Table(inner) if !inner.is_empty() => tables.push((format!("{key}."), inner)),
                _ => flat.push((key, value)),
            }
        }
    }
    flat.sort_by(|(a, _), (b, _)| a.cmp(b));
    flat
}

/// A value as TOML would write it.
pub fn toml(value: &Value) -> String {
    match &value.kind {
        ValueKind::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        // JSON's escapes of text are TOML's.
        ValueKind::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        _ => value.to_string(),
    }
}

fn unreadable(path: &Path, error: &str) -> Mistake {
    Mistake {
        origin: Origin::File(path.to_owned()),
        key: None,
        problem: error.to_owned(),
        cure: "correct or remove the file, or allow this user to read it".into(),
    }
}
