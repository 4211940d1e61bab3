//! `vpcwatch sample`.

use std::process::ExitCode;

use clap::Args;

use super::{Common, print};
use crate::app;
use crate::sinks::terminal;

#[derive(Debug, Args)]
pub(super) struct Sample {
    #[command(flatten)]
    common: Common,
}

impl Sample {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.common.load()?;
        let snapshot = app::sample(&config, &self.common.paths()?);
        print(&(terminal::json(&serde_json::to_string_pretty(&snapshot)?) + "\n"))
    }
}
