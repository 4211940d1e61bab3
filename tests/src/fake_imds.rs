//! A stand-in for EC2's instance metadata service, version 2 only.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html> and
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-returns.html>. One thing is simpler than there:
//! each request for credentials makes new ones, with the next number in the access key.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use vpcwatch::host::clock;

use crate::http::{Answer, Call, Delivery, Site, Stand, lock};

const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const LONGEST_TTL: u64 = 21_600;

/// Instance metadata. Dropping it stops it.
#[derive(Debug)]
pub struct FakeImds {
    stand: Stand<State>,
}

/// What the instance is. Change it with [`FakeImds::change`].
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// `t3.micro`.
    pub instance_type: String,
    /// The image that it was started from.
    pub ami_id: String,
    /// `eu-west-3`; the zone is `a` of it.
    pub region: String,
    /// Whose it is.
    pub account: String,
    /// Its tags, if the instance shows them in its metadata at all.
    pub tags: Option<BTreeMap<String, String>>,
    /// What its Auto Scaling group wants of it; none where it is of no group.
    pub lifecycle_state: Option<String>,
    /// The role, if one is attached.
    pub role: Option<String>,
    /// How long credentials last from when they are asked for. Negative: they are past when they come.
    pub credentials_last: SignedDuration,
    /// How long each answer takes.
    pub delay: Duration,
    /// Whether no answer comes at all.
    pub hangs: bool,
}

impl Default for Instance {
    fn default() -> Self {
        let tags = [("Name", "web-1"), ("aws:autoscaling:groupName", "web")];
        Instance {
            id: "i-0123456789abcdef0".into(),
            instance_type: "t3.micro".into(),
            ami_id: "ami-0123456789abcdef0".into(),
            region: "eu-west-3".into(),
            account: "123456789012".into(),
            tags: Some(tags.map(|(key, value)| (key.into(), value.into())).into()),
            lifecycle_state: Some("InService".into()),
            role: Some("vpcwatch".into()),
            credentials_last: SignedDuration::from_hours(6),
            delay: Duration::ZERO,
            hangs: false,
        }
    }
}

impl FakeImds {
    /// Starts on loopback, at any free port.
    pub fn start() -> anyhow::Result<Self> {
        FakeImds::start_at((Ipv4Addr::LOCALHOST, 0))
    }

    /// Starts at this address and port.
    pub fn start_at(at: (Ipv4Addr, u16)) -> anyhow::Result<Self> {
        Ok(FakeImds { stand: Stand::start(at, State::default())? })
    }

    /// `http://ADDRESS:PORT`.
    pub fn endpoint(&self) -> String {
        self.stand.endpoint()
    }

    /// What a program needs in its environment to come here.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.endpoint())]
    }

    /// Stops listening and closes all connections.
    pub fn down(&self) {
        self.stand.down();
    }

    /// Listens again, at the same port.
    pub fn up(&self) -> anyhow::Result<()> {
        self.stand.up()
    }

    /// Changes what the instance is: `imds.change(|instance| instance.role = None)`.
    pub fn change(&self, change: impl FnOnce(&mut Instance)) {
        change(&mut self.inner().instance);
    }

    /// Answers the next `count` requests whose path has `part` with this status.
    pub fn fail(&self, part: &str, status: u16, count: u64) {
        self.inner().failures.push((part.to_owned(), status, count));
    }

    /// Ends all failures.
    pub fn clear_failures(&self) {
        self.inner().failures.clear();
    }

    /// Forgets all tokens, as an instance that was stopped and started.
    pub fn forget_tokens(&self) {
        self.inner().tokens.clear();
    }

    /// How many credentials were given out; the latest has the access key `ASIAFAKE` and this number in eight digits.
    pub fn credentials_given(&self) -> u64 {
        self.inner().credentials
    }

    /// Requests by path, whatever came of them.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.inner().requests.clone()
    }

    /// Requests of one path.
    pub fn count(&self, path: &str) -> u64 {
        self.inner().requests.get(path).copied().unwrap_or(0)
    }

    /// Calls this for each request, with its method, path and status.
    pub fn on_request(&self, show: fn(&str, &str, u16)) {
        self.inner().show = Some(show);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.stand.site.0)
    }
}

#[derive(Debug, Default)]
struct State(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    instance: Instance,
    tokens: BTreeMap<String, Instant>,
    tokens_given: u64,
    credentials: u64,
    /// Part of a path, status, how many times more.
    failures: Vec<(String, u16, u64)>,
    requests: BTreeMap<String, u64>,
    show: Option<fn(&str, &str, u16)>,
}

impl Site for State {
    fn answer(&self, call: Call) -> Answer {
        let mut inner = lock(&self.0);
        let path = call.path.split('?').next().unwrap_or_default();
        *inner.requests.entry(path.to_owned()).or_default() += 1;
        let mut answer = inner.answer(&call, path).with("Content-Type", "text/plain").with("Server", "EC2ws");
        if inner.instance.hangs {
            answer.delivery = Delivery::Never;
        } else if !inner.instance.delay.is_zero() {
            answer.delivery = Delivery::Late(inner.instance.delay);
        }
        if let Some(show) = inner.show {
            show(&call.method, path, answer.status);
        }
        answer
    }
}

impl Inner {
    fn answer(&mut self, call: &Call, path: &str) -> Answer {
        let failure =
            self.failures.iter_mut().find(|(part, _, left)| *left > 0 && path.contains(part.as_str()));
        if let Some((_, status, left)) = failure {
            *left -= 1;
            return Answer::new(*status, "");
        }
        match (call.method.as_str(), path) {
            ("PUT", "/latest/api/token") => self.token(call),
            ("GET", _) if !self.admits(call) => Answer::new(401, ""),
            ("GET", _) => match self.get(path) {
                Some(text) => Answer::new(200, text),
                None => Answer::new(404, "Not Found"),
            },
            _ => Answer::new(405, ""),
        }
    }

    fn token(&mut self, call: &Call) -> Answer {
        if call.header("x-forwarded-for").is_some() {
            return Answer::new(403, "");
        }
        let ttl = call.header(TOKEN_TTL).and_then(|ttl| ttl.parse().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=LONGEST_TTL).contains(ttl)) else {
            return Answer::new(400, "");
        };
        self.tokens_given += 1;
        let token = format!("AQAEAFake{:047}==", self.tokens_given);
        self.tokens.insert(token.clone(), Instant::now() + Duration::from_secs(ttl));
        Answer::new(200, token).with(TOKEN_TTL, ttl.to_string())
    }

    fn admits(&self, call: &Call) -> bool {
        let token = call.header("x-aws-ec2-metadata-token").unwrap_or_default();
        self.tokens.get(token).is_some_and(|until| Instant::now() < *until)
    }

    fn get(&mut self, path: &str) -> Option<String> {
        if path == "/latest/dynamic/instance-identity/document" {
            return Some(self.document());
        }
        let item = path.strip_prefix("/latest/meta-data/")?;
        if let Some(role) = item.strip_prefix("iam/security-credentials").map(|rest| rest.trim_matches('/')) {
            let attached = self.instance.role.clone()?;
            return match role {
                "" => Some(attached),
                _ if role == attached => Some(self.credentials()),
                _ => None,
            };
        }
        let instance = &self.instance;
        if let Some(key) = item.strip_prefix("tags/instance") {
            let tags = instance.tags.as_ref()?;
            return match key.trim_start_matches('/') {
                "" => Some(tags.keys().map(String::as_str).collect::<Vec<_>>().join("\n")),
                key => tags.get(key).cloned(),
            };
        }
        match item {
            "instance-id" => Some(instance.id.clone()),
            "instance-type" => Some(instance.instance_type.clone()),
            "ami-id" => Some(instance.ami_id.clone()),
            "placement/region" => Some(instance.region.clone()),
            "placement/availability-zone" => Some(instance.zone()),
            "services/partition" => Some("aws".into()),
            "autoscaling/target-lifecycle-state" => instance.lifecycle_state.clone(),
            _ => None,
        }
    }

    fn document(&self) -> String {
        let instance = &self.instance;
        let document = json!({
            "accountId": instance.account,
            "architecture": "x86_64",
            "availabilityZone": instance.zone(),
            "billingProducts": null,
            "imageId": instance.ami_id,
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "kernelId": null,
            "pendingTime": "2026-01-02T03:04:05Z",
            "privateIp": "10.0.0.10",
            "ramdiskId": null,
            "region": instance.region,
            "version": "2017-09-30",
        });
        format!("{document:#}")
    }

    fn credentials(&mut self) -> String {
        self.credentials += 1;
        let now = clock::wall();
        let credentials = json!({
            "Code": "Success",
            "LastUpdated": iso(now),
            "Type": "AWS-HMAC",
            "AccessKeyId": format!("ASIAFAKE{:08}", self.credentials),
            "SecretAccessKey": "not-a-secret",
            "Token": "not-a-token",
            "Expiration": iso(now + self.instance.credentials_last),
        });
        format!("{credentials:#}")
    }
}

impl Instance {
    fn zone(&self) -> String {
        format!("{}a", self.region)
    }
}

fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
