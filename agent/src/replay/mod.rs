//! Recorded input: hands on [`Snapshot`](crate::model::snapshot::Snapshot)s as a running agent would have taken them.
//!
//! - [`Recording`]: what `run --record FILE` wrote, and [`Recorder`], which writes it.
//! - [`Capture`]: a packet capture, pcap or pcapng. Handshakes are rebuilt from its packets and stand in for the kernel's
//!   counters, which are absent. A packet passes the files of this folder in this order:
//!
//! ```text
//! capture_file    bytes -> packet: time, interface, link type, frame
//! segments        frame -> TCP segment (pure)
//! local_side      the first segments -> which addresses are this host's (pure)
//! handshakes      segments -> what became of each handshake, in bounded tables (pure)
//! syn_samples     SYNs by interface, counted and sampled (pure)
//! seconds         times of packets -> seconds that never run backwards (pure)
//! capture         all of them -> a snapshot each second
//! ```
//!
//! - [`Log`]: a log file, whose lines carry their own times.
//!
//! No network, and no clock but for the year of times that lack one: the same file gives the same snapshots.

mod capture;
mod capture_file;
mod handshakes;
mod local_side;
mod log;
mod recording;
mod seconds;
mod segments;
mod syn_samples;

pub use capture::Capture;
pub use capture_file::{CaptureError, CaptureFile, Cause, LinkNumber, Packet};
pub use local_side::Local;
pub use log::{Log, LogError};
pub use recording::{FORMAT, Header, ReadError, RecordError, Recorder, Recording, VERSION};
pub use segments::{Link, Segment, Way};
