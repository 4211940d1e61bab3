//! Everything behind the pipeline: who this host is, its state file, and delivery.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::delivery::Delivery;
use super::who::Known;
use super::{Ended, on_a_thread};
use crate::aws::{Aws, Link, ServerClock};
use crate::config::Config;
use crate::host::clock::wall;
use crate::host::identity;
use crate::host::paths::Paths;
use crate::model::event::Event;
use crate::model::identity::{Instance, InstanceDimension};
use crate::model::spool::Destination;
use crate::pipeline::stream_name;
use crate::service::board::Board;
use crate::service::status::{Status, StatusFile};
use crate::sinks::deliver::{Schedule, Wake};
use crate::sinks::spool::{Stamped, spool};
use crate::store::service::{self, StoreHandle};
use crate::store::{OpenError, Store};

/// Between two questions to instance metadata for the status.
const METADATA: Duration = Duration::from_mins(1);
/// Between two writings of the status.
const STATUS: Duration = Duration::from_secs(2);

/// Everything behind the pipeline.
pub(super) struct Outlet {
    pub(super) config: Config,
    pub(super) paths: Paths,
    pub(super) aws: Aws,
    pub(super) on_ec2: bool,
    pub(super) board: Arc<Board>,
    pub(super) server_clock: Arc<ServerClock>,
    pub(super) interval_seconds: watch::Receiver<u32>,
    pub(super) retention: watch::Receiver<HashMap<String, Option<u16>>>,
    pub(super) new_aws: watch::Receiver<Option<Aws>>,
    pub(super) dimensions: watch::Receiver<Vec<InstanceDimension>>,
}

impl Outlet {
    /// Learns who this host is, opens its state file, and delivers until no more records come.
    pub(super) async fn run(
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
        let mut instance = known.instance.clone();
        let mut ask_metadata_at = Instant::now();
        loop {
            if let Some(instance) = instance.as_mut().filter(|_| Instant::now() >= ask_metadata_at) {
                ask_metadata_at = Instant::now() + METADATA;
                self.refresh(instance).await;
            }
            if let Ok(usage) = store.usage().await {
                self.board.count(|meters| {
                    meters.state_file_bytes = usage.file_bytes;
                    meters.waiting = usage.records.into_iter().collect();
                    meters.oldest = usage.oldest;
                });
            }
            let region = link.connection().region().map(str::to_owned);
            status.write(&Status::of(&self.board, &known.identity, instance.as_ref(), region));
            sleep(STATUS).await;
        }
    }

    /// What may change of an instance, or come late; what metadata does not tell stays as it was.
    async fn refresh(&self, instance: &mut Instance) {
        if let Ok(state) = identity::lifecycle_state(self.aws.metadata()).await {
            instance.lifecycle_state = state;
        }
        if instance.auto_scaling_group.is_none()
            && let Ok(group) = identity::auto_scaling_group(self.aws.metadata()).await
        {
            instance.auto_scaling_group = group;
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
