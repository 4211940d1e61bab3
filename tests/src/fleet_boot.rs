//! A fleet that boots, all its instances in one process and in a time of its own: a day passes as quickly as its work allows.
//!
//! Real are the agent's provisioning, its delivery with schedule and back-off, its store (in memory, as where there is no disk to
//! write to) and AWS's own clients, which sign and encode each request. [`FakeAws`] answers, by the quotas of an account. Simulated
//! are time, the network (each answer takes 20 to 80 ms) and what is measured: one numbered datum and one event an interval. All
//! instances share one connection.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_runtime_api::shared::IntoShared;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until};
use vpcwatch::app::{Delivery, MARK, Provisioning};
use vpcwatch::aws::{Aws, AwsSettings, Link, ServerClock};
use vpcwatch::config::{Config, Layers};
use vpcwatch::host::clock::{EraClock, Simulation, wall};
use vpcwatch::host::paths::Paths;
use vpcwatch::model::identity::{Identity, Instance};
use vpcwatch::model::record::MetricDatum;
use vpcwatch::model::spool::{Destination, Entry, Kind, Payload, StoredEvent};
use vpcwatch::service::board::Board;
use vpcwatch::sinks::deliver::{Schedule, Wake};
use vpcwatch::store::service::{self, StoreHandle};
use vpcwatch::store::{Store, ValueKey};

use crate::fake_aws::{FakeAws, Request};
use crate::http::{Call, lock};

/// When fleets boot: the beginning of an hour, 2027-01-15 08:00 UTC.
const BOOT: i64 = 1_800_000_000;
/// Within so long, each at a moment of its own.
const BOOT_WITHIN: Duration = Duration::from_mins(1);
/// After an interval's end the snapshot that closes it comes within a second.
const TICK_MS: u64 = 1_000;
/// What an answer takes, milliseconds.
const LATENCY_MS: Range<u64> = 20..80;
/// What may still be on its way when the time is up, and how long it may take.
const DRAIN: Duration = Duration::from_mins(30);
/// Alarms that the account may have: with its 5,000, few instances could have their own.
const ALARM_LIMIT: usize = 1_000_000;
/// Where no state file can be, so that the store stays in memory.
const NOWHERE: &str = "/dev/null/state.redb";
const STATE_LIMIT: u64 = 64 << 20;
const METRIC: &str = "numbered";

/// What boots, and for how long it is watched.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    /// How many.
    pub instances: u32,
    /// `provision.scope`.
    pub scope: &'static str,
    /// How long it has data to send.
    pub sends: Duration,
    /// How long it is watched at least, whatever happens.
    pub watched: Duration,
    /// How long it may take until all are provisioned.
    pub at_most: Duration,
    /// Of all that is random.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// When there was what there should be for every instance: the last write.
    pub made: Option<Duration>,
    /// When each instance that came to it knew that, in order.
    pub provisioned: Vec<Duration>,
    /// How many there are.
    pub instances: u32,
    /// Calls by operation.
    pub calls: BTreeMap<String, Calls>,
    /// Alarms that there are.
    pub alarms: usize,
    /// Data and events that instances made.
    pub fed: (u64, u64),
    /// Of them, what CloudWatch did not accept.
    pub lost: (u64, u64),
    /// Rules that instances broke, but for quotas.
    pub violations: Vec<String>,
}

impl Outcome {
    /// When this share of all instances was provisioned.
    pub fn provisioned_at(&self, share: f64) -> Option<Duration> {
        let nth = (f64::from(self.instances) * share).ceil().max(1.0);
        self.provisioned.iter().copied().zip(1..).find(|(_, n)| f64::from(*n) >= nth).map(|(at, _)| at)
    }
}

/// Calls of one operation.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    /// That took effect, by the second.
    pub applied: Vec<u32>,
    /// That were refused for their rate, by the second.
    pub throttled: Vec<u32>,
    /// That were answered by another error: a stream that is not there yet, or is there already.
    pub refused: Vec<u32>,
}

impl Calls {
    fn count(list: &mut Vec<u32>, second: usize) {
        if list.len() <= second {
            list.resize(second + 1, 0);
        }
        if let Some(count) = list.get_mut(second) {
            *count += 1;
        }
    }

    /// All in one second.
    pub fn in_second(&self, second: usize) -> u32 {
        [&self.applied, &self.throttled, &self.refused].iter().filter_map(|list| list.get(second)).sum()
    }

    /// Seconds from the first call to the last.
    pub fn seconds(&self) -> usize {
        self.applied.len().max(self.throttled.len()).max(self.refused.len())
    }

    /// Most in one of these seconds.
    pub fn most(&self, seconds: Range<usize>) -> u32 {
        seconds.map(|second| self.in_second(second)).max().unwrap_or(0)
    }
}

/// A sum over all seconds from `from` on.
pub fn sum(list: &[u32], from: usize) -> u64 {
    list.iter().skip(from).map(|count| u64::from(*count)).sum()
}

impl Fleet {
    /// Boots it, and watches.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        fastrand::seed(self.seed);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        LocalSet::new().block_on(&runtime, self.boot())
    }

    async fn boot(&self) -> anyhow::Result<Outcome> {
        let _simulation = Simulation::begin(Timestamp::from_second(BOOT)?);
        let began = Instant::now();
        let aws = Arc::new(FakeAws::start()?);
        aws.count_only();
        aws.set_alarm_limit(ALARM_LIMIT);
        let calls: Arc<Mutex<BTreeMap<String, Calls>>> = Arc::default();
        let counted = Arc::clone(&calls);
        aws.on_request(move |request| count(&mut lock(&counted), request));
        let account = Account::open(self, Arc::clone(&aws)).await?;
        let fed = Arc::new(Mutex::new((0, 0)));
        let (stop, stopped) = watch::channel(false);
        let mut stores = Vec::new();
        for number in 0..self.instances {
            let instance = account.instance(number)?;
            stores.push(instance.store.clone());
            let after = BOOT_WITHIN.mul_f64(fastrand::f64());
            let (fed, stopped) = (Arc::clone(&fed), stopped.clone());
            tokio::task::spawn_local(async move {
                sleep(after).await;
                instance.run(fed, stopped).await;
            });
        }
        let mut waiting = stores.clone();
        let mut provisioned = Vec::new();
        let is_over = |all_are: bool| {
            let past = began.elapsed();
            past >= self.at_most || all_are && past >= self.sends && past >= self.watched
        };
        while !is_over(waiting.is_empty()) {
            // A hundredth of what has passed is exact enough.
            let pause = (began.elapsed() / 100).max(Duration::from_secs(2));
            let left = self.sends.saturating_sub(began.elapsed());
            sleep(if left.is_zero() { pause } else { pause.min(left) }).await;
            if !waiting.is_empty() {
                waiting = still_unprovisioned(waiting).await?;
                provisioned.resize(stores.len() - waiting.len(), began.elapsed());
            }
            if began.elapsed() >= self.sends {
                stop.send_replace(true);
            }
        }
        stop.send_replace(true);
        drained(&stores).await?;
        let fed = *lock(&fed);
        let calls = lock(&calls).clone();
        let accepted = aws.sums().get(METRIC).map_or(0, |sum| sum.data);
        let events = aws.event_count_of(&account.config.settings.samples_group);
        let made = calls.get("PutMetricAlarm").map(|calls| calls.applied.len() as u64);
        Ok(Outcome {
            made: made.map(Duration::from_secs),
            provisioned,
            instances: self.instances,
            alarms: aws.alarms().len(),
            fed,
            lost: (fed.0 - accepted, fed.1 - events),
            violations: aws.violations().into_iter().filter(|text| !text.contains("Rate exceeded")).collect(),
            calls,
        })
    }
}

fn count(calls: &mut BTreeMap<String, Calls>, request: &Request) {
    let second = usize::try_from(request.received.as_secs()).unwrap_or(usize::MAX);
    let of = calls.entry(request.operation.clone()).or_default();
    let is_throttle = request.error.as_ref().is_some_and(|error| error.contains("Rate exceeded"));
    let list = match (request.applied, is_throttle) {
        (true, _) => &mut of.applied,
        (false, true) => &mut of.throttled,
        (false, false) => &mut of.refused,
    };
    Calls::count(list, second);
}

async fn still_unprovisioned(stores: Vec<StoreHandle>) -> anyhow::Result<Vec<StoreHandle>> {
    let mut waiting = Vec::new();
    for store in stores {
        if store.value(ValueKey::Mark(MARK.into())).await?.is_none() {
            waiting.push(store);
        }
    }
    Ok(waiting)
}

/// Waits until nothing waits: what was made last goes out by its own schedule.
async fn drained(stores: &[StoreHandle]) -> anyhow::Result<()> {
    let until = Instant::now() + DRAIN;
    let mut full = stores.to_vec();
    while !full.is_empty() && Instant::now() < until {
        sleep(Duration::from_secs(5)).await;
        let mut still = Vec::new();
        for store in full {
            if store.destinations().await?.iter().any(|waiting| waiting.records > 0) {
                still.push(store);
            }
        }
        full = still;
    }
    Ok(())
}

/// What the instances of a fleet share.
struct Account {
    config: Arc<Config>,
    aws: Aws,
    link: Arc<Link>,
    server_clock: Arc<ServerClock>,
}

impl Account {
    async fn open(fleet: &Fleet, fake: Arc<FakeAws>) -> anyhow::Result<Self> {
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let sets = vec![
            set("provision.at_start", "true"),
            set("provision.scope", fleet.scope),
            set("publish.interval", "60s"),
            set("aws.region", "eu-west-3"),
        ];
        let layers = Layers::new("/nonexistent".into(), None, sets);
        let config = Config::load(&layers).map_err(|mistakes| anyhow!("{mistakes}"))?;
        let settings = AwsSettings { region: config.region.clone(), ca_bundle: None };
        let aws = Aws::carried_by(Carrier(fake).into_shared(), ("AKIAFLEET", "secret"), settings);
        let server_clock = Arc::new(ServerClock::default());
        let link = Arc::new(Link::new(aws.clone(), None, Arc::clone(&server_clock)).await);
        Ok(Account { config: Arc::new(config), aws, link, server_clock })
    }

    fn instance(&self, number: u32) -> anyhow::Result<Booting> {
        let of_ec2 = Instance { instance_id: format!("i-{number:017x}"), ..Instance::default() };
        let identity = of_ec2.identity(&self.config.dimensions);
        let (store, _) = Store::open(Path::new(NOWHERE), &identity.name, STATE_LIMIT)?;
        let (handle, calls) = service::channel();
        tokio::task::spawn_local(service::serve_from_memory(store, calls));
        Ok(Booting {
            identity,
            config: Arc::clone(&self.config),
            aws: self.aws.clone(),
            link: Arc::clone(&self.link),
            server_clock: Arc::clone(&self.server_clock),
            store: handle,
        })
    }
}

/// One instance.
struct Booting {
    identity: Identity,
    config: Arc<Config>,
    aws: Aws,
    link: Arc<Link>,
    server_clock: Arc<ServerClock>,
    store: StoreHandle,
}

impl Booting {
    async fn run(self, fed: Arc<Mutex<(u64, u64)>>, stopped: watch::Receiver<bool>) {
        let board = Arc::new(Board::default());
        let (_subject, subject) = watch::channel((Arc::clone(&self.config), self.identity.clone()));
        let provisioning = Provisioning {
            subject,
            paths: Paths::below(crate::fixture("kernel-6.18")),
            aws: self.aws.clone(),
            on_ec2: true,
            board: Arc::clone(&board),
        };
        let interval = self.config.settings.interval_seconds;
        let (wake, woken) = watch::channel(Wake::default());
        let (_schedule, schedule) = watch::channel(Schedule::of(&self.identity.name, interval));
        let (_retention, retention) = watch::channel(HashMap::new());
        let (_drain, drain) = watch::channel(false);
        let delivery = Delivery {
            store: self.store.clone(),
            link: Arc::clone(&self.link),
            server_clock: Arc::clone(&self.server_clock),
            board,
            retention,
            lines_wake: woken.clone(),
            name: self.identity.name.clone(),
            wake: woken,
            schedule,
            drain,
        };
        let feeding = self.feed(wake, fed, stopped);
        tokio::join!(
            Box::pin(provisioning.keep(&self.link, &self.store)),
            async {
                let _ = Box::pin(delivery.run()).await;
            },
            feeding
        );
    }

    /// An interval's datum and event, soon after its end, until it is stopped.
    async fn feed(
        &self,
        wake: watch::Sender<Wake>,
        fed: Arc<Mutex<(u64, u64)>>,
        stopped: watch::Receiver<bool>,
    ) {
        let tick = Duration::from_millis(fastrand::u64(0..TICK_MS));
        let (mut era, interval) = (EraClock::start(), i64::from(self.config.settings.interval_seconds));
        loop {
            let past = wall().as_millisecond().rem_euclid(interval * 1000);
            let to_end = Duration::from_millis(u64::try_from(interval * 1000 - past).unwrap_or(0));
            sleep_until(Instant::now() + to_end + tick).await;
            if *stopped.borrow() {
                return std::future::pending().await;
            }
            let entry = |destination, kind, payload| Entry { destination, kind, era: era.now(0), payload };
            let entries = self.interval(entry);
            if self.store.append(entries, Vec::new()).await.is_err() {
                return;
            }
            {
                let mut fed = lock(&fed);
                *fed = (fed.0 + 1, fed.1 + 1);
            }
            wake.send_modify(|wake| wake.stored += 1);
        }
    }

    fn interval(&self, mut entry: impl FnMut(Destination, Kind, Payload) -> Entry) -> Vec<Entry> {
        let settings = &self.config.settings;
        let datum = MetricDatum {
            namespace: settings.namespace.clone(),
            metric_name: METRIC.into(),
            dimensions: self.identity.dimensions.clone(),
            timestamp: wall(),
            values: vec![1.0],
            counts: vec![1.0],
            unit: "Count".into(),
            storage_resolution: 60,
            urgent: false,
        };
        let event = StoredEvent { timestamp: wall(), message: "{}".into() };
        let (group, stream) = (settings.samples_group.clone(), self.identity.name.clone());
        vec![
            entry(
                Destination::Metrics { namespace: settings.namespace.clone() },
                Kind::Metrics,
                Payload::Metrics(vec![datum]),
            ),
            entry(Destination::Logs { group, stream }, Kind::Logs, Payload::Logs(vec![event])),
        ]
    }
}

/// Carries requests to the fake without a socket.
#[derive(Debug, Clone)]
struct Carrier(Arc<FakeAws>);

impl HttpClient for Carrier {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Carrier {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let aws = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let there = fastrand::u64(LATENCY_MS) / 2;
            sleep(Duration::from_millis(there)).await;
            let answer = answered(&aws, &request).map_err(|error| ConnectorError::other(error.into(), None));
            sleep(Duration::from_millis(fastrand::u64(LATENCY_MS) / 2)).await;
            answer
        })
    }
}

fn answered(aws: &FakeAws, request: &HttpRequest) -> anyhow::Result<HttpResponse> {
    let (_, rest) = request.uri().split_once("://").context("no URI")?;
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    let headers = request.headers().iter().map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let body = request.body().bytes().context("a body that is not in memory")?;
    let call = Call {
        method: request.method().to_owned(),
        path: path.to_owned(),
        headers: headers.collect(),
        body: body.to_vec(),
    };
    let answer = aws.answer(call);
    ensure!(answer.delivery == crate::http::Delivery::Whole, "no faults are simulated here");
    let mut response = HttpResponse::new(StatusCode::try_from(answer.status)?, SdkBody::from(answer.body));
    for (name, value) in answer.headers {
        response.headers_mut().insert(name.to_lowercase(), value);
    }
    Ok(response)
}
