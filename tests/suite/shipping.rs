//! Logs that are shipped, as their owner meets them: each line arrives, once, in its order, and never in the way of what the
//! agent itself has to say.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use serde_json::Value;
use vpcwatch::store::{Store, ValueKey, ValueKind};
use vpcwatch_tests::fake_aws::{FakeAws, Fault, Kind, Throttle};
use vpcwatch_tests::fixture;

use crate::agent::{self, PATH, printed};
use crate::delivery::{Program, keys, wait_for, with_environment};

const GROUP: &str = "/vpcwatch/logs";
const STREAM: &str = "web-1/shop";
/// Whose the state file is.
const MACHINE: &str = "0123456789abcdef0123456789abcdef";

/// A host with a log, an agent's state, and CloudWatch.
pub(crate) struct Shop {
    root: tempfile::TempDir,
    state: tempfile::TempDir,
    pub(crate) aws: FakeAws,
    more: String,
}

impl Shop {
    /// `more` keys of the log, as TOML.
    pub(crate) fn new(more: &str) -> Self {
        let (root, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let copied =
            Command::new("cp").arg("-r").arg(fixture("kernel-6.18").join(".")).arg(root.path()).status();
        assert!(copied.unwrap().success());
        std::fs::create_dir_all(root.path().join("var/log")).unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/machine-id"), MACHINE).unwrap();
        let shop = Shop { root, state, aws: FakeAws::start().unwrap(), more: more.to_owned() };
        File::create(shop.log()).unwrap();
        shop
    }

    fn log(&self) -> PathBuf {
        self.root.path().join("var/log/shop.log")
    }

    fn setting(&self) -> String {
        format!("logs.ship=[{{ name = 'shop', files = ['/var/log/shop.log'] {} }}]", self.more)
    }

    pub(crate) fn run(&self, more: &[&str]) -> Program {
        let mut command = Command::new(PATH);
        command.args(["run", "--set", "publish.interval=1s", "--set", "identity.host=web-1"]);
        command
            .args(["--set", "logins.source=off", "--set", &self.setting(), "--root"])
            .arg(self.root.path());
        for (key, file) in [("state.folder", ""), ("status.file", "status.json")] {
            command.arg("--set").arg(format!("{key}={}", self.state.path().join(file).display()));
        }
        command.args(more);
        Program::start(with_environment(&mut command, &self.aws, &keys()))
    }

    /// The first run begins at the log's end: what comes from here on is shipped.
    fn begin(&self) {
        self.begin_with("ship shop at pattern ", &[]);
    }

    /// Runs until the state file has a place that begins so.
    pub(crate) fn begin_with(&self, place: &str, more: &[&str]) {
        let is_there = || {
            let mut store = Store::open(&self.state.path().join("state.redb"), MACHINE, 64 << 20).unwrap().0;
            let keys = store.values(ValueKind::Cursor).into_iter().map(|(key, _)| key);
            keys.into_iter().any(|key| matches!(key, ValueKey::Cursor(key) if key.starts_with(place)))
        };
        let is_begun = (0..20).any(|_| {
            self.run(&[&["--for", "2s"], more].concat()).end();
            is_there()
        });
        assert!(is_begun, "no place {place:?} is stored");
    }

    pub(crate) fn append(&self, text: &str) {
        OpenOptions::new().append(true).open(self.log()).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn rotate(&self, name: &str) {
        std::fs::rename(self.log(), self.log().with_file_name(name)).unwrap();
        File::create(self.log()).unwrap();
    }

    fn arrived(&self) -> Vec<String> {
        self.aws.events(GROUP, STREAM).into_iter().map(|event| event.message).collect()
    }
}

fn numbered(numbers: std::ops::Range<u32>) -> String {
    let lines: Vec<String> = numbers.map(|number| format!("line {number}\n")).collect();
    lines.concat()
}

#[test]
fn each_line_arrives_once_through_outage_kills_and_rotation() {
    let shop = Shop::new("");
    // What is on its way while the agent is killed may come twice, which is another test's: here nothing is on its way.
    shop.aws.down();
    shop.append("from before\n");
    shop.begin();
    let mut next = 0;
    let mut write = |count: u32| {
        shop.append(&numbered(next..next + count));
        next += count;
        next
    };
    for round in 0..6u32 {
        write(200 + round);
        let running = shop.run(&[]);
        std::thread::sleep(Duration::from_millis(u64::from(500 + round * 233 % 1000)));
        write(300);
        if round % 3 == 1 {
            shop.rotate(&format!("shop.log.{round}"));
        }
        write(10);
        std::thread::sleep(Duration::from_millis(u64::from(50 + round * 331 % 700)));
        drop(running); // kill -9
    }
    let lines = write(1);
    shop.aws.up().unwrap();
    let mut last = shop.run(&[]);
    wait_for(&shop.aws, "every line", |aws| aws.events(GROUP, STREAM).len() >= lines as usize);
    std::thread::sleep(Duration::from_secs(2)); // what would come twice
    last.signal(rustix::process::Signal::TERM);
    let (code, _, stderr) = last.end();
    assert_eq!(code, Some(0), "{stderr}");
    let mut arrived: Vec<u32> = shop
        .arrived()
        .iter()
        .map(|line| line.strip_prefix("line ").and_then(|number| number.parse().ok()).unwrap_or(u32::MAX))
        .collect();
    arrived.sort_unstable();
    assert_eq!(arrived, (0..lines).collect::<Vec<_>>());
    assert_eq!(shop.aws.violations(), Vec::<String>::new());
}

#[test]
fn lines_of_the_same_second_arrive_in_their_order_also_after_an_outage() {
    let shop = Shop::new("");
    shop.begin();
    let stamp = shop.aws.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let lines: Vec<String> = (0..600).map(|number| format!("{stamp} {number}")).collect();
    let running = shop.run(&[]);
    // A few at a time, so that they are stored apart.
    for (round, some) in lines.chunks(20).enumerate() {
        match round {
            // Refused, not cut off: what is on its way then may come twice, which is another test's.
            10 => shop.aws.fault(Fault::always("PutLogEvents", Kind::Throttle(Throttle::Throttling))),
            20 => shop.aws.clear_faults(),
            _ => {}
        }
        shop.append(&format!("{}\n", some.join("\n")));
        std::thread::sleep(Duration::from_millis(300));
    }
    wait_for(&shop.aws, "every line", |aws| aws.events(GROUP, STREAM).len() >= lines.len());
    drop(running);
    assert_eq!(shop.arrived(), lines);
}

#[test]
fn lines_are_joined_chosen_and_stamped_as_the_configuration_says() {
    let shop = Shop::new(concat!(
        r", first_line = '^\d\d\.\d\d\.', time = '%d.%m.%Y %H:%M:%S', zone = 'UTC', exclude = ['health']",
        ", group = '/shop', stream = '{hostname}-{instance_id}-{file}', retention_days = 7"
    ));
    shop.begin();
    let running = shop.run(&[]);
    let day = shop.aws.now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let stamp = format!("{} 00:00:00", day.strftime("%d.%m.%Y"));
    shop.append(&format!("{stamp} boom\n  at a\n  at b\n{stamp} health\n{stamp} end\n"));
    let stream = |aws: &FakeAws| aws.streams("/shop").into_iter().next().unwrap_or_default();
    wait_for(&shop.aws, "two events", |aws| aws.events("/shop", &stream(aws)).len() >= 2);
    drop(running);
    let events = shop.aws.events("/shop", &stream(&shop.aws));
    let messages: Vec<&str> = events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(messages, [format!("{stamp} boom\n  at a\n  at b"), format!("{stamp} end")]);
    let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond();
    assert!(events.iter().all(|event| event.timestamp_ms == midnight), "{events:?}");
    assert!(stream(&shop.aws).ends_with("-web-1-shop.log"), "{}", stream(&shop.aws));
    assert_eq!(shop.aws.groups()["/shop"], Some(7));
}

#[test]
fn a_day_has_a_limit_and_the_stream_says_where_it_ends() {
    let shop = Shop::new(", daily_limit = '1MiB'");
    shop.begin();
    let running = shop.run(&[]);
    let line = format!("{}\n", "x".repeat(1000));
    shop.append(&line.repeat(1100));
    let gap = |aws: &FakeAws| {
        let events = aws.events(GROUP, STREAM);
        events.into_iter().find(|event| event.message.starts_with('{'))
    };
    wait_for(&shop.aws, "the gap", |aws| gap(aws).is_some());
    wait_for(&shop.aws, "all before it", |aws| aws.events(GROUP, STREAM).len() > 1_048_576 / 1026);
    shop.append("beyond\n");
    std::thread::sleep(Duration::from_secs(6)); // what would come after it
    drop(running);
    let events = shop.arrived();
    // 1,022 lines of 1,026 bytes fit, and nothing after the gap.
    assert_eq!((events.len(), events.iter().filter(|event| event.starts_with('x')).count()), (1023, 1022));
    let told: Value = serde_json::from_str(&gap(&shop.aws).unwrap().message).unwrap();
    assert_eq!((&told["cause"], &told["log"]), (&"daily_limit".into(), &"shop".into()));
    assert_eq!(told["limit_bytes"], 1 << 20);
}

/// An outage, and more lines than the state file holds: they wait in their log.
#[test]
fn lines_wait_in_their_log_rather_than_crowd_out_what_the_agent_says() {
    let shop = Shop::new(", daily_limit = '1GiB'");
    shop.begin();
    shop.aws.down();
    let running = shop.run(&["--set", "state.limit=8MiB"]);
    let lines: Vec<String> = (0..20_000).map(|number| format!("{number:06} {}\n", "y".repeat(993))).collect();
    shop.append(&lines.concat());
    let status = || std::fs::read_to_string(shop.state.path().join("status.json")).unwrap_or_default();
    let begun = std::time::Instant::now();
    while !status().contains("take their share of the state file") {
        assert!(begun.elapsed() < Duration::from_mins(1), "{}", status());
        std::thread::sleep(Duration::from_millis(50));
    }
    let before = shop.aws.metrics().len();
    std::thread::sleep(Duration::from_secs(3));
    let status: Value = serde_json::from_str(&status()).unwrap();
    assert_eq!(status["delivery"]["lost"], serde_json::json!({}), "{status:#}");
    shop.aws.up().unwrap();
    wait_for(&shop.aws, "every line", |aws| aws.events(GROUP, STREAM).len() >= 20_000);
    drop(running);
    let mut arrived = shop.arrived();
    arrived.sort();
    arrived.dedup();
    assert_eq!((arrived.len(), shop.arrived().len()), (20_000, 20_000));
    assert!(shop.aws.metrics().len() > before);
}

#[test]
fn a_dry_run_shows_what_would_be_shipped() {
    let shop = Shop::new(", exclude = ['debug']");
    let mut command = Command::new(PATH);
    command.args(["run", "--dry-run", "--output", "json", "--interval", "1s", "--for", "30s"]);
    command.args(["--set", "logins.source=off", "--set", &shop.setting(), "--root"]).arg(shop.root.path());
    let mut running = Program::start(command.env_clear());
    let mut shown = running.lines();
    // Nothing says when the end of the log is known, from which on it is read: somebody goes on writing.
    let line = std::thread::scope(|scope| {
        let (seen, unseen) = std::sync::mpsc::channel::<()>();
        let shop = &shop;
        scope.spawn(move || {
            while matches!(unseen.try_recv(), Err(TryRecvError::Empty)) {
                shop.append("debug: x\n2026-11-24T10:11:12Z hello\n");
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let line = shown.find(|line| line.contains(GROUP));
        drop(seen);
        line.unwrap()
    });
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["message"], "2026-11-24T10:11:12Z hello");
    assert!(event["logStreamName"].as_str().unwrap().ends_with("/shop"));
}

#[test]
fn groups_of_shipped_logs_are_in_policy_plan_and_price() {
    let shop =
        "logs.ship=[{ name = 'shop', files = ['/var/log/shop.log'], group = '/shop', daily_limit = '1GiB' }]";
    let policy = printed(&agent::run(&["iam-policy", "--set", shop]), 0);
    assert!(policy.contains(":log-group:/shop:*"), "{policy}");
    let cost = |more: &[&str]| -> Value {
        let mut arguments = vec!["cost", "--output", "json"];
        arguments.extend(more);
        serde_json::from_str(&printed(&agent::run(&arguments), 0)).unwrap()
    };
    let (with, without) = (cost(&["--set", shop]), cost(&[]));
    // A gibibyte a day, of half a dollar each.
    let difference = with["total"].as_f64().unwrap() - without["total"].as_f64().unwrap();
    assert!((difference - 730.0 / 24.0 * 0.5).abs() < 1e-6, "{difference}");
    let refused = agent::run(&["config", "check", "--set", "logs.ship=[{ name = 'shop' }]"]);
    printed(&refused, 3);
}
