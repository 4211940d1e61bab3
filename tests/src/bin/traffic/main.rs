//! `traffic serve|clients|delay|flood`: the programs that stand around the agent in a measurement, each inside a network
//! namespace that somebody else made. What they did they print as one JSON object when they end.
#![expect(clippy::print_stdout, reason = "programs for measurements; what they print is their answer")]

mod clients;
mod delay;
mod flood;
mod serve;

use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::LocalSet;

/// Serves, visits and floods inside a network namespace.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Listens and answers; prints `ready` when it does
    Serve(serve::Serve),
    /// Connects, asks, reads the answer, closes
    Clients(clients::Clients),
    /// Hands frames on after a time; prints `ready` when it does
    Delay(delay::Delay),
    /// Sends packets that nobody asked for
    Flood(flood::Flood),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().role {
        Role::Serve(serve) => run(serve.run()),
        Role::Clients(clients) => run(clients.run()),
        Role::Delay(delay) => delay.run(),
        Role::Flood(flood) => flood.run(),
    }
}

fn run(role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, role)
}
