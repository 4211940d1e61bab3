//! Name resolution that is gone: a network namespace without any network.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vpcwatch_tests::fixture;
use vpcwatch_tests::namespace::Namespace;

use crate::agent::PATH;

#[test]
fn without_names_all_is_kept_and_a_second_signal_ends_at_once() {
    let (namespace, folder) = (Namespace::new().unwrap(), tempfile::tempdir().unwrap());
    let run = |stop_twice: bool| {
        let mut command = Command::new(PATH);
        command.args(["run", "--set", "publish.interval=1s", "--root"]).arg(fixture("kernel-6.18"));
        command.args(["--set", "identity.host=web-1", "--set", "status.file="]);
        command.arg("--set").arg(format!("state.folder={}", folder.path().display()));
        command
            .env_clear()
            .env("AWS_ENDPOINT_URL", "http://cloudwatch.invalid")
            .env("AWS_REGION", "eu-west-3");
        command.env("AWS_ACCESS_KEY_ID", "AKIAKEYS").env("AWS_SECRET_ACCESS_KEY", "secret");
        let child = namespace.inside(|| Ok(command.stderr(Stdio::piped()).spawn()?)).unwrap();
        std::thread::sleep(Duration::from_secs(4));
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).unwrap();
        let stopped = Instant::now();
        if stop_twice {
            std::thread::sleep(Duration::from_millis(300));
            let _ = kill_process(pid, Signal::TERM);
        }
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap(), stopped.elapsed())
    };
    let (code, stderr, _) = run(false);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("dns error") && stderr.contains("records stay in the state file"), "{stderr}");
    let (code, stderr, took) = run(true);
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("records of an earlier run wait"), "{stderr}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}
