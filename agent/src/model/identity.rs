//! Who this host is: what tells its metrics and log streams from other hosts'.

use super::record::Dimension;

/// This host as CloudWatch knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The instance id, or off EC2 the host's name: names log streams, and is the first dimension's value.
    pub name: String,
    /// Dimensions of every metric, the host's own first; never empty.
    pub dimensions: Vec<Dimension>,
}

impl Identity {
    /// A host that is no EC2 instance, or does not know that it is.
    pub fn of_host(name: &str) -> Self {
        let dimension = Dimension { name: "host".into(), value: name.into() };
        Identity { name: name.into(), dimensions: vec![dimension] }
    }
}

/// An EC2 instance, as its metadata tells
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html>).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Instance {
    /// Account number.
    #[serde(default)]
    pub account_id: String,
    /// Region: `eu-west-3`.
    pub region: String,
    /// Instance id: `i-0123456789abcdef0`.
    pub instance_id: String,
    /// Instance type: `t3.micro`.
    #[serde(default)]
    pub instance_type: String,
    /// Image it was started from.
    #[serde(default)]
    pub image_id: String,
    /// Availability zone.
    #[serde(default)]
    pub availability_zone: String,
    /// Auto Scaling group, where instance tags are allowed in metadata and say so.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub auto_scaling_group: Option<String>,
    /// What Auto Scaling wants it to become, as of the last minute: `InService`, `Terminated`.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub lifecycle_state: Option<String>,
}

/// A dimension that an instance may give its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the CloudWatch agent's names for the same")]
pub enum InstanceDimension {
    InstanceId,
    AutoScalingGroupName,
    ImageId,
    InstanceType,
    AvailabilityZone,
}

impl InstanceDimension {
    /// Every one.
    pub const ALL: [InstanceDimension; 5] = [
        InstanceDimension::InstanceId,
        InstanceDimension::AutoScalingGroupName,
        InstanceDimension::ImageId,
        InstanceDimension::InstanceType,
        InstanceDimension::AvailabilityZone,
    ];

    /// Its name in CloudWatch, and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            InstanceDimension::InstanceId => "InstanceId",
            InstanceDimension::AutoScalingGroupName => "AutoScalingGroupName",
            InstanceDimension::ImageId => "ImageId",
            InstanceDimension::InstanceType => "InstanceType",
            InstanceDimension::AvailabilityZone => "AvailabilityZone",
        }
    }
}

impl Instance {
    /// The identity with these dimensions; those that the instance does not have are left out.
    pub fn identity(&self, chosen: &[InstanceDimension]) -> Identity {
        let value = |dimension: InstanceDimension| match dimension {
            InstanceDimension::InstanceId => Some(&self.instance_id),
            InstanceDimension::AutoScalingGroupName => self.auto_scaling_group.as_ref(),
            InstanceDimension::ImageId => Some(&self.image_id),
            InstanceDimension::InstanceType => Some(&self.instance_type),
            InstanceDimension::AvailabilityZone => Some(&self.availability_zone),
        };
        let dimensions = chosen.iter().filter_map(|dimension| {
            let value = value(*dimension).filter(|value| !value.is_empty())?;
            Some(Dimension { name: dimension.as_str().into(), value: value.clone() })
        });
        Identity { name: self.instance_id.clone(), dimensions: dimensions.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_the_dimensions_that_were_chosen_and_are_known() {
        let document = r#"{"accountId": "123456789012", "region": "eu-west-3", "instanceId": "i-1",
            "instanceType": "t3.micro", "availabilityZone": "eu-west-3a", "billingProducts": null}"#;
        let instance: Instance = serde_json::from_str(document).unwrap();
        let identity = instance.identity(&InstanceDimension::ALL);
        let names: Vec<&str> = identity.dimensions.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["InstanceId", "InstanceType", "AvailabilityZone"]);
        assert_eq!((identity.name.as_str(), instance.account_id.as_str()), ("i-1", "123456789012"));
    }
}
