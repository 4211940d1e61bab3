//! How fast lines of access logs are counted: `cargo bench --bench access_lines`.
#![expect(clippy::print_stdout, reason = "prints its measurement")]

use std::hint::black_box;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};
use vpcwatch::model::log_line::{Grammar, LogLine, LogLines};
use vpcwatch::model::web_log::{Format, WebLog};
use vpcwatch::parse::access::AccessReader;

const LINES: usize = 300_000;
/// Lines handed on at once, as `tail` does.
const BATCH: usize = 1000;
const ROUNDS: usize = 5;

/// The labelled lines, one format after the other, again and again.
const LABELLED: &str = include_str!("../../tests/fixtures/access/labelled.txt");

fn main() {
    let labelled = || LABELLED.lines().filter_map(|line| line.split_once('\t'));
    for format in Format::ALL {
        let own = labelled().filter(|(label, _)| label.split(' ').next() == Some(format.as_str()));
        let mut lines: Vec<&str> = own.map(|(_, line)| line).collect();
        if matches!(format, Format::CloudFront | Format::Iis) {
            lines.truncate(6); // those of the default columns
        }
        measure(format.as_str(), &lines);
    }
    measure("every format, mixed", &labelled().map(|(_, line)| line).collect::<Vec<_>>());
    measure(
        "no request",
        &["Jun  8 09:08:53 host kernel: [12.5] eth0: link is up, \"1000\" Mbit/s, full duplex"],
    );
}

fn measure(name: &str, lines: &[&str]) {
    let line = |number: usize| {
        let text = lines.get(number % lines.len().max(1)).copied().unwrap_or_default();
        LogLine { text: text.to_owned(), ..LogLine::default() }
    };
    let batches: Vec<LogLines> = (0..LINES / BATCH)
        .map(|batch| LogLines {
            log: "bench".into(),
            grammar: Grammar::Auto,
            lines: (batch * BATCH..(batch + 1) * BATCH).map(line).collect(),
            read: Timestamp::UNIX_EPOCH,
            is_behind: false,
            zone: TimeZone::UTC,
            cursor: None,
        })
        .collect();
    let (log, mut rounds) = (WebLog::recognised("bench"), Vec::new());
    for _ in 0..ROUNDS {
        let mut reader = AccessReader::default();
        let before = cpu_seconds();
        for lines in &batches {
            black_box(reader.logins(&log, lines));
        }
        black_box(reader.take());
        rounds.push(cpu_seconds() - before);
    }
    rounds.sort_by(f64::total_cmp);
    let median = rounds.get(ROUNDS / 2).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a count of lines")]
    let lines = LINES as f64;
    println!("{name:<24} {:>10.0} lines/s {:>6.0} ns a line", lines / median, median * 1e9 / lines);
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}
