//! `vpcwatch sample` over fixture trees: each kernel's files, read as the agent reads them.

use serde_json::Value;
use vpcwatch_tests::{fixture, golden};

use crate::agent;

/// Takes out what differs from run to run.
fn steady(mut snapshot: Value, root: &str) -> String {
    for key in ["time", "monotonic_ms"] {
        snapshot.as_object_mut().unwrap().shift_remove(key);
    }
    for source in snapshot["sources"].as_array_mut().unwrap() {
        source.as_object_mut().unwrap().shift_remove("took_us");
    }
    serde_json::to_string_pretty(&snapshot).unwrap().replace(root, "ROOT") + "\n"
}

fn check(tree: &str) {
    let root = fixture(tree);
    golden::check(&format!("roots/{tree}.json"), &steady(agent::sample(&root), root.to_str().unwrap()));
}

#[test]
fn linux_5_10() {
    check("kernel-5.10");
}

#[test]
fn linux_6_1() {
    check("kernel-6.1");
}

#[test]
fn linux_6_18() {
    check("kernel-6.18");
}

#[test]
fn every_file_damaged() {
    check("damaged");
}

#[test]
fn nothing_there() {
    check("empty");
}
