//! Everything behind the pipeline: who this host is, its state file, and delivery.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::agent::aws_settings;
use super::delivery::Delivery;
use super::logs::Logs;
use super::provision::Provisioning;
use super::ship::{SHARE_OF_LINES, Ship};
use super::who::Known;
use super::{Ended, on_a_thread};
use crate::aws::{Aws, Link, ServerClock};
use crate::config::Config;
use crate::host::clock::wall;
use crate::host::facts::HostFacts;
use crate::host::paths::Paths;
use crate::model::event::{Event, Learned};
use crate::model::identity::Identity;
use crate::model::shipped::{ShippedLog, StreamNames};
use crate::model::spool::{ClockEra, Destination, Kind};
use crate::pipeline::stream_name;
use crate::service::board::Board;
use crate::service::status::{Status, StatusFile};
use crate::service::systemd;
use crate::shipping::is_of_a_shipped_log;
use crate::sinks::deliver::{Schedule, Wake};
use crate::sinks::spool::{Stamped, gap_entry, spool};
use crate::store::service::{self, StoreGone, StoreHandle};
use crate::store::{OpenError, Store, ValueKey, ValueKind};
use crate::tail::Cursors;

/// Between two looks at what changes slowly: instance metadata, the state file's length.
const MINUTE: Duration = Duration::from_mins(1);
/// Between two reminders of a trouble that lasts.
const REMIND: Duration = Duration::from_mins(10);
/// What an agent that is stopped still waits for its identity.
const IDENTITY_AT_STOP: Duration = Duration::from_secs(1);
/// Of its troubles, on the board.
const PUBLISHING: &str = "publishing";
/// Between two writings of the status.
const STATUS: Duration = Duration::from_secs(2);

/// Everything behind the pipeline.
pub(super) struct Outlet {
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) paths: Paths,
    pub(super) aws: Aws,
    pub(super) on_ec2: bool,
    pub(super) board: Arc<Board>,
    pub(super) server_clock: Arc<ServerClock>,
    /// Changes with each snapshot that went through the pipeline.
    pub(super) turned: watch::Receiver<()>,
}

impl Outlet {
    /// Learns who this host is, opens its state file, and delivers until no more records come. Tells the status all
    /// the while.
    pub(super) async fn run(
        self,
        events: mpsc::Sender<Event>,
        records: mpsc::Receiver<Stamped>,
        stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut status = StatusFile::new(self.config.borrow().status_file.clone(), wall());
        let (store_to, store_now) = watch::channel(None);
        let (turned, store_too) = (self.turned.clone(), store_now.clone());
        tokio::select! {
            result = self.deliver(events, records, stopped, store_to) => result,
            () = self.watch_status(&mut status, store_now) => Err(anyhow!("the status ended; please report this")),
            never = keep_telling_systemd(turned, store_too) => match never {},
        }
    }

    async fn deliver(
        &self,
        events: mpsc::Sender<Event>,
        records: mpsc::Receiver<Stamped>,
        mut stopped: watch::Receiver<bool>,
        store_to: watch::Sender<Option<StoreHandle>>,
    ) -> anyhow::Result<()> {
        let config = self.config.borrow().clone();
        let known = self.known(stopped.clone());
        let known = if self.on_ec2 {
            tokio::select! {
                biased;
                known = known => known,
                () = stopped_for(&mut stopped, IDENTITY_AT_STOP) => {
                    tracing::warn!("stopped before it was known who this host is; nothing was sent or stored");
                    return Ok(());
                }
            }
        } else {
            known.await
        };
        let (store, mut store_ended) = self.open_state(&known.owner).await?;
        store_to.send_replace(Some(store.clone()));
        let (learned, cursors) = (learned(&store).await?, cursors(&store).await?);
        let region = known.instance.as_ref().map(|instance| instance.region.clone());
        let link = Arc::new(Link::new(self.aws.clone(), region, Arc::clone(&self.server_clock)).await);
        self.board.about(known.identity.clone(), known.instance.clone(), link.connection().region());
        let in_memory = store.trouble().await?.is_some();
        self.say_hello(&known, &link, in_memory);

        let (wake, woken) = watch::channel(Wake::default());
        let schedule = |config: &Config| Schedule::of(&known.identity.name, config.settings.interval_seconds);
        let (flushes, flush_now) = watch::channel(schedule(&config));
        let (retention, retention_now) = watch::channel(retention(&config));
        let (lines_wake, lines_woken) = watch::channel(Wake::default());
        let (ships, ships_now) = watch::channel(Arc::clone(&config.shipped));
        let ship = self.ship(&known, &store, ships_now, lines_wake);
        let (subjects, subject_now) = watch::channel((config.clone(), known.identity.clone()));
        let (drain, drained) = watch::channel(false);
        let gaps_to = Destination::Logs {
            group: config.settings.samples_group.clone(),
            stream: stream_name(&known.identity.name),
        };
        let delivery = Delivery {
            store: store.clone(),
            link: Arc::clone(&link),
            server_clock: Arc::clone(&self.server_clock),
            board: Arc::clone(&self.board),
            retention: retention_now,
            wake: woken,
            lines_wake: lines_woken,
            name: known.identity.name.clone(),
            schedule: flush_now,
            drain: drained,
        };
        // From here on only the sampler keeps the pipeline going: when it stops, everything behind it does.
        let (tails, tails_now) = watch::channel(config.tails.clone());
        let logs = Logs { paths: self.paths.clone(), rules: tails_now, board: Some(Arc::clone(&self.board)) };
        let (weak_events, identity) = (events.downgrade(), known.identity.clone());
        let shipped = ship.run(stopped.clone());
        let identified = async move {
            // Beside the spool, which takes away what waited for it. What was learned goes first: from the identity on
            // what detectors know is stored over it.
            for learned in learned {
                let _ = events.send(Event::Learned(learned)).await;
            }
            let _ = events.send(Event::Identity(identity)).await;
            // Logs wait for the cursors, which are in the state file; they keep what is written meanwhile.
            logs.run(cursors, events, stopped).await
        };
        let spooled = async {
            let result = spool(records, store.clone(), Arc::clone(&self.board), wake, gaps_to.clone()).await;
            let told = self.tell_gaps(&store, &gaps_to).await;
            // Nothing more comes: deliver what is there, and end.
            let _ = drain.send(true);
            result.and(told)
        };
        let delivered = async {
            let spooled = async { anyhow::Ok(spooled.await?) };
            let sent = async { anyhow::Ok(Box::pin(delivery.run()).await?) };
            tokio::try_join!(identified, spooled, sent, shipped)?;
            // What was lost on the last steps is told by the next run.
            anyhow::Ok(self.tell_gaps(&store, &gaps_to).await?)
        };
        let provisioning = self.provisioning(subject_now);
        let reloads = async {
            let mut config_now = self.config.clone();
            while config_now.changed().await.is_ok() {
                let config = config_now.borrow_and_update().clone();
                flushes.send_replace(schedule(&config));
                retention.send_replace(self::retention(&config));
                tails.send_replace(config.tails.clone());
                ships.send_replace(Arc::clone(&config.shipped));
                self.reconnect(&config, &link).await;
                let identity = known.identity_by(&config.dimensions, self.board.instance().as_ref());
                if let Some(events) = weak_events.upgrade() {
                    let _ = events.send(Event::Identity(identity.clone())).await;
                }
                subjects.send_replace((config, identity));
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            result = delivered => result.context("failed to deliver"),
            ended = store_ended.wait() => ended.and(Err(anyhow!("the state file's thread ended by itself"))),
            () = reloads => Ok(()),
            () = provisioning.keep(&link, &store) => Ok(()),
        };
        provisioning.say_farewell(&link, &store).await;
        ended
    }

    /// What keeps alarms, dashboard and log groups as they should be.
    fn provisioning(&self, subject: watch::Receiver<(Arc<Config>, Identity)>) -> Provisioning {
        Provisioning {
            subject,
            paths: self.paths.clone(),
            aws: self.aws.clone(),
            on_ec2: self.on_ec2,
            board: Arc::clone(&self.board),
        }
    }

    /// What ships logs.
    fn ship(
        &self,
        known: &Known,
        store: &StoreHandle,
        logs: watch::Receiver<Arc<Vec<ShippedLog>>>,
        wake: watch::Sender<Wake>,
    ) -> Ship {
        Ship {
            paths: self.paths.clone(),
            logs,
            names: StreamNames {
                instance_id: known.identity.name.clone(),
                hostname: HostFacts::of(&self.paths).name,
            },
            room: self.config.borrow().state_limit / SHARE_OF_LINES,
            store: store.clone(),
            board: Arc::clone(&self.board),
            server_clock: Arc::clone(&self.server_clock),
            wake,
        }
    }

    /// Stores gap records of what was not told yet, and counts what is left.
    async fn tell_gaps(&self, store: &StoreHandle, gaps_to: &Destination) -> Result<(), StoreGone> {
        let gaps = self.board.last_gaps(|gap| gap_entry(gap, gaps_to, &ClockEra::default()));
        self.board.shed(store.append(gaps, Vec::new()).await?.shed);
        self.measure(store).await;
        Ok(())
    }

    /// Connects with what a reload may have changed. That it can was checked before.
    async fn reconnect(&self, config: &Config, link: &Link) {
        match Aws::new(aws_settings(config), self.on_ec2) {
            Ok(aws) => link.reconfigure(aws).await,
            Err(error) => tracing::error!("the old connection stays: {error}"),
        }
        self.board.region(link.connection().region());
    }

    /// Opens the state file on its own thread.
    async fn open_state(&self, owner: &str) -> anyhow::Result<(StoreHandle, Ended)> {
        let config = self.config.borrow().clone();
        let folder = &config.state_folder;
        if let Err(error) = std::fs::create_dir_all(folder) {
            tracing::debug!("{}: {error}", folder.display());
        }
        let path = folder.join("state.redb");
        let (owner, limit) = (owner.to_owned(), config.state_limit);
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
        let waiting = handle.destinations().await.context("failed to open the state file")?;
        if let Some(oldest) = waiting.iter().map(|waiting| waiting.oldest).min() {
            let records: u64 = waiting.iter().map(|waiting| waiting.records).sum();
            tracing::info!(
                "{records} records of an earlier run wait, the oldest of {oldest}; they go out now"
            );
        }
        Ok((handle, ended))
    }

    fn say_hello(&self, known: &Known, link: &Link, in_memory: bool) {
        let what = match &known.instance {
            Some(instance) => {
                format!("instance {} ({}, {})", instance.instance_id, instance.instance_type, instance.region)
            }
            None => format!("host {}", known.identity.name),
        };
        let config = self.config.borrow();
        let connection = link.connection();
        let region = connection.region().unwrap_or("no region yet");
        let state = if in_memory { "memory alone".into() } else { config.state_folder.display().to_string() };
        tracing::info!(
            "vpcwatch {} on {what}, sending to {region} every {} s; state in {state}",
            env!("CARGO_PKG_VERSION"),
            config.settings.interval_seconds,
        );
    }

    /// Writes the status again and again.
    async fn watch_status(&self, status: &mut StatusFile, store: watch::Receiver<Option<StoreHandle>>) {
        let started = wall();
        let mut each_minute = Instant::now();
        let mut remind_at = Instant::now() + REMIND;
        let mut told = String::new();
        loop {
            let store = store.borrow().clone();
            if let Some(store) = store {
                self.measure(&store).await;
                if Instant::now() >= each_minute {
                    each_minute = Instant::now() + MINUTE;
                    self.look_after(&store).await;
                }
            }
            self.judge_publishing(started);
            if Instant::now() >= remind_at {
                remind_at = Instant::now() + REMIND;
                self.remind();
            }
            let now = Status::of(&self.board);
            status.write(&now);
            // systemd hands each on to whoever watches it.
            let line = now.line();
            if line != told {
                systemd::status(&line);
                told = line;
            }
            sleep(STATUS).await;
        }
    }

    /// What waits, for status and self-metrics.
    async fn measure(&self, store: &StoreHandle) {
        let (Ok(usage), Ok(waiting)) = (store.usage().await, store.destinations().await) else { return };
        self.board.count(|meters| {
            meters.state_file_bytes = usage.file_bytes;
            meters.unwritten = usage.unwritten;
            meters.waiting = usage.records.into_iter().collect();
            // A shipped line is as old as its log says, however short it waits.
            let own = waiting.iter().filter(|waiting| waiting.kind != Kind::Lines);
            meters.oldest = own.map(|waiting| waiting.oldest).min();
            meters.clock_offset_ms = self.server_clock.offset_ms();
        });
    }

    /// What is done once a minute.
    async fn look_after(&self, store: &StoreHandle) {
        if let Some(mut instance) = self.board.instance() {
            self.refresh(&mut instance).await;
            self.board.set_instance(instance);
        }
        // After a backlog the file is long and empty.
        if store.usage().await.is_ok_and(|usage| usage.payload_bytes < usage.file_bytes / 8) {
            let _ = store.compact().await;
        }
    }

    /// Troubles are told when they begin; those that last are told again.
    fn remind(&self) {
        let meters = self.board.meters();
        let waiting: u64 = meters.waiting.values().sum();
        for (place, what) in self.board.troubles() {
            tracing::warn!("still in trouble, {place}: {what}; {waiting} records wait");
        }
    }

    /// Nothing published for long is a trouble, whether anybody complained or not.
    fn judge_publishing(&self, started: Timestamp) {
        let interval = i64::from(self.config.borrow().settings.interval_seconds);
        let last = self.board.meters().last_publish.map_or(started, |last| last.max(started));
        let silent = wall().duration_since(last).as_secs();
        if silent > 3 * interval + 60 {
            self.board.trouble(PUBLISHING, &format!("no metrics were published for {silent} s"));
        } else {
            self.board.well(PUBLISHING);
        }
    }
}

/// Tells systemd that the agent is ready once the first snapshot went through the pipeline, and from then on that it
/// turns: each time, another snapshot went through, and the state file's thread answered after it. CloudWatch has no part in
/// this: no restart cures an outage.
async fn keep_telling_systemd(
    mut turned: watch::Receiver<()>,
    store: watch::Receiver<Option<StoreHandle>>,
) -> Infallible {
    let mut is_ready = false;
    while turned.changed().await.is_ok() {
        if !is_ready {
            systemd::ready();
            is_ready = true;
        }
        let Some(pause) = systemd::watchdog() else { break };
        let store = store.borrow().clone();
        if let Some(store) = store
            && store.usage().await.is_err()
        {
            break;
        }
        systemd::turns();
        sleep(pause).await;
    }
    std::future::pending().await
}

/// Waits for the stop, and then for as long as a question may take that was just asked.
async fn stopped_for(stopped: &mut watch::Receiver<bool>, patience: Duration) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
    sleep(patience).await;
}

/// What detectors had learned when this host's agent last stored it. What cannot be read is learned anew.
async fn learned(store: &StoreHandle) -> anyhow::Result<Vec<Learned>> {
    let stored = store.values(ValueKind::Baseline).await.context("failed to read the state file")?;
    let read = |(key, bytes): (ValueKey, Vec<u8>)| {
        let ValueKey::Baseline(detector) = key else { return None };
        match serde_json::from_slice(&bytes) {
            Ok(values) => Some(Learned { detector, values }),
            Err(error) => {
                tracing::warn!("what {detector} had learned cannot be read, it learns anew: {error}");
                None
            }
        }
    };
    Ok(stored.into_iter().filter_map(read).collect())
}

/// How far logs were read when what was made of their lines was last stored.
async fn cursors(store: &StoreHandle) -> anyhow::Result<Cursors> {
    let stored = store.values(ValueKind::Cursor).await.context("failed to read the state file")?;
    let read = |(key, place)| match key {
        ValueKey::Cursor(log) if !is_of_a_shipped_log(&log) => Some((log, place)),
        _ => None,
    };
    Ok(stored.into_iter().filter_map(read).collect())
}

fn retention(config: &Config) -> HashMap<String, Option<u16>> {
    config.retention.iter().cloned().collect()
}
