//! A strict stand-in for CloudWatch and CloudWatch Logs, on loopback unless told otherwise.
//!
//! It knows the operations that an agent calls, refuses whatever AWS would refuse, keeps what it accepted, and fails on
//! demand in the ways that AWS and networks do. No type of the AWS SDK is in here, so that it judges by itself. It does
//! not know secrets: a signature's form, key, scope and time are checked, not its arithmetic.

mod alarms;
mod cbor;
mod dashboards;
mod faults;
mod logs;
mod metrics;
mod protocol;
mod queries;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::ensure;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use vpcwatch::host::clock;

pub use alarms::StoredAlarm;
pub use faults::{Fault, Kind, Poison, Throttle, Times};
pub use logs::StoredEvent;
pub use metrics::{Statistics, StoredDatum};
pub use queries::{StoredQuery, StoredStat};

use crate::alarm_evaluator::Arrival;
use crate::http::{Answer, Call, Delivery, Site, Stand, lock};
use faults::Faults;
use protocol::{ACCOUNT, Envelope, Refusal, Service};

/// Requests a second of an account in a region:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html> and
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>. All but the last can be raised.
const QUOTAS: [(&str, usize); 5] = [
    ("PutMetricData", 500),
    ("PutLogEvents", 5_000),
    ("CreateLogStream", 50),
    ("CreateLogGroup", 10),
    ("PutRetentionPolicy", 5),
];

/// The same of operations by which alarms and dashboards are set up; these have not been compared with the page. Who calls
/// them shares the quota with all others of the account, and cannot know how much is left: to exceed it is no violation.
const QUOTAS_OF_PROVISIONING: [(&str, usize); 15] = [
    ("PutMetricAlarm", 3),
    ("DescribeAlarms", 9),
    ("DeleteAlarms", 3),
    ("SetAlarmState", 3),
    ("TagResource", 10),
    ("UntagResource", 10),
    ("ListTagsForResource", 10),
    ("PutDashboard", 10),
    ("GetDashboard", 10),
    ("DeleteDashboards", 10),
    ("ListDashboards", 10),
    ("GetMetricData", 50),
    ("GetLogEvents", 25),
    ("DescribeLogStreams", 5),
    ("DeleteLogStream", 15),
];

/// In [`FakeAws::count_only`], requests and violations beyond the last so many are forgotten.
const REMEMBERED: usize = 10_000;

/// Both services at one endpoint. Dropping it stops it.
#[derive(Debug)]
pub struct FakeAws {
    stand: Stand<State>,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// In order of arrival, from 0.
    pub number: u64,
    /// `PutMetricData`; empty if it was none of AWS.
    pub operation: String,
    /// When it was read, since the fake was made.
    pub received: Duration,
    /// The same by the fake's clock.
    pub at: Timestamp,
    /// The answer's HTTP status; none if no answer reached the client whole.
    pub status: Option<u16>,
    /// The error that was answered, `CODE: message`.
    pub error: Option<String>,
    /// The length of its body as sent.
    pub bytes: usize,
    /// Whether the body was compressed.
    pub gzip: bool,
    /// Who signed it.
    pub access_key: Option<String>,
    /// Data or events in it.
    pub records: usize,
    /// Of them, events that were refused one by one.
    pub rejected: u64,
    /// Whether it took effect.
    pub applied: bool,
}

/// Sums over all requests, also in [`FakeAws::count_only`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that came.
    pub requests: u64,
    /// Of them, those that took effect.
    pub applied: u64,
    /// Bytes of their bodies as sent.
    pub bytes: u64,
    /// Data accepted.
    pub data: u64,
    /// Events accepted.
    pub events: u64,
    /// Bytes of their messages.
    pub event_bytes: u64,
    /// Events refused one by one.
    pub rejected: u64,
}

/// What CloudWatch would show of a metric over all time and dimensions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sum {
    /// Data accepted.
    pub data: u64,
    /// `SampleCount`.
    pub samples: f64,
    /// `Sum`.
    pub sum: f64,
}

impl FakeAws {
    /// Starts on loopback, at any free port.
    pub fn start() -> anyhow::Result<Self> {
        FakeAws::start_at((Ipv4Addr::LOCALHOST, 0))
    }

    /// Starts at this address and port.
    pub fn start_at(at: (Ipv4Addr, u16)) -> anyhow::Result<Self> {
        Ok(FakeAws {
            stand: Stand::start(at, State { began: Instant::now(), inner: Mutex::new(Inner::new()) })?,
        })
    }

    /// Answers a request that came by no socket.
    pub fn answer(&self, call: Call) -> Answer {
        self.stand.site.answer(call)
    }

    /// `http://ADDRESS:PORT`.
    pub fn endpoint(&self) -> String {
        self.stand.endpoint()
    }

    /// What a program needs in its environment to come here.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("AWS_ENDPOINT_URL", self.endpoint())]
    }

    /// Stops listening and closes all connections; what was accepted stays.
    pub fn down(&self) {
        self.stand.down();
    }

    /// Listens again, at the same port.
    pub fn up(&self) -> anyhow::Result<()> {
        self.stand.up()
    }

    /// Sets the fake's clock so many seconds ahead of this machine's, or behind it.
    pub fn set_skew(&self, seconds: i64) {
        self.inner().skew = SignedDuration::from_secs(seconds);
    }

    /// The time by the fake's clock.
    pub fn now(&self) -> Timestamp {
        self.inner().now()
    }

    /// From now on keeps counts and sums, no data, and of the events of a stream the first alone.
    pub fn count_only(&self) {
        self.inner().keep = false;
    }

    /// Refuses requests by this key from now on.
    pub fn expire_access_key(&self, key: &str) {
        self.inner().expired.insert(key.to_owned());
    }

    /// Changes an operation's quota.
    pub fn set_quota(&self, operation: &'static str, per_second: usize) {
        self.inner().quotas.entry(operation).or_default().per_second = per_second;
    }

    /// Calls this for each request, when its answer is known.
    pub fn on_request(&self, show: impl Fn(&Request) + Send + 'static) {
        self.inner().show = Some(Show(Box::new(show)));
    }

    /// Adds a fault behind those there are.
    pub fn fault(&self, fault: Fault) {
        self.inner().faults.add(fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.inner().faults.clear();
    }

    /// Makes a log group and a stream in it, where they are not there.
    pub fn create_stream(&self, group: &str, stream: &str) {
        let mut inner = self.inner();
        inner.groups.entry(group.to_owned()).or_default().streams.entry(stream.to_owned()).or_default();
    }

    /// Removes a log group with all that is in it, as an operator might.
    pub fn delete_group(&self, group: &str) {
        self.inner().groups.remove(group);
    }

    /// All data that were accepted, in order of arrival.
    pub fn metrics(&self) -> Vec<StoredDatum> {
        self.inner().metrics.clone()
    }

    /// The same with the times at which they came; without those whose requests are forgotten.
    pub fn arrivals(&self) -> Vec<Arrival> {
        let inner = self.inner();
        let times = inner.times();
        let arrival =
            |datum: &StoredDatum| Some(Arrival { at: *times.get(&datum.request)?, datum: datum.clone() });
        inner.metrics.iter().filter_map(arrival).collect()
    }

    /// Sums by metric name.
    pub fn sums(&self) -> BTreeMap<String, Sum> {
        self.inner().sums.clone()
    }

    /// All events that a stream accepted, in order of arrival.
    pub fn events(&self, group: &str, stream: &str) -> Vec<StoredEvent> {
        let inner = self.inner();
        inner.stream(group, stream).map(|stream| stream.events.clone()).unwrap_or_default()
    }

    /// The same with the times at which they came; without those whose requests are forgotten.
    pub fn event_arrivals(&self, group: &str, stream: &str) -> Vec<(Timestamp, StoredEvent)> {
        let inner = self.inner();
        let times = inner.times();
        let events = inner.stream(group, stream).map(|stream| stream.events.as_slice()).unwrap_or_default();
        events.iter().filter_map(|event| Some((*times.get(&event.request)?, event.clone()))).collect()
    }

    /// How many events a stream accepted.
    pub fn event_count(&self, group: &str, stream: &str) -> u64 {
        self.inner().stream(group, stream).map_or(0, |stream| stream.count)
    }

    /// How many events all streams of a group accepted.
    pub fn event_count_of(&self, group: &str) -> u64 {
        let inner = self.inner();
        inner.groups.get(group).map_or(0, |group| group.streams.values().map(|stream| stream.count).sum())
    }

    /// The log groups with their retention in days.
    pub fn groups(&self) -> BTreeMap<String, Option<i64>> {
        self.inner().groups.iter().map(|(name, group)| (name.clone(), group.retention_days)).collect()
    }

    /// The streams of a group.
    pub fn streams(&self, group: &str) -> Vec<String> {
        let inner = self.inner();
        inner.groups.get(group).map(|group| group.streams.keys().cloned().collect()).unwrap_or_default()
    }

    /// How many alarms there may be, 5,000 at first; a new one beyond that is refused.
    pub fn set_alarm_limit(&self, most: usize) {
        self.inner().alarms.limit = most;
    }

    /// All alarms, by name.
    pub fn alarms(&self) -> Vec<StoredAlarm> {
        self.inner().alarms.stored.values().cloned().collect()
    }

    /// Changes an alarm as a person might at the console; false if there is none of this name.
    pub fn put_alarm_as_person(&self, name: &str, change: impl FnOnce(&mut StoredAlarm)) -> bool {
        self.inner().alarms.stored.get_mut(name).map(change).is_some()
    }

    /// Adds an alarm as it was in another fake, or puts it in place of the one of its name. It is not checked.
    pub fn put_alarm(&self, alarm: StoredAlarm) {
        self.inner().alarms.stored.insert(alarm.name.clone(), alarm);
    }

    /// Removes an alarm as a person might; false if there is none of this name.
    pub fn remove_alarm(&self, name: &str) -> bool {
        self.inner().alarms.stored.remove(name).is_some()
    }

    /// The bodies of all dashboards, by name.
    pub fn dashboards(&self) -> BTreeMap<String, String> {
        self.inner().dashboards.iter().map(|(name, kept)| (name.clone(), kept.body.clone())).collect()
    }

    /// Makes or replaces a dashboard as a person might. The body is not checked.
    pub fn put_dashboard_as_person(&self, name: &str, body: &str) {
        let mut inner = self.inner();
        let modified = inner.now();
        inner.dashboards.insert(name.to_owned(), dashboards::Dashboard { body: body.to_owned(), modified });
    }

    /// How many requests of an operation were refused because its quota was used up.
    pub fn over_quota(&self, operation: &str) -> u64 {
        self.inner().quotas.get(operation).map_or(0, |quota| quota.refused)
    }

    /// All requests, in the order in which they were done with.
    pub fn requests(&self) -> Vec<Request> {
        self.inner().requests.iter().cloned().collect()
    }

    /// Sums over all requests.
    pub fn totals(&self) -> Totals {
        self.inner().totals
    }

    /// Limits, quotas and rules that the client broke, each with the request's number and operation.
    pub fn violations(&self) -> Vec<String> {
        self.inner().violations.iter().cloned().collect()
    }

    /// Requests that took effect though the client had no whole answer.
    pub fn ambiguous(&self) -> u64 {
        self.inner().ambiguous
    }

    /// Waits until something holds. Fails, by the name of what it waited for, after this long.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&FakeAws) -> bool,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while !holds(self) {
            ensure!(began.elapsed() < limit, "waited {limit:?} for {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.stand.site.inner)
    }
}

#[derive(Debug)]
struct State {
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    skew: SignedDuration,
    keep: bool,
    expired: BTreeSet<String>,
    quotas: BTreeMap<&'static str, Quota>,
    faults: Faults,
    show: Option<Show>,
    arrived: u64,
    metrics: Vec<StoredDatum>,
    sums: BTreeMap<String, Sum>,
    groups: BTreeMap<String, logs::Group>,
    alarms: alarms::Alarms,
    dashboards: dashboards::Dashboards,
    requests: VecDeque<Request>,
    totals: Totals,
    violations: VecDeque<String>,
    ambiguous: u64,
}

/// What is called for each request.
struct Show(Box<dyn Fn(&Request) + Send>);

impl std::fmt::Debug for Show {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Show")
    }
}

/// Requests of the last second.
#[derive(Debug, Default)]
struct Quota {
    per_second: usize,
    recent: VecDeque<Instant>,
    refused: u64,
    /// Whether exceeding it is no violation.
    shared: bool,
}

/// A body, read as far as its format goes.
enum Body {
    Metrics(metrics::Batch),
    Logs(logs::Input),
    /// Any other operation of CloudWatch.
    Provisioning(cbor::Map),
}

/// A body that has no flaw.
enum Judged {
    Data(queries::Wanted),
    Metrics(Vec<StoredDatum>),
    Logs(logs::Change),
    Alarms(alarms::Call),
    Dashboards(dashboards::Call),
}

impl Site for State {
    fn answer(&self, call: Call) -> Answer {
        let (number, now) = self.arrival();
        let mut request = Request {
            number,
            operation: String::new(),
            received: self.began.elapsed(),
            at: now,
            status: None,
            error: None,
            bytes: call.body.len(),
            gzip: false,
            access_key: None,
            records: 0,
            rejected: 0,
            applied: false,
        };
        let (service, handled) = match Envelope::read(&call) {
            Err(refusal) => (Service::Logs, Err(refusal.into_violation())),
            Ok(envelope) => (envelope.service, self.handle(&call, &envelope, now, &mut request)),
        };
        let mut answer = match handled {
            Ok(answer) => answer,
            Err(refusal) => {
                if refusal.is_violation() {
                    let text = format!("request {number} {}: {}", request.operation, refusal.text());
                    self.inner().violations.push_back(text);
                }
                request.error = Some(refusal.text());
                refusal.answer(service)
            }
        };
        answer.number = number;
        answer.headers.push(("Date", protocol::http_date(now)));
        // A page of somebody else in between has no number of AWS.
        if answer.headers.iter().all(|(_, value)| value != "text/html") {
            answer.headers.push(("x-amzn-RequestId", format!("00000000-0000-4000-8000-{number:012}")));
        }
        // Set before it is sent, so that who has the answer finds it here; taken back if it is lost.
        request.status = Some(answer.status);
        self.done(request);
        answer
    }

    fn lost(&self, answer: &Answer) {
        let mut inner = self.inner();
        if let Some(request) = inner.requests.iter_mut().rev().find(|request| request.number == answer.number)
        {
            request.status = None;
            inner.ambiguous += u64::from(request.applied);
        }
    }
}

impl State {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    fn arrival(&self) -> (u64, Timestamp) {
        let mut inner = self.inner();
        let number = inner.arrived;
        inner.arrived += 1;
        (number, inner.now())
    }

    /// What a request comes to: what goes wrong first, then whether it is allowed, then whether it is good.
    fn handle(
        &self,
        call: &Call,
        envelope: &Envelope,
        now: Timestamp,
        request: &mut Request,
    ) -> Result<Answer, Refusal> {
        let service = envelope.service;
        request.operation.clone_from(&envelope.operation);
        request.access_key.clone_from(&envelope.access_key);
        request.gzip = envelope.gzip;
        let body = Body::parse(call, envelope);
        request.records = body.as_ref().map_or(0, Body::len);

        let has = |poison: &Poison| body.as_ref().is_ok_and(|body| body.has(poison));
        let fault = self.inner().faults.strike(&envelope.operation, has);
        let mut delivery = Delivery::Whole;
        match fault {
            None => {}
            Some(Kind::Error { status, code, message }) => return Err(Refusal::new(status, code, message)),
            Some(Kind::Throttle(throttle)) => return Err(throttle.refusal(service)),
            Some(Kind::Deny) => return Err(denial(envelope, body.as_ref().ok())),
            Some(Kind::Poison(_)) => return Err(poisoned(service)),
            Some(Kind::Hang) => return Ok(undelivered(Delivery::Never)),
            Some(Kind::Reset) => return Ok(undelivered(Delivery::Reset)),
            Some(Kind::Garbage) => return Ok(web_page()),
            Some(Kind::Delay(delay)) => delivery = Delivery::Late(delay),
            Some(Kind::ResetAfterApplying) => delivery = Delivery::Reset,
            Some(Kind::Truncate) => delivery = Delivery::Cut,
        }

        envelope.check(call)?;
        {
            let mut inner = self.inner();
            envelope.authenticate(call, now, &inner.expired)?;
            inner.within_quota(&envelope.operation, service)?;
        }
        if service == Service::Metrics && call.body.len() > metrics::MOST_BYTES {
            let message = format!("Request size {} exceeded {} bytes", call.body.len(), metrics::MOST_BYTES);
            return Err(Refusal::violation("RequestEntityTooLarge", message).with_status(413));
        }
        let judged = body?.judge(envelope, request.number, now)?;
        let answer = self.inner().apply(judged, now, request)?;
        request.applied = true;
        Ok(Answer { delivery, ..answer })
    }

    fn done(&self, request: Request) {
        let mut inner = self.inner();
        inner.totals.requests += 1;
        inner.totals.applied += u64::from(request.applied);
        inner.totals.bytes += request.bytes as u64;
        if let Some(Show(show)) = &inner.show {
            show(&request);
        }
        inner.requests.push_back(request);
        if !inner.keep {
            let surplus = inner.requests.len().saturating_sub(REMEMBERED);
            inner.requests.drain(..surplus);
            let surplus = inner.violations.len().saturating_sub(REMEMBERED);
            inner.violations.drain(..surplus);
        }
    }
}

impl Inner {
    fn new() -> Self {
        let quota = |shared| {
            move |(operation, per_second)| (operation, Quota { per_second, shared, ..Quota::default() })
        };
        let quotas = QUOTAS.into_iter().map(quota(false));
        let quotas = quotas.chain(QUOTAS_OF_PROVISIONING.into_iter().map(quota(true)));
        Inner {
            skew: SignedDuration::ZERO,
            keep: true,
            expired: BTreeSet::new(),
            quotas: quotas.collect(),
            faults: Faults::default(),
            show: None,
            arrived: 0,
            metrics: Vec::new(),
            sums: BTreeMap::new(),
            groups: BTreeMap::new(),
            alarms: alarms::Alarms::default(),
            dashboards: BTreeMap::new(),
            requests: VecDeque::new(),
            totals: Totals::default(),
            violations: VecDeque::new(),
            ambiguous: 0,
        }
    }

    /// When each request came, by its number.
    fn times(&self) -> BTreeMap<u64, Timestamp> {
        self.requests.iter().map(|request| (request.number, request.at)).collect()
    }

    fn now(&self) -> Timestamp {
        clock::wall() + self.skew
    }

    fn stream(&self, group: &str, stream: &str) -> Option<&logs::Stream> {
        self.groups.get(group)?.streams.get(stream)
    }

    fn within_quota(&mut self, operation: &str, service: Service) -> Result<(), Refusal> {
        let Some(quota) = self.quotas.get_mut(operation) else { return Ok(()) };
        let now = Instant::now();
        while quota.recent.front().is_some_and(|then| now.duration_since(*then) >= Duration::from_secs(1)) {
            quota.recent.pop_front();
        }
        if quota.recent.len() >= quota.per_second {
            quota.refused += 1;
            let refusal = Throttle::usual(service).refusal(service);
            return Err(if quota.shared { refusal } else { refusal.into_violation() });
        }
        quota.recent.push_back(now);
        Ok(())
    }

    fn apply(&mut self, judged: Judged, now: Timestamp, request: &mut Request) -> Result<Answer, Refusal> {
        match judged {
            Judged::Metrics(data) => {
                self.totals.data += data.len() as u64;
                for datum in &data {
                    let (samples, sum) = datum.sum();
                    let of_metric = self.sums.entry(datum.name.clone()).or_default();
                    of_metric.data += 1;
                    of_metric.samples += samples;
                    of_metric.sum += sum;
                }
                if self.keep {
                    self.metrics.extend(data);
                }
                Ok(Service::Metrics.success(None))
            }
            Judged::Data(wanted) => Ok(Service::cbor(200, &queries::apply(&wanted, &self.metrics))),
            Judged::Alarms(call) => Ok(Service::cbor(200, &self.alarms.apply(call, now)?)),
            Judged::Dashboards(call) => {
                Ok(Service::cbor(200, &dashboards::apply(call, &mut self.dashboards, now)?))
            }
            Judged::Logs(change) => {
                let applied = logs::apply(change, &mut self.groups, now, self.keep)?;
                self.totals.events += applied.accepted;
                self.totals.event_bytes += applied.bytes;
                self.totals.rejected += applied.rejected;
                request.rejected = applied.rejected;
                Ok(Service::Logs.success(applied.output.as_ref()))
            }
        }
    }
}

impl Body {
    fn parse(call: &Call, envelope: &Envelope) -> Result<Self, Refusal> {
        let body = protocol::unpack(&call.body, envelope.gzip)?;
        match envelope.service {
            Service::Metrics if envelope.operation == "PutMetricData" => {
                Ok(Body::Metrics(metrics::Batch::parse(&body)?))
            }
            Service::Metrics => Ok(Body::Provisioning(cbor::Map::parse(&body)?)),
            Service::Logs => Ok(Body::Logs(logs::Input::parse(&body)?)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Body::Metrics(batch) => batch.len(),
            Body::Logs(input) => input.len(),
            Body::Provisioning(_) => 0,
        }
    }

    fn has(&self, poison: &Poison) -> bool {
        match self {
            Body::Metrics(batch) => batch.has(poison),
            Body::Logs(input) => input.has(poison),
            Body::Provisioning(_) => false,
        }
    }

    fn judge(self, envelope: &Envelope, request: u64, now: Timestamp) -> Result<Judged, Refusal> {
        let (operation, region) = (&*envelope.operation, &*envelope.region);
        match self {
            Body::Metrics(batch) => Ok(Judged::Metrics(batch.judge(request, now)?)),
            Body::Logs(input) => Ok(Judged::Logs(input.judge(operation, request)?)),
            Body::Provisioning(members) if operation == "GetMetricData" => {
                Ok(Judged::Data(queries::judge(members)?))
            }
            Body::Provisioning(members) if dashboards::OPERATIONS.contains(&operation) => {
                Ok(Judged::Dashboards(dashboards::judge(operation, members)?))
            }
            Body::Provisioning(members) => Ok(Judged::Alarms(alarms::judge(operation, members, region)?)),
        }
    }
}

fn denial(envelope: &Envelope, body: Option<&Body>) -> Refusal {
    let region = &envelope.region;
    let resource = match body {
        _ if envelope.service == Service::Logs => {
            let text = |name| if let Some(Body::Logs(input)) = body { input.text(name) } else { "" };
            let (group, stream) = (text("logGroupName"), text("logStreamName"));
            Some(format!("arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}:log-stream:{stream}"))
        }
        Some(Body::Provisioning(members)) if dashboards::OPERATIONS.contains(&&*envelope.operation) => {
            Some(dashboards::resource(members))
        }
        Some(Body::Provisioning(members)) => Some(alarms::resource(members, region)),
        _ => None,
    };
    envelope.service.denied(&envelope.operation, resource.as_deref())
}

fn poisoned(service: Service) -> Refusal {
    match service {
        Service::Metrics => {
            Refusal::new(400, "InvalidParameterValue", "a datum that the service will not have")
        }
        Service::Logs => {
            Refusal::new(400, "InvalidParameterException", "an event that the service will not have")
        }
    }
}

fn undelivered(delivery: Delivery) -> Answer {
    Answer { delivery, ..Answer::new(200, "") }
}

fn web_page() -> Answer {
    Answer::new(200, "<!doctype html><title>Sign in</title><p>Accept the terms of this network.")
        .with("Content-Type", "text/html")
}
