//! The configuration as written: the layers read with the `config` crate, one over the other, each value with where
//! it came from. Keys that do not exist are mistakes; values are looked at by [`super::check`].

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{ErrorKind, Read};
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

/// Every key that exists, with its values from all layers, the strongest last; never none.
#[derive(Debug, Clone)]
pub struct Written(pub BTreeMap<String, Vec<Setting>>);

impl Written {
    /// Every key with the value that holds.
    pub fn effective(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.0.iter().filter_map(|(key, settings)| Some((key.as_str(), settings.last()?)))
    }
}

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
            Err(error) => reading.mistakes.push(unreadable(&folder, &error)),
        }
        // Only files: a pipe in the folder would be waited for.
        files.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && path.is_file());
        files.sort();
        files.iter().for_each(|path| reading.file(path));
    }
}

struct Reading {
    written: BTreeMap<String, Vec<Setting>>,
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
            self.written.insert(key, vec![Setting { value, origin: Origin::Default }]);
        }
    }

    fn file(&mut self, path: &Path) {
        // Read first: the message of an unreadable file is clearer than the parser's, and a path without the
        // extension that the parser wants serves too.
        let text = match read_bounded(path) {
            Ok(text) => text,
            Err(error) => return self.mistakes.push(unreadable(path, &error)),
        };
        match File::from_str(&text, FileFormat::Toml).collect() {
            Ok(layer) => flat(layer).into_iter().for_each(|(key, value)| {
                self.put(key, value, Origin::File(path.to_owned()));
            }),
            Err(error) => {
                // First line: where; last line: what. Between them is a drawing for a terminal.
                let error = error.to_string();
                let mut lines = error.lines().filter(|line| !line.trim().is_empty());
                let place = lines.next().unwrap_or_default().to_owned();
                let what = lines.next_back().map(|what| format!(": {what}")).unwrap_or_default();
                self.mistakes.push(Mistake {
                    origin: Origin::File(path.to_owned()),
                    key: None,
                    problem: format!("not valid TOML: {place}{what}"),
                    cure: "correct it there".into(),
                });
            }
        }
    }

    fn environment(&mut self, instead: Option<&HashMap<String, String>>) {
        match instead {
            Some(instead) => self.misspelt_variables(instead.keys().cloned()),
            None => {
                self.misspelt_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()));
            }
        }
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

    /// A variable with one underscore where two belong would be passed over in silence.
    fn misspelt_variables(&mut self, names: impl Iterator<Item = String>) {
        for name in names {
            let Some(rest) = name.strip_prefix(&format!("{PREFIX}_")).filter(|rest| !rest.starts_with('_'))
            else {
                continue;
            };
            let flat = |text: &str| text.to_lowercase().replace(['_', '.'], "");
            if let Some(key) = self.written.keys().find(|key| flat(key) == flat(rest)) {
                let right = format!("{PREFIX}__{}", key.replace('.', "__").to_uppercase());
                self.mistakes.push(Mistake {
                    origin: Origin::Environment(Some(name)),
                    key: None,
                    problem: "no such option".into(),
                    cure: format!("did you mean {right}?"),
                });
            }
        }
    }

    /// Puts a value written as TOML would be (`"a"`, `["a", "b"]`), or as plain text, in which commas part a list.
    fn set(&mut self, key: &str, text: &str, origin: Origin) {
        let toml =
            || File::from_str(&format!("value = {text}"), FileFormat::Toml).collect().ok()?.remove("value");
        let quoted = if text.starts_with(['[', '"']) { toml() } else { None };
        let is_list = self.lists.iter().any(|list| list == key);
        let value = match quoted {
            Some(value) => value.kind,
            None if is_list => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                ValueKind::Array(items.map(|item| Value::new(None, item)).collect())
            }
            None => ValueKind::String(text.to_owned()),
        };
        self.put(key.to_owned(), Value::new(None, value), origin);
    }

    fn put(&mut self, key: String, value: Value, origin: Origin) {
        if let Some(settings) = self.written.get_mut(&key) {
            settings.push(Setting { value, origin });
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
        if self.mistakes.len() > SUGGESTIONS {
            return "`vpcwatch config show` lists every option".into();
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
        ValueKind::Table(table) => {
            let mut pairs: Vec<String> =
                table.iter().map(|(key, value)| format!("{key} = {}", toml(value))).collect();
            pairs.sort();
            format!("{{ {} }}", pairs.join(", "))
        }
        // JSON's escapes of text are TOML's.
        ValueKind::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        _ => value.to_string(),
    }
}

/// Unknown keys that are compared with every option there is.
const SUGGESTIONS: usize = 50;
/// No configuration is larger.
const MAX_FILE: u64 = 1024 * 1024;

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Mistake {
    let cure = match error.kind() {
        ErrorKind::NotFound => "name a file that exists",
        ErrorKind::PermissionDenied => "allow this user to read it",
        ErrorKind::InvalidData => "write it as UTF-8 text",
        _ => "correct or remove it",
    };
    Mistake {
        origin: Origin::File(path.to_owned()),
        key: None,
        problem: error.to_string(),
        cure: cure.into(),
    }
}
