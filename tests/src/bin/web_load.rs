//! `web-load AGENT`: a real nginx whose log the agent measures, in a network namespace of its own, and visitors that time
//! each of their requests. Compares what the agent says with what the visitors saw. As root.
#![expect(clippy::print_stdout, reason = "a program for measurements; what it prints is its answer")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use vpcwatch_tests::http::{Answer, Call, Delivery, Server, Site, lock};
use vpcwatch_tests::namespace::Namespace;

/// Compares the agent's metrics of an access log with what its visitors saw.
#[derive(Debug, Parser)]
struct Arguments {
    /// The agent's program
    agent: PathBuf,
    /// Requests in all
    #[arg(long, default_value_t = 20_000)]
    requests: usize,
    /// Visitors at a time, each with a connection of its own
    #[arg(long, default_value_t = 32)]
    visitors: usize,
    /// Of the times that requests take, and of what is asked for
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Where nginx listens, and the program behind it.
const NGINX: &str = "127.0.0.1:8080";
/// A bin of the agent's distribution is at most so wide, as a share of its value.
const BIN: f64 = 0.016;
/// What nginx's `$request_time` leaves out of a request, and what it is rounded to.
const MILLISECOND: f64 = 1.0;
/// Until nginx and the agent are there, and until the last lines were read.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than the agent looks for new lines, and than nginx keeps them back.
const SETTLED: Duration = Duration::from_secs(3);

/// Answers as the path says: `/MILLISECONDS/STATUS/...`.
struct Program;

impl Site for Program {
    fn answer(&self, call: Call) -> Answer {
        let mut words = call.path.split('/').skip(1);
        let mut number = || words.next()?.parse::<u16>().ok();
        let (delay, status) = (number().unwrap_or(0), number().unwrap_or(200));
        let delivery = Delivery::Late(Duration::from_millis(delay.into()));
        Answer { delivery, ..Answer::new(status, "hello\n") }
    }
}

/// What visitors saw, or the agent said: requests by metric, and latencies in milliseconds with how often they came.
#[derive(Debug, Default)]
struct Seen {
    counts: BTreeMap<&'static str, u64>,
    latencies: Vec<(f64, u64)>,
}

const METRICS: [&str; 4] = ["http_requests", "http_4xx", "http_5xx", "http_unauthorized"];
const LATENCY: &str = "http_request_latency";

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = std::env::temp_dir().join(format!("vpcwatch-web-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let compared = Namespace::new()?.inside(|| visit(&arguments, &folder));
    std::fs::remove_dir_all(&folder)?;
    let (visitors, agent, took) = compared?;
    println!(
        "{} requests by {} visitors in {:.1} s",
        arguments.requests,
        arguments.visitors,
        took.as_secs_f64()
    );
    println!("| | visitors | agent | |\n|---|---|---|---|");
    let mut is_same = true;
    for name in METRICS {
        let [theirs, ours] = [&visitors, &agent].map(|seen| seen.counts.get(name).copied().unwrap_or(0));
        is_same &= theirs == ours;
        println!("| {name} | {theirs} | {ours} | {} |", if theirs == ours { "equal" } else { "NOT EQUAL" });
    }
    for share in [0.5, 0.9, 0.99, 0.999] {
        let [theirs, ours] = [&visitors, &agent].map(|seen| percentile(&seen.latencies, share));
        let is_within = (theirs - ours).abs() <= theirs * BIN + MILLISECOND;
        is_same &= is_within;
        let verdict = if is_within { "within a bin" } else { "NOT WITHIN A BIN" };
        println!("| p{} of latency, ms | {theirs:.1} | {ours:.1} | {verdict} |", share * 100.0);
    }
    ensure!(is_same, "the agent said other than the visitors saw");
    Ok(())
}

fn visit(arguments: &Arguments, folder: &Path) -> anyhow::Result<(Seen, Seen, Duration)> {
    let program = Server::start((Ipv4Addr::LOCALHOST, 0), Arc::new(Program))?;
    let log = folder.join("access.log");
    File::create(&log)?;
    let _nginx = nginx(folder, &log, &program.address().to_string())?;
    let (said, mut agent) = agent(&arguments.agent, folder, &log)?;

    let begun = Instant::now();
    let visitors = visitors(arguments)?;
    let took = begun.elapsed();
    sleep(SETTLED);
    let pid = Pid::from_child(&agent.0);
    kill_process(pid, Signal::TERM)?;
    ensure!(agent.0.wait()?.success(), "the agent failed");
    Ok((visitors, heard(&said)?, took))
}

/// A program that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nginx(folder: &Path, log: &Path, program: &str) -> anyhow::Result<Running> {
    let configuration = folder.join("nginx.conf");
    let (at, log) = (folder.display(), log.display());
    std::fs::write(
        &configuration,
        format!(
            r#"user root;
daemon off;
master_process off;
worker_processes 1;
pid {at}/nginx.pid;
error_log {at}/error.log;
events {{ worker_connections 4096; }}
http {{
  log_format timed '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                   '"$http_referer" "$http_user_agent" rt=$request_time';
  access_log {log} timed;
  client_body_temp_path {at}; proxy_temp_path {at}; fastcgi_temp_path {at}; uwsgi_temp_path {at}; scgi_temp_path {at};
  keepalive_requests 1000000;
  upstream program {{ server {program}; keepalive 256; }}
  server {{
    listen {NGINX};
    location / {{ proxy_pass http://program; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"#
        ),
    )?;
    let nginx = Command::new("nginx").arg("-c").arg(&configuration).arg("-p").arg(folder).spawn();
    let nginx = Running(nginx.context("cannot run nginx")?);
    let begun = Instant::now();
    while TcpStream::connect(NGINX).is_err() {
        ensure!(begun.elapsed() < PATIENCE, "nginx does not listen");
        sleep(Duration::from_millis(20));
    }
    Ok(nginx)
}

/// Starts the agent; it has found the log's end once it has said something.
fn agent(agent: &Path, folder: &Path, log: &Path) -> anyhow::Result<(PathBuf, Running)> {
    let said = folder.join("said.jsonl");
    let logs = format!("web.logs=[{{ name = 'web', files = ['{}'] }}]", log.display());
    let mut command = Command::new(agent);
    command.args(["run", "--dry-run", "--output", "json", "--interval", "1s", "--set", "logins.source=off"]);
    command.args(["--set", &logs]).stdout(File::create(&said)?).stderr(Stdio::null());
    let running = Running(command.spawn().with_context(|| format!("cannot run {}", agent.display()))?);
    let begun = Instant::now();
    while std::fs::metadata(&said)?.len() == 0 {
        ensure!(begun.elapsed() < PATIENCE, "the agent says nothing");
        sleep(Duration::from_millis(50));
    }
    Ok((said, running))
}

/// What is asked for: most is quick, one in fifty takes long, and some fail.
fn requests(arguments: &Arguments) -> Vec<(u16, u16)> {
    let mut random = fastrand::Rng::with_seed(arguments.seed);
    let mut request = || {
        let delay = match random.u16(0..100) {
            0 | 1 => random.u16(200..900),
            2..30 => random.u16(20..120),
            _ => random.u16(1..20),
        };
        let status = match random.u16(0..100) {
            0 => 500,
            1 => 503,
            2..6 => 404,
            6 | 7 => 401,
            8 => 403,
            _ => 200,
        };
        (delay, status)
    };
    (0..arguments.requests).map(|_| request()).collect()
}

fn visitors(arguments: &Arguments) -> anyhow::Result<Seen> {
    let waiting = Mutex::new(requests(arguments));
    let seen = Mutex::new(Seen::default());
    std::thread::scope(|scope| {
        let visitors: Vec<_> =
            (0..arguments.visitors.max(1)).map(|_| scope.spawn(|| visitor(&waiting, &seen))).collect();
        visitors.into_iter().try_for_each(|visitor| match visitor.join() {
            Ok(visited) => visited,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    seen.into_inner().context("a visitor failed")
}

fn visitor(waiting: &Mutex<Vec<(u16, u16)>>, seen: &Mutex<Seen>) -> anyhow::Result<()> {
    let connection = TcpStream::connect(NGINX)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let (mut to, mut from) = (&connection, BufReader::new(&connection));
    loop {
        let Some((delay, status)) = lock(waiting).pop() else { return Ok(()) };
        let request = format!("GET /{delay}/{status}/x HTTP/1.1\r\nHost: web\r\nUser-Agent: visitor\r\n\r\n");
        let begun = Instant::now();
        to.write_all(request.as_bytes())?;
        let answered = answer(&mut from)?;
        let took = begun.elapsed().as_secs_f64() * 1e3;
        ensure!(answered == status, "asked for {status}, got {answered}");
        let mut seen = lock(seen);
        seen.latencies.push((took, 1));
        let of = [true, (400..500).contains(&status), status >= 500, status == 401 || status == 403];
        for (name, _) in METRICS.into_iter().zip(of).filter(|(_, counts)| *counts) {
            *seen.counts.entry(name).or_default() += 1;
        }
    }
}

/// Reads an answer to its end; its status.
fn answer(from: &mut impl BufRead) -> anyhow::Result<u16> {
    let (mut status, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        ensure!(from.read_line(&mut line)? > 0, "nginx closed the connection");
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest.split(' ').next().and_then(|status| status.parse().ok());
        } else if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        } else if line.is_empty() {
            break;
        }
    }
    std::io::copy(&mut from.by_ref().take(length), &mut std::io::sink())?;
    let Some(status) = status else { bail!("an answer without a status") };
    Ok(status)
}

/// Adds up what the agent printed.
fn heard(said: &Path) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    for line in BufReader::new(File::open(said)?).lines() {
        let datum: Value = serde_json::from_str(&line?)?;
        let Some(name) = datum.get("MetricName").and_then(Value::as_str) else { continue };
        let numbers = |key: &str| -> Vec<f64> {
            let numbers = datum.get(key).and_then(Value::as_array);
            numbers.into_iter().flatten().filter_map(Value::as_f64).collect()
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
        let weighed = numbers("Values").into_iter().zip(numbers("Counts").into_iter().map(|n| n as u64));
        if name == LATENCY {
            seen.latencies.extend(weighed);
        } else if let Some(known) = METRICS.into_iter().find(|known| *known == name) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "requests")]
            let sum: u64 = weighed.map(|(value, count)| value as u64 * count).sum();
            *seen.counts.entry(known).or_default() += sum;
        }
    }
    Ok(seen)
}

/// The least value that so large a share is not above.
fn percentile(latencies: &[(f64, u64)], share: f64) -> f64 {
    let mut sorted = latencies.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all: u64 = sorted.iter().map(|(_, count)| count).sum();
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand requests")]
    let wanted = all as f64 * share;
    let mut below = 0;
    for (value, count) in sorted {
        below += count;
        #[expect(clippy::cast_precision_loss, reason = "some ten thousand requests")]
        if below as f64 >= wanted {
            return value;
        }
    }
    f64::NAN
}
