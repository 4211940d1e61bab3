//! What enters the pipeline: a closed set through one gate, so that order is visible and replay is exact.

use std::sync::Arc;

use super::identity::Identity;
use super::log_line::LogLines;
use super::login::Login;
use super::settings::Settings;
use super::snapshot::Snapshot;

/// What a detector has learned of what is usual here, by the detector's name.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// The detector's name.
    pub detector: String,
    /// Its own JSON; what it does not understand it passes over.
    pub values: serde_json::Value,
}

/// Something that happened on this host.
#[derive(Debug, Clone)]
pub enum Event {
    /// One tick of the sampler; shared with whoever records it.
    Snapshot(Arc<Snapshot>),
    /// Lines of a log were read.
    Lines(Arc<LogLines>),
    /// One of them tells of an attempt to log in. The pipeline makes it of a line, before it hands on the line's
    /// [`Event::Lines`]; a replayed log enters this way.
    Login(Box<Login>),
    /// Something is wrong with a log, or well again.
    LogTrouble {
        /// The log.
        log: String,
        /// What is wrong; nothing any more where there is none.
        what: Option<String>,
    },
    /// Who this host is became known. Records that waited for it are handed on.
    Identity(Identity),
    /// The configuration was read again.
    Settings(Box<Settings>),
    /// What detectors had learned when this host's agent last ran.
    Learned(Learned),
}
