//! Who this host is: learned once, waited for where it has to be.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::host_name;
use super::outlet::Outlet;
use crate::host::facts::HostFacts;
use crate::host::identity;
use crate::model::identity::{Identity, Instance, InstanceDimension};
use crate::service::status::{Status, StatusFile};

/// Between two questions to instance metadata that was not there: first and longest.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long the Auto Scaling group is waited for, where it is a dimension: tags may come minutes late.
const GROUP_PATIENCE: Duration = Duration::from_mins(5);

/// Who this host is, and what its state file belongs to.
pub(super) struct Known {
    pub(super) instance: Option<Instance>,
    pub(super) identity: Identity,
    pub(super) owner: String,
}

impl Outlet {
    /// Who this host is. On EC2 instance metadata is asked until it answers.
    pub(super) async fn known(&self, status: &mut StatusFile) -> anyhow::Result<Known> {
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
}
