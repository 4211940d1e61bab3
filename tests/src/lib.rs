//! The harness: fixtures and goldens, the pipeline run over a recording, network namespaces, guests with a systemd of
//! their own, stand-ins for AWS, and CloudWatch's alarms evaluated.

pub mod alarm_evaluator;
pub mod benign_days;
pub mod chance;
pub mod defer_accept;
pub mod fake_aws;
pub mod fake_imds;
pub mod fleet_boot;
pub mod flooded_host;
pub mod frames;
pub mod golden;
pub mod guest;
pub mod http;
pub mod kernel;
pub mod login_scenes;
pub mod namespace;
pub mod packets;
pub mod published;
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
