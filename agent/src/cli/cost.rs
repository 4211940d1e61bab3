//! `vpcwatch cost`, and the limit of `cost.monthly_limit`.

use std::process::ExitCode;

use clap::Args;

use super::run::Format;
use super::{Common, print};
use crate::config::Config;
use crate::cost::{Estimate, Usage, estimate};

/// Interfaces that `run` reckons with: those of a host may change while it runs, and most have one.
const INTERFACES: u32 = 1;

#[derive(Debug, Args)]
pub(super) struct Cost {
    /// Interfaces that are measured
    #[arg(long, value_name = "N", default_value_t = INTERFACES, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    interfaces: u32,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    common: Common,
}

impl Cost {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let estimate = of(&self.common.load()?, self.interfaces);
        match self.output {
            Format::Table => print(&estimate.to_string()),
            Format::Json => print(&(serde_json::to_string_pretty(&estimate)? + "\n")),
        }
    }
}

fn of(config: &Config, interfaces: u32) -> Estimate {
    let alarm_metrics = alarm_metrics(config);
    estimate(&config.settings, &Usage { interfaces, ena: true, alarm_metrics, dashboards: 0 })
}

/// Metrics that this host's alarms look at: a constant, not yet counted from the rules.
fn alarm_metrics(_config: &Config) -> u32 {
    12
}

/// Refuses a configuration that costs more than its limit.
pub(super) fn within_limit(config: &Config) -> anyhow::Result<()> {
    let Some(limit) = config.monthly_limit else { return Ok(()) };
    let total = of(config, INTERFACES).total;
    anyhow::ensure!(
        total <= limit,
        "this configuration costs an estimated ${total:.2} a month, above cost.monthly_limit = {limit}; \
         change metrics.set, metrics.exclude, publish.interval or provision.scope, or raise the limit \
         (`vpcwatch cost` shows the parts)"
    );
    Ok(())
}
