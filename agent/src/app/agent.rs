//! `run`: the product. Sampling begins at once; delivery begins as soon as it is known who this host is.
//!
//! ```text
//! sampler --> pipeline --> spool --> state file --> deliver (metrics) --> CloudWatch
//!     ^                                        \--> deliver (logs)    --> CloudWatch Logs
//!     identity ----^
//! ```

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::outlet::Outlet;
use super::{
    EVENTS, End, Recording, Sampling, on_one_thread, random_seed, sample_each_second, sleep_or_forever,
    tell_what_is_waited_for,
};
use crate::aws::{Aws, AwsSettings, ServerClock};
use crate::config::{Config, Layers};
use crate::host::clock::EraClock;
use crate::host::facts::HostFacts;
use crate::host::identity;
use crate::host::paths::Paths;
use crate::model::event::Event;
use crate::model::meters::Loss;
use crate::model::record::Record;
use crate::pipeline::Pipeline;
use crate::service::board::Board;
use crate::service::signals::{Asked, Signals};
use crate::service::systemd;
use crate::sinks::spool::Stamped;
use crate::sources::SourceRules;

/// What one event completed, waiting for the state file.
const RECORDS: usize = 64;
/// What the drain may take; the rest stays in the state file. The unit's stop time-out is longer.
const DEADLINE: Duration = Duration::from_secs(10);

/// An agent that delivers.
#[derive(Debug)]
pub struct Agent {
    /// The checked configuration.
    pub config: Config,
    /// Where it was read, to read it again.
    pub layers: Layers,
    /// Where the host's files are.
    pub paths: Paths,
    /// When to stop by itself.
    pub stop_after: Option<Duration>,
    /// Where to record every snapshot.
    pub record: Option<PathBuf>,
}

/// Where a configuration that was read again goes.
struct Reload {
    rules: watch::Sender<SourceRules>,
    config: watch::Sender<Arc<Config>>,
}

impl Agent {
    /// Runs until a signal, the end of its time, or a failure that a restart might cure.
    pub fn run(self) -> anyhow::Result<End> {
        on_one_thread(self.stages())
    }

    async fn stages(self) -> anyhow::Result<End> {
        let Agent { config, layers, paths, stop_after, record } = self;
        let mut signals = Signals::listen()?;
        let on_ec2 = identity::is_ec2(&paths, |name| std::env::var(name).ok());
        let aws = Aws::new(aws_settings(&config), on_ec2)?;
        let (board, server_clock) = (Arc::new(Board::default()), Arc::new(ServerClock::default()));

        let seed = random_seed();
        let mut recording = Recording::start(record, || HostFacts::of(&paths), seed)?;

        let (stop, stopped) = watch::channel(false);
        let (events, incoming) = mpsc::channel(EVENTS);
        let (records, outgoing) = mpsc::channel(RECORDS);
        let (rules, rules_now) = watch::channel(config.sources.clone());
        let (config_to, config_now) = watch::channel(Arc::new(config.clone()));
        let (turns, turned) = watch::channel(());
        let reload = Reload { rules, config: config_to };

        let sampling = Sampling {
            paths: paths.clone(),
            rules: rules_now,
            board: Some(Arc::clone(&board)),
            recording: recording.snapshots.take(),
        };
        let outlet = Outlet {
            config: config_now.clone(),
            paths: paths.clone(),
            aws,
            on_ec2,
            board: Arc::clone(&board),
            server_clock: Arc::clone(&server_clock),
            turned,
        };
        let pipeline = Pipeline::new(config.settings.clone(), seed);
        let process = Process {
            clock: EraClock::start(),
            config: config_now,
            server_clock,
            board: Arc::clone(&board),
            turns,
        };
        let stages = async {
            let sample = sample_each_second(sampling, events.clone(), stopped.clone());
            let process = process.run(pipeline, incoming, records);
            let both = async {
                tokio::join!(sample, process);
                Ok(())
            };
            tokio::try_join!(both, outlet.run(events, outgoing, stopped.clone()),)
        };
        let mut stages = pin!(stages);

        let mut time_is_up = pin!(sleep_or_forever(stop_after));
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop => break,
                    Asked::Reload => {
                        systemd::reloading();
                        reload_configuration(&layers, &config, &reload, on_ec2);
                        systemd::ready();
                    }
                },
                () = &mut time_is_up => break,
                result = recording.ended.wait(), if recording.ended.is_running() => {
                    result?;
                }
                result = &mut stages => {
                    result?;
                    return Err(anyhow!("a stage ended that should run for ever; please report this"));
                }
            }
        }
        // Stop the source; closing channels stop the rest, in order.
        let _ = stop.send(true);
        let what = format!("sending what waits, for up to {} s", DEADLINE.as_secs());
        systemd::stopping(&what);
        let waiting = tell_what_is_waited_for(&what);
        let drained = async {
            let delivered = (&mut stages).await.map(|_| ());
            recording.ended.wait().await.and(delivered)
        };
        tokio::select! {
            result = timeout(DEADLINE, drained) => {
                result.unwrap_or(Ok(())).and_then(|()| tell_what_is_left(&board)).map(|()| End::Stopped)
            }
            never = waiting => match never {},
            () = signals.stop() => Ok(End::Interrupted),
        }
    }
}

/// Says what becomes of what was not sent; what could not be stored either is lost, and a failure.
fn tell_what_is_left(board: &Board) -> anyhow::Result<()> {
    let meters = board.meters();
    let waiting: u64 = meters.waiting.values().sum();
    if waiting > meters.unwritten {
        let stored = waiting - meters.unwritten;
        tracing::info!("{stored} records stay in the state file, and go out at the next start");
    }
    if meters.unwritten > 0 {
        return Err(anyhow!("{} records could neither be sent nor stored, and are lost", meters.unwritten));
    }
    Ok(())
}

pub(super) fn aws_settings(config: &Config) -> AwsSettings {
    AwsSettings { region: config.region.clone(), ca_bundle: config.ca_bundle.clone() }
}

/// Reads the configuration again. One with mistakes changes nothing.
fn reload_configuration(layers: &Layers, started_with: &Config, to: &Reload, on_ec2: bool) {
    let config = match Config::load(layers) {
        Ok(config) => config,
        Err(mistakes) => return tracing::error!("not reloaded, the old configuration stays: {mistakes}"),
    };
    if let Err(error) = Aws::new(aws_settings(&config), on_ec2) {
        return tracing::error!("not reloaded, the old configuration stays: {error}");
    }
    let fixed = |config: &Config| {
        (config.state_folder.clone(), config.state_limit, config.status_file.clone(), config.host.clone())
    };
    if fixed(&config) != fixed(started_with) {
        tracing::warn!("state.*, status.file and identity.host take effect at the next start");
    }
    to.rules.send_replace(config.sources.clone());
    to.config.send_replace(Arc::new(config));
    tracing::info!("the configuration was read again");
}

/// What the pipeline's stage needs beside the pipeline.
struct Process {
    clock: EraClock,
    config: watch::Receiver<Arc<Config>>,
    server_clock: Arc<ServerClock>,
    board: Arc<Board>,
    /// Told of each snapshot that went through.
    turns: watch::Sender<()>,
}

impl Process {
    /// Runs events through the pipeline until there are no more, then closes the open interval.
    async fn run(
        mut self,
        mut pipeline: Pipeline,
        mut events: mpsc::Receiver<Event>,
        to: mpsc::Sender<Stamped>,
    ) {
        let mut era = self.clock.now(0);
        let mut crowded_out = 0;
        loop {
            let event = tokio::select! {
                Ok(()) = self.config.changed() => {
                    Event::Settings(Box::new(self.config.borrow_and_update().settings.clone()))
                }
                event = events.recv() => match event {
                    Some(event) => event,
                    None => break,
                },
            };
            if let Event::Snapshot(snapshot) = &event {
                self.board.sources(&snapshot.sources);
            }
            let records = for_the_state_file(pipeline.handle(&event));
            self.board.count(|meters| meters.count_lost(Loss::Crowded, pipeline.crowded_out() - crowded_out));
            crowded_out = pipeline.crowded_out();
            // What an event completes was stamped before it: by the clock as it was set at the event before.
            let stamped = Stamped { era: era.clone(), records };
            era = self.clock.now(self.server_clock.offset_ms());
            if !stamped.records.is_empty() && to.send(stamped).await.is_err() {
                return;
            }
            if matches!(event, Event::Snapshot(_)) {
                self.turns.send_replace(());
            }
        }
        let _ = to.send(Stamped { era, records: for_the_state_file(pipeline.finish()) }).await;
    }
}

/// Without what is for people on this host: before the identity is known nobody takes records away, and there is no
/// other kind. Of that, what was found odd in logs is told.
fn for_the_state_file(mut records: Vec<Record>) -> Vec<Record> {
    for record in &records {
        if let Record::Summary(interval) = record {
            interval.remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
        }
    }
    records.retain(|record| !matches!(record, Record::Finding(_) | Record::Summary(_)));
    records
}
