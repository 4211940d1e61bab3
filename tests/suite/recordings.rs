//! Recordings run through the pipeline: what would be sent, and the table, as goldens; and sums worked out by hand.

use std::collections::BTreeMap;

use vpcwatch::model::record::Record;
use vpcwatch::sinks::stdout::Output;
use vpcwatch_tests::{fixture, golden, recording};

fn records(name: &str, sets: &[(&str, &str)]) -> Vec<Record> {
    let (_, snapshots) = recording::read(&fixture(&format!("recordings/{name}.jsonl"))).unwrap();
    recording::run(&snapshots, sets).unwrap()
}

/// Sum of each interval of a metric by the interval's minute and the interface.
fn sums(records: &[Record], metric: &str) -> BTreeMap<(String, String), (f64, f64)> {
    let mut sums = BTreeMap::new();
    for record in records {
        let Record::Metric(datum) = record else { continue };
        if datum.metric_name == metric {
            let interface = datum.dimensions.iter().find(|d| d.name == "interface").map_or("", |d| &d.value);
            let sum = datum.values.iter().zip(&datum.counts).map(|(value, times)| value * times).sum::<f64>();
            let minute = datum.timestamp.strftime("%H:%M").to_string();
            let entry: &mut (f64, f64) = sums.entry((minute, interface.to_owned())).or_default();
            entry.0 += sum;
            entry.1 += datum.counts.iter().sum::<f64>();
        }
    }
    sums
}

fn expect(records: &[Record], metric: &str, expected: &[(&str, &str, f64, f64)]) {
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(minute, interface, sum, count)| (((*minute).into(), (*interface).into()), (*sum, *count)))
        .collect();
    assert_eq!(sums(records, metric), expected, "{metric}: (minute, interface): (sum, samples)");
}

#[test]
fn a_busy_spell_as_json_and_as_a_table() {
    let records = records("steady", &[]);
    golden::check("recordings/steady.jsonl", &recording::print(&records, Output::Json).unwrap());
    golden::check("recordings/steady.txt", &recording::print(&records, Output::Table).unwrap());
}

#[test]
fn everything_in_full() {
    let records = records("steady", &[("metrics.set", "full")]);
    golden::check("recordings/steady-full.jsonl", &recording::print(&records, Output::Json).unwrap());
}

#[test]
fn a_clock_that_jumps_loses_and_doubles_nothing() {
    let records = records("clock_jumps", &[]);
    // 20 samples at 11:58, 20 an hour later, then 20 back at 11:59; each second's 1000 bytes once, none for the first.
    let expected = [
        ("11:58", "eth0", 19_000.0, 19.0),
        ("12:58", "eth0", 10_000.0, 10.0),
        ("12:59", "eth0", 10_000.0, 10.0),
        ("11:59", "eth0", 20_000.0, 20.0),
    ];
    expect(&records, "net_bytes_recv", &expected);
}

#[test]
fn a_stall_is_spread_and_sleep_is_not_time() {
    let records = records("stalls", &[]);
    // Ten samples, then 90 s stopped: 91 values of 1000 and a little, in the minute in which the agent woke. After
    // the sleep each second is a second again.
    expect(
        &records,
        "net_bytes_recv",
        &[
            ("11:58", "eth0", 9_000.0, 9.0),
            ("12:00", "eth0", 91_007.0 + 14_000.0, 91.0 + 14.0),
            ("13:00", "eth0", 15_000.0, 15.0),
        ],
    );
    expect(
        &records,
        "netstat_tcp_established",
        &[("11:58", "", 100.0, 10.0), ("12:00", "", 150.0, 15.0), ("13:00", "", 150.0, 15.0)],
    );
}

#[test]
fn counters_wrap_and_restart_and_interfaces_change() {
    let records = records("counters_and_interfaces", &[]);
    // eth0: 500 across the wrap, 500, 500; renamed: 1000 more as ens5; replaced: its first reading gives nothing, then
    // 100; gone and back: first reading again, then 100.
    expect(&records, "net_bytes_recv", &[("11:58", "eth0", 1500.0, 3.0), ("11:58", "ens5", 1200.0, 3.0)]);
    // 100 110 105 120 120 5 6 7 8 9: 10, out of order, 10, 0, began again at 5, 1, 1, 1, 1.
    expect(&records, "tcp_passive_opens", &[("11:58", "", 29.0, 9.0)]);
}

#[test]
fn a_sparse_metric_is_sent_for_its_hour_or_ten_minutes() {
    let minutes: Vec<String> =
        sums(&records("sparse", &[]), "tcp_listen_drops").into_keys().map(|(minute, _)| minute).collect();
    let expected: Vec<String> = std::iter::once("11:58".to_owned())
        .chain(std::iter::once("11:59".into()))
        .chain((0..9).map(|m| format!("12:{m:02}")))
        .collect();
    assert_eq!(minutes, expected);
}

#[test]
fn what_grew_while_a_source_failed_is_spread_over_that_time() {
    let records = records("absent", &[("metrics.include", "agent_source_failures")]);
    expect(&records, "tcp_passive_opens", &[("11:58", "", 190.0, 19.0)]);
    expect(&records, "agent_source_failures", &[("11:58", "", 5.0, 20.0)]);
}

#[test]
fn a_counter_that_fell_below_zero_ends_nothing() {
    let records = records("below_zero", &[]);
    assert_eq!(sums(&records, "net_bytes_recv").len(), 1);
    recording::print(&records, Output::Table).unwrap();
}
