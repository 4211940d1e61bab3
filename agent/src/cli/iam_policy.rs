//! `vpcwatch iam-policy`.

use std::process::ExitCode;

use clap::Args;

use super::{Common, print};
use crate::model::alarms::Scope;
use crate::provision::PREFIX;
use crate::provision::election::STREAMS;
use crate::provision::policy::{Part, Partition, PolicyInput, policy};

#[derive(Debug, Args)]
pub(super) struct IamPolicy {
    #[command(flatten)]
    common: Common,
    /// Whose permissions
    #[arg(long, value_enum, default_value_t = Part::All)]
    part: Part,
    /// The partition of the account
    #[arg(long, value_enum, default_value_t = Partition::Aws)]
    partition: Partition,
    /// Allow it in this region only
    #[arg(long, value_name = "REGION", default_value = "*", value_parser = region)]
    region: String,
    /// Allow it in this account only: twelve digits
    #[arg(long, value_name = "ACCOUNT", default_value = "*", value_parser = account)]
    account: String,
}

impl IamPolicy {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.common.load()?;
        let settings = config.settings;
        let elections_group = settings.findings_group.clone();
        let input = PolicyInput {
            namespace: settings.namespace,
            log_groups: config.retention.iter().map(|(group, _)| group.clone()).collect(),
            alarm_prefix: PREFIX.to_owned(),
            dashboard_prefix: PREFIX.to_owned(),
            elections: match config.wishes.scope {
                None | Some(Scope::Fleet) => Some((elections_group, STREAMS.to_owned())),
                Some(Scope::Instance | Scope::None) => None,
            },
            actions: config.wishes.actions,
            partition: self.partition,
            region: self.region,
            account: self.account,
        };
        print(&(serde_json::to_string_pretty(&policy(&input, self.part))? + "\n"))
    }
}

/// What stands in an ARN between colons must hold none.
fn region(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_region = !text.is_empty() && text.bytes().all(allowed);
    if is_region || text == "*" {
        Ok(text.to_owned())
    } else {
        Err("write one like eu-west-3, or *".to_owned())
    }
}

fn account(text: &str) -> Result<String, String> {
    let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_account || text == "*" { Ok(text.to_owned()) } else { Err("write twelve digits, or *".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_an_arn_is_refused() {
        for good in ["*", "eu-west-3", "us-gov-west-1"] {
            assert_eq!(region(good), Ok(good.to_owned()));
        }
        for bad in ["", "eu-*", "eu:west", "EU-WEST-3"] {
            assert!(region(bad).is_err(), "{bad}");
        }
        for good in ["*", "012345678901"] {
            assert_eq!(account(good), Ok(good.to_owned()));
        }
        for bad in ["", "12345678901", "1234567890123", "12345678901*"] {
            assert!(account(bad).is_err(), "{bad}");
        }
    }
}
