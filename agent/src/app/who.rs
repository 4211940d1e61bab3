//! Who this host is: learned once, waited for where it has to be.

use std::cell::OnceCell;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

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
    /// The Auto Scaling group that metrics have as a dimension: decided once a run, when it first is to be one.
    group: OnceCell<Option<String>>,
}

impl Known {
    /// The identity by these dimensions, of the instance as it was last looked at. A group that became known after metrics went
    /// without it stays away until the next start: with it they would be other metrics.
    pub(super) fn identity_by(
        &self,
        dimensions: &[InstanceDimension],
        latest: Option<&Instance>,
    ) -> Identity {
        let Some(latest) = latest else { return self.identity.clone() };
        if !dimensions.contains(&InstanceDimension::AutoScalingGroupName) {
            return latest.identity(dimensions);
        }
        let group = self.group.get_or_init(|| latest.auto_scaling_group.clone());
        Instance { auto_scaling_group: group.clone(), ..latest.clone() }.identity(dimensions)
    }
}

impl Outlet {
    /// Who this host is. On EC2 instance metadata is asked until it answers.
    pub(super) async fn known(&self, stopped: watch::Receiver<bool>) -> Known {
        let config = self.config.borrow().clone();
        if !self.on_ec2 {
            let identity = Identity::of_host(&host_name(&config, &HostFacts::of(&self.paths)));
            let owner = identity::machine_id(&self.paths).unwrap_or_else(|| identity.name.clone());
            return Known { instance: None, identity, owner, group: OnceCell::new() };
        }
        let mut instance = self.ask(|| identity::instance(self.aws.metadata())).await;
        let mut group = OnceCell::new();
        if config.dimensions.contains(&InstanceDimension::AutoScalingGroupName) {
            instance.auto_scaling_group = self.group(stopped).await;
            group = OnceCell::from(instance.auto_scaling_group.clone());
        }
        let identity = instance.identity(&config.dimensions);
        Known { owner: instance.instance_id.clone(), instance: Some(instance), identity, group }
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
        let ask = async || {
            let group = self.ask(|| identity::auto_scaling_group(self.aws.metadata())).await;
            if group.is_none() {
                let what = format!("waiting up to {minutes} min for the Auto Scaling group, a dimension");
                self.board.trouble(PLACE, &what);
            }
            group
        };
        let group = tokio::select! {
            group = within(GROUP_PATIENCE, ask) => group,
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

/// What is asked for until it is there, or until so long has passed.
async fn within<T>(patience: Duration, ask: impl AsyncFn() -> Option<T>) -> Option<T> {
    let found = async {
        let mut wait = ASK_AGAIN.0;
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            sleep(wait).await;
            wait = (wait * 2).min(ASK_AGAIN.1);
        }
    };
    timeout(patience, found).await.ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_comes_late_is_waited_for_and_what_never_comes_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let asked = Cell::new(0);
        let late = async || {
            asked.set(asked.get() + 1);
            (asked.get() == 2).then_some("web")
        };
        assert_eq!(runtime.block_on(within(Duration::from_mins(5), late)), Some("web"));
        let never = async || None::<&str>;
        assert_eq!(runtime.block_on(within(Duration::from_millis(50), never)), None);
    }

    #[test]
    fn whether_the_group_is_a_dimension_is_decided_once_a_run() {
        let both = [InstanceDimension::InstanceId, InstanceDimension::AutoScalingGroupName];
        let of = |group: Option<&str>| Instance {
            instance_id: "i-1".into(),
            auto_scaling_group: group.map(str::to_owned),
            ..Instance::default()
        };
        let known = |group| Known {
            instance: Some(of(None)),
            identity: of(None).identity(&both),
            owner: "i-1".into(),
            group,
        };
        let names = |identity: Identity| identity.dimensions.len();
        // It had not come when metrics began: then it stays away.
        let without = known(OnceCell::from(None));
        assert_eq!(names(without.identity_by(&both, Some(&of(Some("web"))))), 1);
        // It was no dimension: what is known when it becomes one holds.
        let later = known(OnceCell::new());
        assert_eq!(names(later.identity_by(&both[..1], Some(&of(Some("web"))))), 1);
        assert_eq!(names(later.identity_by(&both, Some(&of(Some("web"))))), 2);
        assert_eq!(names(later.identity_by(&both, Some(&of(None)))), 2);
    }
}
