//! Reads a log of numbered lines that is written fast and rotated often, while the reader is killed at random: counts what is
//! lost and doubled.
//!
//! - `tail-numbered run FOLDER [--lines N] [--rate N] [--rotations N] [--seed N]` starts the other two, kills the reader, and
//!   prints what it cost.
//! - `tail-numbered write ...` writes `FOLDER/logs/numbered.log`.
//! - `tail-numbered read FOLDER LINES` reads it until that many lines came. As the agent does, it stores places in the
//!   transaction that stores what was made of the lines before: here the number that must come next.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use jiff::tz::TimeZone;
use vpcwatch::host::clock::thread_cpu_time;
use vpcwatch::host::paths::Paths;
use vpcwatch::model::log_line::Grammar;
use vpcwatch::store::{Store, ValueKey, ValueKind};
use vpcwatch::tail::file::Files;
use vpcwatch::tail::{FileRule, Read, Tail};

/// How often places are stored. The agent does it each interval, a minute by default.
const STORE: Duration = Duration::from_secs(1);
/// Rotated files that are kept: half a minute of the default load, more than there is between two storings and a kill.
const KEPT: u64 = 300;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    Run(Load),
    Write(Load),
    Read { folder: PathBuf, lines: u64 },
}

#[derive(Args, Clone)]
struct Load {
    folder: PathBuf,
    #[arg(long, default_value_t = 10_000_000)]
    lines: u64,
    /// Lines a second.
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    #[arg(long, default_value_t = 1000)]
    rotations: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    match Line::parse().part {
        Part::Run(load) => run(&load),
        Part::Write(load) => write(&load),
        Part::Read { folder, lines } => Numbers::open(&folder)?.read(&folder, lines),
    }
}

fn run(load: &Load) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(load.seed);
    fs::create_dir_all(load.folder.join("logs"))?;
    fs::create_dir_all(load.folder.join("state"))?;
    let this = std::env::current_exe()?;
    let folder = load.folder.as_os_str();
    let read = || Command::new(&this).arg("read").arg(folder).arg(load.lines.to_string()).spawn();
    let mut reader = read()?;
    // The reader must know of the log before it is first written to, or what is there then is left out.
    while !is_stored(&load.folder) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let begun = Instant::now();
    let mut writer = Command::new(&this);
    writer.arg("write").arg(folder).args(["--lines", &load.lines.to_string()]);
    writer.args(["--rate", &load.rate.to_string(), "--rotations", &load.rotations.to_string()]);
    let mut writer = writer.spawn()?;
    let mut kills = 0_u64;
    let mut written = None;
    let ended = loop {
        let pause = Duration::from_millis(random.u64(20..4000));
        let until = Instant::now() + pause;
        let mut ended = reader.try_wait()?;
        while ended.is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
            ended = reader.try_wait()?;
            if written.is_none() && writer.try_wait()?.is_some() {
                written = Some(begun.elapsed());
            }
        }
        if let Some(ended) = ended {
            break ended;
        }
        if begun.elapsed() > Duration::from_secs(load.lines / load.rate * 3 + 60) {
            kill(&mut reader)?;
            break ExitStatus::default();
        }
        // To the end it is left alone, or it might never come there.
        if written.is_none() {
            kill(&mut reader)?;
            kills += 1;
            reader = read()?;
        }
    };
    ensure!(ended.success(), "the reader failed: {ended}");
    let took = begun.elapsed();
    writer.wait()?;
    let numbers = Numbers::open(&load.folder)?;
    print(&format!(
        "written {} lines in {:.1} s, read in {:.1} s; {} rotations, {kills} kills",
        load.lines,
        written.unwrap_or(took).as_secs_f64(),
        took.as_secs_f64(),
        load.rotations
    ))?;
    print(&format!(
        "lost {} doubled {} gaps {}; CPU of the reader {:.1} s, as far as stored; peak memory {} KiB",
        load.lines - numbers.next + numbers.lost,
        numbers.doubled,
        numbers.gaps,
        Duration::from_micros(numbers.cpu_us).as_secs_f64(),
        numbers.peak_kib
    ))?;
    ensure!(numbers.next == load.lines && numbers.lost + numbers.doubled == 0, "lines were lost or doubled");
    Ok(())
}

fn kill(child: &mut Child) -> anyhow::Result<()> {
    child.kill()?; // SIGKILL
    child.wait()?;
    Ok(())
}

fn is_stored(folder: &Path) -> bool {
    folder.join("state/ready").exists()
}

/// Writes lines at the rate, and rotates so often.
fn write(load: &Load) -> anyhow::Result<()> {
    let path = load.folder.join("logs/numbered.log");
    let rotated = |number: u64| load.folder.join(format!("logs/numbered.log-{number:08}"));
    let create = || File::options().append(true).create(true).open(&path);
    let begun = Instant::now();
    let mut file = create()?;
    let each = load.lines / (load.rotations + 1) + 1;
    let mut text = Vec::new();
    for number in 0..load.lines {
        writeln!(
            text,
            "Nov 23 10:15:{:02} host sshd[{number}]: a line of the length that they have, with its number: {number}",
            number / load.rate % 60
        )?;
        // Some hundred lines at once, the last of them often torn, as a daemon's buffer does it.
        if number % 200 == 199 {
            let tear = text.len() - usize::try_from(number % 50)?;
            file.write_all(text.get(..tear).unwrap_or_default())?;
            text.drain(..tear);
            let due = Duration::from_micros(number * 1_000_000 / load.rate);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        if number % each == each - 1 {
            let count = number / each;
            fs::rename(&path, rotated(count))?;
            if let Some(old) = count.checked_sub(KEPT) {
                let _ = fs::remove_file(rotated(old));
            }
            // The writer goes on with the old file for a moment.
            file.write_all(&text)?;
            text.clear();
            file = create()?;
        }
    }
    file.write_all(&text)?;
    Ok(())
}

/// What was made of the lines so far.
struct Numbers {
    store: Store,
    next: u64,
    lost: u64,
    doubled: u64,
    gaps: u64,
    cpu_us: u64,
    peak_kib: u64,
}

impl Numbers {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let (mut store, _) = Store::open(&folder.join("state/state.redb"), "numbered", 64 << 20)?;
        let stored = store.value(&ValueKey::Mark("numbers".into()));
        let numbers: [u64; 6] = stored.map_or(Ok([0; 6]), |bytes| serde_json::from_slice(&bytes))?;
        let [next, lost, doubled, gaps, cpu_us, peak_kib] = numbers;
        Ok(Numbers { store, next, lost, doubled, gaps, cpu_us, peak_kib })
    }

    fn read(mut self, folder: &Path, lines: u64) -> anyhow::Result<()> {
        let cursors = self.store.values(ValueKind::Cursor);
        let of_log = |(key, place)| if let ValueKey::Cursor(log) = key { Some((log, place)) } else { None };
        let cursors = cursors.into_iter().filter_map(of_log).collect();
        let rule = FileRule { pattern: "/logs/numbered.log".into(), grammar: Grammar::Auto };
        let mut files = Files::new(vec![rule], Paths::below(folder), cursors, TimeZone::UTC);
        let mut places = HashMap::new();
        let mut stored = Instant::now().checked_sub(STORE).context("a clock that just began")?;
        let before = self.cpu_us;
        print(&format!("reader begins at {}", self.next))?;
        while self.next < lines {
            for read in files.read(Duration::from_millis(200)) {
                self.take(read, &mut places);
            }
            if stored.elapsed() >= STORE || self.next >= lines {
                self.cpu_us = before + u64::try_from(thread_cpu_time().as_micros())?;
                self.peak_kib = self.peak_kib.max(peak_kib());
                self.keep(&mut places)?;
                stored = Instant::now();
                File::create(folder.join("state/ready"))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, read: Read, places: &mut HashMap<String, Vec<u8>>) {
        match read {
            Read::Lines(lines) => {
                for line in &lines.lines {
                    let number = line.text.rsplit(' ').next().and_then(|text| text.parse::<u64>().ok());
                    match number {
                        Some(number) if number >= self.next => {
                            if number > self.next {
                                let _ = print(&format!("lost: {} to {}", self.next, number - 1));
                            }
                            self.lost += number - self.next;
                            self.next = number + 1;
                        }
                        _ => self.doubled += 1,
                    }
                }
                places.extend(lines.cursor.map(|cursor| (cursor.log, cursor.place)));
            }
            Read::Gap { what, .. } => {
                self.gaps += 1;
                let _ = print(&what);
            }
            Read::Trouble { .. } | Read::Well { .. } => {}
        }
    }

    fn keep(&mut self, places: &mut HashMap<String, Vec<u8>>) -> anyhow::Result<()> {
        let numbers = [self.next, self.lost, self.doubled, self.gaps, self.cpu_us, self.peak_kib];
        let mut values = vec![(ValueKey::Mark("numbers".into()), Some(serde_json::to_vec(&numbers)?))];
        let moved = places.drain();
        values.extend(
            moved.map(|(log, place)| (ValueKey::Cursor(log), Some(place).filter(|place| !place.is_empty()))),
        );
        self.store.append(Vec::new(), values);
        Ok(())
    }
}

/// Most memory this process ever had resident (`VmHWM`).
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
