//! The harness: fixtures and goldens, the pipeline run over a recording, network namespaces, guests with a systemd of
//! their own, and stand-ins for AWS.

pub mod benign_days;
pub mod chance;
pub mod defer_accept;
pub mod fake_aws;
pub mod fake_imds;
pub mod fleet_boot;
pub mod frames;
pub mod golden;
pub mod guest;
pub mod http;
pub mod kernel;
pub mod login_scenes;
pub mod namespace;
pub mod packets;
pub mod recording;
pub mod simulated_host;
pub mod template;

use std::path::PathBuf;

/// The folder `tests/` of this checkout.
pub fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file or tree below `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    tests().join("fixtures").join(name)
}
