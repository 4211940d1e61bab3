//! `run --dry-run`: the other end of the pipeline is standard output. Touches neither disk nor CloudWatch.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::logs::Logs;
use super::ship::{self, SHIPPED, Shipped};
use super::{
    EVENTS, End, Recording, Sampling, each, host_name, on_a_thread, on_one_thread, random_seed,
    sample_each_second, sleep_or_forever, tell_what_is_waited_for,
};
use crate::aws::{Aws, AwsSettings};
use crate::config::Config;
use crate::host::facts::HostFacts;
use crate::host::identity;
use crate::host::paths::Paths;
use crate::model::event::Event;
use crate::model::identity::Identity;
use crate::model::record::{LogEvent, Record};
use crate::model::shipped::StreamNames;
use crate::model::spool::{Destination, Kind};
use crate::pipeline::Pipeline;
use crate::service::signals::Signals;
use crate::shipping::Shipment;
use crate::sinks::stdout::{Output, Stdout};
use crate::tail::Cursors;

/// Records that may wait for standard output: those of one interval on a host with some dozens of interfaces.
const RECORDS: usize = 1024;
/// What the drain may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// What instance metadata may take; it answers within milliseconds, or not at all.
const METADATA: Duration = Duration::from_millis(200);

/// A dry run: sampling for real, printing instead of sending.
#[derive(Debug)]
pub struct DryRun {
    /// The checked configuration.
    pub config: Config,
    /// Where the host's files are.
    pub paths: Paths,
    /// What it would cost, in words.
    pub price: String,
    /// How to print.
    pub output: Output,
    /// When to stop by itself.
    pub stop_after: Option<Duration>,
    /// Where to record every snapshot.
    pub record: Option<PathBuf>,
}

/// The first lines of a dry run's tables.
fn heading(identity: &Identity, facts: &HostFacts, price: &str) -> String {
    let kernel =
        Some(&facts.kernel).filter(|kernel| !kernel.is_empty()).map(|kernel| format!("kernel {kernel}"));
    let system = Some(facts.system.clone()).filter(|system| !system.is_empty());
    let about: Vec<String> = system.into_iter().chain(kernel).collect();
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    let version = env!("CARGO_PKG_VERSION");
    format!("vpcwatch {version} dry run on {}{about}: nothing leaves this host\n{price}", identity.name)
}

/// The instance if metadata tells in time, else the host. Only of the live host: a folder has no metadata.
async fn identity(config: &Config, paths: &Paths, facts: &HostFacts) -> Identity {
    let variable = |name: &str| std::env::var(name).ok();
    if paths.is_live()
        && identity::is_ec2(paths, variable)
        && let Ok(aws) = Aws::new(AwsSettings::default(), true)
        && let Some(instance) = identity::instance_within(aws.metadata(), METADATA).await
    {
        return instance.identity(&config.dimensions);
    }
    Identity::of_host(&host_name(config, facts))
}

impl DryRun {
    /// Runs until a signal, the end of its time, or a closed standard output.
    pub fn run(self) -> anyhow::Result<End> {
        on_one_thread(self.stages())
    }

    async fn stages(self) -> anyhow::Result<End> {
        let mut signals = Signals::listen()?;
        let facts = HostFacts::of(&self.paths);
        let identity = identity(&self.config, &self.paths, &facts).await;
        let seed = random_seed();
        let mut recording = Recording::start(self.record, || facts.clone(), seed)?;
        let mut stdout =
            Stdout::new(self.output, anstream::stdout(), heading(&identity, &facts, &self.price));

        let (stop, stopped) = watch::channel(false);
        let (events, incoming) = mpsc::channel(EVENTS);
        let (records, outgoing) = mpsc::channel(RECORDS);
        let print = move |record| stdout.show(&record).context("failed to write to standard output");
        let mut printed = on_a_thread("stdout", move || each(outgoing, print))?;
        let (snapshots_to, mut recorded) = (recording.snapshots.take(), recording.ended);
        let stages = async {
            let (_rules, rules) = watch::channel(self.config.sources);
            let (_tails, tails) = watch::channel(self.config.tails);
            let logs = Logs { paths: self.paths.clone(), rules: tails, board: None };
            let names = StreamNames { instance_id: identity.name.clone(), hostname: facts.name.clone() };
            let (to, lines) = mpsc::channel(SHIPPED);
            let shipped = self.config.shipped;
            let mut readers = ship::readers(&shipped, &names, &self.paths, &BTreeMap::new(), &to)?;
            drop(to);
            let shipped = show_lines(lines, records.clone(), stopped.clone());
            let sampling = Sampling { paths: self.paths, rules, board: None, recording: snapshots_to };
            let pipeline = Pipeline::new(self.config.settings, seed);
            let _ = events.send(Event::Identity(identity)).await;
            let logs = logs.run(Cursors::new(), events.clone(), stopped.clone());
            let sample = sample_each_second(sampling, events, stopped);
            let process = process(pipeline, incoming, records);
            let (read, (), (), ()) = tokio::join!(logs, sample, process, shipped);
            for reader in &mut readers {
                reader.wait().await?;
            }
            read
        };
        tokio::pin!(stages);

        // Run until something asks to stop. Stages and writers end by themselves only where something failed.
        let (mut early, mut running) = (Ok(()), true);
        tokio::select! {
            _ = signals.next() => {}
            () = sleep_or_forever(self.stop_after) => {}
            result = &mut stages => (early, running) = (result, false),
            result = printed.wait() => early = result,
            result = recorded.wait(), if recorded.is_running() => early = result,
        }
        // Stop the source; closing channels stop the rest, in order.
        let _ = stop.send(true);
        let drained = async {
            let ended = if running { stages.await } else { Ok(()) };
            let ends = [early, ended, printed.wait().await, recorded.wait().await];
            quiet_if_reader_left(ends.into_iter().collect())
        };
        let waiting =
            tell_what_is_waited_for("waiting for the reader of standard output or of the recording");
        tokio::select! {
            result = timeout(DEADLINE, drained) => match result {
                Ok(result) => result.map(|()| End::Stopped),
                Err(_) => Err(anyhow!(
                    "standard output or the recording took nothing for {} s; what was left is lost",
                    DEADLINE.as_secs()
                )),
            },
            never = waiting => match never {},
            _ = signals.next() => Ok(End::Interrupted),
        }
    }
}

/// Runs events through the pipeline until there are no more, then closes the open interval.
async fn process(mut pipeline: Pipeline, mut events: mpsc::Receiver<Event>, records: mpsc::Sender<Record>) {
    let (mut seen, mut shown) = (0u64, false);
    while let Some(event) = events.recv().await {
        let mut out = pipeline.handle(&event);
        seen += u64::from(matches!(event, Event::Snapshot(_)));
        shown |= !out.is_empty();
        // Rates need two samples: then there is something to look at, so that nobody waits a minute for it.
        if seen == 2
            && !shown
            && let Some(preview) = pipeline.preview()
        {
            out.push(Record::Summary(Box::new(preview)));
        }
        if send_all(&records, out).await.is_err() {
            return;
        }
    }
    let _ = send_all(&records, pipeline.finish()).await;
}

/// Shows the lines that would be shipped, until it is told to stop.
async fn show_lines(
    mut lines: mpsc::Receiver<Shipped>,
    records: mpsc::Sender<Record>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let shipped = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            shipped = lines.recv() => shipped,
        };
        match shipped {
            Some(Shipped::Shipment(_, shipment)) => {
                if send_all(&records, log_events(shipment)).await.is_err() {
                    return;
                }
            }
            Some(Shipped::Told(name, read)) => ship::tell(&name, read, None),
            None => return,
        }
    }
}

fn log_events(shipment: Shipment) -> Vec<Record> {
    let mut records = Vec::new();
    for (destination, events) in shipment.events {
        let Destination::Logs { group, stream } = destination else { continue };
        records.extend(events.into_iter().map(|event| {
            Record::Log(LogEvent {
                log_group_name: group.clone(),
                log_stream_name: stream.clone(),
                timestamp: event.timestamp,
                message: event.message,
                kind: Kind::Lines,
                urgent: false,
            })
        }));
    }
    records
}

async fn send_all(
    to: &mpsc::Sender<Record>,
    records: Vec<Record>,
) -> Result<(), mpsc::error::SendError<Record>> {
    for record in records {
        to.send(record).await?;
    }
    Ok(())
}

/// A closed standard output (`| head`) is the reader's way to say enough.
fn quiet_if_reader_left(result: anyhow::Result<()>) -> anyhow::Result<()> {
    let left = |error: &anyhow::Error| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    result.or_else(|error| if left(&error) { Ok(()) } else { Err(error) })
}
