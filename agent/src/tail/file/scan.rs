//! Which files there are: patterns are gone through when folders change, and now and then.

use std::collections::{BTreeMap, HashSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use glob::{GlobResult, MatchOptions, Pattern, PatternError};

use super::log::Log;
use super::place::{Mark, Place};
use super::reading::{Id, Reading};
use super::rotation::{self, Between, Last};
use super::{FileRule, Files, MOST_LOGS, POLL, Read, SCAN, access};
use crate::host::paths::Paths;
use crate::model::log_line::Grammar;

/// As a shell does it.
// `require_literal_leading_dot` panics on a name that is not UTF-8 (glob 0.3.4): hidden files are left out below.
const MATCH: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};
/// A pattern may match nothing for so long before that is told: rotation takes a moment.
const MISSING: Duration = Duration::from_secs(10);
/// Rotated files of one log that are open at most while more wait to be opened.
const MOST_ROTATED: usize = 32;
/// Folders watched at most.
const MOST_FOLDERS: usize = 1000;

/// A rule, and what is known of it.
#[derive(Debug)]
pub(super) struct Rule {
    named: String,
    /// Below the root.
    below: String,
    pattern: Option<Pattern>,
    pub(super) grammar: Grammar,
    /// Whether it was read before: files that appear are new.
    is_known: bool,
    /// Whether that is stored.
    pub(super) is_stored: bool,
    missing: Option<Instant>,
}

impl Rule {
    pub(super) fn new(rule: FileRule, paths: &Paths) -> Self {
        Rule {
            below: paths.pattern(&rule.pattern),
            pattern: Pattern::new(&rule.pattern).ok(),
            named: rule.pattern,
            grammar: rule.grammar,
            is_known: false,
            is_stored: false,
            missing: None,
        }
    }

    /// Under which it is stored that it was read.
    pub(super) fn key(&self) -> String {
        format!("pattern {}", self.named)
    }

    pub(super) fn has_wildcards(&self) -> bool {
        self.named.contains(['*', '?', '['])
    }

    fn takes(&self, log: &str) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| pattern.matches_with(log, MATCH))
    }
}

/// A file that a rule names.
struct Named {
    path: PathBuf,
    rule: usize,
    id: Id,
    modified: i64,
}

impl Files {
    /// Takes up what was stored, once.
    pub(super) fn restore(&mut self, now: Instant) {
        let stored: BTreeMap<String, Vec<u8>> = std::mem::take(&mut self.stored).into_iter().collect();
        let mut found: Vec<(String, Vec<Mark>)> = Vec::new();
        for (key, bytes) in stored {
            if key.starts_with("pattern ") {
                match self.rules.iter_mut().find(|rule| rule.key() == key) {
                    Some(rule) => (rule.is_known, rule.is_stored) = (true, true),
                    None => _ = self.keys.insert(key),
                }
            } else if key.starts_with('/') {
                self.keys.insert(key.clone());
                let Some(rule) = self.rules.iter().position(|rule| rule.takes(&key)) else { continue };
                let path = self.paths.named(&key);
                let mut log = Log::new(&key, path, rule);
                let place = Place::from_bytes(&bytes).unwrap_or_else(|| {
                    let what =
                        format!("{key}: what was stored of it is not understood: it is read from its end");
                    self.told.push(Read::Gap { log: key.clone(), what });
                    Place::of(Vec::new(), true)
                });
                log.is_from_end = place.is_from_end;
                self.logs.insert(key.clone(), log);
                found.push((key, place.files));
            }
        }
        let missing: Vec<_> =
            found.into_iter().map(|(key, marks)| self.restore_at_path(key, marks, now)).collect();
        for (key, marks) in missing {
            self.restore_rotated(&key, marks, now);
        }
    }

    /// Opens the file at a log's path, if it is one of those. Gives those it is not.
    fn restore_at_path(&mut self, key: String, mut marks: Vec<Mark>, now: Instant) -> (String, Vec<Mark>) {
        let Some(log) = self.logs.get_mut(&key) else { return (key, marks) };
        for at in (0..marks.len()).rev() {
            let Ok(file) = regular(&log.path).and_then(|_| Reading::open(&log.path, now)) else { break };
            let Some(mark) = marks.get(at) else { break };
            if let Ok(file) = file.resume(mark) {
                log.at_path = Some(file.id);
                log.add(file, None);
                marks.remove(at);
                break;
            }
        }
        (key, marks)
    }

    /// Opens rotated files, before any path is looked at: what lies there may be one of them. If the last is not found, what came
    /// after it is sought when it is known what is at the log's path.
    fn restore_rotated(&mut self, key: &str, mut marks: Vec<Mark>, now: Instant) {
        let elsewhere = self.elsewhere(true);
        let Some(log) = self.logs.get_mut(key) else { return };
        let has_present = log.present().is_some();
        if !has_present {
            log.lost = marks.pop_if(|mark| mark.is_finished);
        }
        let count = marks.len();
        let mut gaps = Vec::new();
        for (at, mark) in marks.into_iter().enumerate() {
            log.is_moved = true;
            let is_last = at + 1 == count && !has_present && log.lost.is_none();
            match rotation::find(&log.real, &mark, &elsewhere, now) {
                Ok(Between { rest: Some(mut file), .. }) => {
                    file.rotated = Some(now);
                    if is_last && file.id.inode != mark.inode {
                        log.truncated = Some(mark.inode);
                    }
                    let before =
                        if has_present { log.files.len().saturating_sub(1) } else { log.files.len() };
                    log.files.insert(before, file);
                }
                _ if is_last => log.lost = Some(mark),
                Ok(found) => gaps.extend(found.gap),
                Err(error) => gaps.push(format!("a rotated file cannot be sought: {error}")),
            }
        }
        for gap in gaps {
            self.told.push(Read::Gap { log: key.into(), what: format!("{key}: {gap}") });
        }
    }

    /// Goes through the patterns.
    pub(super) fn scan(&mut self, now: Instant) {
        self.is_scan_due = false;
        let (mut named, folders) = self.named(now);
        let left_out = self.leave_out(&mut named);
        self.expect_named(&named);
        let gone: Vec<String> = self.logs.keys().filter(|key| !named.contains_key(*key)).cloned().collect();
        for key in gone {
            if let Some(log) = self.logs.get_mut(&key) {
                log.at_path = None;
                log.rotate(now);
            }
            self.find_lost(&key, now);
            // Trouble under the name of a rule is that rule's.
            if !self.rules.iter().any(|rule| rule.named == key) {
                self.well(&key);
            }
        }
        for (key, file) in &named {
            self.logs.entry(key.clone()).or_insert_with(|| Log::new(key, file.path.clone(), file.rule));
        }
        for (key, file) in &named {
            self.follow(key, file, now);
        }
        for rule in &mut self.rules {
            rule.is_known = true;
        }
        self.left_out = left_out;
        self.watch_all(&folders);
        self.next_scan = Some(now + if self.is_told_all { SCAN } else { POLL });
    }

    /// Keeps in mind what is beside a path that was named as such, and where nothing is yet: a log may be rotated before it is
    /// looked at for the first time.
    fn expect_named(&mut self, named: &BTreeMap<String, Named>) {
        for (at, rule) in self.rules.iter().enumerate().filter(|(_, rule)| !rule.has_wildcards()) {
            let path = self.paths.named(&rule.named);
            let key = self.paths.on_host(&path);
            let Some(key) = key.to_str().filter(|key| !named.contains_key(*key)) else { continue };
            if let (false, Ok(newest)) = (self.logs.contains_key(key), rotation::newest(&path)) {
                let mut log = Log::new(key, path, at);
                log.lost = Some(Mark::before_all(newest));
                log.is_moved = true;
                self.logs.insert(key.into(), log);
            }
        }
    }

    /// Files that the rules name, and the folders in which such files can appear.
    fn named(&mut self, now: Instant) -> (BTreeMap<String, Named>, HashSet<PathBuf>) {
        let mut named = BTreeMap::new();
        let mut folders = HashSet::new();
        let mut troubles = Vec::new();
        for (at, rule) in self.rules.iter_mut().enumerate() {
            let before = named.len();
            let mut trouble = None;
            let paths = match matching(&rule.below) {
                Ok(paths) => paths,
                Err(error) => {
                    troubles.push((rule.named.clone(), Some(format!("{}: {error}", rule.named))));
                    continue;
                }
            };
            folders.extend(rule_folders(&rule.below));
            let mut is_matched = false;
            for path in paths {
                let path = match path {
                    Ok(path) => path,
                    Err(error) => {
                        trouble = Some(access::trouble(error.path(), error.error(), &self.paths));
                        continue;
                    }
                };
                let key = self.paths.on_host(&path);
                let Some(key) = key.to_str().map(str::to_owned) else { continue };
                if rotation::is_compressed(&path) || named.contains_key(&key) {
                    is_matched |= named.contains_key(&key);
                    continue;
                }
                match regular(&path) {
                    Ok(metadata) => {
                        let modified = metadata.mtime();
                        named.insert(key, Named { path, rule: at, id: Id::of(&metadata), modified });
                    }
                    // Folders, pipes and devices beside logs are none of a pattern's business.
                    Err(error) if error.kind() == io::ErrorKind::Other && rule.has_wildcards() => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => trouble = Some(access::trouble(&path, &error, &self.paths)),
                }
            }
            let is_missing = named.len() == before && !is_matched;
            rule.missing = is_missing.then(|| rule.missing.unwrap_or(now));
            let is_long = rule.missing.is_some_and(|since| now.saturating_duration_since(since) >= MISSING);
            if is_missing && trouble.is_none() && !rule.has_wildcards() {
                trouble = closed_folder(&rule.below, &self.paths);
            }
            // Of the system's own logs a host has one as a rule; which are there was told at the start.
            let is_of_system = Paths::system_logs().contains(&rule.named.as_str());
            if is_long && trouble.is_none() && !is_of_system {
                trouble = Some(format!("{} is not there; it is read when it appears", rule.named));
            }
            // A file's own trouble stands under its name, which is that of a pattern without wildcards.
            if trouble.is_some() || rule.has_wildcards() || is_missing {
                troubles.push((rule.named.clone(), trouble));
            }
        }
        for (log, trouble) in troubles {
            match trouble {
                Some(what) => self.trouble(&log, what),
                None => self.well(&log),
            }
        }
        (named, folders)
    }

    /// Leaves out what is over the bound: first what was left out before or is new, and was modified longest ago.
    fn leave_out(&mut self, named: &mut BTreeMap<String, Named>) -> HashSet<String> {
        const BOUND: &str = "files";
        let mut left_out = HashSet::new();
        let over = named.len().saturating_sub(MOST_LOGS);
        if over == 0 {
            self.well(BOUND);
            return left_out;
        }
        let mut order: Vec<(bool, i64, String)> = named
            .iter()
            .map(|(key, file)| (self.logs.contains_key(key), file.modified, key.clone()))
            .collect();
        order.sort();
        let mut by_rule: BTreeMap<usize, usize> = BTreeMap::new();
        let first = order.first().map(|(_, _, key)| key.clone()).unwrap_or_default();
        for (_, _, key) in order.into_iter().take(over) {
            if let Some(file) = named.remove(&key) {
                *by_rule.entry(file.rule).or_default() += 1;
            }
            left_out.insert(key);
        }
        let rules = by_rule
            .iter()
            .filter_map(|(rule, count)| Some(format!("{count} of {}", self.rules.get(*rule)?.named)));
        let rules = rules.collect::<Vec<_>>().join(", ");
        let what = format!(
            "at most {MOST_LOGS} files are read: left out are those modified longest ago, {rules} ({first} and others); name fewer"
        );
        self.trouble(BOUND, what);
        left_out
    }

    /// Follows what is at a log's path.
    fn follow(&mut self, key: &str, named: &Named, now: Instant) {
        let Some(log) = self.logs.get_mut(key) else { return };
        log.rule = named.rule;
        log.at_path = Some(named.id);
        if let Some(file) = log.present().filter(|file| file.id == named.id) {
            let has_failed = file.has_failed;
            return if has_failed { file.has_more = true } else { self.well(key) };
        }
        if log.take_back(named.id, now) {
            return self.well(key);
        }
        log.rotate(now);
        // What was opened comes first: descriptors are bounded.
        if log.is_catching_up && log.files.len() > MOST_ROTATED {
            self.is_scan_due = true;
            return;
        }
        let elsewhere = self.elsewhere(false);
        if elsewhere.contains(&named.id) {
            return self.find_lost(key, now);
        }
        match Reading::open(&named.path, now) {
            Ok(file) => {
                if let Some(log) = self.logs.get_mut(key) {
                    log.at_path = Some(file.id);
                }
                self.well(key);
                // Renamed in this moment: the next look sees it where it is.
                if elsewhere.contains(&file.id) {
                    self.is_scan_due = true;
                } else {
                    self.begin(key, file, now);
                }
            }
            Err(error) => {
                let Some(log) = self.logs.get_mut(key) else { return };
                let rule_is_new = self.rules.get(named.rule).is_some_and(|rule| !rule.is_known);
                if rule_is_new && log.files.is_empty() && log.lost.is_none() && !log.is_from_end {
                    (log.is_from_end, log.is_moved) = (true, true);
                }
                let what = access::trouble(&named.path, &error, &self.paths);
                self.find_lost(key, now);
                self.trouble(key, what);
            }
        }
    }

    /// Begins with a file that has appeared at a log's path, after what came before it.
    fn begin(&mut self, key: &str, mut file: Reading, now: Instant) {
        let is_copy = self.is_copy(key, &file);
        let Some(log) = self.logs.get_mut(key) else { return };
        let is_first = log.files.is_empty() && log.lost.is_none();
        let rule_is_new = self.rules.get(log.rule).is_some_and(|rule| !rule.is_known);
        let is_from_end = std::mem::take(&mut log.is_from_end) || rule_is_new || self.left_out.contains(key);
        let skipped = if is_copy {
            file.leave_out()
        } else if is_first && is_from_end {
            file.go_to_end()
        } else {
            Ok(())
        };
        if let Err(error) = skipped {
            let what = format!("{key}: {error}");
            return self.trouble(key, what);
        }
        // The same file, which says something else: it was truncated meanwhile.
        let inode = Some(file.id.inode);
        if log.lost.as_ref().map(|mark| mark.inode) == inode || log.truncated.take() == inode {
            file.begin();
        }
        if is_first || self.catch_up(key, Some(file.id), now) {
            let Some(log) = self.logs.get_mut(key) else { return };
            log.real = log.path.canonicalize().unwrap_or_else(|_| log.path.clone());
            log.add(file, None);
            log.is_first |= is_copy;
        } else {
            self.is_scan_due = true;
        }
    }

    /// Whether a file is a copy that rotation made of a log before truncating it.
    fn is_copy(&self, key: &str, file: &Reading) -> bool {
        let Some(log) = self.logs.get(key) else { return false };
        let others = self.logs.values().filter(|other| rotation::is_rotated_form(&log.path, &other.path));
        others.flat_map(|other| &other.files).any(|other| file.begins_like(other))
    }

    /// Seeks the file in which reading stood and what came after it, though nothing that is read here is at the log's path.
    fn find_lost(&mut self, key: &str, now: Instant) {
        if self.logs.get(key).is_some_and(|log| log.lost.is_some() || !log.files.is_empty()) {
            self.catch_up(key, None, now);
        }
    }

    /// Opens what was written between the file that was read last and the present one. Gives whether that is all.
    fn catch_up(&mut self, key: &str, present: Option<Id>, now: Instant) -> bool {
        let elsewhere = self.elsewhere(true);
        let Some(log) = self.logs.get(key) else { return false };
        let open = log.files.last().map(Reading::mark);
        let last = match (&log.lost, &open) {
            (Some(mark), _) => Last::Lost(mark),
            (None, Some(mark)) => Last::Open(mark),
            (None, None) => return true,
        };
        let own = |path: &Path| self.is_log(path);
        let found = rotation::between(&log.real, &last, present, &elsewhere, &own, now);
        let Some(log) = self.logs.get_mut(key) else { return false };
        match found {
            Ok(found) => {
                let is_waiting = log.lost.as_ref().is_some_and(|mark| mark.is_finished) && present.is_none();
                if is_waiting && found.whole.is_empty() {
                    return true;
                }
                log.is_moved |= log.lost.take().is_some();
                for file in found.rest.into_iter().chain(found.whole) {
                    log.add(file, Some(now));
                }
                log.is_catching_up = found.has_more;
                if let Some(gap) = found.gap {
                    self.told.push(Read::Gap { log: key.into(), what: format!("{key}: {gap}") });
                }
                !found.has_more
            }
            Err(error) => {
                log.is_catching_up = true;
                if error.kind() != io::ErrorKind::Interrupted && error.kind() != io::ErrorKind::NotFound {
                    let what = access::trouble(&log.real.clone(), &error, &self.paths);
                    self.trouble(key, what);
                }
                self.is_scan_due = true;
                false
            }
        }
    }

    /// Has the kernel tell of these folders and of the open files.
    fn watch_all(&mut self, folders: &HashSet<PathBuf>) {
        let open = self.elsewhere(false);
        let Some(watch) = &mut self.watch else { return };
        let targets = self.logs.values().filter_map(|log| log.real.parent().map(Path::to_path_buf));
        let wanted: HashSet<PathBuf> = folders.iter().cloned().chain(targets).take(MOST_FOLDERS).collect();
        let mut is_told_all = watch.folders(&wanted) && !wanted.is_empty();
        watch.only(&open);
        for file in self.logs.values_mut().flat_map(|log| &mut log.files) {
            if !file.is_watched {
                file.is_watched = watch.file(file);
                // What was written before it was watched is told by nobody.
                file.is_due = true;
            }
            is_told_all &= file.is_watched;
        }
        self.is_told_all = is_told_all;
    }
}

/// The metadata of a regular file, without opening what may be anything.
fn regular(path: &Path) -> io::Result<Metadata> {
    let metadata = path.metadata()?;
    if metadata.is_file() { Ok(metadata) } else { Err(io::Error::other("not a regular file")) }
}

/// Paths that match; a wildcard matches no name that begins with a dot.
fn matching(pattern: &str) -> Result<impl Iterator<Item = GlobResult>, PatternError> {
    let parts: Vec<String> = pattern.rsplit('/').map(str::to_owned).collect();
    let is_hidden = move |path: &Path| {
        let names = path.iter().rev().zip(&parts);
        names.into_iter().any(|(name, part)| name.as_bytes().starts_with(b".") && !part.starts_with('.'))
    };
    let paths = glob::glob_with(pattern, MATCH)?;
    Ok(paths.filter(move |path| path.as_ref().map_or(true, |path| !is_hidden(path))))
}

/// Folders in which a name can appear that makes a pattern match.
fn rule_folders(below: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let parts: Vec<&str> = below.split('/').collect();
    let first = parts.iter().position(|part| part.contains(['*', '?', '['])).unwrap_or(parts.len() - 1);
    for at in first..parts.len() {
        let pattern = parts.get(..at).unwrap_or_default().join("/");
        let found = matching(if pattern.is_empty() { "/" } else { &pattern });
        folders.extend(found.into_iter().flatten().flatten().filter(|path| path.is_dir()).take(MOST_FOLDERS));
    }
    folders
}

/// What is wrong if a path without wildcards leads through a folder that may not be entered.
fn closed_folder(below: &str, paths: &Paths) -> Option<String> {
    let path = Path::new(below);
    let error = path.metadata().err().filter(|error| error.kind() == io::ErrorKind::PermissionDenied)?;
    Some(access::trouble(path, &error, paths))
}
