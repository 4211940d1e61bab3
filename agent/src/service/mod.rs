//! What makes a program a service: signals and deadline, and what it says of itself while it runs.

pub mod board;
pub mod gaps;
pub mod signals;
pub mod status;
pub mod systemd;
