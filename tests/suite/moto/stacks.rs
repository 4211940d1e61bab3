//! The templates of `packaging/cloudformation`: cfn-lint has nothing to say of them, and what moto makes of one is what the
//! services then hold. moto knows not every kind of resource and goes on without them: those are named here.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};
use vpcwatch_tests::tests;

use super::{ACCESS_KEY, Moto, PYTHON, REGION, SECRET_KEY, python};
use crate::cloudformation::{SHA256, URL, agent_template, printed_for, user_data};

const LINT: &str = "import sys; from cfnlint.runner import main; sys.exit(main())";

/// Of what moto does not make; `cloudformation` looks at what they say.
const UNKNOWN_TO_MOTO: [&str; 5] =
    ["ChangeQueuePolicy", "ChangeSubscription", "ChangeTopicPolicy", "SecurityMail", "SecurityTopicPolicy"];

#[test]
fn cfn_lint_has_nothing_to_say() {
    let python =
        std::env::var_os(PYTHON).unwrap_or_else(|| panic!("{PYTHON} is not set: run tests/check.sh"));
    let folder = tests().join("../packaging/cloudformation");
    let templates = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let templates: Vec<_> =
        templates.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(!templates.is_empty());
    // Informational findings too; regions other than its default have other resources.
    let output = Command::new(python)
        .env_clear()
        .args([
            "-c",
            LINT,
            "--include-checks",
            "I",
            "--regions",
            "us-east-1",
            "eu-west-3",
            "us-gov-west-1",
            "cn-north-1",
        ])
        .arg("--template")
        .args(&templates)
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!((output.status.code(), told), (Some(0), [String::new(), String::new()]));
}

/// Makes a stack; gives what the services hold (`tests/stand_ins/stack.py`).
fn made(moto: &Moto, parameters: &[&str]) -> Value {
    let mut command = python("stack.py");
    command.arg(&moto.endpoint).arg(tests().join("../packaging/cloudformation/agent.yaml"));
    command.args([format!("PackageUrl={URL}"), format!("PackageSha256={SHA256}")]).args(parameters).envs([
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_DEFAULT_REGION", REGION),
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The values of an object that must have one.
fn only(object: &Value) -> &Value {
    let values: Vec<&Value> = object.as_object().unwrap().values().collect();
    assert_eq!(values.len(), 1, "{object}");
    values[0]
}

#[test]
fn the_services_hold_what_the_template_says() {
    let held = made(&Moto::start(), &["SecurityEmail=security@example.org"]);
    let place = ["aws", REGION, "123456789012"];
    let output = |name: &str| held["outputs"][name].as_str().unwrap().to_owned();
    let topics = [output("SecurityTopicArn"), output("ChangeTopicArn")];

    let template = agent_template(place, &[("SecurityTopic", &topics[0]), ("ChangeTopic", &topics[1])]);
    let made: BTreeSet<&str> = held["resources"].as_object().unwrap().keys().map(String::as_str).collect();
    // Those of conditions that do not hold here.
    let unmade = BTreeSet::from(["SecurityPager", "Instance"]);
    let missing: BTreeSet<&str> = template
        .resources()
        .into_iter()
        .filter(|name| !made.contains(name) && !unmade.contains(name))
        .collect();
    assert_eq!(missing, BTreeSet::from(UNKNOWN_TO_MOTO));

    let policies = only(&held["roles"]);
    for part in ["runtime", "provision"] {
        assert_eq!(policies[format!("vpcwatch-{part}")], printed_for(part, place, &topics, &[]), "{part}");
    }
    let (profile, roles) = held["profiles"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(roles, &json!(held["roles"].as_object().unwrap().keys().collect::<Vec<_>>()));
    assert_eq!(held["groups"], json!({ "/vpcwatch/samples": 30, "/vpcwatch/findings": 365 }));

    // Both topics are encrypted with the key that admits CloudWatch.
    let (key, policy) = held["keys"].as_object().unwrap().iter().next().unwrap();
    for topic in &topics {
        assert_eq!(held["topics"][topic]["key"], json!(key));
    }
    let alarms = json!({
        "Sid": "AlarmsPublish",
        "Effect": "Allow",
        "Principal": { "Service": "cloudwatch.amazonaws.com" },
        "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
        "Resource": "*",
    });
    assert!(policy["Statement"].as_array().unwrap().contains(&alarms), "{policy}");

    // What cannot be worked on goes to the other queue.
    let queues: BTreeMap<&str, &Value> =
        held["queues"].as_object().unwrap().iter().map(|(arn, queue)| (arn.as_str(), queue)).collect();
    let queue = queues[output("ChangeQueueArn").as_str()];
    let dead_letters = queue["RedrivePolicy"]["deadLetterTargetArn"].as_str().unwrap();
    assert!(
        queues.len() == 2 && dead_letters != output("ChangeQueueArn") && queues.contains_key(dead_letters)
    );
    assert!(queues.values().all(|queue| queue["SqsManagedSseEnabled"] == "true"), "{queues:?}");

    let launched = &held["launch_template"];
    assert_eq!(
        launched["MetadataOptions"],
        json!({
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
            "InstanceMetadataTags": "enabled",
        })
    );
    assert_eq!(launched["IamInstanceProfile"]["Arn"], json!(profile));
    // Substituted by moto as by us.
    assert_eq!(launched["UserData"], json!(user_data(&template)));
}

#[test]
fn what_is_not_wanted_is_not_made() {
    let parameters = ["TopicEncryption=false", "CreateLogGroups=false", "ProvisionAtStart=false"];
    let held = made(&Moto::start(), &parameters);
    assert_eq!((&held["keys"], &held["groups"]), (&json!({}), &json!({})));
    assert!(held["topics"].as_object().unwrap().values().all(|topic| topic["key"].is_null()), "{held}");
    let policies = only(&held["roles"]).as_object().unwrap().keys().collect::<Vec<_>>();
    assert_eq!(policies, ["vpcwatch-runtime"]);
    let user_data = held["launch_template"]["UserData"].as_str().unwrap();
    assert!(user_data.contains("\nat_start = false\n"), "{user_data}");
}
