//! A host in a network namespace of its own, with a listener, the real agent and a CloudWatch beside it, and a peer that
//! floods it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use vpcwatch::host::clock;

use crate::fake_aws::{FakeAws, StoredAlarm};
use crate::namespace::Pair;

const PORT: u16 = 80;
const BACKLOG: i32 = 128;
/// SYNs each tenth of a second.
const SYNS: u8 = 30;
const NAME: &str = "web-1";
const FINDINGS: &str = "/vpcwatch/findings";

/// The host; everything ends with this value.
#[derive(Debug)]
pub struct FloodedHost {
    agent: Child,
    aws: FakeAws,
    folder: PathBuf,
    /// Kept because it ends with its value.
    #[expect(dead_code, reason = "it is flooded")]
    listener: Socket,
    pair: Pair,
}

/// A finding's log event.
#[derive(Debug, Clone)]
pub struct Told {
    /// When CloudWatch Logs had it.
    pub at: Timestamp,
    /// What it says.
    pub finding: Value,
}

impl FloodedHost {
    /// Starts the agent; it makes its alarms itself. `more` are further arguments of it.
    pub fn start(agent: &Path, more: &[&str]) -> anyhow::Result<Self> {
        let pair = Pair::new()?;
        let listen = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&std::net::SocketAddr::from(([0, 0, 0, 0], PORT)).into())?;
            socket.listen(BACKLOG)?;
            Ok(socket)
        };
        let listener = pair.host.inside(listen)?;
        let aws = pair.host.inside(FakeAws::start)?;
        let folder = std::env::temp_dir().join(pair.host.name());
        std::fs::create_dir_all(&folder)?;
        let mut command = Command::new(agent);
        command.arg("run").env_clear().envs(aws.environment());
        command.env("AWS_ACCESS_KEY_ID", "AKIAKEYS").env("AWS_SECRET_ACCESS_KEY", "secret");
        command.env("AWS_REGION", "eu-west-3").stdin(Stdio::null()).stderr(Stdio::null());
        for set in [
            format!("state.folder={}", folder.display()),
            format!("status.file={}", folder.join("status.json").display()),
            format!("identity.host={NAME}"),
            "logins.source=off".into(), // not this machine's logs
            "provision.at_start=true".into(),
            "provision.scope=instance".into(),
        ] {
            command.args(["--set", &set]);
        }
        command.args(more);
        let agent = pair.host.inside(|| command.spawn().context("the agent does not start"))?;
        Ok(FloodedHost { agent, aws, folder, listener, pair })
    }

    /// What CloudWatch has.
    pub fn aws(&self) -> &FakeAws {
        &self.aws
    }

    /// The alarm of that kind, as the agent put it.
    pub fn alarm(&self, kind: &str) -> Option<StoredAlarm> {
        self.aws.alarms().into_iter().find(|alarm| alarm.name == format!("vpcwatch-{NAME}-{kind}"))
    }

    /// Three hundred SYNs a second for so long, each from another address that nobody has; the times of the first and the last.
    pub fn flood(&self, seconds: u32) -> anyhow::Result<(Timestamp, Timestamp)> {
        let (first, begun) = (clock::wall(), Instant::now());
        for tenth in 0..seconds * 10 {
            let third = u8::try_from(tenth % 256)?;
            let sources: Vec<IpAddr> = (0..SYNS).map(|n| IpAddr::from([198, 18, third, n])).collect();
            self.pair.syns(&sources, [10, 9, 0, 2].into(), PORT)?;
            let next = begun + Duration::from_millis(100) * (tenth + 1);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok((first, clock::wall()))
    }

    /// The findings that were told, in that state.
    pub fn told(&self, state: &str) -> anyhow::Result<Vec<Told>> {
        let mut told = Vec::new();
        for (at, event) in self.aws.event_arrivals(FINDINGS, NAME) {
            let finding: Value = serde_json::from_str(&event.message)?;
            if finding.get("type").is_some_and(|kind| kind == "finding")
                && finding.get("state").is_some_and(|other| other == state)
            {
                told.push(Told { at, finding });
            }
        }
        Ok(told)
    }

    /// Stops the agent as systemd does, and waits for it.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.agent), Signal::TERM)?;
        let status = self.agent.wait()?;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }
}

impl Drop for FloodedHost {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
