//! Where a snapshot's parts are read. Each source is one file; [`all`] is the visible list of them.
//!
//! A source receives the snapshot of this tick and fills its own part. It fails alone: the others go on.

mod agent_delivery;
mod agent_usage;
mod conntrack;
mod ena;
mod interfaces;
mod kernel_counters;
mod listeners;
pub mod name_value;
mod proc_tcp;
pub mod sock_diag;
mod syn_capture;
mod tcp_table;
mod walk_budget;

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::host::paths::{Paths, open_regular};
use crate::model::snapshot::Snapshot;
use crate::service::board::Board;

pub use interfaces::InterfaceRules;

/// Reads one part of a snapshot each second.
pub trait Source {
    /// Its name in reports and messages.
    fn name(&self) -> &'static str;

    /// Fills its part of the snapshot.
    fn read(&mut self, into: &mut Snapshot) -> Result<(), SourceError>;
}

/// Why a source did not give all that it should. The text says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// This host does not have the thing; nothing is wrong.
    #[error("{0}")]
    Absent(String),
    /// The snapshot was filled by a second-best way, or in part.
    #[error("{0}")]
    Degraded(String),
    /// Nothing could be read.
    #[error("{0}")]
    Failed(String),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRules {
    /// Which interfaces are measured.
    pub interfaces: InterfaceRules,
    /// Whether SYNs are captured; on the live host only.
    pub capture: bool,
}

/// Every source, in the order in which they are read: a later one may build on what an earlier one filled. Where the
/// agent delivers, `board` knows how that goes.
pub fn all(paths: &Paths, rules: SourceRules, board: Option<Arc<Board>>) -> Vec<Box<dyn Source>> {
    let SourceRules { interfaces, capture } = rules;
    let mut sources: Vec<Box<dyn Source>> = vec![
        Box::new(kernel_counters::KernelCountersSource::new(paths)),
        Box::new(tcp_table::TcpTableSource::new(paths)), // needs the counters
        Box::new(listeners::ListenersSource::new(paths)), // needs the table
        Box::new(interfaces::InterfacesSource::new(paths, interfaces.clone())),
        Box::new(conntrack::ConntrackSource::new(paths)),
    ];
    if paths.is_live() {
        sources.push(Box::new(ena::EnaSource::new())); // needs the interfaces
        if capture {
            sources.push(Box::new(syn_capture::SynCaptureSource::new(interfaces)));
        }
        sources.push(Box::new(agent_usage::AgentUsageSource::new()));
    }
    sources.extend(
        board.map(|board| Box::new(agent_delivery::AgentDeliverySource::new(board)) as Box<dyn Source>),
    );
    sources
}

/// Runs every text parser of the sources over one input: the door for fuzzing.
pub fn parse_anything(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut counters = crate::model::counters::KernelCounters::default();
    for parse in kernel_counters::PARSERS {
        parse.1(&text, &mut counters);
    }
    interfaces::parse(&text);
    // Reading from memory cannot fail.
    let _ = proc_tcp::read_table(bytes, &mut |_| {});
}

/// Runs the parser of captured packets over one: the door for fuzzing.
pub fn parse_packet(bytes: &[u8]) {
    let _ = syn_capture::looked_at(bytes);
}

/// No kernel file that we read whole is larger: /proc/net/dev of 10,000 interfaces has 1.2 MB.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The text of a kernel file. Bytes that are not UTF-8 (an interface may be named so) become replacement characters.
fn read_text(path: &Path) -> Result<String, SourceError> {
    let read = || {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(open_regular(path)?, MAX_FILE), &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map_err(|error| cannot_read(path, &error))
}

fn cannot_read(path: &Path, error: &io::Error) -> SourceError {
    let cure = match error.kind() {
        io::ErrorKind::PermissionDenied => "; allow this user to read it",
        io::ErrorKind::NotFound => "; is /proc mounted, and this kernel built with the feature?",
        _ => "",
    };
    SourceError::Failed(format!("cannot read {}: {error}{cure}", path.display()))
}
