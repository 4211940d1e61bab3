//! `vpcwatch provision`.

use std::fmt::Write;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Common, FAILED, print};
use crate::app::{Deed, Outcome, Provision};
use crate::cost::prices;
use crate::model::alarms::Scope;
use crate::provision::apply::Report;
use crate::provision::{Alarm, Change};
use crate::sinks::terminal::printable;

#[derive(Debug, Subcommand)]
pub(super) enum ProvisionCommand {
    /// Show whose and which alarms and dashboard would be created, changed field by field, or deleted; changes nothing
    Plan(Common),
    /// Create and change what the plan says; touches only what carries our tag
    Apply(Forced),
    /// Delete this host's alarms (its fleet's where the scope is that), and the dashboard after the last. Log groups stay: findings
    /// are evidence
    Destroy(Forced),
    /// Delete alarms that hosts left which send nothing any more: instances that ended without `destroy`. Asks first. Needs what
    /// `vpcwatch iam-policy --part operator` prints
    Gc(Gc),
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
pub(super) struct Gc {
    /// Of hosts that sent nothing for so many days, and whose alarms are older than that
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=60))]
    days: u16,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    forced: Forced,
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
            ProvisionCommand::Gc(gc) => return gc.run(),
        };
        let (config, paths) = (common.load()?, common.paths()?);
        let notifies_nobody = config.wishes.actions.is_empty();
        let outcome = Provision { config, paths }.run(&deed)?;
        let mut text = if deed == Deed::Plan { planned(&outcome)? } else { done(&outcome.report)? };
        let has_alarms = !outcome.desired.alarms.is_empty();
        if notifies_nobody && has_alarms && !matches!(deed, Deed::Destroy { .. }) {
            writeln!(
                text,
                "These alarms notify nobody: write the ARN of an SNS topic into provision.actions, and apply again."
            )?;
        }
        print(&text)?;
        Ok(if outcome.report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

impl Gc {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Gc { days, yes, forced: Forced { force, common } } = self;
        let (config, paths) = (common.load()?, common.paths()?);
        let mut found = 0;
        let report = Provision { config, paths }.clear_silent(days, force, |hosts| {
            found = hosts.len();
            let mut text = String::new();
            for host in hosts {
                let (owner, alarms, edited) = (printable(&host.owner), host.alarms.len(), host.edited.len());
                let edited =
                    if edited > 0 { format!(", {edited} changed by a person") } else { String::new() };
                writeln!(text, "{owner}: nothing for {days} days; {alarms} alarms{edited}")?;
            }
            print(&text)?;
            if hosts.is_empty() || yes {
                return Ok(true);
            }
            confirmed(&format!("Delete the alarms of {found} hosts?"))
        })?;
        let text = match found {
            0 => "nothing to do: every host that has alarms has sent something\n".into(),
            _ => done(&report)?,
        };
        print(&text)?;
        Ok(if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

/// Whether whoever sits at the terminal says yes. Where nobody does, nothing is deleted unasked.
fn confirmed(question: &str) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    anyhow::ensure!(stdin.is_terminal(), "nothing was deleted: there is no terminal to ask at; write --yes");
    print(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    stdin.read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The plan, as a person reads it.
fn planned(outcome: &Outcome) -> anyhow::Result<String> {
    let (owner, region) = (printable(&outcome.desired.owner), printable(&outcome.region));
    let whose = match outcome.scope {
        Scope::Instance => "each instance has its own alarms",
        Scope::Fleet => "one alarm of a kind for all its instances",
        Scope::None => "no alarms, by provision.scope",
    };
    let mut text = format!("For {owner} in {region}: {whose}\n");
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
    writeln!(text, "+ create  ~ change  - delete  ! left alone  = as it should be")?;
    let alarms = outcome.desired.alarms.len();
    let price = prices::ALARM_METRIC;
    if outcome.scope == Scope::Fleet {
        writeln!(
            text,
            "{alarms} alarms: US$ {price:.2} a month for each metric that each analyses, one for each instance (or its interfaces) \
             that sends it: up to US$ {:.2} a month for each instance with one interface.",
            f64::from(u32::try_from(alarms).unwrap_or(u32::MAX)) * price
        )?;
    } else {
        let metrics: u32 = outcome.desired.alarms.iter().map(Alarm::metrics).sum();
        writeln!(
            text,
            "{alarms} alarms of {metrics} metrics: US$ {:.2} a month.",
            f64::from(metrics) * price
        )?;
    }
    if outcome.desired.dashboard.is_some() {
        let dashboard = prices::DASHBOARD;
        writeln!(
            text,
            "The dashboard: US$ {dashboard:.0} a month for the account, or free among its first three."
        )?;
    }
    Ok(text)
}

/// What was done, as a person reads it.
fn done(report: &Report) -> anyhow::Result<String> {
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
