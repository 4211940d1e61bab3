//! Where records go. Receives [`crate::model::record::Record`]s, by the state file or directly; hands on
//! nothing.

pub mod cloudwatch_logs;
pub mod cloudwatch_metrics;
pub mod deliver;
pub mod spool;
pub mod stdout;
pub mod table;
pub mod terminal;
