//! The configuration: layers, mistakes, and where values came from.

use std::fs;
use std::path::Path;

use vpcwatch_tests::{fixture, golden};

use crate::agent::{self, printed};

/// A root with these files below `etc/vpcwatch`.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join("etc/vpcwatch").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn show(root: &Path, environment: &[(&str, &str)], more: &[&str]) -> String {
    let mut command = agent::command();
    command.args(["config", "show", "--root"]).arg(root).args(more).envs(environment.iter().copied());
    printed(&command.output().unwrap(), 0)
}

#[test]
fn defaults_are_good_and_shown() {
    let root = root(&[]);
    golden::check("config/defaults.txt", &show(root.path(), &[], &[]));
    let check = agent::run(&["config", "check", "--root", root.path().to_str().unwrap()]);
    assert!(printed(&check, 0).contains("good"));
}

#[test]
fn each_layer_lies_over_the_one_before() {
    let root = root(&[
        (
            "vpcwatch.toml",
            "[publish]\ninterval = \"2s\"\n[metrics]\nnamespace = \"main\"\nset = \"full\"\n[logs]\n",
        ),
        ("conf.d/20-b.toml", "metrics.namespace = \"b\"\n"),
        (
            "conf.d/10-a.toml",
            "metrics.namespace = \"a\"\n[interfaces]\nloopback = true\nexclude = [\"tun*\"]\n",
        ),
        ("conf.d/ignored.txt", "rubbish"),
    ]);
    let environment = [
        ("VPCWATCH__PUBLISH__INTERVAL", "3s"),
        ("VPCWATCH__INTERFACES__INCLUDE", "eth*, ens*"),
        ("VPCWATCHER", "1"),
    ];
    let text = show(root.path(), &environment, &["--set", "identity.host=me=you"]);
    let by_command_line = show(
        root.path(),
        &[],
        &[
            "--set",
            "interfaces.exclude=[\"a,b\", 'c']",
            "--set",
            "metrics.include=udp_no_ports,tcp_timeouts",
            "--set",
            "identity.host=\"web 1\"",
        ],
    );
    for line in [
        "interfaces.exclude = [\"a,b\", \"c\"]",
        "metrics.include = [\"udp_no_ports\", \"tcp_timeouts\"]",
        "identity.host = \"web 1\"",
    ] {
        assert!(by_command_line.contains(line), "{by_command_line}");
    }
    golden::check("config/layers.txt", &text.replace(root.path().to_str().unwrap(), "ROOT"));
}

#[test]
fn one_file_can_stand_for_all() {
    let root = root(&[
        ("vpcwatch.toml", "metrics.namespace = \"main\"\n"),
        ("alone.conf", "publish.interval = \"7s\"\n"),
    ]);
    let alone = root.path().join("etc/vpcwatch/alone.conf");
    let text = show(root.path(), &[], &["--config", alone.to_str().unwrap()]);
    assert!(
        text.contains("publish.interval = \"7s\"") && text.contains("metrics.namespace = \"VpcWatch\""),
        "{text}"
    );
}

#[test]
fn every_mistake_is_reported_at_once() {
    let file = fixture("config/mistakes.toml");
    let mut command = agent::command();
    command.args(["config", "check", "--config"]).arg(&file).args(["--set", "metrics.sett=x"]);
    command.env("VPCWATCH__INTERFACES__LOOPBACK", "perhaps").env("VPCWATCH_PUBLISH_INTERVAL", "5s");
    let output = command.output().unwrap();
    assert_eq!(printed(&output, 3), "");
    let message = String::from_utf8(output.stderr).unwrap();
    golden::check("config/mistakes.txt", &message.replace(file.to_str().unwrap(), "FILE"));
    // A run refuses with the same words.
    let run = agent::command().args(["run", "--dry-run", "--config"]).arg(&file).output().unwrap();
    printed(&run, 3);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    for (name, text) in [("broken", "[publish\ninterval = 1"), ("twice", "a = 1\na = 2\n")] {
        let root = root(&[("vpcwatch.toml", text)]);
        let output = agent::run(&["config", "check", "--root", root.path().to_str().unwrap()]);
        printed(&output, 3);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            message.contains("vpcwatch.toml: not valid TOML") && message.contains("1 mistake:"),
            "{name}: {message}"
        );
    }
    let output = agent::run(&["config", "check", "--config", "/nonexistent.toml"]);
    printed(&output, 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent.toml: No such file"));

    let root = root(&[]);
    let folder = root.path().join("etc/vpcwatch");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("vpcwatch.toml"), b"metrics.namespace = \"\xff\"").unwrap();
    let output = agent::run(&["config", "check", "--root", root.path().to_str().unwrap()]);
    printed(&output, 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains("UTF-8"));
}

#[test]
fn a_configuration_from_a_pipe_is_read_once() {
    for (command, code) in [("check", 3), ("show", 3)] {
        let mut piped = agent::command();
        piped
            .args(["config", command, "--config", "/dev/stdin"])
            .write_stdin("[publish]\ninterval = \"banana\"\n");
        printed(&piped.output().unwrap(), code);
    }
    let mut piped = agent::command();
    piped.args(["config", "check", "--config", "/dev/stdin"]).write_stdin("publish.interval = \"5s\"\n");
    assert!(printed(&piped.output().unwrap(), 0).contains(": 1 of "));
    let endless = agent::run(&["config", "check", "--config", "/dev/zero"]);
    printed(&endless, 3);
    assert!(String::from_utf8_lossy(&endless.stderr).contains("larger than 1 MiB"));
}
