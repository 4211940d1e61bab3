//! `vpcwatch cost`, and the limit of `cost.monthly_limit`.

use std::process::ExitCode;

use clap::Args;

use super::run::Format;
use super::{Common, print};
use crate::config::Config;
use crate::cost::{Estimate, Usage, estimate};
use crate::model::alarms::Scope;

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

/// Alarms are counted whoever makes them: an operator by hand, or `run`. What "auto" comes to is not asked: an instance of its own
/// has one alarm more than one of a fleet.
fn of(config: &Config, interfaces: u32) -> Estimate {
    let scope = config.wishes.scope.unwrap_or(Scope::Instance);
    let anomaly_bands = config.wishes.anomaly_bands;
    let shipped_bytes_a_day = config.shipped.iter().map(|log| log.daily_limit).sum();
    let usage = Usage { interfaces, ena: true, scope, anomaly_bands, shipped_bytes_a_day, dashboards: 0 };
    estimate(&config.settings, &usage)
}

/// The configuration costs more than it allows itself.
#[derive(Debug, thiserror::Error)]
#[error(
    "this configuration costs an estimated ${total:.2} a month, above cost.monthly_limit = {limit}; write a smaller \
     metrics.set, more of metrics.exclude, a longer publish.interval, a smaller daily_limit of logs.ship or another provision.scope, or raise the limit (`vpcwatch cost` shows the parts)"
)]
pub(super) struct AboveLimit {
    total: f64,
    limit: f64,
}

/// Refuses a configuration that costs more than its limit.
pub(super) fn within_limit(config: &Config) -> Result<(), AboveLimit> {
    let total = of(config, INTERFACES).total;
    match config.monthly_limit {
        Some(limit) if total > limit => Err(AboveLimit { total, limit }),
        _ => Ok(()),
    }
}

/// What `run --dry-run` says of it.
pub(super) fn about(config: &Config) -> String {
    let total = of(config, INTERFACES).total;
    format!("An estimated US$ {total:.2} a month in CloudWatch with its alarms (`vpcwatch cost`)")
}
