//! One row acted out: namespaces, programs and the agent, from the lead-in until its findings are closed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use vpcwatch::host::clock;
use vpcwatch_tests::namespace::{Namespace, Pair, run};

use crate::judge::{Seen, Truth, seconds};
use crate::rows::{Act, Clients, Extra, Flood, Row, Server, What};

/// How rows are run.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The agent.
    pub(crate) agent: PathBuf,
    /// The traffic programs.
    pub(crate) traffic: PathBuf,
    /// Seconds of learning before an act.
    pub(crate) lead: f64,
    /// Seconds to look on after the last packet, at least.
    pub(crate) after: f64,
    /// Whether the agent goes without `CAP_NET_RAW`.
    pub(crate) counters_only: bool,
    /// More arguments of the agent.
    pub(crate) for_agent: Vec<String>,
    /// Of the random numbers.
    pub(crate) seed: u64,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) truth: Truth,
    pub(crate) seen: Vec<Seen>,
}

/// What the agent may take to close its findings, seconds.
const CLOSING: f64 = 75.0;
/// First of the addresses that visitors come from, and how many there are.
const VISITORS: (u8, u8) = (10, 64);
/// Where a server behind a proxy listens.
const BEHIND: u16 = 9090;

/// A program that ends with this value.
#[derive(Debug)]
struct Program {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Program {
    fn start(namespace: &Namespace, command: &[String]) -> anyhow::Result<Self> {
        // `ip netns exec` becomes the program, and mounts the /sys of the namespace.
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace.name()])
            .args(command)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let output = child.stdout.take().map(BufReader::new);
        Ok(Program { child, output })
    }

    fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal); // it may have ended
    }

    /// Its last line, which is what it says of itself.
    fn result(&mut self) -> anyhow::Result<Value> {
        let output = self.output.take().context("no output")?;
        let last = output.lines().last().context("a program that says nothing")??;
        self.child.wait()?;
        Ok(serde_json::from_str(&last)?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An act that has begun.
struct Begun {
    /// None where nothing is done.
    program: Option<Program>,
    at: Timestamp,
    act: Act,
}

/// What begins at some time.
enum Cue<'a> {
    Agent,
    Act(&'a Act),
}

/// The namespaces of a row, and what runs in them; ends with this value.
struct Scene<'a> {
    row: &'a Row,
    setting: &'a Setting,
    /// Ends before the namespaces.
    servers: Vec<Program>,
    visitors: Vec<Program>,
    begun: Vec<Begun>,
    agent: Option<(Program, Timestamp)>,
    pair: Pair,
    /// Kept because it ends with its value.
    #[expect(dead_code, reason = "its programs run in it")]
    between: Option<Namespace>,
    container: Option<Namespace>,
    mac: String,
}

/// Acts a row out; the recording goes to `recording`.
pub(crate) fn act_out(row: &Row, setting: &Setting, recording: &Path) -> anyhow::Result<Outcome> {
    let mut scene = Scene::set_up(row, setting)?;
    scene.open_doors()?;
    let seen = Mutex::new(Vec::new());
    let truth = std::thread::scope(|scope| {
        let truth = scene.play(
            recording,
            |output| {
                scope.spawn(|| listen_to(output, &seen));
            },
            &seen,
        );
        scene.agent = None; // its end ends the listening
        truth
    })?;
    Ok(Outcome { truth, seen: seen.into_inner().unwrap_or_default() })
}

impl<'a> Scene<'a> {
    fn set_up(row: &'a Row, setting: &'a Setting) -> anyhow::Result<Self> {
        let is_far = row.host.extra == Extra::FarAway;
        let (pair, between) = if is_far {
            Pair::apart().map(|(pair, between)| (pair, Some(between)))?
        } else {
            (Pair::new()?, None)
        };
        for n in VISITORS.0..VISITORS.0 + VISITORS.1 {
            pair.peer.ip(&["addr", "add", &format!("10.9.0.{n}/24"), "dev", "eth0"])?;
        }
        for (namespace, name, value) in [
            (&pair.host, "ipv4/tcp_syncookies", row.host.syncookies.to_string()),
            (&pair.host, "ipv4/tcp_max_syn_backlog", row.host.max_syn_backlog.to_string()),
            (&pair.host, "core/somaxconn", "4096".into()),
            (&pair.peer, "ipv4/ip_local_port_range", "1024 65000".into()),
            (&pair.peer, "ipv4/tcp_tw_reuse", "1".into()),
        ] {
            set(namespace, name, &value)?;
        }
        let mac = pair.host_mac()?.to_string();
        let container = match row.host.extra {
            Extra::Nothing | Extra::FarAway => None,
            Extra::Published => Some(publish(&pair.host)?),
            Extra::Dropped => {
                rules(&pair.host, "type filter hook input priority 0; tcp dport 80 drop;")?;
                None
            }
        };
        let (mut servers, visitors, begun) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(between) = &between {
            let words = format!("{} delay --ms 80 --one peer --other host", setting.traffic.display());
            servers.push(serving(between, &words)?);
        }
        Ok(Scene { row, setting, servers, visitors, begun, agent: None, pair, between, container, mac })
    }

    /// Starts servers, then visitors.
    fn open_doors(&mut self) -> anyhow::Result<()> {
        let row = self.row;
        for server in &row.servers {
            if server.forward {
                self.serve(&format!("--at 127.0.0.1 --port {BEHIND} --backlog 1024"))?;
            }
            let Server { port, backlog, sockets, slow_ms, defer_accept, v6, forward } = server;
            let at = if *v6 { "::" } else { "0.0.0.0" };
            let behind = if *forward { format!("--forward-to 127.0.0.1:{BEHIND}") } else { String::new() };
            self.serve(&format!(
                "--at {at} --port {port} --backlog {backlog} --sockets {sockets} --slow-ms {slow_ms} \
                 --defer-accept {defer_accept} {behind}"
            ))?;
        }
        if let Some(container) = &self.container {
            let words = format!("{} serve --port 80 --backlog 1024", self.setting.traffic.display());
            self.servers.push(serving(container, &words)?);
        }
        let last_act = row.acts.iter().map(|act| act.at + act.seconds).fold(0.0, f64::max);
        let whole = self.setting.lead + last_act + CLOSING + 30.0;
        for clients in &row.clients {
            let visitors = self.visit(clients, whole)?;
            self.visitors.push(visitors);
        }
        Ok(())
    }

    fn serve(&mut self, words: &str) -> anyhow::Result<()> {
        let words = format!("{} serve {words}", self.setting.traffic.display());
        self.servers.push(serving(&self.pair.host, &words)?);
        Ok(())
    }

    fn visit(&self, clients: &Clients, seconds: f64) -> anyhow::Result<Program> {
        let Clients { port, rate, burst, silent } = clients;
        let silent = if *silent { "--silent 10" } else { "" };
        let seed =
            self.setting.seed.wrapping_mul(100) + self.visitors.len() as u64 + 10 * self.begun.len() as u64;
        let words = format!(
            "{} clients --to 10.9.0.2:{port} --rate {rate} --burst {burst} --seconds {seconds} --seed {seed} {silent}",
            self.setting.traffic.display()
        );
        Program::start(&self.pair.peer, &split(&words))
    }

    fn flood(&self, flood: &Flood, seconds: f64) -> anyhow::Result<Program> {
        let Flood { kind, rate, port, sources, v6, ramp, pulses } = flood;
        let to = if *v6 { format!("[fd09::2]:{port}") } else { format!("10.9.0.2:{port}") };
        let rate = if rate.is_finite() { rate.to_string() } else { "fastest".into() };
        let pulses = pulses.map(|(on, off)| format!("--on {on} --off {off}")).unwrap_or_default();
        let ramp = if *ramp { "--ramp-from 1" } else { "" };
        let words = format!(
            "{} flood --kind {kind} --rate {rate} --to {to} --mac {} --sources {sources} --seconds {seconds} \
             --seed {} {pulses} {ramp}",
            self.setting.traffic.display(),
            self.mac,
            self.setting.seed,
        );
        Program::start(&self.pair.peer, &split(&words))
    }

    /// Everything in its time, until the findings are closed.
    fn play(
        &mut self,
        recording: &Path,
        listen: impl FnOnce(BufReader<ChildStdout>),
        seen: &Mutex<Vec<Seen>>,
    ) -> anyhow::Result<Truth> {
        let row = self.row;
        let mut cues: Vec<(f64, Cue)> = row.acts.iter().map(|act| (act.at, Cue::Act(act))).collect();
        // The agent's ticks stand in no relation to an attack's first packet.
        let phase = phase(row.name, self.setting.seed);
        let agent = row.running_at_start.map_or(-self.setting.lead - phase, |running| running + phase);
        cues.push((agent, Cue::Agent));
        cues.sort_by(|a, b| a.0.total_cmp(&b.0));
        let origin = cues.first().map_or(0.0, |cue| cue.0);
        let begun = Instant::now();
        let mut listen = Some(listen);
        for (at, cue) in cues {
            sleep_until(begun, at - origin);
            match cue {
                Cue::Act(act) => self.begin(act)?,
                Cue::Agent => {
                    let mut agent = Program::start(&self.pair.host, &self.agent_words(recording))?;
                    if let (Some(listen), Some(output)) = (listen.take(), agent.output.take()) {
                        listen(output);
                    }
                    self.agent = Some((agent, clock::wall()));
                }
            }
        }
        let last = row.acts.iter().map(|act| act.at + act.seconds).fold(0.0, f64::max);
        sleep_until(begun, last - origin);
        self.finish(seen)
    }

    fn begin(&mut self, act: &Act) -> anyhow::Result<()> {
        let program = match &act.what {
            What::Flood(flood) => Some(self.flood(flood, act.seconds)?),
            What::Clients(clients) => Some(self.visit(clients, act.seconds)?),
            What::Nothing => None,
        };
        self.begun.push(Begun { program, at: clock::wall(), act: *act });
        Ok(())
    }

    fn agent_words(&self, recording: &Path) -> Vec<String> {
        let mut words = Vec::new();
        if self.setting.counters_only {
            words.extend(split("setpriv --bounding-set=-net_raw --inh-caps=-net_raw"));
        }
        words.push(self.setting.agent.display().to_string());
        words.extend(split("run --dry-run --output json --record"));
        words.push(recording.display().to_string());
        words.extend(split(&format!("--set identity.host={}", self.row.name)));
        words.extend(self.setting.for_agent.iter().cloned());
        words
    }

    /// Waits for programs and findings to end, then stops the agent.
    fn finish(&mut self, seen: &Mutex<Vec<Seen>>) -> anyhow::Result<Truth> {
        let (mut programs, mut from, mut until) = (Vec::new(), Vec::new(), Vec::new());
        for Begun { program, at, act } in &mut self.begun {
            let said = program.as_mut().map(Program::result).transpose()?;
            let time = |key: &str| said.as_ref()?.get(key)?.as_str()?.parse::<Timestamp>().ok();
            if act.counts {
                from.push(time("first").unwrap_or(*at));
                until.push(time("last").unwrap_or_else(clock::wall));
            }
            programs.extend(said);
        }
        let (agent, started) = self.agent.as_ref().context("no agent")?;
        let began = from.into_iter().min().context("no act that counts")?.max(*started);
        let ended = until.into_iter().max().context("no act that counts")?;
        wait_for_closing(seen, ended, self.setting.after);
        let agent_memory_kib = peak_memory(agent);
        agent.signal(Signal::INT);
        if let Some((agent, _)) = &mut self.agent {
            agent.child.wait()?;
        }
        for visitors in &mut self.visitors {
            visitors.signal(Signal::TERM);
            programs.push(visitors.result()?);
        }
        let (row, counters_only) = (self.row.name.into(), self.setting.counters_only);
        Ok(Truth { row, counters_only, began, ended, programs, agent_memory_kib })
    }
}

/// A random share of a second, of this run of this row.
fn phase(name: &str, run: u64) -> f64 {
    let bytes = name.bytes().chain(run.to_le_bytes());
    let seed = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    fastrand::Rng::with_seed(seed).fork().f64() // the first number of similar seeds is similar
}

/// A server that is ready.
fn serving(namespace: &Namespace, words: &str) -> anyhow::Result<Program> {
    let mut server = Program::start(namespace, &split(words))?;
    let mut line = String::new();
    server.output.as_mut().context("no output")?.read_line(&mut line)?;
    ensure!(line == "ready\n", "no server: {words}");
    Ok(server)
}

/// A container behind the host, to which it forwards what comes for its port 80.
fn publish(host: &Namespace) -> anyhow::Result<Namespace> {
    let container = Namespace::new()?;
    host.join("br0", &container, "eth0")?;
    host.ip(&["link", "set", "br0", "up"])?;
    host.ip(&["addr", "add", "10.9.1.1/24", "dev", "br0"])?;
    container.ip(&["link", "set", "eth0", "up"])?;
    container.ip(&["addr", "add", "10.9.1.2/24", "dev", "eth0"])?;
    container.ip(&["route", "add", "default", "via", "10.9.1.1"])?;
    set(host, "ipv4/ip_forward", "1")?;
    rules(host, "type nat hook prerouting priority -100; tcp dport 80 dnat to 10.9.1.2;")?;
    Ok(container)
}

/// One chain of nftables.
fn rules(namespace: &Namespace, chain: &str) -> anyhow::Result<()> {
    let table = format!("table ip rows {{ chain rows {{ {chain} }}; }}");
    namespace.inside(|| run(&["nft", &table])).context("this row needs nftables")?;
    Ok(())
}

fn set(namespace: &Namespace, name: &str, value: &str) -> anyhow::Result<()> {
    namespace.inside(|| fs::write(format!("/proc/sys/net/{name}"), value).with_context(|| name.to_owned()))
}

/// Keeps what the agent says of findings, with the time at which it said so.
fn listen_to(output: BufReader<ChildStdout>, seen: &Mutex<Vec<Seen>>) {
    for line in output.lines().map_while(Result::ok) {
        let printed = clock::wall();
        if let Some(finding) = finding(&line)
            && let Ok(mut seen) = seen.lock()
        {
            seen.push(Seen { printed, finding });
        }
    }
}

/// The finding in a line of the agent's output.
fn finding(line: &str) -> Option<Value> {
    let event: Value = serde_json::from_str(line).ok()?;
    let message: Value = serde_json::from_str(event.get("message")?.as_str()?).ok()?;
    (message.get("type")? == "finding").then_some(message)
}

fn wait_for_closing(seen: &Mutex<Vec<Seen>>, ended: Timestamp, after: f64) {
    loop {
        let since = seconds(ended, clock::wall());
        let count = |state| seen.lock().map_or(0, |seen| seen.iter().filter(|one| one.is(state)).count());
        let is_closed = count("open") == count("closed");
        if since >= CLOSING || (since >= after && is_closed) {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// `VmHWM` of `/proc/PID/status`, KiB.
fn peak_memory(program: &Program) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", program.child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn sleep_until(begun: Instant, after: f64) {
    let at = begun + Duration::from_secs_f64(after.max(0.0));
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

fn split(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}
