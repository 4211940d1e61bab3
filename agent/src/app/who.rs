//! Who this host is: learned once, waited for where it has to be.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::host_name;
use super::outlet::Outlet;
use crate::host::facts::HostFacts;
use crate::host::identity;
use crate::model::identity::{Identity, Instance, InstanceDimension};

/// Between two questions to instance metadata that was not there: first and longest.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long the Auto Scaling group is waited for, where it is a dimension: tags may come minutes late.
const GROUP_PATIENCE: Duration = Duration::from_mins(5);

/// Of its troubles, on the board.
const PLACE: &str = "identity";

/// Who this host is, and what its state file belongs to.
pub(super) struct Known {
    pub(super) instance: Option<Instance>,
    pub(super) identity: Identity,
    pub(super) owner: String,
}

impl Outlet {
    /// Who this host is. On EC2 instance metadata is asked until it answers.
    pub(super) async fn known(&self, stopped: watch::Receiver<bool>) -> Known {
        let config = self.config.borrow().clone();
        if !self.on_ec2 {
            let identity = Identity::of_host(&host_name(&config, &HostFacts::of(&self.paths)));
            let owner = identity::machine_id(&self.paths).unwrap_or_else(|| identity.name.clone());
            return Known { instance: None, identity, owner };
        }
        let mut instance = self.ask(|| identity::instance(self.aws.metadata())).await;
        if config.dimensions.contains(&InstanceDimension::AutoScalingGroupName) {
            instance.auto_scaling_group = self.group(stopped).await;
        }
        let identity = instance.identity(&config.dimensions);
        Known { owner: instance.instance_id.clone(), instance: Some(instance), identity }
    }

    /// Asks until there is an answer.
    async fn ask<T, F>(&self, question: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, identity::MetadataError>>,
    {
        let mut wait = ASK_AGAIN.0;
        loop {
            match question().await {
                Ok(answer) => {
                    self.board.well(PLACE);
                    return answer;
                }
                Err(error) => {
                    if wait == ASK_AGAIN.0 {
                        tracing::warn!("{error}; sampling goes on, and records wait until it answers");
                    }
                    self.board.trouble(PLACE, &error.to_string());
                    self.aws.forget_metadata_token();
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(ASK_AGAIN.1);
        }
    }

    /// The Auto Scaling group, waited for as long as it may take to come: a metric is sent with it from the first
    /// datum, or not at all. An agent that is stopped meanwhile goes on without.
    async fn group(&self, mut stopped: watch::Receiver<bool>) -> Option<String> {
        let minutes = GROUP_PATIENCE.as_secs() / 60;
        let found = async {
            let mut wait = ASK_AGAIN.0;
            loop {
                if let Some(group) = self.ask(|| identity::auto_scaling_group(self.aws.metadata())).await {
                    return group;
                }
                let what = format!("waiting up to {minutes} min for the Auto Scaling group, a dimension");
                self.board.trouble(PLACE, &what);
                sleep(wait).await;
                wait = (wait * 2).min(ASK_AGAIN.1);
            }
        };
        let group = tokio::select! {
            group = found => Some(group),
            () = sleep(GROUP_PATIENCE) => None,
            _ = stopped.changed() => None,
        };
        self.board.well(PLACE);
        if group.is_none() {
            tracing::warn!(
                "no Auto Scaling group in instance metadata; metrics go without that dimension. \
                 Is the instance of a group, and are instance tags allowed in metadata?"
            );
        }
        group
    }

    /// What may change of an instance, or come late; what metadata does not tell stays as it was.
    pub(super) async fn refresh(&self, instance: &mut Instance) {
        match identity::lifecycle_state(self.aws.metadata()).await {
            Ok(state) => instance.lifecycle_state = state,
            Err(_) => self.aws.forget_metadata_token(),
        }
        if instance.auto_scaling_group.is_none()
            && let Ok(group) = identity::auto_scaling_group(self.aws.metadata()).await
        {
            instance.auto_scaling_group = group;
        }
    }
}
