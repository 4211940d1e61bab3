//! Clients of CloudWatch: where they connect, with whose credentials, how long they wait, and what a failure means.
//!
//! The SDK's own repeating is off: [`crate::sinks::deliver`] owns it.

mod answer;
mod client;
mod failure;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds;
use aws_config::meta::region::RegionProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudwatch::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use http::Uri;
use tokio::sync::Mutex;

pub use answer::ServerClock;
pub use failure::{Failure, classify};

use crate::host::clock;

/// What the SDK is told beyond its own environment and profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsSettings {
    /// `aws.region`.
    pub region: Option<String>,
    /// `aws.ca_bundle`.
    pub ca_bundle: Option<PathBuf>,
}

/// Why no client could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// An environment variable has a value that the SDK would panic on.
    #[error("environment variable {name}: {why}")]
    Variable {
        /// Which.
        name: &'static str,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The certificates cannot be used.
    #[error("cannot use the certificates of {path} ({name}): {why}", path = .path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What named it.
        name: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// Everything that talks over HTTP shares one client: data, credentials and instance metadata.
#[derive(Debug, Clone)]
pub struct Aws {
    http: SharedHttpClient,
    /// Shared by every copy of this.
    metadata: Arc<RwLock<imds::Client>>,
    settings: AwsSettings,
    on_ec2: bool,
    /// Instead of those that are looked for.
    credentials: Option<SharedCredentialsProvider>,
}

impl Aws {
    /// Prepares the HTTP client; connects nowhere.
    pub fn new(settings: AwsSettings, on_ec2: bool) -> Result<Self, ClientError> {
        check_environment()?;
        let http = client::http(settings.ca_bundle.as_deref())?;
        let metadata = Arc::new(RwLock::new(metadata_client(&http, on_ec2)));
        Ok(Aws { http, metadata, settings, on_ec2, credentials: None })
    }

    /// The same with an HTTP client of the caller's, and with this key and secret: nothing is looked for and nothing goes over
    /// the network but by that client.
    pub fn carried_by(http: SharedHttpClient, (key, secret): (&str, &str), settings: AwsSettings) -> Self {
        let metadata = Arc::new(RwLock::new(metadata_client(&http, false)));
        let credentials = SharedCredentialsProvider::new(Credentials::new(key, secret, None, None, "given"));
        Aws { http, metadata, settings, on_ec2: false, credentials: Some(credentials) }
    }

    /// Instance metadata, version 2.
    pub fn metadata(&self) -> imds::Client {
        self.metadata.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for a new session token with the next question to instance metadata. The SDK keeps its token for hours,
    /// also when metadata, which may have been restarted, does not know it any more and answers 401.
    pub fn forget_metadata_token(&self) {
        let fresh = metadata_client(&self.http, self.on_ec2);
        *self.metadata.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// The configuration of the two clients. `known` is the instance's own region, if it is known already.
    pub async fn connect(&self, known: Option<&str>, clock: &Arc<ServerClock>) -> Connection {
        let provider = ProviderConfig::without_region().with_http_client(self.http.clone());
        let region = if let Some(region) = self.settings.region.clone().or_else(region_of_environment) {
            Some(Region::new(region))
        } else {
            let profile =
                aws_config::profile::ProfileFileRegionProvider::builder().configure(&provider).build();
            let known = known.filter(|region| !region.is_empty());
            let known = known.map(|region| Region::new(region.to_owned()));
            RegionProviderChain::first_try(profile).or_else(known).region().await
        };
        let credentials = match self.credentials.clone() {
            Some(given) => given,
            None => SharedCredentialsProvider::new(
                DefaultCredentialsChain::builder()
                    .imds_client(self.metadata())
                    .configure(provider)
                    .region(region.clone())
                    .build()
                    .await,
            ),
        };
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(self.http.clone())
            .credentials_provider(credentials)
            .time_source(HostClock)
            .region(region.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(data_timeouts())
            .request_min_compression_size_bytes(COMPRESS_FROM)
            .load()
            .await;
        let (cloudwatch, logs) = (cloudwatch(&config, clock), logs(&config, clock));
        Connection { region: region.map(|region| region.to_string()), cloudwatch, logs }
    }
}

/// Requests are signed at the time that the rest of the agent has.
#[derive(Debug)]
struct HostClock;

impl TimeSource for HostClock {
    fn now(&self) -> SystemTime {
        clock::wall().into()
    }
}

/// Bodies from this size on are sent as gzip, where the operation takes it (`PutMetricData` does).
const COMPRESS_FROM: u32 = 1024;

/// With the SDK's defaults a server that accepts and never answers is waited for without end.
fn data_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(20))
        .build()
}

/// Instance metadata is one hop away and answers within milliseconds. Off EC2 nobody answers: then little is waited.
fn metadata_client(http: &SharedHttpClient, on_ec2: bool) -> imds::Client {
    let provider = ProviderConfig::without_region().with_http_client(http.clone());
    let (patience, attempts) =
        if on_ec2 { (Duration::from_secs(1), 2) } else { (Duration::from_millis(300), 1) };
    imds::Client::builder()
        .configure(&provider)
        .connect_timeout(patience)
        .read_timeout(patience)
        .operation_timeout(patience * 4)
        .max_attempts(attempts)
        .build()
}

/// The two clients.
#[derive(Debug, Clone)]
pub struct Connection {
    region: Option<String>,
    cloudwatch: aws_sdk_cloudwatch::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
}

impl Connection {
    /// The region that is sent to; none if none was found.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The client of CloudWatch.
    pub fn cloudwatch(&self) -> &aws_sdk_cloudwatch::Client {
        &self.cloudwatch
    }

    /// The client of CloudWatch Logs.
    pub fn logs(&self) -> &aws_sdk_cloudwatchlogs::Client {
        &self.logs
    }
}

fn cloudwatch(config: &SdkConfig, clock: &Arc<ServerClock>) -> aws_sdk_cloudwatch::Client {
    let config = aws_sdk_cloudwatch::config::Builder::from(config).interceptor(answer::ReadAnswer::of(clock));
    aws_sdk_cloudwatch::Client::from_conf(config.build())
}

fn logs(config: &SdkConfig, clock: &Arc<ServerClock>) -> aws_sdk_cloudwatchlogs::Client {
    let config =
        aws_sdk_cloudwatchlogs::config::Builder::from(config).interceptor(answer::ReadAnswer::of(clock));
    aws_sdk_cloudwatchlogs::Client::from_conf(config.build())
}

/// The region that the environment names. An empty variable is none: service managers make such easily.
fn region_of_environment() -> Option<String> {
    let set = |name| std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
    set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"))
}

/// Refuses, with words, what the SDK panics on or shows a whole request for.
fn check_environment() -> Result<(), ClientError> {
    for name in
        ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_CLOUDWATCH", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", METADATA_AT]
    {
        let Some(value) = std::env::var_os(name) else { continue };
        let value = value.to_string_lossy();
        let is_url = value.parse::<Uri>().is_ok_and(|uri| {
            let by_http = uri.scheme_str().is_some_and(|scheme| ["http", "https"].contains(&scheme));
            by_http && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !is_url {
            let why = format!("{value:?} is no URL; write http://HOST or https://HOST, or unset it");
            return Err(ClientError::Variable { name, why });
        }
    }
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        if std::env::var_os(name)
            .is_some_and(|value| value.as_encoded_bytes().iter().any(u8::is_ascii_control))
        {
            let why = "it has characters that no key has; is there a line break in it?".into();
            return Err(ClientError::Variable { name, why });
        }
    }
    Ok(())
}

/// Where instance metadata is, if not at its usual address.
const METADATA_AT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// The connection that the sinks send by. Region and credentials may turn up late, or change with a reload: then it is
/// made anew.
#[derive(Debug)]
pub struct Link {
    made: RwLock<Made>,
    clock: Arc<ServerClock>,
    /// Held while a connection is made, so that an older one never replaces a newer.
    making: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Made {
    aws: Aws,
    known_region: Option<String>,
    connection: Connection,
}

impl Link {
    /// Finds region and credentials, as far as they are there.
    pub async fn new(aws: Aws, known_region: Option<String>, clock: Arc<ServerClock>) -> Self {
        let connection = aws.connect(known_region.as_deref(), &clock).await;
        Link { made: RwLock::new(Made { aws, known_region, connection }), clock, making: Mutex::default() }
    }

    /// The present connection.
    pub fn connection(&self) -> Connection {
        self.made.read().unwrap_or_else(PoisonError::into_inner).connection.clone()
    }

    fn made(&self) -> Made {
        self.made.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks for region and credentials again.
    pub async fn reconnect(&self) {
        let _making = self.making.lock().await;
        let Made { aws, known_region, .. } = self.made();
        aws.forget_metadata_token();
        self.replace(aws, known_region).await;
    }

    /// The same with changed settings.
    pub async fn reconfigure(&self, aws: Aws) {
        let _making = self.making.lock().await;
        let known_region = self.made().known_region;
        self.replace(aws, known_region).await;
    }

    async fn replace(&self, aws: Aws, known_region: Option<String>) {
        let connection = aws.connect(known_region.as_deref(), &self.clock).await;
        *self.made.write().unwrap_or_else(PoisonError::into_inner) = Made { aws, known_region, connection };
    }
}

/// The file of `aws.ca_bundle`, or of the environment variable that every AWS tool but this SDK reads.
fn ca_bundle(configured: Option<&Path>) -> Option<(PathBuf, &'static str)> {
    let by_environment =
        || std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from);
    configured
        .map(|path| (path.to_owned(), "aws.ca_bundle"))
        .or_else(|| by_environment().map(|path| (path, "AWS_CA_BUNDLE")))
}
