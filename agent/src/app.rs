//! Assembly: configuration to parts, parts to stages, wait, drain. The only place that starts threads.
//!
//! Stages run on one thread; standard output has one of its own, so that a terminal that is held up holds up nothing
//! but the queue before it.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::config::Config;
use crate::host::clock::{Monotonic, wall};
use crate::host::facts::HostFacts;
use crate::host::paths::Paths;
use crate::model::event::Event;
use crate::model::record::{Dimension, Record};
use crate::model::snapshot::Snapshot;
use crate::pipeline::{Pipeline, Settings};
use crate::replay::Recorder;
use crate::sampler::Sampler;
use crate::sinks::stdout::{Output, Stdout};
use crate::sources;

/// One sample a second.
const TICK: Duration = Duration::from_millis(crate::rates::TICK_MS);
/// Snapshots that may wait for the pipeline. When its output is held up they make the sampler wait, and the next
/// growth is spread over the seconds that were missed: nothing is lost.
const EVENTS: usize = 8;
/// Records that may wait for standard output: those of one interval on a host with some dozens of interfaces.
const RECORDS: usize = 1024;
/// What the drain may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// A dry run: sampling for real, printing instead of sending.
#[derive(Debug)]
pub struct DryRun {
    /// The checked configuration.
    pub config: Config,
    /// Where the host's files are.
    pub paths: Paths,
    /// How to print.
    pub output: Output,
    /// When to stop by itself.
    pub stop_after: Option<Duration>,
    /// Where to record every snapshot.
    pub record: Option<PathBuf>,
}

/// How a run ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Asked to, and everything was printed.
    Stopped,
    /// A second signal came before everything was printed.
    Interrupted,
}

/// Takes one snapshot of this host, now.
pub fn sample(config: &Config, paths: &Paths) -> Snapshot {
    sampler(config, paths).sample()
}

fn sampler(config: &Config, paths: &Paths) -> Sampler {
    Sampler::new(sources::all(paths, config.interfaces.clone()), Monotonic::start())
}

fn settings(config: &Config, facts: &HostFacts) -> Settings {
    let host = config.host.clone().unwrap_or_else(|| facts.name.clone());
    Settings {
        interval_seconds: config.interval_seconds,
        namespace: config.namespace.clone(),
        chosen: config.chosen.clone(),
        identity: Dimension { name: "host".into(), value: host },
        samples_group: config.samples_group.clone(),
    }
}

/// The first line of a dry run's tables.
fn heading(settings: &Settings, facts: &HostFacts) -> String {
    format!(
        "vpcwatch {} dry run on {} ({}, kernel {}, {} processors): nothing leaves this host",
        env!("CARGO_PKG_VERSION"),
        settings.identity.value,
        facts.system,
        facts.kernel,
        facts.processors,
    )
}

impl DryRun {
    /// Runs until a signal, the end of its time, or a closed standard output.
    pub fn run(self) -> anyhow::Result<End> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("failed to start the runtime")?.block_on(self.stages())
    }

    async fn stages(self) -> anyhow::Result<End> {
        let mut signals = Signals::listen()?;
        let facts = HostFacts::live();
        let recorder = self.record.map(|path| Recorder::create(&path, facts.clone())).transpose()?;
        let settings = settings(&self.config, &facts);
        let sampler = sampler(&self.config, &self.paths);

        let (stop, stopped) = watch::channel(false);
        let (events, incoming) = mpsc::channel(EVENTS);
        let (records, outgoing) = mpsc::channel(RECORDS);
        let stdout = Stdout::new(self.output, anstream::stdout(), heading(&settings, &facts));
        let mut printed = print_on_a_thread(stdout, outgoing)?;
        let stages = async {
            let pipeline = Pipeline::new(settings);
            let (outcome, ()) = tokio::join!(
                sample_each_second(sampler, recorder, events, stopped),
                process(pipeline, incoming, records)
            );
            outcome
        };
        tokio::pin!(stages);

        // Run until something asks to stop. The stages and the printer end by themselves only for a reason.
        let mut ended = None;
        tokio::select! {
            () = signals.next() => {}
            () = sleep_or_forever(self.stop_after) => {}
            result = &mut stages => ended = Some(result),
            result = &mut printed => return output_ended(result),
        }
        // Stop the source; closing channels stop the rest, in order.
        let _ = stop.send(true);
        let drained = async {
            let outcome = match ended {
                Some(result) => result,
                None => stages.await,
            };
            output_ended(printed.await).and_then(|end| outcome.map(|()| end))
        };
        tokio::select! {
            result = timeout(DEADLINE, drained) => result.unwrap_or_else(|_| {
                Err(anyhow!("standard output took nothing for {} s; what was left is lost", DEADLINE.as_secs()))
            }),
            () = signals.next() => Ok(End::Interrupted),
        }
    }
}

/// Samples until told to stop, or until nobody listens.
async fn sample_each_second(
    mut sampler: Sampler,
    mut recorder: Option<Recorder>,
    events: mpsc::Sender<Event>,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut ticks = interval_at(Instant::now() + off_the_full_second(), TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let snapshot = sampler.sample();
        if let Some(recorder) = &mut recorder {
            recorder.snapshot(&snapshot)?;
        }
        if events.send(Event::Snapshot(Box::new(snapshot))).await.is_err() {
            return Ok(());
        }
    }
}

/// A wait after which ticks do not fall on full seconds, where jitter would give one minute 59 samples and the next 61.
fn off_the_full_second() -> Duration {
    const MARGIN: u64 = 100;
    let past = u64::try_from(wall().as_millisecond().rem_euclid(1000)).unwrap_or(0);
    Duration::from_millis(match past {
        past if past < MARGIN => MARGIN - past,
        past if past > 1000 - MARGIN => 1000 - past + MARGIN,
        _ => 0,
    })
}

/// Runs events through the pipeline until there are no more, then closes the open interval.
async fn process(mut pipeline: Pipeline, mut events: mpsc::Receiver<Event>, records: mpsc::Sender<Record>) {
    let mut seen = 0u64;
    while let Some(event) = events.recv().await {
        let mut out = pipeline.handle(&event);
        seen += 1;
        // Rates need two samples: then there is something to look at, so that nobody waits a minute for it.
        if seen == 2
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

async fn send_all(
    to: &mpsc::Sender<Record>,
    records: Vec<Record>,
) -> Result<(), mpsc::error::SendError<Record>> {
    for record in records {
        to.send(record).await?;
    }
    Ok(())
}

type Printed = oneshot::Receiver<io::Result<()>>;

fn print_on_a_thread<W: io::Write + Send + 'static>(
    mut stdout: Stdout<W>,
    mut records: mpsc::Receiver<Record>,
) -> anyhow::Result<Printed> {
    let (ended, result) = oneshot::channel();
    let print = move || {
        let mut print_all = || -> io::Result<()> {
            while let Some(record) = records.blocking_recv() {
                stdout.show(&record)?;
            }
            Ok(())
        };
        let _ = ended.send(print_all());
    };
    std::thread::Builder::new()
        .name("stdout".into())
        .spawn(print)
        .context("failed to start the output's thread")?;
    Ok(result)
}

/// A closed standard output (`| head`) is the reader's way to say enough; any other trouble with it is an error.
fn output_ended(result: Result<io::Result<()>, oneshot::error::RecvError>) -> anyhow::Result<End> {
    match result {
        Ok(Ok(())) => Ok(End::Stopped),
        Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(End::Stopped),
        Ok(Err(error)) => Err(anyhow!("failed to write to standard output: {error}")),
        Err(_) => Err(anyhow!("the output's thread ended unexpectedly")),
    }
}

async fn sleep_or_forever(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// The signals that stop a run.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen for signals");
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
