//! Assembly: configuration to parts, parts to stages, wait, drain. The only place that starts threads.
//!
//! Stages run on one thread. What may block (standard output, a recording, the state file) has a thread of its own.

mod agent;
mod check;
mod delivery;
mod dry_run;
mod logs;
mod outlet;
mod provision;
mod ship;
mod who;

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rustix::process::{Resource, getrlimit};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::config::Config;
use crate::host::clock::{Monotonic, wall};
use crate::host::facts::HostFacts;
use crate::host::paths::Paths;
use crate::model::event::Event;
use crate::model::snapshot::Snapshot;
use crate::replay::Recorder;
use crate::sampler::Sampler;
use crate::service::board::Board;
use crate::sources::{self, SourceRules};

pub use agent::Agent;
pub use check::Check;
pub use delivery::Delivery;
pub use dry_run::DryRun;
pub use provision::{Deed, MARK, Outcome, Provision, Provisioning};

/// One sample a second.
const TICK: Duration = Duration::from_millis(crate::rates::TICK_MS);
/// Snapshots that may wait for the pipeline. When its output is held up they make the sampler wait, and the next
/// growth is spread over the seconds that were missed: nothing is lost.
const EVENTS: usize = 8;
/// Files open at once at the most, with room to spare: some 40, and 96 packet sockets where 16 interfaces are captured.
const OPEN_FILES: u64 = 192;
/// When an operator who waits for the drain is told what it waits for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a run ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Asked to, and everything was printed, sent or stored.
    Stopped,
    /// A second signal came before that.
    Interrupted,
}

/// Takes one snapshot of this host, now. SYNs are not in it: they are counted from one moment to the next.
pub fn sample(config: &Config, paths: &Paths) -> Snapshot {
    Sampler::new(
        sources::all(paths, SourceRules { capture: false, ..config.sources.clone() }, None),
        Monotonic::start(),
    )
    .sample()
}

/// The name of this host where it is no EC2 instance.
fn host_name(config: &Config, facts: &HostFacts) -> String {
    let named = config.host.as_ref().or(Some(&facts.name)).filter(|name| !name.is_empty());
    named.cloned().unwrap_or_else(|| "unknown".into())
}

/// Runs stages on a runtime of one thread.
fn on_one_thread<T>(stages: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // The runtime's own set-up panics where it finds no descriptor left.
    if getrlimit(Resource::Nofile).current.is_some_and(|limit| limit < OPEN_FILES) {
        return Err(anyhow!("fewer than {OPEN_FILES} open files are allowed; raise the limit (ulimit -n)"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start the runtime")?;
    let result = runtime.block_on(stages);
    // A name that is still being looked up would be waited for.
    runtime.shutdown_background();
    result
}

/// Seed of this run's sketches. Who can guess it can choose source addresses that collide in them, so that fastrand, which
/// seeds itself by clock and thread, will not do. The standard library keys its hash maps against the same attack, by the
/// system's random numbers, without waiting for them and without a way to fail
/// (<https://doc.rust-lang.org/std/collections/struct.HashMap.html>).
fn random_seed() -> u64 {
    RandomState::new().hash_one(())
}

/// What the sampler needs to sample.
struct Sampling {
    paths: Paths,
    rules: watch::Receiver<SourceRules>,
    board: Option<Arc<Board>>,
    recording: Option<mpsc::Sender<Arc<Snapshot>>>,
}

/// Samples until told to stop, or until nobody listens.
async fn sample_each_second(
    mut with: Sampling,
    events: mpsc::Sender<Event>,
    mut stopped: watch::Receiver<bool>,
) {
    let sources = |with: &mut Sampling| {
        let rules = with.rules.borrow_and_update().clone();
        sources::all(&with.paths, rules, with.board.clone())
    };
    let mut sampler = Sampler::new(sources(&mut with), Monotonic::start());
    let mut ticks = interval_at(Instant::now() + off_the_full_second(), TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            Ok(()) = with.rules.changed() => {
                sampler.replace_sources(sources(&mut with));
                continue;
            }
            _ = ticks.tick() => {}
        }
        let snapshot = Arc::new(sampler.sample());
        if let Some(recording) = &with.recording
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

/// How a thread ended, once it has; nothing where there is none, or it was told already.
struct Ended(Option<oneshot::Receiver<anyhow::Result<()>>>);

impl Ended {
    fn is_running(&self) -> bool {
        self.0.is_some()
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let Some(result) = &mut self.0 else { return Ok(()) };
        let ended = result.await;
        self.0 = None;
        ended.unwrap_or_else(|_| Err(anyhow!("a thread ended unexpectedly")))
    }
}

/// Runs what may block on a thread of its own.
fn on_a_thread(
    name: &str,
    work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<Ended> {
    let (ended, result) = oneshot::channel();
    let run = move || {
        let _ = ended.send(work());
    };
    std::thread::Builder::new().name(name.into()).spawn(run).context("failed to start a thread")?;
    Ok(Ended(Some(result)))
}

/// The end of a run's time, if it has one.
async fn sleep_or_forever(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Tells an operator who has waited for a while what for. Never ends.
async fn tell_what_is_waited_for(what: &str) -> Infallible {
    sleep(PATIENCE).await;
    tracing::info!("{what}; a second signal ends at once");
    std::future::pending().await
}

/// Writes what comes, until no more comes.
fn each<T>(
    mut incoming: mpsc::Receiver<T>,
    mut write: impl FnMut(T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    while let Some(item) = incoming.blocking_recv() {
        write(item)?;
    }
    Ok(())
}

/// A recording, if there is to be one.
struct Recording {
    /// Where snapshots go.
    snapshots: Option<mpsc::Sender<Arc<Snapshot>>>,
    /// How its thread ended.
    ended: Ended,
}

impl Recording {
    /// Begins the file at `path`.
    fn start(path: Option<PathBuf>, facts: impl FnOnce() -> HostFacts, seed: u64) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Recording { snapshots: None, ended: Ended(None) }) };
        let mut recorder = Recorder::create(&path, facts(), seed)?;
        let (to, snapshots) = mpsc::channel::<Arc<Snapshot>>(EVENTS);
        let record = move |snapshot: Arc<Snapshot>| Ok(recorder.snapshot(&snapshot)?);
        let ended = on_a_thread("recording", move || each(snapshots, record))?;
        Ok(Recording { snapshots: Some(to), ended })
    }
}
