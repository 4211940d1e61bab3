//! A guest: a real systemd with journald, sshd and, if wanted, rsyslog, in namespaces of its own, and clients that log in from
//! outside. `tests/guest/guest.sh` builds and boots it; nothing of it is left when it is dropped, or when the test is killed.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::http::lock;
use crate::namespace::Pair;

/// The first guest waits until the root is built: the script's own limits end that earlier.
const BOOT: Duration = Duration::from_mins(18);
/// Of one command inside, and of one client; the machine may be busy.
const COMMAND: Duration = Duration::from_mins(1);

/// Users of the guest, with their passwords: who is attacked, who else logs in, and one who only has an account.
pub const ALICE: (&str, &str) = ("alice", "alice-knows");
/// Another user.
pub const BOB: (&str, &str) = ("bob", "bob-knows");
/// A third user, without any rights.
pub const MALLORY: (&str, &str) = ("mallory", "mallory-knows");

/// A booted guest. Dropping it ends it.
#[derive(Debug)]
pub struct Guest {
    holder: Child,
    said: Mutex<Receiver<String>>, // so that clients can be on threads of their own
    leader: u32,
    network: Pair, // last: it goes when nobody lives in it any more
}

/// What a client saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Login {
    /// Passwords that were refused.
    pub refused: u32,
    /// Whether one was taken.
    pub is_in: bool,
}

impl Guest {
    /// Boots a guest in which each of `files` (here, there) can be read and executed. Builds its file system, if this
    /// is the first.
    pub fn boot(files: &[(&Path, &str)]) -> anyhow::Result<Self> {
        let network = Pair::new()?;
        // Whoever attacks does so from addresses that are nobody's (RFC 5737); they end at the peer.
        network.peer.ip(&["route", "add", "local", "198.51.100.0/24", "dev", "lo"])?;
        let mut command = Command::new(crate::tests().join("guest/guest.sh"));
        command.arg("hold").args([network.host.name(), network.peer.name()]);
        for (here, there) in files {
            let here = here.to_str().context("a path that is not UTF-8")?.replace(':', "\\:");
            command.arg(format!("--bind-ro={here}:{there}"));
        }
        // Not of this process group: an interrupt at the terminal reaches it as the end of its input, and it clears up.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().context("cannot run tests/guest/guest.sh")?;
        let said = Mutex::new(lines(holder.stdout.take().context("no output")?)?);
        let mut guest = Guest { holder, said, leader: 0, network };
        guest.leader = guest.up(BOOT)?;
        Ok(guest)
    }

    /// Waits until it is up; gives its first process.
    fn up(&self, limit: Duration) -> anyhow::Result<u32> {
        let begun = Instant::now();
        let mut told = String::new();
        loop {
            match lock(&self.said).recv_timeout(limit.saturating_sub(begun.elapsed())) {
                Ok(line) => match line.strip_prefix("up ") {
                    Some(leader) => return Ok(leader.parse()?),
                    None => writeln!(told, "{line}")?,
                },
                Err(RecvTimeoutError::Timeout) => bail!("no guest after {limit:?}: {told}"),
                Err(RecvTimeoutError::Disconnected) => bail!("no guest: {told}"),
            }
        }
    }

    /// Its network: the guest is the host there, at 10.9.0.2; its namespace outlives a reboot. The peer has
    /// 10.9.0.1 and all of 198.51.100.0/24.
    pub fn network(&self) -> &Pair {
        &self.network
    }

    /// A file of the guest, as long as it does not reboot. Links along the way lead astray.
    pub fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.leader))
    }

    /// Runs a shell script inside as root; gives what it printed, if it ended well.
    pub fn shell(&self, script: &str) -> anyhow::Result<String> {
        let output = self
            .nsenter(&["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"])
            .args(["sh", "-euc", script])
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(
            output.status.success(),
            "in the guest, {script}: {}{}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }

    /// Reboots it and waits until it is up again.
    pub fn reboot(&mut self) -> anyhow::Result<()> {
        self.shell("systemctl reboot")?;
        self.leader = self.up(Duration::from_mins(2)).context("it does not come back from its reboot")?;
        Ok(())
    }

    /// One connection of a client at `from`, which offers this password up to `times` times.
    pub fn log_in(&self, from: IpAddr, user: &str, password: &str, times: u32) -> anyhow::Result<Login> {
        let address = if from.is_ipv4() { "10.9.0.2" } else { "fd09::2" };
        // The client is the guest's own program, but in the peer's network.
        let mut command = self.nsenter(&["--mount"]);
        command.env("SSH_ASKPASS", "/usr/local/bin/askpass").env("SSH_ASKPASS_REQUIRE", "force");
        command.env("PASSWORD", password).args(["ssh", "-F", "none", "-b", &from.to_string(), "-l", user]);
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "PreferredAuthentications=password",
            "ConnectTimeout=20",
            "LogLevel=ERROR",
            &format!("NumberOfPasswordPrompts={times}"),
        ] {
            command.args(["-o", option]);
        }
        command.args([address, "true"]);
        let output: Output = self.network.peer.inside(|| Ok(command.output()?))?;
        let told = String::from_utf8_lossy(&output.stderr);
        let refused = u32::try_from(told.matches("Permission denied").count())?;
        let is_in = output.status.success();
        ensure!(is_in || refused > 0, "ssh from {from} as {user}: {}, {told}", output.status);
        Ok(Login { refused, is_in })
    }

    /// So many connections at once, each offering a wrong password `times` times. Gives how many were refused in all.
    pub fn guess(&self, from: IpAddr, user: &str, connections: usize, times: u32) -> anyhow::Result<u32> {
        let guess = || self.log_in(from, user, "wrong", times);
        let logins: Vec<Login> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..connections).map(|_| scope.spawn(guess)).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            threads.into_iter().map(join).collect::<anyhow::Result<_>>()
        })?;
        ensure!(logins.iter().all(|login| !login.is_in), "a wrong password was taken");
        Ok(logins.iter().map(|login| login.refused).sum())
    }

    /// Enters some of the guest's namespaces, for as long as a command may take.
    fn nsenter(&self, namespaces: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", &COMMAND.as_secs().to_string(), "nsenter", "--target"]);
        command.arg(self.leader.to_string()).args(namespaces).arg("--").stdin(Stdio::null()).env_clear();
        command.envs([
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/root"),
            ("LANG", "C.UTF-8"),
            ("SYSTEMD_PAGER", "cat"),
        ]);
        command
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.holder.stdin.take()); // the sign to end it
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if !matches!(self.holder.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The lines of a pipe as they come, so that they can be waited for no longer than a time.
fn lines(pipe: impl Read + Send + 'static) -> anyhow::Result<Receiver<String>> {
    let (sender, receiver) = channel();
    std::thread::Builder::new().name("guest's output".into()).spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
