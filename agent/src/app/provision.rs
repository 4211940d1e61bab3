//! `provision`: who this host is, what there should be for it, what there is, and what is done about it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;

use super::agent::aws_settings;
use super::{host_name, on_one_thread, sample};
use crate::aws::{Aws, Connection, Failure, ServerClock};
use crate::config::Config;
use crate::host::facts::HostFacts;
use crate::host::identity as who;
use crate::host::paths::Paths;
use crate::model::identity::{Identity, InstanceDimension};
use crate::provision::apply::{self, Arns, Report};
use crate::provision::{Desired, Nic, Plan, compare, desired, prefix};

/// What instance metadata may take.
const METADATA: Duration = Duration::from_secs(5);

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
        for action in &self.config.wishes.actions {
            if action.split(':').nth(3) != Some(region.as_str()) {
                return Err(anyhow!(
                    "provision.actions: {action} is of another region than {region}, where the alarms are; an alarm \
                     notifies topics of its own region alone"
                ));
            }
        }
        let nics = interfaces(&self.config, &self.paths);
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

async fn looked_at(
    connection: &Connection,
    desired: &Desired,
    identity: &Identity,
) -> Result<(Plan, Arns), Failure> {
    let dashboard = desired.dashboard.as_ref().map(|dashboard| dashboard.name.as_str());
    let (existing, arns) = apply::existing(connection, &prefix(&identity.name), dashboard).await?;
    Ok((compare(desired, &existing), arns))
}

/// The interfaces that are measured, by one look at this host.
fn interfaces(config: &Config, paths: &Paths) -> Vec<Nic> {
    let snapshot = sample(config, paths);
    let interfaces = snapshot.interfaces.unwrap_or_default().into_iter();
    let mut nics: Vec<Nic> = interfaces
        .map(|interface| Nic { has_allowances: interface.allowances.is_some(), name: interface.name })
        .collect();
    nics.sort_by(|a, b| a.name.cmp(&b.name));
    nics
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn told(failure: Failure) -> anyhow::Error {
    anyhow!("{}", failure.why())
}
