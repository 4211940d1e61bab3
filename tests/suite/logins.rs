//! Logins, as their user meets them: why a line counts, what a log tells, and that no attempt is lost or counted twice
//! while logs are read.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use vpcwatch_tests::fake_aws::FakeAws;
use vpcwatch_tests::fixture;

use crate::agent::{self, PATH, lines, printed};
use crate::delivery::{Program, keys, with_environment};

/// What a guesser leaves behind: the sshd process `pid`, at that second.
fn failure(second: i64, pid: u32, user: &str, source: &str) -> String {
    let time = Timestamp::from_second(second).unwrap().strftime("%b %e %H:%M:%S");
    format!("{time} web-1 sshd[{pid}]: Failed password for {user} from {source} port 40022 ssh2\n")
}

fn explained(service: &str, input: &str) -> Vec<Value> {
    let output = agent::command()
        .args(["explain", "--service", service])
        .write_stdin(input.to_owned())
        .output()
        .unwrap();
    lines(&printed(&output, 0))
}

#[test]
fn each_line_is_explained_in_its_order() {
    let input = "Nov 23 10:00:00 web-1 sshd[7]: Failed password for invalid user bob from 203.0.113.9 port 4022 ssh2\n\
                 \n\
                 Nov 23 10:00:01 web-1 sshd[8]: Accepted publickey for alice from 2001:db8::7 port 4022 ssh2: ED25519 SHA256:abc\n\
                 Nov 23 10:00:02 web-1 cron[9]: Failed password for root from 203.0.113.9 port 4022 ssh2\n\
                 \u{1b}[31m\u{202e}no line of sshd";
    for service in ["sshd", "auto"] {
        let told = explained(service, input);
        let of = |key: &str| told.iter().map(|line| line[key].clone()).collect::<Vec<Value>>();
        assert_eq!(of("line"), [1, 2, 3, 4, 5]);
        assert_eq!(of("outcome"), ["failure", "none", "success", "none", "none"], "{service}: {told:#?}");
        let nothing = Value::Null;
        assert_eq!(of("source")[..3], [json!("203.0.113.9"), nothing.clone(), json!("2001:db8::7")]);
        assert_eq!(of("user")[..3], [json!("bob"), nothing, json!("alice")]);
        assert_eq!((&told[0]["method"], &told[2]["method"]), (&json!("password"), &json!("publickey")));
        assert!(told.iter().all(|line| !line["note"].as_str().unwrap().is_empty()), "{told:#?}");
        assert!(told[0]["rule"].as_str().unwrap().starts_with("sshd."), "{told:#?}");
    }
}

#[test]
fn an_unknown_service_is_answered_with_those_that_are_known() {
    for arguments in [&["explain", "--service", "shop"][..], &["replay", "--log", "-", "--service", "shop"]] {
        let output = agent::command().args(arguments).write_stdin("").output().unwrap();
        assert_eq!(printed(&output, 1), "");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("no service \"shop\"") && told.contains("sshd"), "{told}");
    }
}

/// A pattern of the configuration is tried on the lines beside it, at each start.
#[test]
fn a_pattern_of_ones_own() {
    let pattern = |line: &str| {
        format!(
            r"logins.patterns=[{{ name = 'shop', regex = '^login (?P<outcome>\w+) user=(?P<user>\S+) ip=(?P<source>\S+)$',
            success = ['ok'], lines = [{line}] }}]"
        )
        .replace('\n', " ")
    };
    let good = pattern(
        "{ line = 'login bad user=bob ip=192.0.2.7', outcome = 'failure', source = '192.0.2.7', user = 'bob' }",
    );
    let input = "login bad user=eve ip=203.0.113.9\nlogin ok user=bob ip=[2001:db8::1]:443\nlogin\n";
    let output = agent::command()
        .args(["explain", "--service", "shop", "--set", &good])
        .write_stdin(input)
        .output()
        .unwrap();
    let told = lines(&printed(&output, 0));
    let of = |key: &str| told.iter().map(|line| line[key].clone()).collect::<Vec<Value>>();
    assert_eq!(of("outcome"), ["failure", "success", "none"], "{told:#?}");
    assert_eq!(of("source")[..2], [json!("203.0.113.9"), json!("2001:db8::1")]);
    assert_eq!(told[0]["service"], "shop");

    let wrong = pattern("{ line = 'login bad user=bob ip=192.0.2.7', outcome = 'success' }");
    let output = agent::run(&["config", "check", "--set", &wrong]);
    printed(&output, 3);
    let mistakes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(mistakes.contains("pattern \"shop\": of the line \"login bad user=bob ip=192.0.2.7\" it makes the outcome \"failure\", not \"success\""), "{mistakes}");
}

/// Findings of a replayed log, as JSON.
fn replayed(log: &str, more: &[&str]) -> Vec<Value> {
    let arguments = ["replay", "--log", "-", "--output", "json"];
    let output = agent::command().args(arguments).args(more).write_stdin(log.to_owned()).output().unwrap();
    lines(&printed(&output, 0))
}

#[test]
fn a_log_is_replayed_by_its_own_times() {
    let start = 1_780_000_000;
    let log: String = (0..20)
        .map(|n| failure(start + n * 3, 700 + u32::try_from(n).unwrap(), "root", "203.0.113.9"))
        .collect();
    let findings = replayed(&log, &[]);
    assert_eq!(
        (&findings[0]["kind"], &findings[0]["state"]),
        (&json!("brute_force"), &json!("open")),
        "{findings:#?}"
    );
    assert_eq!(findings[0]["severity"], "warning");
    assert_eq!(findings[0]["who"]["top_sources"][0]["source"], "203.0.113.9");
    assert_eq!(findings[0]["where"]["service"], "sshd");
    let began: Timestamp = findings[0]["began"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        began.strftime("%m-%d %H:%M:%S").to_string(),
        Timestamp::from_second(start).unwrap().strftime("%m-%d %H:%M:%S").to_string()
    );
    // As many as are let pass.
    assert_eq!(replayed(&log, &["--set", "logins.ignore_sources=203.0.113.0/24"]), [] as [Value; 0]);
    assert_eq!(
        replayed(&log, &["--set", "logins.attempts=100", "--set", "logins.slow_attempts=100"]),
        [] as [Value; 0]
    );

    let printed_table = agent::command().args(["replay", "--log", "-"]).write_stdin(log).output().unwrap();
    let table = printed(&printed_table, 0);
    assert!(table.starts_with("FINDING brute_force (warning") && table.contains("logins of sshd"), "{table}");
    assert!(table.ends_with("20 lines (20 tell of a login), 1 finding, 1 still on at the end\n"), "{table}");
}

#[test]
fn what_another_program_quotes_is_no_daemon_s_word() {
    let told = explained(
        "auto",
        "2026-03-02T08:05:27.1+00:00 web-1 shop[77]: [x] Access denied for user 'root'@'198.51.100.7' (using password: YES)\n\
         Mar  2 08:05:27 web-1 shop[77]: 198.51.100.7 FATAL:  password authentication failed for user \"x\"\n\
         Mar  2 08:05:27 h a[1]: 198.51.100.7 LOG:  connection authorized: user=root\n",
    );
    assert!(told.iter().all(|line| line["outcome"] == "none"), "{told:#?}");
}

#[test]
fn anonymous_logins_end_no_guessing_and_make_nobody_known() {
    let begin = 1_780_000_000;
    let anonymous = |second: i64| {
        let time = Timestamp::from_second(second).unwrap().strftime("%b %e %H:%M:%S");
        format!("{time} web-1 vsftpd[7]: [ftp] OK LOGIN: Client \"203.0.113.9\", anon password \"a@b\"\n")
    };
    let mut log = anonymous(begin - 60);
    for n in 0..40 {
        log += &failure(begin + n * 300, 700 + u32::try_from(n).unwrap(), "root", "203.0.113.9");
        if n % 5 == 4 {
            log += &anonymous(begin + n * 300 + 9);
        }
    }
    let findings = replayed(&log, &[]);
    let kinds: Vec<_> = findings.iter().map(|finding| finding["kind"].as_str().unwrap()).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == "slow_brute_force"), "{kinds:?}");
}

#[test]
fn who_has_many_keys_is_no_guesser() {
    let line = |second: i64, text: &str| {
        let time = Timestamp::from_second(second).unwrap().strftime("%b %e %H:%M:%S");
        format!(
            "{time} web-1 sshd[{}]: {text} for ann from 192.0.2.77 port 4000 ssh2: RSA SHA256:a\n",
            second / 100 % 9999
        )
    };
    let day = |connection: i64| {
        let begin = 1_780_000_000 + connection * 600;
        (0..5).map(|key| line(begin + key, "Failed publickey")).collect::<String>()
            + &line(begin + 6, "Accepted publickey")
    };
    assert_eq!(replayed(&(0..30).map(day).collect::<String>(), &[]), [] as [Value; 0]);
}

/// A host's root of its own, with an empty log.
struct Host {
    root: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let copied =
            Command::new("cp").arg("-r").arg(fixture("kernel-6.18").join(".")).arg(root.path()).status();
        assert!(copied.unwrap().success());
        std::fs::create_dir_all(root.path().join("var/log")).unwrap();
        let host = Host { root };
        File::create(host.log()).unwrap();
        host
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn log(&self) -> PathBuf {
        self.path().join("var/log/auth.log")
    }

    fn append(&self, text: &str) {
        OpenOptions::new().append(true).open(self.log()).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Moves the log away and begins a new one, as logrotate does.
    fn rotate(&self, name: &str) {
        std::fs::rename(self.log(), self.log().with_file_name(name)).unwrap();
        File::create(self.log()).unwrap();
    }
}

/// Now, by the clock that stamps what a live log says.
fn now() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().try_into().unwrap()
}

#[test]
fn a_dry_run_finds_who_guesses() {
    let host = Host::new();
    host.append(&failure(now(), 1, "root", "198.51.100.1")); // was there before
    let mut command = Command::new(PATH);
    command
        .args(["run", "--dry-run", "--output", "json", "--interval", "1s", "--for", "30s", "--root"])
        .arg(host.path())
        .env_clear();
    let mut agent = Program::start(&mut command);
    let mut printed = agent.lines();
    // The end of the log is known once the first interval is there.
    let first = printed.next().unwrap();
    assert!(first.contains("MetricName"), "{first}");
    let guesses = (0..6).map(|n| failure(now(), 700 + n, "root", "203.0.113.9"));
    host.append(&guesses.collect::<String>());
    let finding = printed.find(|line| line.contains("/vpcwatch/findings")).unwrap();
    let event: Value = serde_json::from_str(&finding).unwrap();
    let finding: Value = serde_json::from_str(event["message"].as_str().unwrap()).unwrap();
    assert_eq!(finding["kind"], "brute_force");
    assert_eq!(
        finding["who"]["top_sources"][0],
        json!({"source": "203.0.113.9", "attempts": 6, "share": 1.0})
    );
}

/// The agent delivers, is killed again and again, and the log is rotated meanwhile: each attempt is counted once.
#[test]
fn killed_at_any_moment_no_attempt_is_lost_or_counted_twice() {
    let (host, state, aws) = (Host::new(), tempfile::tempdir().unwrap(), FakeAws::start().unwrap());
    let run = |more: &[&str]| {
        let mut command = Command::new(PATH);
        command
            .args(["run", "--set", "publish.interval=1s", "--set", "identity.host=web-1", "--root"])
            .arg(host.path());
        for (key, file) in [("state.folder", ""), ("status.file", "status.json")] {
            command.arg("--set").arg(format!("{key}={}", state.path().join(file).display()));
        }
        command.args(more);
        Program::start(with_environment(&mut command, &aws, &keys()))
    };
    // What is on its way while the agent is killed may come twice, which is another test's: here nothing is on its way.
    aws.down();
    let mut attempts = 0;
    let mut guess = |count: u32| {
        let guesses = (0..count).map(|n| failure(now(), 1000 + attempts + n, "root", "203.0.113.9"));
        host.append(&guesses.collect::<String>());
        attempts += count;
        attempts
    };
    // The first run begins at the log's end, and says so with its first interval.
    run(&["--for", "3s"]).end();
    for round in 0..8u32 {
        guess(5 + round);
        let running = run(&[]);
        std::thread::sleep(Duration::from_millis(u64::from(700 + round * 233 % 1500)));
        guess(3);
        if round % 3 == 1 {
            host.rotate(&format!("auth.log.{round}"));
        }
        std::thread::sleep(Duration::from_millis(u64::from(100 + round * 331 % 1100)));
        drop(running); // kill -9
    }
    let attempts = guess(1);
    aws.up().unwrap();
    let last = run(&[]);
    let told = |aws: &FakeAws| {
        let failures = aws.metrics().into_iter().filter(|datum| datum.name == "login_failures");
        failures.map(|datum| datum.sum().1).sum::<f64>()
    };
    aws.wait_for("every attempt", Duration::from_mins(1), |aws| told(aws) >= f64::from(attempts)).unwrap();
    std::thread::sleep(Duration::from_millis(2500)); // what would come twice
    drop(last);
    assert_eq!(told(&aws).to_string(), attempts.to_string());
}
