//! What enters the pipeline: a closed set through one gate, so that order is visible and replay is exact.

use std::sync::Arc;

use super::identity::Identity;
use super::settings::Settings;
use super::snapshot::Snapshot;

/// Something that happened on this host.
#[derive(Debug, Clone)]
pub enum Event {
    /// One tick of the sampler; shared with whoever records it.
    Snapshot(Arc<Snapshot>),
    /// Who this host is became known. Records that waited for it are handed on.
    Identity(Identity),
    /// The configuration was read again.
    Settings(Box<Settings>),
}
