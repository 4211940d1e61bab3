//! `vpcwatch provision`.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Common, FAILED, print};
use crate::app::{Deed, Outcome, Provision};
use crate::cost::prices;
use crate::provision::Change;
use crate::sinks::terminal::printable;

#[derive(Debug, Subcommand)]
pub(super) enum ProvisionCommand {
    /// Show which alarms and dashboard would be created, changed field by field, or deleted; changes nothing
    Plan(Common),
    /// Create and change what the plan says; touches only what carries our tag
    Apply(Forced),
    /// Delete this host's alarms, and the dashboard after the last host's. Log groups stay: findings are evidence
    Destroy(Forced),
    /// Ring one alarm, to prove the way to whoever it notifies
    Test(Ring),
}

#[derive(Debug, Args)]
pub(super) struct Forced {
    /// Also over what a person changed after us
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Ring {
    /// The alarm: syn-flood, or its full name
    alarm: String,
    #[command(flatten)]
    common: Common,
}

impl ProvisionCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (common, deed) = match self {
            ProvisionCommand::Plan(common) => (common, Deed::Plan),
            ProvisionCommand::Apply(Forced { force, common }) => (common, Deed::Apply { force }),
            ProvisionCommand::Destroy(Forced { force, common }) => (common, Deed::Destroy { force }),
            ProvisionCommand::Test(Ring { alarm, common }) => (common, Deed::Ring(alarm)),
        };
        let (config, paths) = (common.load()?, common.paths()?);
        let notifies_nobody = config.wishes.actions.is_empty();
        let outcome = Provision { config, paths }.run(&deed)?;
        let mut text = if deed == Deed::Plan { planned(&outcome)? } else { done(&outcome)? };
        if notifies_nobody && !matches!(deed, Deed::Destroy { .. }) {
            writeln!(
                text,
                "These alarms notify nobody: write the ARN of an SNS topic into provision.actions, and apply again."
            )?;
        }
        print(&text)?;
        Ok(if outcome.report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

/// The plan, as a person reads it.
fn planned(outcome: &Outcome) -> anyhow::Result<String> {
    let mut text = format!("For {} in {}:\n", printable(&outcome.desired.owner), printable(&outcome.region));
    let alarms = outcome.plan.alarms.iter().map(|(name, change)| ("alarm", name, change));
    let dashboard = outcome.plan.dashboard.iter().map(|(name, change)| ("dashboard", name, change));
    for (what, name, change) in alarms.chain(dashboard) {
        let (sign, fields, note): (_, &[_], _) = match change {
            Change::Create => ("+", &[], ""),
            Change::Update(fields) => ("~", fields, ""),
            Change::Delete => ("-", &[], ""),
            Change::Edited(fields) => ("!", fields, "  changed by a person, left alone without --force"),
            Change::Foreign => ("!", &[], "  not made by vpcwatch, left alone"),
            Change::Same => ("=", &[], ""),
        };
        writeln!(text, "  {sign} {what} {}{note}", printable(name))?;
        for field in fields {
            let (from, to) = (printable(&field.from), printable(&field.to));
            writeln!(text, "      {}: {from:?} -> {to:?}", printable(&field.field))?;
        }
    }
    for (group, days) in &outcome.desired.groups {
        let kept = days.map_or_else(|| "for ever".into(), |days| format!("{days} days"));
        writeln!(text, "    log group {group}, kept {kept}, where it is not there yet")?;
    }
    let alarms = outcome.desired.alarms.len();
    writeln!(
        text,
        "+ create  ~ change  - delete  ! left alone  = as it should be\n\
         {alarms} alarms of one metric each: US$ {:.2} a month. The dashboard is US$ 3 a month for the account, or free among its first three.",
        f64::from(u32::try_from(alarms).unwrap_or(u32::MAX)) * prices::ALARM_METRIC
    )?;
    Ok(text)
}

/// What was done, as a person reads it.
fn done(outcome: &Outcome) -> anyhow::Result<String> {
    let report = &outcome.report;
    let mut text = String::new();
    for line in &report.done {
        writeln!(text, "{}", printable(line))?;
    }
    for line in &report.left {
        writeln!(text, "left alone: {}", printable(line))?;
    }
    for line in &report.failed {
        writeln!(text, "failed: {}", printable(line))?;
    }
    let (done, left, failed) = (report.done.len(), report.left.len(), report.failed.len());
    if done + left + failed == 0 {
        writeln!(text, "nothing to do: everything is as it should be")?;
    } else {
        writeln!(text, "{done} done, {left} left alone, {failed} failed")?;
    }
    Ok(text)
}
