//! `vpcwatch config check` and `vpcwatch config show`.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Common, print};
use crate::config::{Config, Origin, toml};
use crate::sinks::terminal::printable;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Report every mistake in the configuration; exit code 3 if there is one
    Check(Common),
    /// Print every option with its value and where it came from, as TOML
    Show(Common),
}

impl ConfigCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            ConfigCommand::Check(common) => {
                let (written, mistakes) = common.layers().read();
                Config::check(&written, mistakes)?;
                let changed =
                    written.effective().filter(|(_, setting)| setting.origin != Origin::Default).count();
                print(&format!(
                    "the configuration is good: {changed} of {} options are set\n",
                    written.0.len()
                ))
            }
            ConfigCommand::Show(common) => show(&common),
        }
    }
}

/// Shows the values even where some are wrong, so that one sees where they came from; then reports the mistakes.
fn show(common: &Common) -> anyhow::Result<ExitCode> {
    let (written, mistakes) = common.layers().read();
    let mut text = String::new();
    for (key, setting) in written.effective() {
        let value = printable(&format!("{key} = {}", toml(&setting.value)));
        writeln!(text, "{value:<44} # {}", printable(&setting.origin.to_string()))?;
    }
    let code = print(&text)?;
    Config::check(&written, mistakes)?;
    Ok(code)
}
