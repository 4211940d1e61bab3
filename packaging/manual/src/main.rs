//! Writes the manual pages and shell completions of `vpcwatch` into a folder, from the command line's own definition: `man/*.1`,
//! `vpcwatch.bash`, `_vpcwatch`, `vpcwatch.fish`.

use std::path::PathBuf;

use anyhow::Context;
use clap_complete::Shell;

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("write the folder to put them in")?);
    let pages = folder.join("man");
    std::fs::create_dir_all(&pages).with_context(|| format!("failed to make {}", pages.display()))?;
    let mut command = without_help(vpcwatch::cli::command());
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "vpcwatch", &folder)
            .with_context(|| format!("failed to write into {}", folder.display()))?;
    }
    clap_mangen::generate_to(command, &pages)
        .with_context(|| format!("failed to write into {}", pages.display()))?;
    Ok(())
}

/// `help` has no page of its own, at no level.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}
