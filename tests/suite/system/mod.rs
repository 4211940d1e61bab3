//! The system tier: real sockets, real half-open connections and real traffic, in namespaces of each test's own.
//! Needs root and iproute2.

mod alarms;
mod disk;
mod floods;
mod interfaces;
mod listeners;
mod names;
mod syn_capture;
mod tcp_states;
mod unprivileged;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use vpcwatch::model::snapshot::Snapshot;
use vpcwatch_tests::kernel::{self, States};
use vpcwatch_tests::namespace::Namespace;

use crate::agent::{self, PATH, printed};

/// One snapshot taken in a namespace.
fn sample(namespace: &Namespace, more: &[&str]) -> Value {
    let output = namespace.inside(|| Ok(agent::command().arg("sample").args(more).output()?)).unwrap();
    serde_json::from_str(&printed(&output, 0)).unwrap()
}

/// The snapshots that a run has recorded so far.
fn recorded(file: &Path) -> Vec<Snapshot> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole_lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).skip(1);
    whole_lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The agent's counts by state.
fn states(snapshot: &Value) -> States {
    let states = snapshot["tcp"]["states"].as_object().unwrap();
    states.iter().map(|(name, count)| (name.clone(), count.as_u64().unwrap())).collect()
}

/// A listener that accepts nothing by itself.
fn listen(namespace: &Namespace, at: &str, backlog: i32, reuse_port: bool) -> Socket {
    let at: SocketAddr = at.parse().unwrap();
    let listen = || {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
        socket.set_reuse_port(reuse_port)?;
        socket.bind(&at.into())?;
        socket.listen(backlog)?;
        Ok(socket)
    };
    namespace.inside(listen).unwrap()
}

/// Begins connections that may never be accepted.
fn begin(namespace: &Namespace, to: &str, count: usize) -> Vec<Socket> {
    let to: SocketAddr = to.parse().unwrap();
    let begin = || {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let _ = socket.connect(&to.into()); // in progress
        Ok(socket)
    };
    namespace.inside(|| (0..count).map(|_| begin()).collect()).unwrap()
}

/// Waits until `what` holds; states settle within milliseconds, the limit is for a machine that is busy.
#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The kernel's full dump in a namespace, and what `ss` counts, which must agree.
fn dump(namespace: &Namespace) -> States {
    let dumps = || namespace.inside(|| Ok((kernel::full_dump()?, kernel::ss()?))).unwrap();
    let mut both = dumps();
    // A socket may change its state between the two.
    wait_until("the two dumps agree", || {
        both = dumps();
        both.0 == both.1
    });
    both.0
}

/// A dry run inside a namespace, as JSON, until it is stopped.
struct DryRun {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl DryRun {
    fn start(namespace: &Namespace, more: &[&str]) -> Self {
        let spawn = || {
            let mut command = Command::new(PATH);
            command.args(["run", "--dry-run", "--output", "json", "--interval", "1h"]);
            command.args(["--set", "logins.source=off"]).args(more); // not this machine's logs
            Ok(command.env_clear().stdout(Stdio::piped()).spawn()?)
        };
        let mut child = namespace.inside(spawn).unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        DryRun { child, output }
    }

    /// Stops it; gives what it printed in all.
    fn stop(mut self) -> Vec<Value> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let lines = std::io::Read::by_ref(&mut self.output)
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        lines
    }
}

impl Drop for DryRun {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
