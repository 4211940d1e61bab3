//! `run`: the product. Sampling begins at once; delivery begins as soon as it is known who this host is.
//!
//! ```text
//! sampler --> pipeline --> spool --> state file --> deliver (metrics) --> CloudWatch
//!     ^                                        \--> deliver (logs)    --> CloudWatch Logs
//!     identity ----^
//! ```

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::delivery::Delivery;
use super::{
    EVENTS, End, Ended, PATIENCE, Sampling, host_name, on_a_thread, on_one_thread, sample_each_second,
};
use crate::aws::{Aws, AwsSettings, Link, ServerClock};
use crate::config::{Config, Layers};
use crate::host::clock::{EraClock, wall};
use crate::host::facts::HostFacts;
use crate::host::identity;
use crate::host::paths::Paths;
use crate::model::event::Event;
use crate::model::identity::{Identity, Instance, InstanceDimension};
use crate::model::meters::Loss;
use crate::model::spool::Destination;
use crate::pipeline::{Pipeline, stream_name};
use crate::service::board::Board;
use crate::service::signals::{Asked, Signals};
use crate::service::status::{Status, StatusFile};
use crate::sinks::deliver::{Schedule, Wake};
use crate::sinks::spool::{Stamped, spool};
use crate::store::service::{self, StoreHandle};
use crate::store::{OpenError, Store};

/// What one event completed, waiting for the state file.
const RECORDS: usize = 64;
/// What the drain may take; the rest stays in the state file. The unit's stop time-out is longer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two questions to instance metadata that was not there: first and longest.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long the Auto Scaling group is waited for, where it is a dimension: tags may come minutes late.
const GROUP_PATIENCE: Duration = Duration::from_mins(5);
/// Between two writings of the status.
const STATUS: Duration = Duration::from_secs(2);

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
}

/// What a reload may change, one channel a part.
struct Reload {
    events: mpsc::WeakSender<Event>,
    rules: watch::Sender<crate::sources::InterfaceRules>,
    interval_seconds: watch::Sender<u32>,
    retention: watch::Sender<HashMap<String, Option<u16>>>,
    aws: watch::Sender<Option<Aws>>,
    dimensions: watch::Sender<Vec<InstanceDimension>>,
}

/// Who this host is, and what its state file belongs to.
struct Known {
    instance: Option<Instance>,
    identity: Identity,
    owner: String,
}

impl Agent {
    /// Runs until a signal, the end of its time, or a failure that a restart might cure.
    pub fn run(self) -> anyhow::Result<End> {
        on_one_thread(self.stages())
    }

    async fn stages(self) -> anyhow::Result<End> {
        let Agent { config, layers, paths, stop_after } = self;
        let mut signals = Signals::listen()?;
        let on_ec2 = identity::is_ec2(&paths, |name| std::env::var(name).ok());
        let aws = Aws::new(aws_settings(&config), on_ec2)?;
        let (board, server_clock) = (Arc::new(Board::default()), Arc::new(ServerClock::default()));

        let (stop, stopped) = watch::channel(false);
        let (events, incoming) = mpsc::channel(EVENTS);
        let (records, outgoing) = mpsc::channel(RECORDS);
        let (rules, rules_now) = watch::channel(config.interfaces.clone());
        let (interval_seconds, interval_now) = watch::channel(config.settings.interval_seconds);
        let (retention, retention_now) = watch::channel(retention(&config));
        let (new_aws, aws_now) = watch::channel(None);
        let (dimensions, dimensions_now) = watch::channel(config.dimensions.clone());
        let weak = events.downgrade();
        let reload = Reload { events: weak, rules, interval_seconds, retention, aws: new_aws, dimensions };

        let sampling = Sampling {
            paths: paths.clone(),
            rules: rules_now,
            board: Some(Arc::clone(&board)),
            recording: None,
        };
        let outlet = Outlet {
            config: config.clone(),
            paths: paths.clone(),
            aws,
            on_ec2,
            board: Arc::clone(&board),
            server_clock: Arc::clone(&server_clock),
            interval_seconds: interval_now,
            retention: retention_now,
            new_aws: aws_now,
            dimensions: dimensions_now,
        };
        let pipeline = Pipeline::new(config.settings.clone());
        let clock = EraClock::start();
        let stages = async {
            let sample = sample_each_second(sampling, events.clone(), stopped.clone());
            let process = process(pipeline, incoming, records, clock, &server_clock, &board);
            let ((), (), delivered) =
                tokio::join!(sample, process, outlet.run(events, outgoing, stopped.clone()));
            delivered
        };
        let mut stages = pin!(stages);

        let stop_at = stop_after.map(|after| Instant::now() + after);
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop => break,
                    Asked::Reload => reload_configuration(&layers, &config, &reload, on_ec2).await,
                },
                () = until(stop_at) => break,
                result = &mut stages => {
                    result?;
                    return Err(anyhow!("a stage ended that should run for ever; please report this"));
                }
            }
        }
        // Stop the source; closing channels stop the rest, in order.
        let _ = stop.send(true);
        let waiting = async {
            sleep(PATIENCE).await;
            tracing::info!(
                "sending what waits, for up to {} s; a second signal ends at once",
                DEADLINE.as_secs()
            );
            std::future::pending::<()>().await;
        };
        tokio::select! {
            result = timeout(DEADLINE, &mut stages) => {
                if result.is_err() {
                    tracing::info!("what was not sent stays in the state file, and goes out at the next start");
                }
                result.unwrap_or(Ok(())).map(|()| End::Stopped)
            }
            () = waiting => Ok(End::Interrupted),
            () = signals.stop() => Ok(End::Interrupted),
        }
    }
}

fn aws_settings(config: &Config) -> AwsSettings {
    AwsSettings { region: config.region.clone(), ca_bundle: config.ca_bundle.clone() }
}

fn retention(config: &Config) -> HashMap<String, Option<u16>> {
    config.retention.iter().cloned().collect()
}

/// Reads the configuration again. One with mistakes changes nothing.
async fn reload_configuration(layers: &Layers, started_with: &Config, to: &Reload, on_ec2: bool) {
    let config = match Config::load(layers) {
        Ok(config) => config,
        Err(mistakes) => return tracing::error!("not reloaded, the old configuration stays: {mistakes}"),
    };
    let aws = match Aws::new(aws_settings(&config), on_ec2) {
        Ok(aws) => aws,
        Err(error) => return tracing::error!("not reloaded, the old configuration stays: {error}"),
    };
    let state =
        |config: &Config| (config.state_folder.clone(), config.state_limit, config.status_file.clone());
    if state(&config) != state(started_with) {
        tracing::warn!("state.* and status.file take effect at the next start");
    }
    to.rules.send_replace(config.interfaces.clone());
    to.interval_seconds.send_replace(config.settings.interval_seconds);
    to.retention.send_replace(retention(&config));
    to.aws.send_replace(Some(aws));
    to.dimensions.send_replace(config.dimensions.clone());
    if let Some(events) = to.events.upgrade() {
        let _ = events.send(Event::Settings(Box::new(config.settings))).await;
    }
    tracing::info!("the configuration was read again");
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Runs events through the pipeline until there are no more, then closes the open interval.
async fn process(
    mut pipeline: Pipeline,
    mut events: mpsc::Receiver<Event>,
    to: mpsc::Sender<Stamped>,
    mut clock: EraClock,
    server_clock: &ServerClock,
    board: &Board,
) {
    let mut era = clock.now(0);
    let mut crowded_out = 0;
    while let Some(event) = events.recv().await {
        let records = pipeline.handle(&event);
        // What an event completes was stamped before it: by the clock as it was set at the event before.
        let stamped = Stamped { era: era.clone(), records };
        era = clock.now(server_clock.offset_ms());
        board.count(|meters| meters.count_lost(Loss::Crowded, pipeline.crowded_out() - crowded_out));
        crowded_out = pipeline.crowded_out();
        if !stamped.records.is_empty() && to.send(stamped).await.is_err() {
            return;
        }
    }
    let _ = to.send(Stamped { era, records: pipeline.finish() }).await;
}

/// Everything behind the pipeline.
struct Outlet {
    config: Config,
    paths: Paths,
    aws: Aws,
    on_ec2: bool,
    board: Arc<Board>,
    server_clock: Arc<ServerClock>,
    interval_seconds: watch::Receiver<u32>,
    retention: watch::Receiver<HashMap<String, Option<u16>>>,
    new_aws: watch::Receiver<Option<Aws>>,
    dimensions: watch::Receiver<Vec<InstanceDimension>>,
}

impl Outlet {
    /// Learns who this host is, opens its state file, and delivers until no more records come.
    async fn run(
        self,
        events: mpsc::Sender<Event>,
        records: mpsc::Receiver<Stamped>,
        mut stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut status = StatusFile::new(self.config.status_file.clone(), wall());
        let known = tokio::select! {
            known = self.known(&mut status) => known?,
            _ = stopped.changed() => {
                status.remove();
                tracing::warn!("stopped before it was known who this host is; nothing was sent or stored");
                return Ok(());
            }
        };
        let (store, mut store_ended) = self.open_state(&known.owner).await?;
        let region = known.instance.as_ref().map(|instance| instance.region.clone());
        let link = Arc::new(Link::new(self.aws.clone(), region, Arc::clone(&self.server_clock)).await);
        let schedule = |seconds: u32| Schedule::of(&known.identity.name, seconds);
        self.say_hello(&known, &link);
        let _ = events.send(Event::Identity(known.identity.clone())).await;
        // From here on only the sampler keeps the pipeline going: when it stops, everything behind it does.
        let events = {
            let weak = events.downgrade();
            drop(events);
            weak
        };

        let (wake, woken) = watch::channel(Wake::default());
        let (flushes, flush_now) = watch::channel(schedule(*self.interval_seconds.borrow()));
        let (drain, drained) = watch::channel(false);
        let gaps_to = Destination::Logs {
            group: self.config.settings.samples_group.clone(),
            stream: stream_name(&known.identity.name),
        };
        let delivery = Delivery {
            store: store.clone(),
            link: Arc::clone(&link),
            server_clock: Arc::clone(&self.server_clock),
            board: Arc::clone(&self.board),
            retention: self.retention.clone(),
            wake: woken,
            schedule: flush_now,
            drain: drained,
        };
        let spooled = async {
            let result = spool(records, store.clone(), Arc::clone(&self.board), wake, gaps_to).await;
            // Nothing more comes: deliver what is there, and end.
            let _ = drain.send(true);
            result
        };
        let delivered = async { tokio::try_join!(spooled, delivery.run()) };
        let beside = async {
            tokio::join!(
                self.watch_status(&mut status, &known, &link, &store),
                self.follow_reloads(&known, &link, &flushes, &events),
            )
        };
        let result = tokio::select! {
            result = delivered => result.map(|_| ()).context("failed to deliver"),
            _ = beside => Err(anyhow!("the status or the reloads ended; please report this")),
            ended = store_ended.wait() => ended.and(Err(anyhow!("the state file's thread ended by itself"))),
        };
        status.remove();
        result
    }

    /// Who this host is. On EC2 instance metadata is asked until it answers.
    async fn known(&self, status: &mut StatusFile) -> anyhow::Result<Known> {
        if !self.on_ec2 {
            let identity = Identity::of_host(&host_name(&self.config, &HostFacts::of(&self.paths)));
            let owner = identity::machine_id(&self.paths).unwrap_or_else(|| identity.name.clone());
            return Ok(Known { instance: None, identity, owner });
        }
        let mut instance = self.ask(status, || identity::instance(self.aws.metadata())).await;
        if self.dimensions.borrow().contains(&InstanceDimension::AutoScalingGroupName) {
            instance.auto_scaling_group = self.group(status).await;
        }
        let identity = instance.identity(&self.dimensions.borrow());
        Ok(Known { owner: instance.instance_id.clone(), instance: Some(instance), identity })
    }

    /// Asks until there is an answer.
    async fn ask<T, F>(&self, status: &mut StatusFile, question: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, identity::MetadataError>>,
    {
        let mut wait = ASK_AGAIN.0;
        loop {
            match question().await {
                Ok(answer) => {
                    self.board.well("identity");
                    return answer;
                }
                Err(error) => {
                    if wait == ASK_AGAIN.0 {
                        tracing::warn!("{error}; sampling goes on, and records wait until it answers");
                    }
                    self.board.trouble("identity", &error.to_string());
                    status.write(&Status::unidentified(&self.board));
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(ASK_AGAIN.1);
        }
    }

    /// The Auto Scaling group, waited for as long as it may take to come.
    async fn group(&self, status: &mut StatusFile) -> Option<String> {
        let given_up = Instant::now() + GROUP_PATIENCE;
        let mut wait = ASK_AGAIN.0;
        while Instant::now() < given_up {
            let group = self.ask(status, || identity::auto_scaling_group(self.aws.metadata())).await;
            if group.is_some() {
                return group;
            }
            sleep(wait).await;
            wait = (wait * 2).min(ASK_AGAIN.1);
        }
        tracing::warn!(
            "no Auto Scaling group in instance metadata after {} min; metrics go without that dimension. \
             Is the instance of a group, and are instance tags allowed in metadata?",
            GROUP_PATIENCE.as_secs() / 60
        );
        None
    }

    /// Opens the state file on its own thread.
    async fn open_state(&self, owner: &str) -> anyhow::Result<(StoreHandle, Ended)> {
        let folder = &self.config.state_folder;
        if let Err(error) = std::fs::create_dir_all(folder) {
            tracing::debug!("{}: {error}", folder.display());
        }
        let path = folder.join("state.redb");
        let (owner, limit) = (owner.to_owned(), self.config.state_limit);
        let (handle, calls) = service::channel();
        let (opened, told) = oneshot::channel();
        let ended = on_a_thread("state", move || {
            match Store::open(&path, &owner, limit) {
                Ok((store, met)) => {
                    let _ = opened.send(Ok(met));
                    service::serve(store, calls);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
            Ok(())
        })?;
        let met = told.await.map_err(|_| anyhow!("the state file's thread ended by itself"))?;
        let met = met.map_err(|error: OpenError| anyhow!(error))?;
        if let Some(aside) = met.set_aside {
            tracing::warn!(
                "the state file could not be used ({}); it was set aside as {}, and a new one begun",
                aside.why,
                aside.path.display()
            );
        }
        if let Some(why) = met.memory_only {
            tracing::warn!("nothing can be stored, so an outage or a restart loses data: {why}");
            self.board.trouble("state file", &why);
        }
        if met.ambiguous > 0 {
            tracing::warn!(
                "{} records were being sent when the agent last ended; CloudWatch may get them twice",
                met.ambiguous
            );
            self.board.count(|meters| {
                meters.ambiguous += 1;
                meters.ambiguous_records += met.ambiguous;
            });
        }
        Ok((handle, ended))
    }

    fn say_hello(&self, known: &Known, link: &Link) {
        let what = match &known.instance {
            Some(instance) => {
                format!("instance {} ({}, {})", instance.instance_id, instance.instance_type, instance.region)
            }
            None => format!("host {}", known.identity.name),
        };
        let connection = link.connection();
        let region = connection.region().unwrap_or("no region yet");
        tracing::info!(
            "vpcwatch {} on {what}, sending to {region} every {} s; state in {}",
            env!("CARGO_PKG_VERSION"),
            *self.interval_seconds.borrow(),
            self.config.state_folder.display()
        );
    }

    /// Writes the status again and again.
    async fn watch_status(&self, status: &mut StatusFile, known: &Known, link: &Link, store: &StoreHandle) {
        loop {
            if let Ok(usage) = store.usage().await {
                self.board.count(|meters| {
                    meters.state_file_bytes = usage.file_bytes;
                    meters.waiting = usage.records.into_iter().collect();
                    meters.oldest = usage.oldest;
                });
            }
            let region = link.connection().region().map(str::to_owned);
            status.write(&Status::of(&self.board, &known.identity, known.instance.as_ref(), region));
            sleep(STATUS).await;
        }
    }

    /// Hands on what a reload changed.
    async fn follow_reloads(
        &self,
        known: &Known,
        link: &Link,
        flushes: &watch::Sender<Schedule>,
        events: &mpsc::WeakSender<Event>,
    ) {
        let (mut interval, mut aws) = (self.interval_seconds.clone(), self.new_aws.clone());
        let mut dimensions = self.dimensions.clone();
        loop {
            tokio::select! {
                Ok(()) = interval.changed() => {
                    let seconds = *interval.borrow_and_update();
                    flushes.send_replace(Schedule::of(&known.identity.name, seconds));
                }
                Ok(()) = aws.changed() => {
                    let aws = aws.borrow_and_update().clone();
                    if let Some(aws) = aws {
                        link.reconfigure(aws).await;
                    }
                }
                Ok(()) = dimensions.changed() => {
                    let chosen = dimensions.borrow_and_update().clone();
                    if let (Some(instance), Some(events)) = (&known.instance, events.upgrade()) {
                        let _ = events.send(Event::Identity(instance.identity(&chosen))).await;
                    }
                }
                else => std::future::pending::<()>().await,
            }
        }
    }
}
