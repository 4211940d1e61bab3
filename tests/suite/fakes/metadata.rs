//! The stand-in for instance metadata, met with AWS's own client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use aws_config::imds;
use aws_config::imds::client::error::ImdsError;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_sdk_cloudwatch::config::{Credentials, ProvideCredentials};
use vpcwatch_tests::fake_imds::FakeImds;

struct Bench {
    fake: FakeImds,
    client: imds::Client,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let fake = FakeImds::start().unwrap();
        let client = imds::Client::builder().endpoint(fake.endpoint()).unwrap().max_attempts(1);
        let client = client.read_timeout(Duration::from_secs(1)).build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Bench { fake, client, runtime }
    }

    fn get(&self, path: &str) -> Result<String, u16> {
        let answer = self.runtime.block_on(self.client.get(path));
        answer.map(String::from).map_err(|error| match error {
            ImdsError::ErrorResponse(context) => context.response().status().as_u16(),
            _ => 0,
        })
    }

    fn credentials(&self) -> Option<Credentials> {
        let provider = ImdsCredentialsProvider::builder().imds_client(self.client.clone()).build();
        self.runtime.block_on(provider.provide_credentials()).ok()
    }
}

#[test]
fn an_instance_knows_itself() {
    let bench = Bench::new();
    let data = |item: &str| bench.get(&format!("/latest/meta-data/{item}"));
    assert_eq!(data("instance-id").unwrap(), "i-0123456789abcdef0");
    assert_eq!(data("instance-type").unwrap(), "t3.micro");
    assert_eq!(data("ami-id").unwrap(), "ami-0123456789abcdef0");
    assert_eq!(data("placement/availability-zone").unwrap(), "eu-west-3a");
    assert_eq!(data("services/partition").unwrap(), "aws");
    assert_eq!(data("autoscaling/target-lifecycle-state").unwrap(), "InService");
    assert_eq!(data("tags/instance/").unwrap(), "Name\naws:autoscaling:groupName");
    assert_eq!(data("tags/instance/aws:autoscaling:groupName").unwrap(), "web");
    assert_eq!(data("spot/instance-action"), Err(404));
    let document = bench.get("/latest/dynamic/instance-identity/document").unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["accountId"], &document["region"]), (&"123456789012".into(), &"eu-west-3".into()));

    bench.fake.change(|instance| instance.region = "us-east-1".into());
    let provider = ImdsRegionProvider::builder().imds_client(bench.client.clone()).build();
    assert_eq!(bench.runtime.block_on(provider.region()).unwrap().as_ref(), "us-east-1");
    assert_eq!(bench.fake.count("/latest/api/token"), 1);
}

#[test]
fn tags_and_roles_come_late() {
    let bench = Bench::new();
    bench.fake.change(|instance| {
        instance.tags = None;
        instance.role = None;
    });
    assert_eq!(bench.get("/latest/meta-data/tags/instance/"), Err(404));
    assert!(bench.credentials().is_none());
    bench.fake.change(|instance| {
        instance.tags = Some([("Name".to_owned(), "web-1".to_owned())].into());
        instance.role = Some("late".into());
    });
    assert_eq!(bench.get("/latest/meta-data/tags/instance/Name").unwrap(), "web-1");
    assert_eq!(bench.get("/latest/meta-data/tags/instance/other"), Err(404));
    assert_eq!(bench.credentials().unwrap().access_key_id(), "ASIAFAKE00000001");
    assert_eq!(bench.credentials().unwrap().access_key_id(), "ASIAFAKE00000002");
    assert_eq!(bench.fake.credentials_given(), 2);
    assert_eq!(bench.fake.count("/latest/meta-data/iam/security-credentials/late"), 2);
}

#[test]
fn it_fails_as_asked() {
    let bench = Bench::new();
    let get = || bench.get("/latest/meta-data/instance-id");
    bench.fake.fail("instance-id", 404, 2);
    assert_eq!((get(), get()), (Err(404), Err(404)));
    get().unwrap();
    let delay = Duration::from_millis(50);
    bench.fake.change(|instance| instance.delay = delay);
    let began = Instant::now();
    get().unwrap();
    assert!(began.elapsed() >= delay);
    bench.fake.change(|instance| instance.hangs = true);
    assert_eq!(get(), Err(0));
    bench.fake.down();
    assert_eq!(get(), Err(0));
}

#[test]
fn a_token_that_is_forgotten_no_longer_opens() {
    let bench = Bench::new();
    bench.get("/latest/meta-data/instance-id").unwrap();
    bench.fake.forget_tokens();
    assert_eq!(bench.get("/latest/meta-data/instance-id"), Err(401));
}

#[test]
fn only_version_two_and_only_without_a_proxy() {
    let fake = FakeImds::start().unwrap();
    let ask = |head: &str| {
        let mut stream = TcpStream::connect(fake.endpoint().strip_prefix("http://").unwrap()).unwrap();
        write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let put = "PUT /latest/api/token HTTP/1.1";
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds:";
    assert_eq!(ask("GET /latest/meta-data/instance-id HTTP/1.1"), "401");
    assert_eq!(ask("GET /latest/meta-data/instance-id HTTP/1.1\r\nX-aws-ec2-metadata-token: x"), "401");
    assert_eq!(ask(put), "400");
    assert_eq!(ask(&format!("{put}\r\n{ttl} 0")), "400");
    assert_eq!(ask(&format!("{put}\r\n{ttl} 21601")), "400");
    assert_eq!(ask(&format!("{put}\r\n{ttl} 60\r\nX-Forwarded-For: 10.0.0.1")), "403");
    assert_eq!(ask(&format!("{put}\r\n{ttl} 21600")), "200");
    assert_eq!(ask("POST /latest/meta-data/instance-id HTTP/1.1"), "405");
}
