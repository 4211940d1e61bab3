//! The words that flow through the agent: plain values, no I/O, no clock, no async runtime.
//!
//! A [`snapshot::Snapshot`] is what one tick saw; an [`event::Event`] carries it into the pipeline; a
//! [`record::Record`] is what leaves. The [`catalog`] names every metric once.

pub mod alarms;
pub mod catalog;
pub mod counters;
pub mod distribution;
pub mod event;
pub mod finding;
pub mod identity;
pub mod interval;
pub mod log_line;
pub mod login;
pub mod meters;
pub mod record;
pub mod settings;
pub mod shipped;
pub mod snapshot;
pub mod spool;
pub mod syns;
pub mod web_log;
