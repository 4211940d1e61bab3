"""Makes a stack of a template in CloudFormation, and prints as JSON what the services themselves then hold, read with boto3.

usage: stack.py ENDPOINT TEMPLATE [PARAMETER=VALUE ...]

{"outputs": {NAME: VALUE}, "resources": {LOGICAL ID: TYPE}, "roles": {NAME: {POLICY: DOCUMENT}}, "profiles": {ARN: [ROLE, ...]},
 "groups": {NAME: DAYS}, "topics": {ARN: {"policy", "key", "subscriptions": [[PROTOCOL, ENDPOINT], ...]}},
 "keys": {ID: POLICY}, "queues": {ARN: {as GetQueueAttributes tells, policies as objects}},
 "launch_template": {as DescribeLaunchTemplateVersions tells, user data as text}, "instances": [IMAGE ID, ...]}
"""

import base64
import json
import sys

import boto3


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    endpoint, template, *parameters = sys.argv[1:]

    def client(service):
        return boto3.client(service, endpoint_url=endpoint)

    cloudformation = client("cloudformation")
    with open(template, encoding="utf-8") as file:
        body = file.read()
    pairs = [parameter.split("=", 1) for parameter in parameters]
    cloudformation.create_stack(
        StackName="vpcwatch",
        TemplateBody=body,
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in pairs],
        Capabilities=["CAPABILITY_IAM"],
    )
    stack = cloudformation.describe_stacks(StackName="vpcwatch")["Stacks"][0]
    resources = cloudformation.describe_stack_resources(StackName="vpcwatch")["StackResources"]
    if stack["StackStatus"] != "CREATE_COMPLETE":
        sys.exit(f"{stack['StackStatus']}: {resources}")
    held = {
        "outputs": {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
        "resources": {each["LogicalResourceId"]: each["ResourceType"] for each in resources if "LogicalResourceId" in each},
        **identities(client("iam")),
        "groups": {group["logGroupName"]: group.get("retentionInDays") for group in client("logs").describe_log_groups()["logGroups"]},
        "topics": topics(client("sns")),
        "keys": keys(client("kms")),
        "queues": queues(client("sqs")),
        **machines(client("ec2")),
    }
    json.dump(held, sys.stdout)


def identities(iam):
    def policies(role):
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}

    roles = [role["RoleName"] for role in iam.list_roles()["Roles"]]
    profiles = iam.list_instance_profiles()["InstanceProfiles"]
    return {
        "roles": {role: policies(role) for role in roles},
        "profiles": {profile["Arn"]: [role["RoleName"] for role in profile["Roles"]] for profile in profiles},
    }


def topics(sns):
    def topic(arn):
        told = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
        subscriptions = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
        return {
            "policy": json.loads(told["Policy"]),
            "key": told.get("KmsMasterKeyId"),
            "subscriptions": sorted([each["Protocol"], each["Endpoint"]] for each in subscriptions),
        }

    return {each["TopicArn"]: topic(each["TopicArn"]) for each in sns.list_topics()["Topics"]}


def keys(kms):
    def policy(key):
        told = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
        # moto keeps a stack's as it came.
        return told if isinstance(told, dict) else json.loads(told)

    return {key["KeyId"]: policy(key["KeyId"]) for key in kms.list_keys()["Keys"]}


def queues(sqs):
    held = {}
    for url in sqs.list_queues().get("QueueUrls", []):
        told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        for name in {"Policy", "RedrivePolicy"} & told.keys():
            told[name] = json.loads(told[name])
        held[told["QueueArn"]] = told
    return held


def machines(ec2):
    versions = ec2.describe_launch_template_versions(Versions=["$Latest"])["LaunchTemplateVersions"]
    data = [version["LaunchTemplateData"] for version in versions]
    for each in data:
        each["UserData"] = base64.b64decode(each["UserData"]).decode()
    instances = [each["ImageId"] for group in ec2.describe_instances()["Reservations"] for each in group["Instances"]]
    return {"launch_template": data[0] if data else None, "instances": instances}


if __name__ == "__main__":
    main()
