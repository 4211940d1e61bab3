//! A guest with the agent in it, as a service with no more rights than it needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;
use vpcwatch_tests::fake_aws::FakeAws;
use vpcwatch_tests::guest::{BOB, Guest};

use super::wait_until;
use crate::agent;

const PROGRAM: &str = "/usr/local/bin/vpcwatch";
const OUTPUT: &str = "/var/log/vpcwatch.jsonl";
const ERRORS: &str = "/var/log/vpcwatch.messages";
const FINDINGS: &str = "/vpcwatch/findings";
/// Where marks come from: logins of [`BOB`] which say how far the agent has read.
const MARKS: &str = "198.51.100.99";

/// A guest and what its agent has told so far.
pub(super) struct Watched {
    pub(super) guest: Guest,
    aws: Option<FakeAws>,
    /// Failures that served as marks.
    pub(super) marks: u64,
}

impl Watched {
    /// The agent prints what it would send.
    pub(super) fn printing(guest: Guest, settings: &[&str]) -> Self {
        let watched = Watched { guest, aws: None, marks: 0 };
        watched.install("--dry-run --output json", &[], settings);
        watched
    }

    /// The agent sends to a stand-in for AWS at the guest's own loopback.
    pub(super) fn delivering(guest: Guest, settings: &[&str]) -> Self {
        let aws = guest.network().host.inside(FakeAws::start).unwrap();
        let mut environment = aws.environment();
        environment.extend(
            [
                ("AWS_ACCESS_KEY_ID", "AKIAKEYS"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("AWS_REGION", "eu-west-3"),
            ]
            .map(|(name, value)| (name, value.to_owned())),
        );
        let watched = Watched { guest, aws: Some(aws), marks: 0 };
        watched.install("", &environment, settings);
        watched
    }

    /// What [`Guest::boot`] has to lend.
    pub(super) fn program() -> [(&'static Path, &'static str); 1] {
        [(Path::new(agent::PATH), PROGRAM)]
    }

    /// The agent as it is shipped: unit, user, folders, preset. It sends to a stand-in for AWS at the guest's own loopback.
    /// `settings` are added to its configuration.
    pub(super) fn installed(guest: Guest, settings: &str) -> Self {
        Watched::configured(guest).running(settings)
    }

    /// Installs it and starts it.
    pub(super) fn running(self, settings: &str) -> Self {
        self.unpack();
        let configuration =
            "[identity]\nhost = \"guest\"\n[publish]\ninterval = \"1s\"\n[metrics]\nset = \"full\"\n";
        self.write("/etc/vpcwatch/vpcwatch.toml", &format!("{configuration}{settings}"));
        self.drop_in("messages.conf", &format!("[Service]\nStandardError=append:{ERRORS}\n"));
        self.guest
            .shell(
                "systemd-sysusers; systemd-tmpfiles --create vpcwatch.conf; systemctl preset --quiet vpcwatch.service
                 systemctl start vpcwatch.service",
            )
            .unwrap();
        self
    }

    /// Nothing installed, but the environment of a service that sends to a stand-in for AWS at the guest's own loopback.
    pub(super) fn configured(guest: Guest) -> Self {
        let keys = [
            ("AWS_ACCESS_KEY_ID", "AKIAKEYS"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "eu-west-3"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        Watched::with_environment(guest, &keys.map(|(name, value)| (name, value.to_owned())))
    }

    /// The same with these variables for the rest of AWS.
    pub(super) fn with_environment(guest: Guest, variables: &[(&str, String)]) -> Self {
        let aws = guest.network().host.inside(FakeAws::start).unwrap();
        Watched::sending_to(aws, guest, variables)
    }

    /// The same with a stand-in that is already there, wherever it is.
    pub(super) fn sending_to(aws: FakeAws, guest: Guest, variables: &[(&str, String)]) -> Self {
        let mut environment = String::new();
        for (name, value) in aws.environment().iter().chain(variables) {
            let _ = writeln!(environment, "{name}={value}");
        }
        let watched = Watched { guest, aws: Some(aws), marks: 0 };
        watched.write("/etc/vpcwatch/environment", &environment);
        watched
    }

    /// Puts unit, user, folders and preset where they belong.
    pub(super) fn unpack(&self) {
        for (name, path) in [
            ("vpcwatch.service", "/usr/lib/systemd/system/vpcwatch.service"),
            ("vpcwatch.sysusers", "/usr/lib/sysusers.d/vpcwatch.conf"),
            ("vpcwatch.tmpfiles", "/usr/lib/tmpfiles.d/vpcwatch.conf"),
            ("vpcwatch.preset", "/usr/lib/systemd/system-preset/50-vpcwatch.preset"),
        ] {
            self.write(path, &shipped(name));
        }
    }

    /// What [`Guest::boot`] has to lend for [`Watched::installed`].
    pub(super) fn package() -> [(&'static Path, &'static str); 1] {
        [(Path::new(agent::PATH), "/usr/bin/vpcwatch")]
    }

    /// Puts a drop-in of ours beside the unit.
    pub(super) fn ship(&self, name: &str) {
        self.drop_in(name, &shipped(&format!("drop-ins/{name}")));
    }

    /// Puts a drop-in beside the unit.
    pub(super) fn drop_in(&self, name: &str, text: &str) {
        self.write(&format!("/etc/systemd/system/vpcwatch.service.d/{name}"), text);
        self.guest.shell("systemctl daemon-reload").unwrap();
    }

    /// Writes a file of the guest.
    pub(super) fn write(&self, path: &str, text: &str) {
        let file = self.guest.file(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    /// The stand-in that it sends to.
    pub(super) fn aws(&self) -> &FakeAws {
        self.aws.as_ref().unwrap()
    }

    fn install(&self, arguments: &str, environment: &[(&str, String)], settings: &[&str]) {
        // A program of a newer C library than the guest's says so here.
        self.guest.shell(&format!("{PROGRAM} --version")).unwrap();
        let mut run = format!("{PROGRAM} run {arguments} --set identity.host=guest --set metrics.set=full");
        for setting in [&["publish.interval=1s"], settings].concat() {
            let _ = write!(run, " --set '{setting}'");
        }
        // Nobody answers at the metadata's address; there is no need to wait for it.
        let environment: Vec<_> = [("AWS_EC2_METADATA_DISABLED", "true".to_owned())]
            .iter()
            .chain(environment)
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let environment = environment.join(" ");
        let unit = format!(
            "[Service]\nExecStart={run}\nDynamicUser=yes\nSupplementaryGroups=systemd-journal adm\n\
             AmbientCapabilities=CAP_NET_RAW\nCapabilityBoundingSet=CAP_NET_RAW\n\
             StateDirectory=vpcwatch\nRuntimeDirectory=vpcwatch\nEnvironment={environment}\n\
             StandardOutput=append:{OUTPUT}\nStandardError=append:{ERRORS}\n\
             [Install]\nWantedBy=multi-user.target\n"
        );
        std::fs::write(self.guest.file("/etc/systemd/system/vpcwatch.service"), unit).unwrap();
        self.guest.shell("systemctl enable --quiet --now vpcwatch.service").unwrap();
    }

    /// Waits until the agent reads: what was logged before it began is none of its business, so nobody but it knows
    /// from which line on it counts.
    pub(super) fn reading(mut self) -> Self {
        self.wait_until("the agent has read of a login", |watched| {
            watched.log_in();
            (0..10).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(200));
                watched.sum("login_successes") > 0
            })
        });
        // Twice: the first tells that the interval with the last of those logins is being published, the second
        // that it has been.
        for _ in 0..2 {
            let refused = self.guest.log_in(address(MARKS), BOB.0, "wrong", 1).unwrap().refused;
            self.marks += u64::from(refused);
            self.wait_until("a failure is counted", |watched| watched.sum("login_failures") >= watched.marks);
        }
        self
    }

    fn log_in(&self) {
        assert!(self.guest.log_in(address(MARKS), BOB.0, BOB.1, 1).unwrap().is_in);
    }

    /// Waits until all that was logged up to now is counted and told.
    pub(super) fn settle(&self) {
        for _ in 0..2 {
            let before = self.sum("login_successes");
            self.log_in();
            self.wait_until("a login is counted", |watched| watched.sum("login_successes") > before);
        }
    }

    /// Waits, as long as the agent goes on.
    #[track_caller]
    pub(super) fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        wait_until(what, || {
            let state = self.guest.shell("systemctl is-active vpcwatch.service || true").unwrap();
            assert_eq!(state.trim(), "active", "the agent has ended");
            holds(self)
        });
    }

    /// What the agent said to people.
    pub(super) fn messages(&self) -> String {
        std::fs::read_to_string(self.guest.file(ERRORS)).unwrap_or_default()
    }

    /// What the agent printed, as far as it is whole.
    fn printed(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.guest.file(OUTPUT)).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The sum of all values of a metric.
    pub(super) fn sum(&self, metric: &str) -> u64 {
        let Some(aws) = &self.aws else { return agent::total(&self.printed(), metric).0 };
        // What was sent twice because the agent was killed while it waited for the answer is one datum to CloudWatch's
        // reader too, if they can tell: the same time, the same dimensions.
        let data = aws.metrics().into_iter().filter(|datum| datum.name == metric);
        let each: BTreeMap<_, f64> =
            data.map(|datum| ((datum.timestamp_ms, datum.dimensions.clone()), datum.sum().1)).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole counts of a test")]
        each.values().map(|sum| sum.round() as u64).sum()
    }

    /// All findings, as often as they were told.
    pub(super) fn findings(&self) -> Vec<Value> {
        let parse = |message: &str| serde_json::from_str(message).unwrap();
        match &self.aws {
            None => {
                let lines = self.printed();
                let events = lines.iter().filter(|line| line["logGroupName"] == FINDINGS);
                events.map(|line| parse(line["message"].as_str().unwrap())).collect()
            }
            Some(aws) => {
                let streams = aws.streams(FINDINGS);
                let events = streams.iter().flat_map(|stream| aws.events(FINDINGS, stream));
                events.map(|event| parse(&event.message)).collect()
            }
        }
    }

    /// The findings about logins that opened, as (kind, severity, first source).
    pub(super) fn opened(&self) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let opened = self.findings().into_iter().filter(|finding| finding["state"] == "open");
        let about_logins = opened.filter(|finding| finding["where"]["service"] == "sshd");
        let mut opened: Vec<_> = about_logins
            .map(|finding| {
                let source = &finding["who"]["top_sources"][0]["source"];
                (text(&finding["kind"]), text(&finding["severity"]), text(source))
            })
            .collect();
        opened.sort();
        opened.dedup(); // what was delivered twice, because the agent was killed
        opened
    }

    /// Ends the agent as a lack of memory would.
    pub(super) fn kill_agent(&self) {
        self.guest.shell("systemctl kill --signal=KILL vpcwatch.service").unwrap();
        wait_until("the agent is gone", || {
            self.guest.shell("! systemctl is-active vpcwatch.service").is_ok()
        });
    }

    pub(super) fn start_agent(&self) {
        self.guest
            .shell("systemctl reset-failed vpcwatch.service; systemctl start vpcwatch.service")
            .unwrap();
    }

    pub(super) fn stop_agent(&self) {
        self.guest.shell("systemctl stop vpcwatch.service").unwrap();
    }
}

impl Drop for Watched {
    #[expect(clippy::print_stderr, reason = "beside the failure of the test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the agent said:\n{}", self.messages());
        }
    }
}

/// A file of `systemd/`, as packages install it.
fn shipped(name: &str) -> String {
    std::fs::read_to_string(vpcwatch_tests::tests().join("../systemd").join(name)).unwrap()
}

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
