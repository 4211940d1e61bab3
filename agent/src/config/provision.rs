//! `provision.*`, checked.

use super::check::{Checking, TEXTS, Wrong, each, one, plain};
use crate::model::alarms::Scope;
use crate::provision::{BETWEEN_KEYS, Wishes};

/// Actions that an alarm may have for a state
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>).
const MOST_ACTIONS: usize = 5;
/// Tags that a resource may have beside ours.
const MOST_TAGS: usize = 40;
/// Characters of a tag's value.
const LONGEST_VALUE: usize = 256;

/// Whether a running agent makes alarms, dashboard and log groups by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AtStart {
    /// On an EC2 instance, as its metadata tells. A program that somebody tries elsewhere, with keys that may do much, changes
    /// nothing in an account.
    #[default]
    OnInstances,
    /// Wherever it runs.
    Always,
    /// Nowhere.
    Never,
}

impl AtStart {
    /// Whether it does so on this host.
    pub fn applies(self, is_instance: bool) -> bool {
        match self {
            AtStart::OnInstances => is_instance,
            AtStart::Always => true,
            AtStart::Never => false,
        }
    }
}

impl Checking<'_> {
    /// Whether a running agent makes them.
    pub(super) fn at_start(&mut self) -> AtStart {
        self.read("provision.at_start", |value| {
            let cure = "write \"auto\", true or false";
            match (plain(value, cure).map_err(one)?.as_str(), value.clone().into_bool()) {
                ("auto", _) => Ok(AtStart::OnInstances),
                (_, Ok(true)) => Ok(AtStart::Always),
                (_, Ok(false)) => Ok(AtStart::Never),
                (text, Err(_)) => Err(one((format!("{text:?} is none of its values"), cure.into()))),
            }
        })
    }

    /// What alarms, dashboard and log groups there are to be.
    pub(super) fn wishes(&mut self, groups: &[(String, Option<u16>)]) -> Wishes {
        let actions = self.read("provision.actions", |value| {
            let actions = each(value, TEXTS, topic)?;
            at_most(&actions, MOST_ACTIONS, "an alarm notifies five topics at most")?;
            Ok(actions)
        });
        let tags = self.read("provision.tags", |value| {
            let tags = each(value, TEXTS, tag)?;
            at_most(&tags, MOST_TAGS, "an alarm has fifty tags at most, and some are ours")?;
            together(&tags)?;
            Ok(tags)
        });
        let scope = self.read("provision.scope", |value| {
            let cure = "write \"auto\", \"instance\", \"fleet\" or \"none\"";
            let text = plain(value, cure).map_err(one)?;
            let found = Scope::ALL.into_iter().find(|scope| scope.as_str() == text);
            match found {
                None if text != "auto" => Err(one((format!("there is no scope {text:?}"), cure.into()))),
                found => Ok(found),
            }
        });
        Wishes {
            scope,
            actions,
            tags,
            anomaly_bands: self.truth("provision.anomaly_bands"),
            slow_web_seconds: self.seconds("web.slow", 1..=3600),
            dashboard: self.truth("provision.dashboard"),
            groups: groups.to_vec(),
        }
    }
}

fn at_most<T>(items: &[T], most: usize, why: &str) -> Result<(), Vec<Wrong>> {
    if items.len() <= most {
        return Ok(());
    }
    Err(vec![(format!("{} are too many: {why}", items.len()), format!("write {most} at most"))])
}

/// Each key once; and all of them are written into a tag of ours.
fn together(tags: &[(String, String)]) -> Result<(), Vec<Wrong>> {
    let twice =
        tags.iter().enumerate().find(|(n, (key, _))| tags.iter().take(*n).any(|(other, _)| other == key));
    if let Some((_, (key, _))) = twice {
        return Err(vec![(format!("the tag {key:?} is there twice"), "write it once".into())]);
    }
    let length: usize = tags.iter().map(|(key, _)| key.len() + BETWEEN_KEYS.len()).sum();
    if length <= LONGEST_VALUE {
        return Ok(());
    }
    let cure = format!("write keys of {LONGEST_VALUE} characters at most, all together");
    Err(vec![("the keys of these tags are too long together".into(), cure)])
}

/// `arn:PARTITION:sns:REGION:ACCOUNT:NAME`. Other actions (to stop or terminate an instance) are not for an agent to wire.
fn topic(arn: &str) -> Result<String, Wrong> {
    let parts: Vec<&str> = arn.split(':').collect();
    let is_topic = match parts.as_slice() {
        ["arn", partition, "sns", region, account, name] => {
            partition.starts_with("aws")
                && !region.is_empty()
                && account.len() == 12
                && account.bytes().all(|c| c.is_ascii_digit())
                && !name.is_empty()
                && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
        }
        _ => false,
    };
    if is_topic {
        return Ok(arn.to_owned());
    }
    Err((
        format!("{arn:?} is no ARN of an SNS topic"),
        "write one like arn:aws:sns:eu-west-3:123456789012:pager".into(),
    ))
}

/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Tag.html>
fn tag(text: &str) -> Result<(String, String), Wrong> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let (key, value) = (key.trim(), value.trim());
    let allowed = |text: &str| text.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c));
    let is_tag = text.contains('=')
        && (1..=128).contains(&key.len())
        && value.len() <= LONGEST_VALUE
        && allowed(key)
        && allowed(value)
        && !["aws:", "vpcwatch:"].iter().any(|taken| key.starts_with(taken));
    if is_tag {
        return Ok((key.into(), value.into()));
    }
    Err((
        format!("{text:?} cannot be a tag"),
        "write KEY=VALUE of letters, digits and _.:/=+-@; aws: and vpcwatch: are taken".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::load_with;
    use super::AtStart;
    use crate::model::alarms::Scope;

    #[test]
    fn an_agent_provisions_by_itself_on_instances_unless_it_is_told_otherwise() {
        let on = |value: Option<&str>| {
            let sets: Vec<(&str, &str)> =
                value.map(|value| ("provision.at_start", value)).into_iter().collect();
            load_with(&sets)
                .map(|config| [true, false].map(|is_instance| config.provision_at_start.applies(is_instance)))
        };
        for (value, instance, elsewhere) in [
            (None, true, false),
            (Some("auto"), true, false),
            (Some("true"), true, true),
            (Some("false"), false, false),
        ] {
            assert_eq!(on(value), Ok([instance, elsewhere]), "{value:?}");
        }
        assert!(on(Some("maybe")).unwrap_err().contains("write \"auto\", true or false"));
        assert_eq!(AtStart::default(), AtStart::OnInstances);
    }

    #[test]
    fn topics_and_tags_are_checked() {
        let good = load_with(&[
            (
                "provision.actions",
                "arn:aws:sns:eu-west-3:123456789012:pager,arn:aws-cn:sns:cn-north-1:123456789012:x",
            ),
            ("provision.tags", "team=network,cost=a=b"),
            ("provision.dashboard", "false"),
            ("provision.scope", "fleet"),
        ]);
        let wishes = good.unwrap().wishes;
        assert_eq!((wishes.actions.len(), wishes.dashboard), (2, false));
        assert_eq!(wishes.scope, Some(Scope::Fleet));
        assert_eq!(wishes.tags, [("team".into(), "network".into()), ("cost".into(), "a=b".into())]);
        assert_eq!(wishes.groups.len(), 2);
        for (key, value, told) in [
            ("provision.actions", "arn:aws:automate:eu-west-3:ec2:terminate", "is no ARN of an SNS topic"),
            ("provision.actions", "pager", "is no ARN of an SNS topic"),
            ("provision.tags", "vpcwatch:owner=me", "cannot be a tag"),
            ("provision.tags", "plain", "cannot be a tag"),
            ("provision.tags", "team=a,team=b", "the tag \"team\" is there twice"),
            ("provision.scope", "asg", "there is no scope \"asg\"; write \"auto\""),
        ] {
            let told_really = load_with(&[(key, value)]).unwrap_err();
            assert!(told_really.contains(told), "{told_really}");
        }
    }
}
