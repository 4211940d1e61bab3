//! The command line: one file a subcommand.
//!
//! Exit codes: 0 done; 1 failed, and why is on standard error; 2 the command line is wrong; 3 the configuration has
//! mistakes, or costs more than it allows itself; 4 `status` or `check` found something wrong; 130 interrupted by a second signal before everything was printed. A standard output that its reader
//! closed (`| head`) ends a command quietly with 0.

mod check;
mod config;
mod cost;
mod explain;
mod iam_policy;
mod provision;
mod replay;
mod run;
mod sample;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, Layers, Mistakes};
use crate::host::paths::Paths;
use crate::model::log_line::Grammar;
use crate::parse;

const FAILED: u8 = 1;
const MISTAKEN: u8 = 3;
const UNHEALTHY: u8 = 4;

/// Watches this host's TCP states, half-open connections, listener queues and interfaces, and tells CloudWatch.
#[derive(Debug, Parser)]
#[command(name = "vpcwatch", version, after_help = AFTER_HELP, subcommand_required = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "Exit codes: 0 done; 1 failed; 2 wrong command line; 3 mistakes in the configuration; \
                          4 status or check: something is wrong; 130 interrupted twice.\nColours: NO_COLOR=1 turns them off, CLICOLOR_FORCE=1 on.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Sample each second and publish each interval
    Run(run::Run),
    /// Tell how the running agent is; exit code 4 if something is wrong
    Status(status::Status),
    /// Look at host, configuration and AWS before the agent runs; exit code 4 if something is missing. Changes nothing
    Check(check::Check),
    /// Run the detectors over a recording, a packet capture or a log and print what they find
    Replay(replay::Replay),
    /// Tell of each line of a log whether it counts as a login, and why
    Explain(explain::Explain),
    /// Print one snapshot of this host as JSON
    Sample(sample::Sample),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Estimate what this configuration costs a month in CloudWatch
    Cost(cost::Cost),
    /// Make this host's alarms and the dashboard in CloudWatch, or take them away again
    #[command(subcommand)]
    Provision(provision::ProvisionCommand),
    /// Print the IAM policy that allows what this configuration needs, and nothing else
    IamPolicy(iam_policy::IamPolicy),
}

/// Where the configuration and the host are; the same for every subcommand.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Read this file instead of /etc/vpcwatch/vpcwatch.toml and conf.d
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set an option, above files and environment: --set metrics.set=full (may be repeated). Lists are written a,b
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Read /proc, /sys and /etc below this folder: another host's files, or the host's own in a container.
    /// Sockets are then counted from files, and driver statistics are not read
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl Common {
    fn paths(&self) -> anyhow::Result<Paths> {
        let paths = Paths::below(&self.root);
        paths.check().map_err(anyhow::Error::msg)?;
        Ok(paths)
    }

    fn layers(&self) -> Layers {
        Layers::new(Paths::below(&self.root).configuration(), self.config.clone(), self.set.clone())
    }

    fn load(&self) -> Result<Config, Mistakes> {
        Config::load(&self.layers())
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// The command line's definition, from which manual pages and completions are made.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program; its answer is the exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let messages = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .with_ansi(false)
        .log_internal_errors(false); // a closed standard error must not end the agent
    // What libraries warn of is a failure that we are told of too, and tell in our own words.
    let ours =
        Targets::new().with_target("vpcwatch", tracing::Level::INFO).with_default(tracing::Level::ERROR);
    tracing_subscriber::registry().with(messages.with_filter(ours)).init();
    let result = match arguments.command {
        Command::Run(run) => run.run(),
        Command::Status(status) => status.run(),
        Command::Check(check) => check.run(),
        Command::Replay(replay) => replay.run(),
        Command::Explain(explain) => explain.run(),
        Command::Sample(sample) => sample.run(),
        Command::Config(config) => config.run(),
        Command::Cost(cost) => cost.run(),
        Command::Provision(provision) => provision.run(),
        Command::IamPolicy(iam_policy) => iam_policy.run(),
    };
    result.unwrap_or_else(|error| {
        let mistaken = error.is::<Mistakes>() || error.is::<cost::AboveLimit>();
        tracing::error!("{error:#}");
        ExitCode::from(if mistaken { MISTAKEN } else { FAILED })
    })
}

/// What `--service` takes.
fn services() -> String {
    let names: Vec<&str> = parse::services().collect();
    format!(
        "Whose lines they are: auto recognises each by itself; else a pattern of the configuration, or one of {}",
        names.join(", ")
    )
}

/// The grammar of that name, of a service or a pattern of the configuration.
fn grammar(name: &str, config: &Config) -> anyhow::Result<Grammar> {
    let patterns = &config.settings.login_patterns;
    let own = || patterns.iter().any(|pattern| pattern.name == name).then(|| Grammar::Pattern(name.into()));
    parse::grammar(name).or_else(own).ok_or_else(|| {
        let names: Vec<&str> = parse::services().collect();
        anyhow::anyhow!(
            "there is no service {name:?}; write auto, a pattern of the configuration, or one of {}",
            names.join(", ")
        )
    })
}

/// Prints a result; a reader that went away (`| head`) has what it wanted.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    print_all(text).map(|_| ExitCode::SUCCESS)
}

/// The same; false when nobody reads any more.
fn print_all(text: &str) -> anyhow::Result<bool> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(anyhow::anyhow!("failed to write to standard output: {error}")),
    }
}
