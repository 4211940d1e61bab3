//! `floods`: each row of the table acted out in network namespaces of its own, with the agent inside, and judged. See
//! `tests/load/floods.sh`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for measurements; what it prints is its answer"
)]

mod judge;
mod kept;
mod rows;
mod scene;
mod table;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;

use judge::Judgement;
use rows::Row;
use scene::Setting;

/// Attacks that the agent must find and busy days that it must not, on this machine's kernel, judged.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rows to run, by name or the beginning of a name; `signatures` are the fourteen. All, if none is named
    rows: Vec<String>,
    /// Print the rows' names
    #[arg(long)]
    list: bool,
    /// The agent
    #[arg(long, default_value = "target/packaged/vpcwatch")]
    agent: PathBuf,
    /// Seconds that the agent learns before anything happens
    #[arg(long, default_value_t = 60.0)]
    lead: f64,
    /// Seconds to look on after the last packet, at least; until findings are closed, at most 75
    #[arg(long, default_value_t = 40.0)]
    after: f64,
    /// Rows at a time; those that take the whole machine come alone, at the end
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Runs of each row
    #[arg(long, default_value_t = 1)]
    repeat: u64,
    /// Run the agent without `CAP_NET_RAW`
    #[arg(long)]
    counters_only: bool,
    /// Keep recordings, findings and what really happened in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Run nothing: judge this build's detectors by the recordings of such a folder
    #[arg(long, conflicts_with = "keep")]
    replay: Option<PathBuf>,
    /// Print rows for a page in Markdown, too
    #[arg(long)]
    markdown: bool,
    /// More arguments of the agent, after `--`
    #[arg(last = true)]
    for_agent: Vec<String>,
}

/// One run of a row.
#[derive(Debug, Clone)]
struct Run {
    row: Row,
    /// From 1.
    number: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let rows = chosen(&arguments.rows)?;
    if arguments.list {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(());
    }
    let begun = Instant::now();
    let mut judged = match &arguments.replay {
        Some(folder) => kept::replay(folder, &rows, arguments.counters_only)?,
        None => run_all(&arguments, &rows)?,
    };
    judged.sort_by_key(|judgement| rows.iter().position(|row| row.name == judgement.row));
    print!("{}", table::aligned(&judged));
    if arguments.repeat > 1 {
        print!("\n{}", table::shares(&judged));
    }
    if arguments.markdown {
        print!("\n{}", table::markdown(&judged));
    }
    println!("\n{}; {:.0} s in all", table::summary(&judged), begun.elapsed().as_secs_f64());
    Ok(())
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Row>> {
    let all = rows::all();
    for name in names.iter().filter(|name| *name != "signatures") {
        if !all.iter().any(|row| row.name.starts_with(name.as_str())) {
            bail!("no row is called {name}; --list prints their names");
        }
    }
    let is_chosen = |row: &Row| {
        names.is_empty()
            || names.iter().any(|name| {
                row.name.starts_with(name.as_str()) || (name == "signatures" && row.is_signature())
            })
    };
    Ok(all.into_iter().filter(is_chosen).collect())
}

fn run_all(arguments: &Arguments, rows: &[Row]) -> anyhow::Result<Vec<Judgement>> {
    let beside = std::env::current_exe()?.parent().context("no folder")?.join("traffic");
    let setting = Setting {
        agent: arguments.agent.canonicalize().with_context(|| arguments.agent.display().to_string())?,
        traffic: beside,
        lead: arguments.lead,
        after: arguments.after,
        counters_only: arguments.counters_only,
        for_agent: arguments.for_agent.clone(),
        seed: 1,
    };
    let runs = |alone: bool| -> VecDeque<Run> {
        let rows = rows.iter().filter(|row| row.alone == alone);
        let repeat = |row: &Row| {
            (1..=arguments.repeat).map(|number| Run { row: row.clone(), number }).collect::<Vec<_>>()
        };
        rows.flat_map(repeat).collect()
    };
    let judged = Mutex::new(Vec::new());
    work_off(runs(false), arguments.jobs, &setting, arguments, &judged);
    work_off(runs(true), 1, &setting, arguments, &judged);
    judged.into_inner().map_err(|_| anyhow::anyhow!("a run ended in a panic"))
}

/// Runs them, so many at a time.
fn work_off(
    runs: VecDeque<Run>,
    jobs: usize,
    setting: &Setting,
    arguments: &Arguments,
    judged: &Mutex<Vec<Judgement>>,
) {
    let waiting = Mutex::new(runs);
    let next = || waiting.lock().ok().and_then(|mut runs| runs.pop_front());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(run) = next() {
                    match one(&run, setting, arguments) {
                        Ok(judgement) => {
                            println!("{}", table::line(&judgement));
                            if let Ok(mut judged) = judged.lock() {
                                judged.push(judgement);
                            }
                        }
                        Err(error) => eprintln!("{}: could not be run: {error:#}", run.row.name),
                    }
                }
            });
        }
    });
}

fn one(run: &Run, setting: &Setting, arguments: &Arguments) -> anyhow::Result<Judgement> {
    let scratch = std::env::temp_dir().join(format!("vpcwatch-floods-{}", std::process::id()));
    let folder = arguments.keep.clone().unwrap_or(scratch);
    let files = kept::Files::of(&folder, run.row.name, run.number)?;
    let setting = Setting { seed: run.number, ..setting.clone() };
    let outcome = scene::act_out(&run.row, &setting, &files.recording)?;
    files.write(&outcome)?;
    let judgement = judge::judge(&run.row, &outcome.truth, &outcome.seen, &files.snapshots()?);
    if arguments.keep.is_none() {
        files.remove();
        let _ = std::fs::remove_dir(&folder); // others may still use it
    }
    Ok(judgement)
}
