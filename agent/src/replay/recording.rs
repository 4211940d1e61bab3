//! Recordings: what `run --record FILE` writes, and `replay --recording FILE` reads.
//!
//! # Format, version 1
//!
//! UTF-8 text, one JSON object a line.
//! - The first line is the [`Header`]: `format` is `"vpcwatch-recording"`, `version` is 1, then the version of the
//!   agent that wrote it, the facts of its host, and the seed of its detectors' sketches (optional).
//! - Each further line is a [`Snapshot`], in the order in which they were taken.
//!   Times are RFC 3339 in UTC; counters are cumulative, as the kernel gave them; what was not read is absent.
//!
//! Version 1 may grow by fields that are optional; a reader passes over those that it does not know. Anything else
//! raises the version, and a reader refuses versions above its own. A recording may end in the middle of a line, if
//! its writer was killed or its disk was full; all lines before are good.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::facts::HostFacts;
use crate::model::snapshot::Snapshot;

/// `format` of every recording.
pub const FORMAT: &str = "vpcwatch-recording";
/// The version that we write.
pub const VERSION: u32 = 1;

/// First line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Version of the agent that wrote it.
    pub agent: String,
    /// The host it was written on.
    pub host: HostFacts,
    /// Seed of the detectors' sketches in that run; 0 in recordings made before there were any.
    #[serde(default)]
    pub seed: u64,
}

/// Why a recording cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be made or opened.
    #[error(
        "cannot write the recording {path}: {error}; choose another file, or a folder that this user may write to"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Something is there already.
    #[error("the recording {0} exists already and is not empty; choose another name, or remove it")]
    Exists(PathBuf),
    /// Writing failed later.
    #[error("the recording {path} ends at {snapshots} snapshots: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Whole snapshots in it.
        snapshots: u64,
        /// Why.
        error: io::Error,
    },
}

/// Why a recording cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("cannot read the recording {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The first line is not a recording's.
    #[error(
        "{0} is not a recording of vpcwatch: its first line should say {{\"format\":\"vpcwatch-recording\",...}}"
    )]
    Foreign(PathBuf),
    /// A later vpcwatch wrote it.
    #[error(
        "{path} is a recording of version {version}, this vpcwatch reads up to {VERSION}; use a newer one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// A line is not a snapshot; those before it were read.
    #[error("{path}, line {line}: {error}; what stands before it was read")]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: u64,
        /// Why.
        error: String,
    },
}

/// A snapshot's line is no longer: some thousands of listeners make a megabyte.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// Reads a recording, a snapshot at a time.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    reader: BufReader<File>,
    line: u64,
}

impl Recording {
    /// Opens a recording and reads its header.
    pub fn open(path: &Path) -> Result<(Header, Self), ReadError> {
        let path = path.to_owned();
        let file = File::open(&path).map_err(|error| ReadError::Io { path: path.clone(), error })?;
        let mut recording = Recording { path, reader: BufReader::new(file), line: 0 };
        let text = recording.next_line()?.unwrap_or_default();
        let header: Header =
            serde_json::from_slice(&text).map_err(|_| ReadError::Foreign(recording.path.clone()))?;
        if header.format != FORMAT {
            return Err(ReadError::Foreign(recording.path));
        }
        if header.version > VERSION {
            return Err(ReadError::Newer { path: recording.path, version: header.version });
        }
        Ok((header, recording))
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        self.line += 1;
        match read {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line)),
            Err(error) => Err(ReadError::Io { path: self.path.clone(), error }),
        }
    }
}

impl Iterator for Recording {
    type Item = Result<Snapshot, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.next_line().transpose()?;
        Some(line.and_then(|text| {
            serde_json::from_slice(&text).map_err(|error| ReadError::Line {
                path: self.path.clone(),
                line: self.line,
                error: if text.ends_with(b"\n") {
                    error.to_string()
                } else {
                    "the recording ends within it".into()
                },
            })
        }))
    }
}

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    file: BufWriter<File>,
    snapshots: u64,
}

impl Recorder {
    /// Begins a recording. A file that holds something is not overwritten; pipes and devices are written to. Only
    /// its owner may read the new file: it tells what this host talks to.
    pub fn create(path: &Path, host: HostFacts, seed: u64) -> Result<Self, RecordError> {
        let file = open(path)?;
        let mut recorder = Recorder { path: path.to_owned(), file: BufWriter::new(file), snapshots: 0 };
        let agent = env!("CARGO_PKG_VERSION").to_owned();
        recorder.line(&Header { format: FORMAT.into(), version: VERSION, agent, host, seed })?;
        Ok(recorder)
    }

    /// Appends one snapshot, and hands it to the operating system.
    pub fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), RecordError> {
        self.line(snapshot)?;
        self.snapshots += 1;
        Ok(())
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), RecordError> {
        let mut write = || -> io::Result<()> {
            serde_json::to_writer(&mut self.file, value)?;
            self.file.write_all(b"\n")?;
            self.file.flush()
        };
        write().map_err(|error| RecordError::Write {
            path: self.path.clone(),
            snapshots: self.snapshots,
            error,
        })
    }
}

fn open(path: &Path) -> Result<File, RecordError> {
    let refused = |error| RecordError::Open { path: path.to_owned(), error };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    // A pipe that nobody reads is refused at once, where opening it would wait for a reader.
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ENXIO) => refused(io::Error::other("nobody reads this pipe")),
        _ => refused(error),
    })?;
    let metadata = file.metadata().map_err(refused)?;
    if metadata.file_type().is_block_device() {
        return Err(refused(io::Error::other("a disk")));
    }
    if metadata.is_file() {
        // Held as long as the file is open.
        let lock = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
        lock.map_err(|_| refused(io::Error::other("another agent is recording there")))?;
        if file.metadata().map_err(refused)?.len() > 0 {
            return Err(RecordError::Exists(path.to_owned()));
        }
    }
    // Once open, writing waits for the reader.
    rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::empty()).map_err(|error| refused(error.into()))?;
    Ok(file)
}
