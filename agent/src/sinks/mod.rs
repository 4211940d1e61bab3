//! Where records go. Receives [`crate::model::record::Record`]s; hands on nothing.

pub mod stdout;
pub mod table;
pub mod terminal;
