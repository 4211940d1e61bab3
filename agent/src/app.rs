//! Assembly: configuration to parts, parts to stages, wait, drain. The only place that starts threads.
//!
//! Stages run on one thread; standard output has one of its own, so that a terminal that is held up holds up nothing
//! but the queue before it.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rustix::process::{Resource, getrlimit};
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
/// Files open at once at the most, with room to spare.
const OPEN_FILES: u64 = 32;
/// When an operator who waits for the drain is told what it waits for.
const PATIENCE: Duration = Duration::from_secs(1);
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
    let named = config.host.as_ref().or(Some(&facts.name)).filter(|name| !name.is_empty());
    let host = named.cloned().unwrap_or_else(|| "unknown".into());
    Settings {
        interval_seconds: config.interval_seconds,
        namespace: config.namespace.clone(),
        chosen: config.chosen.clone(),
        identity: Dimension { name: "host".into(), value: host },
        samples_group: config.samples_group.clone(),
        findings_group: config.findings_group.clone(),
    }
}

/// The first line of a dry run's tables.
fn heading(settings: &Settings, facts: &HostFacts) -> String {
    let kernel =
        Some(&facts.kernel).filter(|kernel| !kernel.is_empty()).map(|kernel| format!("kernel {kernel}"));
    let system = Some(facts.system.clone()).filter(|system| !system.is_empty());
    let about: Vec<String> = system.into_iter().chain(kernel).collect();
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    let version = env!("CARGO_PKG_VERSION");
    format!("vpcwatch {version} dry run on {}{about}: nothing leaves this host", settings.identity.value)
}

impl DryRun {
    /// Runs until a signal, the end of its time, or a closed standard output.
    pub fn run(self) -> anyhow::Result<End> {
        // The runtime's own set-up panics where it finds no descriptor left.
        if getrlimit(Resource::Nofile).current.is_some_and(|limit| limit < OPEN_FILES) {
            return Err(anyhow!(
                "fewer than {OPEN_FILES} open files are allowed; raise the limit (ulimit -n)"
            ));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("failed to start the runtime")?.block_on(self.stages())
    }

    async fn stages(self) -> anyhow::Result<End> {
        let mut signals = Signals::listen()?;
        let facts = HostFacts::of(&self.paths);
        let settings = settings(&self.config, &facts);
        let sampler = sampler(&self.config, &self.paths);
        let to_record = self.record.map(|path| Recorder::create(&path, facts.clone())).transpose()?;
        let mut stdout = Stdout::new(self.output, anstream::stdout(), heading(&settings, &facts));

        let (stop, stopped) = watch::channel(false);
        let (events, incoming) = mpsc::channel(EVENTS);
        let (records, outgoing) = mpsc::channel(RECORDS);
        let print = move |record| stdout.show(&record).context("failed to write to standard output");
        let mut printed = on_a_thread("stdout", outgoing, print)?;
        let (mut snapshots_to, mut recorded) = (None, Ended(None));
        if let Some(mut recorder) = to_record {
            let (to, snapshots) = mpsc::channel(EVENTS);
            snapshots_to = Some(to);
            let record = move |snapshot: Arc<Snapshot>| Ok(recorder.snapshot(&snapshot)?);
            recorded = on_a_thread("recording", snapshots, record)?;
        }
        let stages = async {
            let pipeline = Pipeline::new(settings);
            tokio::join!(
                sample_each_second(sampler, snapshots_to, events, stopped),
                process(pipeline, incoming, records)
            );
        };
        tokio::pin!(stages);

        // Run until something asks to stop. Stages and writers end by themselves only where something failed.
        let (mut early, mut running) = (Ok(()), true);
        tokio::select! {
            () = signals.next() => {}
            () = sleep_or_forever(self.stop_after) => {}
            () = &mut stages => running = false,
            result = printed.wait() => early = result,
            result = recorded.wait(), if recorded.is_running() => early = result,
        }
        // Stop the source; closing channels stop the rest, in order.
        let _ = stop.send(true);
        let drained = async {
            if running {
                stages.await;
            }
            let ends = [early, printed.wait().await, recorded.wait().await];
            quiet_if_reader_left(ends.into_iter().collect())
        };
        let say_what_is_waited_for = async {
            sleep(PATIENCE).await;
            tracing::info!(
                "waiting for the reader of standard output or of the recording; a second signal ends at once"
            );
            std::future::pending::<()>().await;
        };
        tokio::select! {
            result = timeout(DEADLINE, drained) => match result {
                Ok(result) => result.map(|()| End::Stopped),
                Err(_) => Err(anyhow!(
                    "standard output or the recording took nothing for {} s; what was left is lost",
                    DEADLINE.as_secs()
                )),
            },
            () = say_what_is_waited_for => Ok(End::Interrupted),
            () = signals.next() => Ok(End::Interrupted),
        }
    }
}

/// Samples until told to stop, or until nobody listens.
async fn sample_each_second(
    mut sampler: Sampler,
    recording: Option<mpsc::Sender<Arc<Snapshot>>>,
    events: mpsc::Sender<Event>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut ticks = interval_at(Instant::now() + off_the_full_second(), TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = ticks.tick() => {}
        }
        let snapshot = Arc::new(sampler.sample());
        if let Some(recording) = &recording
            && recording.send(Arc::clone(&snapshot)).await.is_err()
        {
            return;
        }
        if events.send(Event::Snapshot(snapshot)).await.is_err() {
            return;
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
    let (mut seen, mut shown) = (0u64, false);
    while let Some(event) = events.recv().await {
        let mut out = pipeline.handle(&event);
        seen += 1;
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

async fn send_all(
    to: &mpsc::Sender<Record>,
    records: Vec<Record>,
) -> Result<(), mpsc::error::SendError<Record>> {
    for record in records {
        to.send(record).await?;
    }
    Ok(())
}

/// How a writing thread ended, once it has; nothing where there is none, or it was told already.
struct Ended(Option<oneshot::Receiver<anyhow::Result<()>>>);

impl Ended {
    fn is_running(&self) -> bool {
        self.0.is_some()
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let Some(result) = &mut self.0 else { return Ok(()) };
        let ended = result.await;
        self.0 = None;
        ended.unwrap_or_else(|_| Err(anyhow!("a writing thread ended unexpectedly")))
    }
}

/// A closed standard output (`| head`) is the reader's way to say enough.
fn quiet_if_reader_left(result: anyhow::Result<()>) -> anyhow::Result<()> {
    let left = |error: &anyhow::Error| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    result.or_else(|error| if left(&error) { Ok(()) } else { Err(error) })
}

/// Writes what comes, on a thread of its own: writing may block.
fn on_a_thread<T: Send + 'static>(
    name: &str,
    mut incoming: mpsc::Receiver<T>,
    mut write: impl FnMut(T) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<Ended> {
    let (ended, result) = oneshot::channel();
    let write_all = move || {
        let mut all = || {
            while let Some(item) = incoming.blocking_recv() {
                write(item)?;
            }
            Ok(())
        };
        let _ = ended.send(all());
    };
    std::thread::Builder::new()
        .name(name.into())
        .spawn(write_all)
        .context("failed to start a writing thread")?;
    Ok(Ended(Some(result)))
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
