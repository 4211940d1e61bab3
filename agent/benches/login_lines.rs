//! How fast lines of logs are read: `cargo bench --bench login_lines [-- --file PATH]`.
#![expect(clippy::print_stdout, reason = "prints its measurement")]

use std::hint::black_box;

use anyhow::Context;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};
use vpcwatch::model::log_line::{Grammar, LogLine, LogLines};
use vpcwatch::parse::LoginReader;

const LINES: usize = 1_000_000;
/// Lines handed on at once, as `tail` does.
const BATCH: usize = 1000;
const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let path =
        arguments.iter().position(|argument| argument == "--file").and_then(|at| arguments.get(at + 1));
    if let Some(path) = path {
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        anyhow::ensure!(!lines.is_empty(), "{path} has no lines");
        measure(path, &lines);
        return Ok(());
    }
    measure("sshd and PAM under attack", &log(attack, LINES));
    measure("every service, mixed", &log(mixed, LINES));
    measure("programs nobody knows", &log(unknown, LINES));
    measure("sshd's other lines", &log(other, LINES));
    measure("no head, no login", &log(bare, LINES));
    println!("lines made to be slow, ns a byte:");
    for (name, word) in [
        ("marks", " from 1.2.3.4 port 1 ssh2: "),
        ("certificates", " from 1.2.3.4 port 1 ssh2: RSA-CERT a ID "),
        ("signatures", " from 1.2.3.4 port 1 ssh2: RSA a, signature count = "),
        ("spaces", " "),
        ("hosts", " rhost=1.2.3.4 user="),
    ] {
        for repeated in [1_000, 64_000] {
            slow(name, word, repeated);
        }
    }
    Ok(())
}

fn log(line: fn(usize) -> String, count: usize) -> Vec<String> {
    (0..count).map(line).collect()
}

/// What every line begins with: ten of them a second.
fn head(number: usize, tag: &str) -> String {
    let second = number / 10;
    format!(
        "Mar {:2} {:02}:{:02}:{:02} ip-10-0-0-12 {tag}: ",
        1 + second / 86_400 % 28,
        second / 3600 % 24,
        second / 60 % 60,
        second % 60
    )
}

fn address(number: usize) -> String {
    format!("198.{}.{}.{}", 18 + number % 2, number / 7 % 256, number % 251)
}

/// A guess of a password: what sshd and PAM log of it.
fn attack(number: usize) -> String {
    let (attempt, source) = (number / 5, address(number / 5));
    let head = head(number, &format!("sshd[{}]", 1000 + attempt % 30_000));
    let port = 1024 + attempt % 60_000;
    match number % 5 {
        0 => format!("{head}Invalid user user{attempt} from {source} port {port}"),
        1 => format!("{head}pam_unix(sshd:auth): check pass; user unknown"),
        2 => format!(
            "{head}pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={source}"
        ),
        3 => format!("{head}Failed password for invalid user user{attempt} from {source} port {port} ssh2"),
        _ => format!("{head}Connection closed by invalid user user{attempt} {source} port {port} [preauth]"),
    }
}

fn mixed(number: usize) -> String {
    let source = address(number);
    match number % 12 {
        0..3 => attack(number),
        3 => other(number),
        4 => unknown(number),
        5 => bare(number),
        6 => format!(
            "{source} - bob [02/Mar/2026:08:05:27 +0000] \"GET /admin HTTP/1.1\" 401 172 \"-\" \"curl/8\""
        ),
        7 => format!(
            "{}dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<bob>, method=PLAIN, rip={source}, lip=10.0.0.12",
            head(number, "dovecot").trim_end_matches("dovecot: ")
        ),
        8 => format!(
            "{}warning: unknown[{source}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
            head(number, "postfix/smtpd[99]")
        ),
        9 => format!(
            "2026-03-02T08:05:27.{:06}Z {number} [Note] Access denied for user 'root'@'{source}' (using password: YES)",
            number % 1_000_000
        ),
        10 => format!(
            "type=USER_LOGIN msg=audit(1772440000.250:{number}): pid=71 uid=0 auid=4294967295 ses=4294967295 msg='op=login acct=\"bob\" exe=\"/usr/sbin/sshd\" hostname=? addr={source} terminal=ssh res=failed'"
        ),
        _ => format!(
            "{}bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/usr/bin/apt update",
            head(number, "sudo")
        ),
    }
}

fn unknown(number: usize) -> String {
    format!(
        "{}[{number}.123456] device eth0 entered promiscuous mode for a while, then left it again",
        head(number, "kernel")
    )
}

fn other(number: usize) -> String {
    format!(
        "{}Received disconnect from {} port 5001:11: Bye Bye [preauth]",
        head(number, "sshd[99]"),
        address(number)
    )
}

fn bare(number: usize) -> String {
    format!("worker {number} took 12 ms for /index.html and closed the connection by itself")
}

fn measure(name: &str, lines: &[String]) {
    let batches: Vec<LogLines> = lines.chunks(BATCH).map(batch).collect();
    let mut reader = LoginReader::default();
    let mut logins = 0;
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = cpu_seconds();
            logins = batches.iter().map(|batch| black_box(reader.logins(batch)).len()).sum();
            cpu_seconds() - started
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let seconds = rounds.get(ROUNDS / 2).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "millions")]
    let count = lines.len() as f64;
    println!(
        "{name}: {:.0} lines/s, {:.0} ns a line, {logins} logins of {count} lines",
        count / seconds,
        seconds / count * 1e9
    );
}

/// A line of one word many times, within what sshd writes around a user's name.
fn slow(name: &str, word: &str, bytes: usize) {
    let text = word.repeat(bytes / word.len());
    let count = 20_000_000 / bytes;
    let line =
        format!("Mar  2 08:05:27 h sshd[9]: Failed publickey for {text} from 192.0.2.7 port 5 ssh2: RSA a");
    let other = format!(
        "Mar  2 08:05:27 h ftpd[9]: pam_unix(ftp:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser={text}"
    );
    for (kind, line) in [("sshd", line), ("PAM", other)] {
        let batch = batch(&vec![line; count]);
        let mut reader = LoginReader::default();
        let started = cpu_seconds();
        black_box(reader.logins(&batch));
        #[expect(clippy::cast_precision_loss, reason = "millions")]
        let each = (cpu_seconds() - started) / (bytes * count) as f64;
        println!("  {name} in {kind}, {bytes} bytes: {:.2}", each * 1e9);
    }
}

fn batch(lines: &[String]) -> LogLines {
    let line = |text: &String| LogLine { text: text.clone(), writer: None, is_cut: false };
    LogLines {
        log: "auth.log".into(),
        grammar: Grammar::Auto,
        lines: lines.iter().map(line).collect(),
        read: Timestamp::from_second(1_774_000_000).unwrap_or_default(),
        is_behind: false,
        zone: TimeZone::UTC,
        cursor: None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds of CPU time")]
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
