//! `vpcwatch replay`: the detectors over recorded input, without clock and network.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use ipnet::IpNet;

use super::run::Format;
use super::{Common, grammar, print};
use crate::detectors::{self, Detector};
use crate::host::facts::HostFacts;
use crate::model::event::Event;
use crate::model::finding::{Finding, State};
use crate::model::settings::LoginPattern;
use crate::model::snapshot::Snapshot;
use crate::parse::LoginReader;
use crate::replay::{Capture, Local, Log, Recorder, Recording};
use crate::sinks::{table, terminal};

/// Seed of the detectors' sketches: the same input gives the same findings.
const SEED: u64 = 0;

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    input: Input,
    #[arg(long, value_name = "NAME", default_value = "auto", help = super::services(), conflicts_with_all = ["recording", "pcap"])]
    service: String,
    /// An address or network of the host that the capture was made on (may be repeated); otherwise it is inferred
    /// from the first packets, and said
    #[arg(long, value_name = "CIDR", value_parser = network, conflicts_with_all = ["recording", "log"])]
    local: Vec<IpNet>,
    /// Write what the capture tells of each second to this file, for --recording
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recording", "log"])]
    record: Option<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Input {
    /// A recording made by `run --record`
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    /// A packet capture, pcap or pcapng; - for standard input
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// A log file, by the times of its own lines; - for standard input
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.ok_or_else(|| "write an address or a network: 10.0.0.5, 10.0.0.0/24, 2001:db8::/64".into())
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.common.load()?;
        let run = |seed| {
            let detectors = detectors::all(&config.settings.detectors, seed);
            let sees_syns = config.sources.capture;
            Run { detectors, output: self.output, sees_syns, findings: 0, open: 0 }
        };
        match &self.input {
            Input { pcap: Some(capture), .. } => {
                run(SEED).capture(capture, self.local, self.record.as_deref())
            }
            Input { log: Some(log), .. } => {
                let grammar = grammar(&self.service, &config)?;
                run(SEED).log(Log::open(log, grammar)?, &config.settings.login_patterns)
            }
            Input { recording: Some(recording), .. } => {
                let (header, recording) = Recording::open(recording)?;
                run(header.seed).recording(recording)
            }
            Input { .. } => Ok(ExitCode::SUCCESS), // clap requires one
        }
    }
}

/// Detectors at work.
struct Run {
    detectors: Vec<Box<dyn Detector + Send>>,
    output: Format,
    /// `syn_flood.capture`: whether to look at captured SYNs.
    sees_syns: bool,
    findings: u64,
    /// Those that are not over.
    open: u64,
}

impl Run {
    fn recording(mut self, recording: Recording) -> anyhow::Result<ExitCode> {
        let mut snapshots = 0;
        for snapshot in recording {
            snapshots += 1;
            self.snapshot(snapshot?)?;
        }
        self.total(&format!("{snapshots} snapshots"))
    }

    fn capture(mut self, path: &Path, local: Vec<IpNet>, record: Option<&Path>) -> anyhow::Result<ExitCode> {
        let local = (!local.is_empty()).then(|| Local::new(local));
        let mut capture = Capture::open(path, local)?;
        // The capture does not tell whose it is, and this host is not it.
        let mut recorder =
            record.map(|file| Recorder::create(file, HostFacts::default(), SEED)).transpose()?;
        let (mut ended, mut snapshots) = (Ok(()), 0);
        for snapshot in capture.by_ref() {
            match snapshot {
                Ok(snapshot) => {
                    recorder.iter_mut().try_for_each(|recorder| recorder.snapshot(&snapshot))?;
                    snapshots += 1;
                    self.snapshot(snapshot)?;
                }
                Err(error) => ended = Err(error),
            }
        }
        if capture.segments() > 0 && !capture.has_local() {
            tracing::warn!(
                "no segment comes from or goes to the local side: nothing was looked at; mend --local"
            );
        }
        let total = self.total(&format!(
            "{snapshots} snapshots of {} packets ({} TCP segments)",
            capture.packets(),
            capture.segments()
        ))?;
        ended?;
        Ok(total)
    }

    fn log(mut self, log: Log, patterns: &[LoginPattern]) -> anyhow::Result<ExitCode> {
        let mut reader = LoginReader::new(patterns);
        let (mut ended, mut read, mut logins) = (Ok(()), 0, 0);
        for lines in log {
            let lines = match lines {
                Ok(lines) => lines,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            };
            read += lines.lines.len();
            for login in reader.logins(&lines) {
                logins += 1;
                self.observe(&Event::Login(Box::new(login)))?;
            }
        }
        if read > 0 && logins == 0 {
            tracing::warn!(
                "no line tells of a login: `vpcwatch explain` says of each why (a compressed log: zcat FILE | vpcwatch replay --log -)"
            );
        }
        let total = self.total(&format!("{read} lines ({logins} tell of a login)"))?;
        ended?;
        Ok(total)
    }

    fn snapshot(&mut self, mut snapshot: Snapshot) -> anyhow::Result<()> {
        snapshot.syns = snapshot.syns.filter(|_| self.sees_syns);
        self.observe(&Event::Snapshot(Arc::new(snapshot)))
    }

    fn observe(&mut self, event: &Event) -> anyhow::Result<()> {
        let findings = self.detectors.iter_mut().flat_map(|detector| detector.observe(event));
        for finding in findings.collect::<Vec<Finding>>() {
            match finding.state {
                State::Open => (self.findings, self.open) = (self.findings + 1, self.open + 1),
                State::Closed => self.open = self.open.saturating_sub(1),
                State::Update => {}
            }
            print(&match self.output {
                Format::Table => anstream::adapter::strip_str(&table::finding(&finding)).to_string(),
                Format::Json => terminal::json(&serde_json::to_string(&finding)?) + "\n",
            })?;
        }
        Ok(())
    }

    /// Ends a table.
    fn total(&self, read: &str) -> anyhow::Result<ExitCode> {
        match self.output {
            Format::Table => {
                let findings = if self.findings == 1 { "finding" } else { "findings" };
                let still = if self.open == 0 {
                    String::new()
                } else {
                    format!(", {} still on at the end", self.open)
                };
                print(&format!("{read}, {} {findings}{still}\n", self.findings))
            }
            Format::Json => Ok(ExitCode::SUCCESS),
        }
    }
}
