//! The command line: output, exit codes, and what goes wrong.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use vpcwatch_tests::{fixture, recording};

use crate::agent::{self, PATH, lines, printed};

/// A dry run over a fixture tree: nothing of this machine is read.
fn dry_run(more: &[&str]) -> Vec<String> {
    let root = fixture("kernel-6.18").display().to_string();
    let base =
        ["run", "--dry-run", "--root", &root, "--set", "identity.host=web-1", "--set", "logins.source=off"];
    base.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
}

#[test]
fn a_first_table_comes_at_once_and_the_open_interval_at_the_end() {
    let output = agent::command().args(dry_run(&["--for", "5s", "--interval", "1h"])).output().unwrap();
    let text = printed(&output, 0);
    // An hour may begin within these seconds; then its end is printed too.
    assert!(text.matches("netstat_tcp_established").count() >= 2, "{text}");
    assert!(text.contains("first look"), "{text}");
    assert!(text.contains("10.0.1.20:443") && text.contains("eth0") && text.contains("samples"), "{text}");
    assert!(!text.contains('\u{1b}'), "colours where nobody sees them");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn json_is_what_cloudwatch_gets_each_second_once() {
    let output = agent::command()
        .args(dry_run(&["--for", "4s", "--interval", "1s", "--output", "json"]))
        .output()
        .unwrap();
    let lines = lines(&printed(&output, 0));
    let heartbeats: Vec<_> =
        lines.iter().filter(|line| line["MetricName"] == "netstat_tcp_established").collect();
    // Four or five on a machine that has nothing else to do; a second that was missed gives no interval.
    assert!((1..=5).contains(&heartbeats.len()), "{heartbeats:?}");
    for datum in &heartbeats {
        assert_eq!(datum["Namespace"], "VpcWatch");
        assert_eq!(datum["Dimensions"], serde_json::json!([{"Name": "host", "Value": "web-1"}]));
        assert_eq!((&datum["Unit"], &datum["StorageResolution"]), (&"Count".into(), &60.into()));
        // One sample a second, but a late one may fall into the next second beside that second's own.
        assert_eq!(datum["Values"], serde_json::json!([11]));
    }
    let times: Vec<_> = heartbeats.iter().map(|datum| datum["Timestamp"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "each interval once, in order: {times:?}");
    assert!((1..=5).contains(&agent::total(&lines, "netstat_tcp_established").1));
    let events: Vec<_> = lines.iter().filter(|line| line["logGroupName"] == "/vpcwatch/samples").collect();
    assert_eq!(events.len(), heartbeats.len());
    let message: serde_json::Value = serde_json::from_str(events[0]["message"].as_str().unwrap()).unwrap();
    assert_eq!(message["metrics"]["netstat_tcp_syn_recv"]["max"], 7);
}

#[test]
fn a_recording_holds_every_snapshot_and_is_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("night.jsonl");
    let output = agent::command()
        .args(dry_run(&["--for", "2500ms", "--record", file.to_str().unwrap()]))
        .output()
        .unwrap();
    printed(&output, 0);
    let (header, snapshots) = recording::read(&file).unwrap();
    assert_eq!(header.agent, env!("CARGO_PKG_VERSION"));
    assert!((1..=3).contains(&snapshots.len()), "{}", snapshots.len());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let again = agent::command()
        .args(dry_run(&["--for", "1s", "--record", file.to_str().unwrap()]))
        .output()
        .unwrap();
    printed(&again, 1);
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"));
    assert_eq!(recording::read(&file).unwrap().1, snapshots, "nothing was overwritten");

    // Nobody can guess the seed of a run.
    let other = folder.path().join("day.jsonl");
    let another = dry_run(&["--for", "100ms", "--record", other.to_str().unwrap()]);
    printed(&agent::command().args(another).output().unwrap(), 0);
    let seeds = [header.seed, recording::read(&other).unwrap().0.seed];
    assert!(seeds[0] != seeds[1] && !seeds.contains(&0), "{seeds:?}");
}

#[test]
fn a_recording_that_cannot_be_written_says_so() {
    let nowhere = agent::command().args(dry_run(&["--record", "/nonexistent/night.jsonl"])).output().unwrap();
    assert_eq!(printed(&nowhere, 1), "");
    let message = String::from_utf8(nowhere.stderr).unwrap();
    assert!(
        message.contains("/nonexistent/night.jsonl") && message.contains("choose another file"),
        "{message}"
    );

    let folder = tempfile::tempdir().unwrap();
    let folder_itself =
        agent::command().args(dry_run(&["--record", folder.path().to_str().unwrap()])).output().unwrap();
    printed(&folder_itself, 1);
    assert!(String::from_utf8_lossy(&folder_itself.stderr).contains("Is a directory"));

    // A pipe that nobody reads must not be waited for.
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let unread = agent::command().args(dry_run(&["--record", pipe.to_str().unwrap()])).output().unwrap();
    printed(&unread, 1);
    assert!(String::from_utf8_lossy(&unread.stderr).contains("nobody reads this pipe"));

    let full = agent::command().args(dry_run(&["--record", "/dev/full"])).output().unwrap();
    printed(&full, 1);
    let message = String::from_utf8(full.stderr).unwrap();
    assert!(message.contains("/dev/full") && message.contains("No space left"), "{message}");
}

#[test]
fn two_recorders_do_not_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hour.jsonl");
    let record = dry_run(&["--interval", "1h", "--output", "json", "--record", file.to_str().unwrap()]);
    let mut first = Command::new(PATH).args(&record).env_clear().stdout(Stdio::null()).spawn().unwrap();
    while !file.exists() && first.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = agent::command().args(&record).output().unwrap();
    kill_process(Pid::from_child(&first), Signal::TERM).unwrap();
    first.wait().unwrap();
    printed(&second, 1);
    let message = String::from_utf8(second.stderr).unwrap();
    assert!(
        message.contains("another agent is recording there") || message.contains("exists already"),
        "{message}"
    );
    recording::read(&file).unwrap();
}

#[test]
fn a_pipe_or_device_in_place_of_a_kernel_file_is_not_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("proc/net");
    std::fs::create_dir_all(&folder).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("snmp"), rustix::fs::Mode::RUSR).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("tcp")).unwrap();
    let output = agent::run(&["sample", "--root", root.path().to_str().unwrap()]);
    assert!(printed(&output, 0).contains("not a regular file"));
}

#[test]
fn a_reader_that_has_enough_ends_the_run_quietly() {
    let mut child = Command::new(PATH)
        .args(dry_run(&["--interval", "1s", "--output", "json"]))
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap(); // and closes it
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_closed_standard_error_ends_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(PATH);
    // A root with nothing in it gives warnings to write.
    let root = fixture("empty").display().to_string();
    command
        .args(["run", "--dry-run", "--for", "1s", "--output", "json", "--root", &root])
        .env_clear()
        .stderr(writer);
    let output = command.stdout(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!output.stdout.is_empty());
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        Command::new(PATH).args(dry_run(&["--interval", "1s"])).env_clear().stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("failed to write to standard output"));
}

#[test]
fn signals_stop_a_run_which_prints_its_open_interval() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("recording.jsonl");
        let mut child = Command::new(PATH)
            .args(dry_run(&["--interval", "1h", "--output", "json", "--record", file.to_str().unwrap()]))
            .env_clear()
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let snapshots =
            || std::fs::read_to_string(&file).map_or(0, |text| text.lines().count().saturating_sub(1));
        while snapshots() == 0 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(lines(&text).iter().any(|line| line["MetricName"] == "netstat_tcp_established"), "{text}");
    }
}

#[test]
fn wrong_arguments_are_a_usage_error() {
    for arguments in [&["rum"][..], &["run", "--for", "soon"], &["sample", "--set", "x"], &[]] {
        printed(&agent::run(arguments), 2);
    }
}

#[test]
fn another_root_is_named_as_itself_or_refused() {
    let output =
        agent::run(&["run", "--dry-run", "--for", "5s", "--root", fixture("kernel-6.1").to_str().unwrap()]);
    let text = printed(&output, 0);
    assert!(text.contains("dry run on al2023-web (Amazon Linux 2023, kernel 6.1.192)"), "{text}");
    assert!(text.contains("LISTENERS") && text.contains("read from /proc/net/tcp"), "{text}");
    for command in [&["sample"][..], &["run", "--dry-run"]] {
        let output = agent::run(&[command, &["--root", "/nonexistent"]].concat());
        assert_eq!(printed(&output, 1), "");
        assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/proc: No such file"));
    }
}

#[test]
fn sources_that_fail_do_so_alone_and_once() {
    let root = fixture("empty").display().to_string();
    let output = agent::run(&["run", "--dry-run", "--root", &root, "--for", "3s", "--output", "json"]);
    let text = printed(&output, 0);
    let message = String::from_utf8(output.stderr).unwrap();
    for source in ["kernel_counters", "tcp_table", "listeners", "interfaces"] {
        assert_eq!(message.matches(&format!("{source}: failed")).count(), 1, "{message}");
    }
    assert!(text.contains("troubles"), "{text}");
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn a_month_s_price_is_told_and_its_limit_is_kept() {
    let text = printed(&agent::command().arg("cost").output().unwrap(), 0);
    let dollars = text.lines().find_map(|line| line.strip_prefix("total")).unwrap().trim();
    assert!(dollars.parse::<f64>().unwrap() < 6.0, "{text}");
    let json = printed(&agent::command().args(["cost", "--output", "json"]).output().unwrap(), 0);
    let estimate: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(format!("{:.2}", estimate["total"].as_f64().unwrap()), dollars);

    let told = printed(&agent::command().args(dry_run(&["--for", "2s"])).output().unwrap(), 0);
    assert!(told.contains(&format!("An estimated US$ {dollars} a month")), "{told}");
    let refused = agent::command().args(["run", "--set", "cost.monthly_limit=5"]).output().unwrap();
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{why}");
    assert!(why.contains(dollars) && why.contains("metrics.set"), "{why}");
}
