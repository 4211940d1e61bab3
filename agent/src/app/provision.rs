//! Provisioning: who this host is, what there should be for it, what there is, and what is done about it. By an operator's
//! hand, and by `run` itself, which never waits for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::agent::aws_settings;
use super::outlet::Outlet;
use super::{host_name, on_one_thread, sample};
use crate::aws::{Aws, Connection, Failure, Link, ServerClock};
use crate::config::Config;
use crate::host::clock::wall;
use crate::host::facts::HostFacts;
use crate::host::identity as who;
use crate::host::paths::Paths;
use crate::model::identity::{Identity, InstanceDimension};
use crate::provision::apply::{self, Arns, Report};
use crate::provision::{Desired, Nic, Plan, compare, desired, prefix};
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
const MARK: &str = "provision";

/// What was done last.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Done {
    /// Of what there should have been.
    hash: String,
    /// When it was there.
    at: Timestamp,
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

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
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
        let on_ec2 = who::is_ec2(&self.paths, |name| std::env::var(name).ok());
        let aws = Aws::new(aws_settings(&self.config), on_ec2)?;
        let (identity, region) = self.identity(&aws, on_ec2).await?;
        let connection = aws.connect(region.as_deref(), &Arc::new(ServerClock::default())).await;
        let region = connection.region().map(str::to_owned).ok_or_else(|| {
            anyhow!("no region: set aws.region or AWS_REGION, or run it on an EC2 instance")
        })?;
        check_topics(&self.config, &region).map_err(anyhow::Error::msg)?;
        let nics = interfaces(&self.config, &self.paths).map_err(anyhow::Error::msg)?;
        let config = &self.config;
        let desired = desired(&config.settings, &config.wishes, &identity, &nics, &region);
        let (plan, arns) = looked_at(&connection, &desired, &identity).await.map_err(told)?;
        let report = match deed {
            Deed::Plan => Report::default(),
            Deed::Apply { force } => apply::apply(&connection, &desired, &plan, &arns, *force).await,
            Deed::Destroy { force } => apply::destroy(&connection, &desired, &plan, &arns, *force).await,
            Deed::Ring(name) => {
                let full = format!("{}{name}", prefix(&identity.name));
                let known = plan.alarms.keys().find(|known| *known == name || **known == full);
                let name = known.ok_or_else(|| {
                    anyhow!("there is no alarm {name}; `vpcwatch provision plan` names them")
                })?;
                apply::ring(&connection, name).await.map_err(told)?;
                Report { done: vec![format!("rang {name}")], ..Report::default() }
            }
        };
        Ok(Outcome { desired, plan, region, report })
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
fn check_topics(config: &Config, region: &str) -> Result<(), String> {
    let elsewhere = |action: &&String| action.split(':').nth(3) != Some(region);
    match config.wishes.actions.iter().find(elsewhere) {
        None => Ok(()),
        Some(action) => Err(format!(
            "provision.actions: {action} is of another region than {region}, where the alarms are; an alarm notifies \
             topics of its own region alone"
        )),
    }
}

async fn looked_at(
    connection: &Connection,
    desired: &Desired,
    identity: &Identity,
) -> Result<(Plan, Arns), Failure> {
    let dashboard = desired.dashboard.as_ref().map(|dashboard| dashboard.name.as_str());
    let (existing, arns) = apply::existing(connection, &prefix(&identity.name), dashboard).await?;
    Ok((compare(desired, &existing), arns))
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

impl Outlet {
    /// Makes what there should be: at the first run of an instance, when that changes, and once a day where somebody
    /// deleted it. What fails is told, named by its permission, and tried again. Never ends.
    pub(super) async fn keep_provisioned(&self, identity: &Identity, link: &Link, store: &StoreHandle) {
        let mut config_now = self.config.clone();
        let spread = config_now.borrow().settings.interval_seconds.min(SPREAD);
        sleep(Duration::from_secs(spread.into()).mul_f64(fastrand::f64())).await;
        let mut again = AGAIN.0;
        loop {
            let config = config_now.borrow_and_update().clone();
            let wait = if !config.provision_at_start {
                self.board.well(PLACE);
                CHECK
            } else if let Err(why) = self.provision(&config, identity, link, store).await {
                tracing::warn!("provisioning: {why}; tried again in {} min", again.as_secs() / 60);
                self.board.trouble(PLACE, &why);
                let wait = again.mul_f64(0.5 + fastrand::f64());
                again = (again * 2).min(AGAIN.1);
                wait
            } else {
                self.board.well(PLACE);
                again = AGAIN.0;
                CHECK
            };
            tokio::select! {
                () = sleep(wait) => {}
                Ok(()) = config_now.changed() => {}
            }
        }
    }

    async fn provision(
        &self,
        config: &Config,
        identity: &Identity,
        link: &Link,
        store: &StoreHandle,
    ) -> Result<(), String> {
        let connection = link.connection();
        let region = connection.region().ok_or("no region: set aws.region or AWS_REGION")?;
        check_topics(config, region)?;
        let nics = interfaces(config, &self.paths)?;
        let desired = desired(&config.settings, &config.wishes, identity, &nics, region);
        let (key, hash, now) = (ValueKey::Mark(MARK.into()), desired.hash(), wall());
        let stored = store.value(key.clone()).await.map_err(|error| error.to_string())?;
        let last: Option<Done> = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let is_recent = |last: &Done| {
            let ago = now.duration_since(last.at);
            last.hash == hash && !ago.is_negative() && ago.unsigned_abs() < CHECK
        };
        if last.as_ref().is_some_and(is_recent) {
            return Ok(());
        }
        let (plan, arns) =
            looked_at(&connection, &desired, identity).await.map_err(|failure| failure.why().to_owned())?;
        let report = apply::apply(&connection, &desired, &plan, &arns, false).await;
        if !report.done.is_empty() {
            tracing::info!("provisioning: {} made or changed", report.done.len());
        }
        for left in &report.left {
            tracing::warn!("provisioning: left alone: {left}");
        }
        if !report.failed.is_empty() {
            return Err(report.failed.join("; "));
        }
        let done = serde_json::to_vec(&Done { hash, at: now }).map_err(|error| error.to_string())?;
        store.append(Vec::new(), vec![(key, Some(done))]).await.map_err(|error| error.to_string())?;
        let left = if report.left.is_empty() { "" } else { ", but for what was left alone" };
        tracing::info!("provisioning: everything is as it should be{left}");
        if config.wishes.actions.is_empty() {
            tracing::warn!("the alarms notify nobody: write the ARN of an SNS topic into provision.actions");
        }
        Ok(())
    }
}
