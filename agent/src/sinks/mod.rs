//! Where records go. Receives [`crate::model::record::Record`]s; hands on nothing.

pub mod stdout;
mod table;
pub mod terminal;
