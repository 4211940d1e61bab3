//! `vpcwatch replay`: the detectors over recorded input, without clock and network.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::print;
use super::run::Format;
use crate::detectors;
use crate::model::event::Event;
use crate::model::finding::State;
use crate::model::settings::DetectorSettings;
use crate::replay::Recording;
use crate::sinks::{table, terminal};

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// A recording made by `run --record`
    #[arg(long, value_name = "FILE")]
    recording: PathBuf,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (header, recording) = Recording::open(&self.recording)?;
        let mut detectors = detectors::all(&DetectorSettings::default(), header.seed);
        let (mut snapshots, mut opened) = (0u64, 0u64);
        for snapshot in recording {
            let event = Event::Snapshot(Arc::new(snapshot?));
            snapshots += 1;
            for finding in detectors.iter_mut().flat_map(|detector| detector.observe(&event)) {
                opened += u64::from(finding.state == State::Open);
                print(&match self.output {
                    Format::Table => anstream::adapter::strip_str(&table::finding(&finding)).to_string(),
                    Format::Json => terminal::json(&serde_json::to_string(&finding)?) + "\n",
                })?;
            }
        }
        if matches!(self.output, Format::Table) {
            print(&format!("{snapshots} snapshots, {opened} findings\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
