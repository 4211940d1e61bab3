//! `vpcwatch status`.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use jiff::Timestamp;

use super::run::Format;
use super::{Common, UNHEALTHY, print};
use crate::host::clock::wall;
use crate::model::meters::Meters;
use crate::service::status::Status as Told;
use crate::sinks::terminal::{self, printable};

/// Exit code 0: healthy; 4: something is wrong, or no agent runs.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    common: Common,
}

impl Status {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let path = self.common.load()?.status_file;
        let path = path.ok_or_else(|| anyhow!("status.file is empty, so a running agent tells nothing"))?;
        let told = Told::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                anyhow!(
                    "no agent tells its status in {}; if one runs with another status.file, give the same --set here",
                    path.display()
                )
            }
            _ => anyhow!("{}: {error}", path.display()),
        });
        let told = match told {
            Ok(told) => told,
            Err(error) => {
                tracing::error!("{error}");
                return Ok(ExitCode::from(UNHEALTHY));
            }
        };
        print(&match self.output {
            Format::Json => terminal::json(&serde_json::to_string_pretty(&told)?) + "\n",
            Format::Table => table(&told)?,
        })?;
        Ok(if told.is_healthy() { ExitCode::SUCCESS } else { ExitCode::from(UNHEALTHY) })
    }
}

fn table(told: &Told) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let mut row = |name: &str, value: String| writeln!(text, "{name:<16} {}", printable(&value));
    let state = match (told.is_stale(), told.troubles.is_empty()) {
        (true, _) => format!("HANGS OR GONE: last heard of {} ago", ago(told.updated)),
        (false, true) => format!("healthy as of {} ago", ago(told.updated)),
        (false, false) => "NOT WELL".into(),
    };
    row(
        "vpcwatch",
        format!("{state}; version {}, process {}, running for {}", told.agent, told.pid, ago(told.started)),
    )?;
    for (place, what) in &told.troubles {
        row("  trouble", format!("{place}: {what}"))?;
    }
    for (source, what) in &told.sources {
        row("  source", format!("{source}: {what}"))?;
    }
    row("host", told.host.clone().unwrap_or_else(|| "not known yet".into()))?;
    row("region", told.region.clone().unwrap_or_else(|| "none".into()))?;
    let Meters { sent, lost, waiting, .. } = &told.delivery;
    let delivery = &told.delivery;
    row(
        "last publish",
        match (delivery.last_publish, delivery.publish_latency_ms) {
            (Some(at), latency) => format!("{} ago, took {} ms", ago(at), latency.unwrap_or(0)),
            (None, _) => "none yet".into(),
        },
    )?;
    row("sent", counts(sent.iter().map(|(kind, count)| (kind.as_str(), *count))))?;
    let oldest = delivery.oldest.map(|at| format!(", the oldest of {} ago", ago(at))).unwrap_or_default();
    row("waiting", counts(waiting.iter().map(|(kind, count)| (kind.as_str(), *count))) + &oldest)?;
    row("state file", format!("{} bytes", delivery.state_file_bytes))?;
    row("lost", counts(lost.iter().map(|(cause, count)| (cause.as_str(), *count))))?;
    row(
        "requests",
        format!(
            "{} taken, {} failed and repeated ({} throttled), {} without an answer",
            delivery.requests, delivery.failures, delivery.throttled, delivery.ambiguous
        ),
    )?;
    if let Some(error) = &told.last_error {
        row("last error", format!("{} ago, {}: {}", ago(error.time), error.place, error.what))?;
    }
    if delivery.clock_offset_ms != 0 {
        let side = if delivery.clock_offset_ms > 0 { "behind" } else { "ahead of" };
        let seconds = delivery.clock_offset_ms.abs() / 1000;
        row("clock", format!("{seconds} s {side} CloudWatch's; timestamps are corrected"))?;
    }
    Ok(text)
}

fn counts<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let parts: Vec<String> =
        counts.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}")).collect();
    if parts.is_empty() { "nothing".into() } else { parts.join(", ") }
}

fn ago(time: Timestamp) -> String {
    let seconds = wall().duration_since(time).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
