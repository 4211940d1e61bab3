//! The suite: vpcwatch as its user meets it.
//!
//! All but [`system`] run anywhere. `system` needs root and iproute2, makes its own network namespaces, and fails where
//! it cannot: leave it out with `-- --skip system::`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod agent;
mod command_line;
mod configuration;
mod delivery;
mod documents;
mod fakes;
mod floods;
mod invariants;
mod recordings;
mod roots;
mod system;
