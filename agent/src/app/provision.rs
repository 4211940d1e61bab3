//! Provisioning: who this host is, what there should be for it, what there is, and what is done about it. By an operator's
//! hand, and by `run` itself, which never waits for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::agent::aws_settings;
use super::{host_name, on_one_thread, sample};
use crate::aws::{Aws, Connection, Failure, Link, ServerClock};
use crate::config::Config;
use crate::host::clock::wall;
use crate::host::facts::HostFacts;
use crate::host::identity as who;
use crate::host::paths::Paths;
use crate::model::alarms::Scope;
use crate::model::identity::{Identity, InstanceDimension};
use crate::provision::apply::{self, Arns, Report};
use crate::provision::election::Election;
use crate::provision::silent::{self, Silent};
use crate::provision::{Desired, Nic, Pace, Paced, Plan, Subject, Wishes, compare, desired};
use crate::service::board::Board;
use crate::store::ValueKey;
use crate::store::service::StoreHandle;

/// What instance metadata may take.
const METADATA: Duration = Duration::from_secs(5);

/// Of its troubles, on the board.
const PLACE: &str = "provisioning";
/// Spread of the first look over hosts that boot together, at most; within a publishing interval.
const SPREAD: u32 = 30;
/// Between two looks at what there is, where nothing here changed: a person may have deleted something.
const CHECK: Duration = Duration::from_hours(24);
/// Between two attempts that failed: first and longest.
const AGAIN: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));
/// The key of what was done last, in the state file.
pub const MARK: &str = "provision";

/// Spread of a fleet's first look, in publishing intervals, and seconds at most: of ten thousand that boot together hardly two look at
/// the same moment, and find nothing.
const FLEET_SPREAD: (u32, u32) = (3, 180);
/// How long alarms wait for the first metrics to be taken, or three intervals, if that is longer: then something is wrong with
/// sending, which is for the alarms to tell.
const FIRST_METRICS: Duration = Duration::from_mins(1);
/// How long whom a fleet elected has; afterwards whoever finds nothing done does it too. The looks are spread over as long.
const TERM: Duration = Duration::from_mins(10);
/// What taking this host's alarms away may take, at the end of an instance.
const FAREWELL: Duration = Duration::from_secs(8);
/// What Auto Scaling wants of an instance that it is about to end.
const TERMINATED: &str = "Terminated";
/// What it wants of one that is of a group no longer.
const DETACHED: &str = "Detached";

/// What was done last.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Done {
    /// Of what there should have been.
    hash: String,
    /// When it was there.
    at: Timestamp,
    /// Whose alarms it made.
    owner: String,
}

/// Who makes what there should be for a fleet.
#[derive(Debug, Clone, PartialEq)]
struct Vote {
    /// The log stream that stands for it.
    stream: String,
    /// When to look whether another has done it; `None`: this instance does.
    look_at: Option<Instant>,
}

/// How far provisioning has come in this run.
#[derive(Debug)]
struct Course {
    /// Whose alarms there were when it last looked; `None` before.
    scope: Option<Scope>,
    vote: Option<Vote>,
    /// Whether the first look was put off by chance.
    is_spread: bool,
    /// When the configuration, or who this host is, changed.
    changed: Option<Timestamp>,
    pace: Pace,
}

/// Provisioning by an operator's hand.
#[derive(Debug)]
pub struct Provision {
    /// The checked configuration.
    pub config: Config,
    /// Where the host's files are.
    pub paths: Paths,
}

/// What is to be done about the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Nothing.
    Plan,
    /// What it says; with `force` also over what a person changed.
    Apply {
        /// Whether a person's changes are written over.
        force: bool,
    },
    /// Take everything of this host away again.
    Destroy {
        /// Whether what a person changed goes too.
        force: bool,
    },
    /// Ring the alarm of that name.
    Ring(String),
}

/// Where provisioning happens, for whom.
struct Place {
    connection: Connection,
    identity: Identity,
    scope: Scope,
    region: String,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Whose alarms there are.
    pub scope: Scope,
    /// What there should be.
    pub desired: Desired,
    /// What was to be done for that.
    pub plan: Plan,
    /// Where.
    pub region: String,
    /// What was done.
    pub report: Report,
}

impl Provision {
    /// Compares, and does it.
    pub fn run(self, deed: &Deed) -> anyhow::Result<Outcome> {
        on_one_thread(self.steps(deed))
    }

    async fn steps(self, deed: &Deed) -> anyhow::Result<Outcome> {
        let Place { connection, identity, scope, region } = self.place().await?;
        check_topics(&self.config, &region).map_err(anyhow::Error::msg)?;
        let nics = nics(scope, &self.config, &self.paths).map_err(anyhow::Error::msg)?;
        let config = &self.config;
        let subject = Subject { scope, identity: &identity, interfaces: &nics };
        let desired = desired(&config.settings, &config.wishes, &subject, &region);
        let pace = Pace::hurried();
        let paced = Paced { connection: &connection, pace: &pace };
        let (plan, arns) = looked_at(paced, &desired).await.map_err(told)?;
        let report = match deed {
            Deed::Plan => Report::default(),
            Deed::Apply { force } => apply::apply(paced, &desired, &plan, &arns, *force).await,
            Deed::Destroy { force } => {
                let mut report = apply::destroy(paced, &desired, &plan, &arns, *force).await;
                if scope == Scope::Fleet {
                    let cleared = election(config, paced, &desired).clear().await;
                    match cleared {
                        Ok(0) => {}
                        Ok(streams) => {
                            report.done.push(format!("deleted {streams} log streams of elections"));
                        }
                        Err(failure) => {
                            report.failed.push(format!("log streams of elections: {}", failure.why()));
                        }
                    }
                }
                report
            }
            Deed::Ring(name) => {
                let full = format!("{}{name}", desired.prefix());
                let known = plan.alarms.keys().find(|known| *known == name || **known == full);
                let name = known.ok_or_else(|| {
                    anyhow!("there is no alarm {name}; `vpcwatch provision plan` names them")
                })?;
                apply::ring(&connection, name).await.map_err(told)?;
                Report { done: vec![format!("rang {name}")], ..Report::default() }
            }
        };
        Ok(Outcome { scope, desired, plan, region, report })
    }

    /// Hosts that have alarms and sent nothing for so many days; `which` says whether theirs go, and what came of it is told.
    pub fn clear_silent(
        self,
        days: u16,
        force: bool,
        which: impl FnOnce(&[Silent]) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Report> {
        on_one_thread(async move {
            let place = self.place().await?;
            let hurried = Pace::hurried();
            let paced = Paced { connection: &place.connection, pace: &hurried };
            let (hosts, arns) = silent::silent(paced, days, wall()).await.map_err(told)?;
            if !which(&hosts)? {
                return Ok(Report::default());
            }
            Ok(silent::clear(paced, &hosts, &arns, force).await)
        })
    }

    /// Where, who, and whose alarms.
    async fn place(&self) -> anyhow::Result<Place> {
        let on_ec2 = who::is_ec2(&self.paths, |name| std::env::var(name).ok());
        let aws = Aws::new(aws_settings(&self.config), on_ec2)?;
        let (identity, region) = self.identity(&aws, on_ec2).await?;
        let scope = match self.config.wishes.scope {
            Some(scope) => scope,
            None => scope_by_group(&aws, on_ec2).await?,
        };
        let connection = aws.connect(region.as_deref(), &Arc::new(ServerClock::default())).await;
        let region = connection.region().map(str::to_owned).ok_or_else(|| {
            anyhow!("no region: set aws.region or AWS_REGION, or run it on an EC2 instance")
        })?;
        Ok(Place { connection, identity, scope, region })
    }

    async fn identity(&self, aws: &Aws, on_ec2: bool) -> anyhow::Result<(Identity, Option<String>)> {
        let config = &self.config;
        if !on_ec2 {
            return Ok((Identity::of_host(&host_name(config, &HostFacts::of(&self.paths))), None));
        }
        let asked = tokio::time::timeout(METADATA, who::instance(aws.metadata())).await;
        let mut instance = asked.map_err(|_| anyhow!("instance metadata does not answer"))??;
        if config.dimensions.contains(&InstanceDimension::AutoScalingGroupName) {
            instance.auto_scaling_group = who::auto_scaling_group(aws.metadata()).await?;
        }
        Ok((instance.identity(&config.dimensions), Some(instance.region)))
    }
}

/// An alarm notifies topics of its own region alone.
pub(super) fn check_topics(config: &Config, region: &str) -> Result<(), String> {
    let partition = partition(region);
    for action in &config.wishes.actions {
        let (of_partition, of_region) = (action.split(':').nth(1), action.split(':').nth(3));
        if of_region != Some(region) {
            return Err(format!(
                "provision.actions: {action} is of another region than {region}, where the alarms are; an alarm notifies \
                 topics of its own region alone"
            ));
        }
        if partition.is_some_and(|partition| of_partition != Some(partition)) {
            let partition = partition.unwrap_or_default();
            return Err(format!(
                "provision.actions: {action} is of another partition than {region}; ARNs there begin with arn:{partition}:"
            ));
        }
    }
    Ok(())
}

/// As ARNs of that region name it, where it is one of those that `iam-policy` knows; others are not judged
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>).
fn partition(region: &str) -> Option<&'static str> {
    match region.split('-').collect::<Vec<_>>().as_slice() {
        ["cn", ..] => Some("aws-cn"),
        ["eusc", ..] => None,
        ["us", "gov", ..] => Some("aws-us-gov"),
        [_, area, ..] if area.starts_with("iso") => None,
        _ => Some("aws"),
    }
}

/// Whose alarms there are where the configuration leaves it to the host: an Auto Scaling group's are of the fleet.
async fn scope_by_group(aws: &Aws, on_ec2: bool) -> Result<Scope, who::MetadataError> {
    if !on_ec2 {
        return Ok(Scope::Instance);
    }
    let state = who::lifecycle_state(aws.metadata()).await?;
    Ok(if state.is_some_and(|state| state != DETACHED) { Scope::Fleet } else { Scope::Instance })
}

fn election<'a>(config: &'a Config, paced: Paced<'a>, desired: &'a Desired) -> Election<'a> {
    Election { paced, group: &config.settings.findings_group, fleet: &desired.owner }
}

async fn looked_at(paced: Paced<'_>, desired: &Desired) -> Result<(Plan, Arns), Failure> {
    let dashboard = desired.dashboard.as_ref().map(|dashboard| dashboard.name.as_str());
    let (existing, arns) = apply::existing(paced, &desired.prefix(), dashboard).await?;
    Ok((compare(desired, &existing), arns))
}

/// The interfaces that alarms depend on: of a fleet none do.
fn nics(scope: Scope, config: &Config, paths: &Paths) -> Result<Vec<Nic>, String> {
    if scope == Scope::Instance { interfaces(config, paths) } else { Ok(Vec::new()) }
}

/// The interfaces that are measured, by one look at this host. Where they cannot be read nothing is planned: their alarms
/// would be deleted.
fn interfaces(config: &Config, paths: &Paths) -> Result<Vec<Nic>, String> {
    let interfaces = sample(config, paths).interfaces;
    let interfaces = interfaces.ok_or("the interfaces of this host cannot be read; see `vpcwatch sample`")?;
    let mut nics: Vec<Nic> = interfaces
        .into_iter()
        .map(|interface| Nic { has_allowances: interface.allowances.is_some(), name: interface.name })
        .collect();
    nics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(nics)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn told(failure: Failure) -> anyhow::Error {
    anyhow!("{}", failure.why())
}

/// Provisioning beside a running agent.
#[derive(Debug)]
pub struct Provisioning {
    /// The configuration, and who this host is by it, now.
    pub subject: watch::Receiver<(Arc<Config>, Identity)>,
    /// Where the host's files are.
    pub paths: Paths,
    /// For instance metadata.
    pub aws: Aws,
    /// Whether this is an EC2 instance.
    pub on_ec2: bool,
    /// Where troubles are told.
    pub board: Arc<Board>,
}

impl Provisioning {
    /// Makes what there should be: at the first run of an instance, when that changes, and once a day where somebody
    /// deleted it. What fails is told, named by its permission, and tried again. Never ends.
    pub async fn keep(&self, link: &Link, store: &StoreHandle) {
        let mut subject_now = self.subject.clone();
        let mut again = AGAIN.0;
        let pace = Pace::patient();
        let mut course = Course { scope: None, vote: None, is_spread: false, changed: None, pace };
        loop {
            let (config, identity) = subject_now.borrow_and_update().clone();
            let wait = if config.provision_at_start.applies(self.on_ec2) {
                // In a large account a look takes hours; a changed configuration begins it anew.
                let looked = tokio::select! {
                    looked = self.look(&config, &identity, link, store, &mut course) => looked,
                    Ok(()) = subject_now.changed() => {
                        course.changed = Some(wall());
                        continue;
                    }
                };
                match looked {
                    Ok(wait) => {
                        self.board.well(PLACE);
                        again = AGAIN.0;
                        wait
                    }
                    Err(why) => {
                        tracing::warn!("provisioning: {why}; tried again in {} min", again.as_secs() / 60);
                        self.board.trouble(PLACE, &why);
                        let wait = again.mul_f64(0.5 + fastrand::f64());
                        again = (again * 2).min(AGAIN.1);
                        wait
                    }
                }
            } else {
                self.board.well(PLACE);
                course.scope = None;
                CHECK
            };
            tokio::select! {
                () = sleep(wait) => {}
                Ok(()) = subject_now.changed() => course.changed = Some(wall()),
                () = self.joins_or_leaves_a_group(&config, course.scope) => {}
            }
        }
    }

    /// Ends when this host has come into an Auto Scaling group, or out of one, where that decides whose alarms there are: metadata
    /// may tell of it minutes after the start.
    async fn joins_or_leaves_a_group(&self, config: &Config, scope: Option<Scope>) {
        let (true, None, Some(scope)) = (self.on_ec2, config.wishes.scope, scope) else {
            return std::future::pending().await;
        };
        loop {
            sleep(Duration::from_secs(config.settings.interval_seconds.into())).await;
            if scope_by_group(&self.aws, self.on_ec2).await.is_ok_and(|now| now != scope) {
                return;
            }
        }
    }

    /// One look, and what it asks for; gives how long until the next.
    async fn look(
        &self,
        config: &Config,
        identity: &Identity,
        link: &Link,
        store: &StoreHandle,
        course: &mut Course,
    ) -> Result<Duration, String> {
        let scope = self.scope(config).await?;
        course.scope = Some(scope);
        let Course { vote, is_spread, pace, changed, .. } = course;
        if !std::mem::replace(is_spread, true) {
            let interval = config.settings.interval_seconds;
            let (intervals, most) = if scope == Scope::Fleet { FLEET_SPREAD } else { (1, SPREAD) };
            let seconds = interval.saturating_mul(intervals).min(most);
            sleep(Duration::from_secs(seconds.into()).mul_f64(fastrand::f64())).await;
        }
        let connection = link.connection();
        let paced = Paced { connection: &connection, pace };
        let region = connection.region().ok_or("no region: set aws.region or AWS_REGION")?;
        check_topics(config, region)?;
        let nics = nics(scope, config, &self.paths)?;
        let subject = Subject { scope, identity, interfaces: &nics };
        let desired = desired(&config.settings, &config.wishes, &subject, region);
        let (hash, now) = (desired.hash(), wall());
        let last = last_done(store).await?;
        let is_recent = |last: &Done| {
            let ago = now.duration_since(last.at);
            last.hash == hash && !ago.is_negative() && ago.unsigned_abs() < CHECK
        };
        if last.as_ref().is_some_and(is_recent) {
            return Ok(CHECK);
        }
        if scope == Scope::Instance {
            self.wait_for_a_heartbeat(config.settings.interval_seconds, *changed).await;
            if config.wishes.scope.is_none() && self.scope(config).await? != scope {
                return Ok(Duration::ZERO);
            }
        }
        if let Some(last) = last.filter(|last| last.owner != desired.owner && scope != Scope::Instance) {
            let own = Subject { scope: Scope::None, ..subject };
            self.take_away(paced, config, &own, Some(&last.owner), region).await?;
        }
        if scope == Scope::Fleet {
            let election = election(config, paced, &desired);
            let stream = election.stream(&hash, now);
            if let Some(wait) = waits_for_another(&election, stream, now, vote).await? {
                return Ok(wait);
            }
        } else {
            *vote = None;
        }
        if vote.as_ref().is_none_or(|vote| vote.look_at.is_none()) {
            self.make(config, paced, &desired).await?;
            if let (Some(vote), Scope::Fleet) = (vote.as_ref(), scope) {
                let done = election(config, paced, &desired).done(&vote.stream, now).await;
                done.map_err(|failure| failure.why().to_owned())?;
            }
        }
        *vote = None;
        let done = Done { hash, at: now, owner: desired.owner };
        let done = serde_json::to_vec(&done).map_err(|error| error.to_string())?;
        let key = ValueKey::Mark(MARK.into());
        store.append(Vec::new(), vec![(key, Some(done))]).await.map_err(|error| error.to_string())?;
        Ok(CHECK)
    }

    async fn scope(&self, config: &Config) -> Result<Scope, String> {
        match config.wishes.scope {
            Some(scope) => Ok(scope),
            None => scope_by_group(&self.aws, self.on_ec2).await.map_err(|error| error.to_string()),
        }
    }

    /// Until CloudWatch has taken metrics as they are since a change, if there was one: an alarm on silence that is put before
    /// rings until it has.
    async fn wait_for_a_heartbeat(&self, interval_seconds: u32, changed: Option<Timestamp>) {
        let interval = Duration::from_secs(interval_seconds.into());
        let latest = Instant::now() + FIRST_METRICS.max(interval * 3);
        // What is sent within an interval of it may be of before.
        let from = changed.and_then(|changed| changed.checked_add(interval).ok());
        let is_there =
            || self.board.meters().last_publish.is_some_and(|at| from.is_none_or(|from| at >= from));
        while !is_there() && Instant::now() < latest {
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Makes what there should be.
    async fn make(&self, config: &Config, paced: Paced<'_>, desired: &Desired) -> Result<(), String> {
        let (plan, arns) = looked_at(paced, desired).await.map_err(|failure| failure.why().to_owned())?;
        let report = apply::apply(paced, desired, &plan, &arns, false).await;
        if !report.done.is_empty() {
            tracing::info!("provisioning: {} made or changed", report.done.len());
        }
        for left in &report.left {
            tracing::warn!("provisioning: left alone: {left}");
        }
        if !report.failed.is_empty() {
            return Err(report.failed.join("; "));
        }
        let left = if report.left.is_empty() { "" } else { ", but for what was left alone" };
        tracing::info!("provisioning: everything is as it should be{left}");
        if config.wishes.actions.is_empty() && !desired.alarms.is_empty() {
            tracing::warn!("the alarms notify nobody: write the ARN of an SNS topic into provision.actions");
        }
        Ok(())
    }

    /// Takes this host's own alarms away, if those made last were its own: of a fleet they are not one host's to delete.
    async fn take_away(
        &self,
        paced: Paced<'_>,
        config: &Config,
        own: &Subject<'_>,
        last_owner: Option<&str>,
        region: &str,
    ) -> Result<(), String> {
        let desired = desired(&config.settings, &Wishes::default(), own, region);
        if last_owner.is_some_and(|last| last != desired.owner) {
            return Ok(());
        }
        let (plan, arns) = looked_at(paced, &desired).await.map_err(|failure| failure.why().to_owned())?;
        let report = apply::apply(paced, &desired, &plan, &arns, false).await;
        tracing::info!("provisioning: {} of this host's own alarms taken away", report.done.len());
        if report.failed.is_empty() { Ok(()) } else { Err(report.failed.join("; ")) }
    }

    /// At the end of an instance that Auto Scaling terminates: its own alarms go with it, as far as time allows.
    pub(super) async fn say_farewell(&self, link: &Link, store: &StoreHandle) {
        let (config, identity) = self.subject.borrow().clone();
        if !self.on_ec2 || !config.provision_at_start.applies(self.on_ec2) {
            return;
        }
        let farewell = async {
            let state = who::lifecycle_state(self.aws.metadata()).await.map_err(|error| error.to_string())?;
            let connection = link.connection();
            let last = last_done(store).await?;
            let (Some(TERMINATED), Some(region)) = (state.as_deref(), connection.region()) else {
                return Ok(());
            };
            let own = Subject { scope: Scope::None, identity: &identity, interfaces: &[] };
            // Without a mark it was stopped while it made them.
            let last_owner = last.map(|last| last.owner);
            let pace = Pace::hurried();
            let paced = Paced { connection: &connection, pace: &pace };
            self.take_away(paced, &config, &own, last_owner.as_deref(), region).await
        };
        let why = match tokio::time::timeout(FAREWELL, farewell).await {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => "there was no time".into(),
        };
        tracing::warn!(
            "this instance ends, and its alarms may stay: {why}; `vpcwatch provision gc` removes them"
        );
    }
}

/// How long to wait for whom the fleet elected; `None` when there is nothing to wait for: this instance was elected, another is
/// done, or nobody did it in time.
async fn waits_for_another(
    election: &Election<'_>,
    stream: String,
    now: Timestamp,
    vote: &mut Option<Vote>,
) -> Result<Option<Duration>, String> {
    let why = |failure: Failure| failure.why().to_owned();
    let cast = match vote.take().filter(|vote| vote.stream == stream) {
        Some(vote) => vote,
        None if election.stand(&stream, now).await.map_err(why)? => {
            tracing::info!("provisioning: this instance does it for its fleet");
            Vote { stream, look_at: None }
        }
        None => Vote { stream, look_at: Some(Instant::now() + TERM + TERM.mul_f64(fastrand::f64())) },
    };
    let vote = vote.insert(cast);
    let Some(look_at) = vote.look_at else { return Ok(None) };
    if let Some(wait) = look_at.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
        return Ok(Some(wait));
    }
    if !election.is_done(&vote.stream).await.map_err(why)? {
        tracing::info!("provisioning: whom the fleet elected has not done it; this instance does");
        vote.look_at = None;
    }
    Ok(None)
}

async fn last_done(store: &StoreHandle) -> Result<Option<Done>, String> {
    let stored = store.value(ValueKey::Mark(MARK.into())).await.map_err(|error| error.to_string())?;
    Ok(stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
