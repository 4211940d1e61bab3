//! `vpcwatch run`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Common, cost};
use crate::app::{Agent, DryRun, End};
use crate::sinks::stdout::Output;

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Print what would be sent instead of sending it: no AWS, no disk, no root needed
    #[arg(long = "dry-run")]
    dry: bool,
    /// Publish this often, "5s"; stands for --set publish.interval=5s
    #[arg(long, value_name = "DURATION")]
    interval: Option<String>,
    /// Stop by itself after this time, "30s"
    #[arg(long = "for", value_name = "DURATION", value_parser = some_time)]
    stop_after: Option<Duration>,
    /// How a dry run prints: a table each interval, or one JSON object a line, each a metric datum or log event as
    /// CloudWatch gets it
    #[arg(long, value_enum, default_value_t = Format::Table, requires = "dry")]
    output: Format,
    /// Record every snapshot to this file, for replay
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// Aligned text for people
    Table,
    /// JSON
    Json,
}

fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("longer than nothing, please".into()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

impl Run {
    pub(super) fn run(mut self) -> anyhow::Result<ExitCode> {
        if let Some(interval) = self.interval {
            self.common.set.push(("publish.interval".into(), interval));
        }
        let config = self.common.load()?;
        let paths = self.common.paths()?;
        if !self.dry {
            cost::within_limit(&config)?;
            let (layers, stop_after, record) = (self.common.layers(), self.stop_after, self.record);
            return Ok(code(Agent { config, layers, paths, stop_after, record }.run()?));
        }
        let output = match self.output {
            Format::Table => Output::Table,
            Format::Json => Output::Json,
        };
        let price = cost::about(&config);
        let run = DryRun { config, paths, price, output, stop_after: self.stop_after, record: self.record };
        Ok(code(run.run()?))
    }
}

fn code(end: End) -> ExitCode {
    match end {
        End::Stopped => ExitCode::SUCCESS,
        End::Interrupted => ExitCode::from(130),
    }
}
