//! Whether this host is an EC2 instance, and which: from firmware and instance metadata.

use std::path::Path;
use std::time::Duration;

use aws_config::imds;
use aws_config::imds::client::error::ImdsError;

use super::paths::Paths;
use crate::model::identity::Instance;

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html>
const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";
/// There when instance tags are allowed in metadata and the instance is of a group; it may come minutes late
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html>).
const GROUP: &str = "/latest/meta-data/tags/instance/aws:autoscaling:groupName";
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/retrieving-target-lifecycle-state-through-imds.html>
const LIFECYCLE: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";

/// Longest that a machine id or a DMI name may be.
const MAX_LINE: usize = 256;

/// Whether this is an EC2 instance: the firmware says so, or somebody has configured where its metadata is. Asked of
/// files, not of the network, where only a time-out would say no.
pub fn is_ec2(paths: &Paths, variable: impl Fn(&str) -> Option<String>) -> bool {
    if variable("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return false;
    }
    // Nitro: sys_vendor is "Amazon EC2". Xen: the hypervisor's uuid begins with "ec2"
    // (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html).
    variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").is_some_and(|value| !value.is_empty())
        || line(&paths.dmi("sys_vendor")).is_some_and(|vendor| vendor == "Amazon EC2")
        || line(&paths.hypervisor_uuid()).is_some_and(|uuid| uuid.to_lowercase().starts_with("ec2"))
}

/// What tells this machine from others where there is no instance id: `/etc/machine-id`
/// (<https://www.freedesktop.org/software/systemd/man/latest/machine-id.html>).
pub fn machine_id(paths: &Paths) -> Option<String> {
    line(&paths.machine_id()).filter(|id| !id.is_empty() && id != "uninitialized")
}

fn line(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let text = text.trim();
    (text.len() <= MAX_LINE).then(|| text.to_owned())
}

/// Why instance metadata could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("instance metadata: {0}")]
pub struct MetadataError(String);

/// The instance, by its identity document.
pub async fn instance(metadata: imds::Client) -> Result<Instance, MetadataError> {
    let document = metadata.get(DOCUMENT).await.map_err(|error| MetadataError(told(&error)))?;
    let instance: Instance = serde_json::from_str(document.as_ref())
        .map_err(|error| MetadataError(format!("the identity document cannot be read: {error}")))?;
    let id = &instance.instance_id;
    let is_id = (1..=64).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    if is_id {
        Ok(instance)
    } else {
        Err(MetadataError("the identity document has no instance id that is one".into()))
    }
}

/// The instance's Auto Scaling group; `None` where it has none, or instance tags are not allowed in metadata.
pub async fn auto_scaling_group(metadata: imds::Client) -> Result<Option<String>, MetadataError> {
    optional(metadata, GROUP).await
}

/// What Auto Scaling wants this instance to become: `InService`, `Terminated` and others; `None` outside a group.
pub async fn lifecycle_state(metadata: imds::Client) -> Result<Option<String>, MetadataError> {
    optional(metadata, LIFECYCLE).await
}

async fn optional(metadata: imds::Client, path: &str) -> Result<Option<String>, MetadataError> {
    match metadata.get(path).await {
        Ok(text) => Ok(Some(text.as_ref().trim().to_owned()).filter(|text| !text.is_empty())),
        Err(ImdsError::ErrorResponse(answer)) if answer.response().status().as_u16() == 404 => Ok(None),
        Err(error) => Err(MetadataError(told(&error))),
    }
}

/// The instance, if metadata answers within `patience`.
pub async fn instance_within(metadata: imds::Client, patience: Duration) -> Option<Instance> {
    tokio::time::timeout(patience, instance(metadata)).await.ok()?.ok()
}

fn told(error: &ImdsError) -> String {
    match error {
        ImdsError::ErrorResponse(answer) => format!("HTTP status {}", answer.response().status().as_u16()),
        ImdsError::FailedToLoadToken(_) => {
            "no token: is the metadata service on, and its hop limit large enough for where this runs?".into()
        }
        ImdsError::IoError(_) => "no answer".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ec2_is_known_by_firmware_or_by_configuration() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path());
        let none = |_: &str| None;
        let of = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            }
        };
        let endpoint = of(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1338")]);
        assert!(!is_ec2(&paths, none) && is_ec2(&paths, endpoint));
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("sys/class/dmi/id/sys_vendor", "QEMU\n");
        assert!(!is_ec2(&paths, none));
        write("sys/hypervisor/uuid", "EC2E1916-9099-7CAF-FD21-012345ABCDEF\n");
        assert!(is_ec2(&paths, none));
        write("sys/hypervisor/uuid", "a0b1\n");
        write("sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
        assert!(is_ec2(&paths, none));
        assert!(!is_ec2(&paths, of(&[("AWS_EC2_METADATA_DISABLED", "true")])));
    }

    #[test]
    fn a_machine_id_must_be_one() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path());
        assert_eq!(machine_id(&paths), None);
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        for (text, id) in [("\n", None), ("uninitialized\n", None), ("0123abcd\n", Some("0123abcd"))] {
            std::fs::write(root.path().join("etc/machine-id"), text).unwrap();
            assert_eq!(machine_id(&paths).as_deref(), id);
        }
    }
}
