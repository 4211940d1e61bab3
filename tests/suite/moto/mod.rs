//! What the agent really sends, by an independent judge: moto holds it, and boto3 reads it back.
//!
//! Neither is ours, nor of the agent's SDK. moto takes much that AWS refuses: what must be refused is the matter of the
//! strict fake (`vpcwatch_tests::fake_aws`). `tests/check.sh` installs both and says where, in [`PYTHON`].
#![expect(clippy::panic, clippy::expect_used, reason = "a test fails by panicking, and says why")]

mod delivery;
mod front;
mod provisioning;
mod stacks;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::Value;
use vpcwatch_tests::tests;

/// Names the Python of the virtual environment that has moto and boto3.
const PYTHON: &str = "VPCWATCH_MOTO_PYTHON";

/// Whose the requests are, where it is not an instance's role.
const ACCESS_KEY: &str = "AKIAEXAMPLE";
const SECRET_KEY: &str = "not-a-secret";
const REGION: &str = "eu-west-3";

/// A Python of that environment, about to run one of our programs with nothing of this machine's configuration.
fn python(program: &str) -> Command {
    let Some(python) = std::env::var_os(PYTHON) else {
        panic!(
            "{PYTHON} is not set: run tests/check.sh, which installs moto and sets it, or leave these tests out with \
             `-- --skip moto::`"
        );
    };
    let mut command = Command::new(python);
    command.env_clear().arg(tests().join("stand_ins").join(program));
    command
}

/// moto behind a front that speaks CBOR (`tests/stand_ins/moto_cbor.py`).
struct Moto {
    process: Child,
    endpoint: String,
    printed: BufReader<ChildStdout>,
}

impl Moto {
    fn start() -> Self {
        let mut command = python("moto_cbor.py");
        let mut process =
            command.arg("0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect(PYTHON);
        let mut printed = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        printed.read_line(&mut line).unwrap();
        let endpoint = line.trim_end().strip_prefix("ready at ").expect("moto does not start").to_owned();
        Moto { process, endpoint, printed }
    }

    /// What it holds in a region, as boto3 reads it.
    fn read_back(&self, region: &str) -> Held {
        let mut command = python("read_back.py");
        command.arg(&self.endpoint).envs([
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_DEFAULT_REGION", region),
        ]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a person does with boto3 (`tests/stand_ins/person.py`).
    fn person(&self, arguments: &[&str]) {
        let mut command = python("person.py");
        command.arg(&self.endpoint).args(arguments).envs([
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_DEFAULT_REGION", REGION),
        ]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends it, and tells of all requests.
    fn requests(mut self) -> Vec<Request> {
        drop(self.process.stdin.take());
        let printed = (&mut self.printed).lines();
        printed.map(|line| Request::read(&line.unwrap())).collect()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.process.stdin.take()); // which ends it
        let _ = self.process.wait();
    }
}

/// A request that came to it.
#[derive(Debug)]
struct Request {
    status: u16,
    region: String,
    service: String,
    access_key: String,
    operation: String,
}

impl Request {
    fn read(line: &str) -> Self {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let [status, region, service, access_key, operation] = words.try_into().unwrap();
        Request { status: status.parse().unwrap(), region, service, access_key, operation }
    }
}

/// What CloudWatch and CloudWatch Logs hold: what `tests/stand_ins/read_back.py` prints.
#[derive(Debug, Deserialize)]
struct Held {
    metrics: Vec<Metric>,
    groups: BTreeMap<String, Group>,
    alarms: BTreeMap<String, Value>,
    dashboards: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Metric {
    namespace: String,
    name: String,
    dimensions: BTreeMap<String, String>,
    units: Vec<String>,
    minutes: Vec<Minute>,
}

/// A minute of the clock, with CloudWatch's own statistics of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Minute {
    #[serde(rename = "start")]
    start: i64,
    sample_count: f64,
    sum: f64,
    minimum: f64,
    maximum: f64,
}

#[derive(Debug, Deserialize)]
struct Group {
    retention: Option<u16>,
    streams: BTreeMap<String, Vec<Event>>,
}

#[derive(Debug, Deserialize)]
struct Event {
    timestamp: i64,
    message: String,
}

/// What tells metrics apart, and the unit: namespace, name, dimensions, unit.
type Kind = (String, String, BTreeMap<String, String>, String);

impl Held {
    /// Every metric, with its one unit.
    fn kinds(&self) -> BTreeSet<Kind> {
        let kind = |metric: &Metric| {
            let [unit] = metric.units.as_slice() else { panic!("not one unit: {metric:?}") };
            (metric.namespace.clone(), metric.name.clone(), metric.dimensions.clone(), unit.clone())
        };
        self.metrics.iter().map(kind).collect()
    }

    /// The minutes of a metric of the host as a whole.
    fn minutes(&self, name: &str) -> &[Minute] {
        &self.metrics.iter().find(|metric| metric.name == name).unwrap().minutes
    }

    /// The samples events of the only stream, which has this name, with their times.
    #[track_caller]
    fn samples(&self, stream: &str) -> Vec<(i64, Value)> {
        assert_eq!(self.groups.keys().collect::<Vec<_>>(), ["/vpcwatch/samples"]);
        let streams = &self.groups["/vpcwatch/samples"].streams;
        assert_eq!(streams.keys().collect::<Vec<_>>(), [stream]);
        let event = |event: &Event| (event.timestamp, serde_json::from_str(&event.message).unwrap());
        streams[stream].iter().map(event).collect()
    }
}
