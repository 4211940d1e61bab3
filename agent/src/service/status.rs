//! What a running agent says of itself, in a file that `vpcwatch status` reads: written anew every few seconds, so that
//! its age tells whether the agent lives.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use super::board::{Board, LastError};
use crate::host::clock::wall;
use crate::host::paths::open_regular;
use crate::model::identity::Instance;
use crate::model::meters::Meters;

/// A status older than this is of an agent that hangs, or is gone.
const STALE: SignedDuration = SignedDuration::from_secs(30);

/// A running agent's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of this form.
    pub version: u32,
    /// The agent's version.
    pub agent: String,
    /// Whether nothing was wrong when it was written.
    #[serde(default)]
    pub healthy: bool,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// When this was written.
    pub updated: Timestamp,
    /// Instance id, or host name; absent while it is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// Dimensions of its metrics.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub dimensions: BTreeMap<String, String>,
    /// The instance, on EC2.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing, default)]
    pub instance: Option<Instance>,
    /// Region that is sent to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub region: Option<String>,
    /// Counts since the start, and what waits.
    pub delivery: Meters,
    /// What is wrong now, by where.
    pub troubles: BTreeMap<String, String>,
    /// Sources that do not give all that they should, and what is missing.
    pub sources: BTreeMap<String, String>,
    /// What went wrong last, also if it is well again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<LastError>,
}

impl Status {
    /// What the board tells now.
    pub fn of(board: &Board) -> Self {
        let (identity, instance, region) = board.known();
        let dimensions = identity.iter().flat_map(|identity| &identity.dimensions);
        Status {
            version: 1,
            agent: env!("CARGO_PKG_VERSION").into(),
            healthy: board.troubles().is_empty(),
            pid: std::process::id(),
            started: Timestamp::UNIX_EPOCH,
            updated: wall(),
            dimensions: dimensions.map(|d| (d.name.clone(), d.value.clone())).collect(),
            host: identity.map(|identity| identity.name),
            instance,
            region,
            delivery: board.meters(),
            troubles: board.troubles(),
            sources: board.bad_sources(),
            last_error: board.last_error(),
        }
    }

    /// Reads what a running agent wrote.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = io::Read::take(open_regular(path)?, 1 << 20);
        let status = serde_json::from_reader(io::BufReader::new(file));
        status.map_err(|error| io::Error::other(format!("this is no status of vpcwatch: {error}")))
    }

    /// Whether its agent is gone, or hangs: its process is no more, or wrote this long ago.
    pub fn is_stale(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let is_gone = pid.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH));
        is_gone || wall().duration_since(self.updated).abs() > STALE
    }

    /// In one line, for `systemctl status`: the first trouble, or where data goes to.
    pub fn line(&self) -> String {
        let host = self.host.as_deref().unwrap_or("this host");
        match (self.troubles.iter().next(), &self.region) {
            (Some((place, what)), _) => {
                let more = match self.troubles.len() {
                    1 => String::new(),
                    all => format!(" (and {} more: vpcwatch status)", all - 1),
                };
                format!("not well, {place}: {what}{more}")
            }
            (None, Some(region)) => format!("watching {host}, sending to {region}"),
            (None, None) => format!("watching {host}, sending nowhere yet"),
        }
    }

    /// Whether there is nothing to tell.
    pub fn is_healthy(&self) -> bool {
        self.troubles.is_empty() && !self.is_stale()
    }
}

/// Where the status is written.
#[derive(Debug)]
pub struct StatusFile {
    path: Option<PathBuf>,
    started: Timestamp,
    told: bool,
    written: bool,
}

/// Taken away, for the agent ends, in whatever way.
impl Drop for StatusFile {
    fn drop(&mut self) {
        if let Some(path) = self.path.as_ref().filter(|_| self.written) {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl StatusFile {
    /// Writes there, if anywhere.
    pub fn new(path: Option<PathBuf>, started: Timestamp) -> Self {
        StatusFile { path, started, told: false, written: false }
    }

    /// Writes it whole, or not at all: beside it first, then in its place. A failure is told once; the agent does its
    /// work without a status.
    pub fn write(&mut self, status: &Status) {
        let Some(path) = &self.path else { return };
        // While it is not known whose the state file is, another agent may be at work: its status stays.
        let is_of_another = |there: Status| there.pid != status.pid && !there.is_stale();
        if !self.written && Status::read(path).is_ok_and(is_of_another) {
            return;
        }
        self.written = true;
        let status = Status { started: self.started, ..status.clone() };
        match write(path, &status) {
            Ok(()) => self.told = false,
            Err(error) if !self.told => {
                self.told = true;
                let cure = "name another in status.file, or make its folder writable";
                tracing::warn!("{}: the status cannot be written: {error}; {cure}", path.display());
            }
            Err(_) => {}
        }
    }
}

fn write(path: &Path, status: &Status) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    // What stands there is of a process that had our number, or was put there for us to follow.
    let _ = std::fs::remove_file(&beside);
    let text = serde_json::to_string_pretty(status)?;
    let mut file = std::fs::File::options().write(true).create_new(true).open(&beside)?;
    // Whoever asks may know how the agent is, whatever its umask.
    let written = file
        .set_permissions(Permissions::from_mode(0o644))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| std::fs::rename(&beside, path));
    written.inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_tells_the_first_trouble_or_where_data_goes() {
        let board = Board::default();
        assert_eq!(Status::of(&board).line(), "watching this host, sending nowhere yet");
        board.region(Some("eu-west-3"));
        assert_eq!(Status::of(&board).line(), "watching this host, sending to eu-west-3");
        board.trouble("publishing", "nothing goes");
        assert_eq!(Status::of(&board).line(), "not well, publishing: nothing goes");
        board.trouble("identity", "no answer");
        assert_eq!(Status::of(&board).line(), "not well, identity: no answer (and 1 more: vpcwatch status)");
    }
}
