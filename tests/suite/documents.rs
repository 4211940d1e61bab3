//! Documents that are made from the code, or that must agree with it.

use std::fmt::Write;
use std::fs;

use vpcwatch::model::catalog::{CATALOG, Set};
use vpcwatch_tests::tests;

/// The README's table of metrics.
fn table() -> String {
    let mut text = String::from("| metric | set | unit | meaning |\n|---|---|---|---|\n");
    for metric in CATALOG {
        let mut notes = String::new();
        if metric.reading.per_interface() {
            notes += " (each interface)";
        }
        if metric.sparse {
            notes += " (sparse)";
        }
        if metric.reading.is_counter() {
            notes += " (growth)";
        }
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {}{notes} |",
            metric.name,
            metric.set.as_str(),
            metric.unit.as_str(),
            metric.meaning
        );
    }
    text
}

#[test]
fn the_readme_lists_every_metric() {
    const BEGIN: &str = "<!-- metrics: made from agent/src/model/catalog.rs by UPDATE_GOLDENS=1 cargo test -p vpcwatch-tests -->\n";
    const END: &str = "<!-- end of metrics -->";
    let path = tests().join("../README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the table's beginning");
    let (written, after) = rest.split_once(END).expect("the README has the table's end");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
        return;
    }
    assert!(
        written == table(),
        "the README's table differs from the catalog: UPDATE_GOLDENS=1 cargo test -p vpcwatch-tests"
    );
}

#[test]
fn the_sets_are_those_of_the_design() {
    let names =
        |set: Set| CATALOG.iter().filter(|m| m.set == set).map(|m| m.name).collect::<Vec<_>>().join("\n");
    let text = format!("essential:\n{}\n\nstandard adds:\n{}\n", names(Set::Essential), names(Set::Standard));
    vpcwatch_tests::golden::check("catalog/sets.txt", &text);
}

#[test]
fn every_option_of_the_default_file_is_explained() {
    let text = fs::read_to_string(tests().join("../agent/default.toml")).unwrap();
    let mut before = "";
    for line in text.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(before.starts_with("# "), "no explanation above: {line}");
        }
        before = line;
    }
}
