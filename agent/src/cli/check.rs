//! `vpcwatch check`.

use std::process::ExitCode;

use clap::Args;

use super::run::Format;
use super::{Common, UNHEALTHY, cost, print};
use crate::app;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Look at the host and the configuration alone, for an image that is built
    #[arg(long)]
    offline: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    common: Common,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (config, paths) = (self.common.load()?, self.common.paths()?);
        cost::within_limit(&config)?;
        let checked = app::Check { config, paths, offline: self.offline }.run()?;
        print(&match self.output {
            Format::Table => checked.to_string(),
            Format::Json => serde_json::to_string_pretty(&checked)? + "\n",
        })?;
        Ok(if checked.is_good() { ExitCode::SUCCESS } else { ExitCode::from(UNHEALTHY) })
    }
}
