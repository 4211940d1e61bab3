//! The results as people read them.

use std::fmt::Write;

use crate::judge::Judgement;

const HEADINGS: [&str; 10] =
    ["row", "found", "said", "began", "printed", "closed", "false", "CPU %", "memory", "sent/s"];

fn cells(judgement: &Judgement) -> [String; 10] {
    let seconds = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1} s"));
    let found = match judgement.is_found {
        Some(true) => "yes",
        Some(false) if judgement.known_miss => "no (known)",
        Some(false) => "NO",
        None => "-",
    };
    [
        judgement.row.into(),
        found.into(),
        judgement.said.clone(),
        seconds(judgement.began_after),
        seconds(judgement.printed_after),
        seconds(judgement.closed_after),
        judgement.false_alarms.to_string(),
        judgement.agent_cpu_percent.map_or("-".into(), |percent| format!("{percent:.2}")),
        judgement.agent_memory_mib.map_or("-".into(), |mib| format!("{mib:.1} MiB")),
        judgement.rate.map_or("-".into(), |rate| format!("{rate:.0}")),
    ]
}

/// What is wrong and what else was said, in one line.
fn remarks(judgement: &Judgement) -> String {
    let word = match (judgement.wrong.is_empty(), judgement.known_miss) {
        (true, _) => "ok".to_owned(),
        (false, true) => format!("known miss: {}", judgement.wrong.join("; ")),
        (false, false) => format!("WRONG: {}", judgement.wrong.join("; ")),
    };
    if judgement.others.is_empty() {
        word
    } else {
        format!("{word}; besides {}", judgement.others.join(", "))
    }
}

/// One result, as soon as it is there.
pub(crate) fn line(judgement: &Judgement) -> String {
    format!("{}  {}", cells(judgement).join("  "), remarks(judgement))
}

/// All of them in columns.
pub(crate) fn aligned(judged: &[Judgement]) -> String {
    let rows: Vec<[String; 10]> =
        std::iter::once(HEADINGS.map(str::to_owned)).chain(judged.iter().map(cells)).collect();
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|n| rows.iter().filter_map(|row| row.get(n)).map(String::len).max().unwrap_or(0))
        .collect();
    let words = std::iter::once(String::new()).chain(judged.iter().map(remarks));
    let line = |(row, words): (&[String; 10], String)| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}  {words}", cells.join("  ")).trim_end().to_owned() + "\n"
    };
    rows.iter().zip(words).map(line).collect()
}

/// All of them as a table in Markdown.
pub(crate) fn markdown(judged: &[Judgement]) -> String {
    let mut text = format!("| {} | |\n|{}\n", HEADINGS.join(" | "), "---|".repeat(HEADINGS.len() + 1));
    for judgement in judged {
        let _ = writeln!(text, "| {} | {} |", cells(judgement).join(" | "), remarks(judgement)); // into memory
    }
    text
}

/// Of rows that ran more than once: how many were found, and the delays until it was printed.
pub(crate) fn shares(judged: &[Judgement]) -> String {
    let mut text = String::new();
    for runs in judged.chunk_by(|a, b| a.row == b.row) {
        let found = runs.iter().filter(|one| one.is_found == Some(true)).count();
        let alarms: usize = runs.iter().map(|one| one.false_alarms).sum();
        let mut delays: Vec<f64> = runs.iter().filter_map(|one| one.printed_after).collect();
        delays.sort_by(f64::total_cmp);
        let at = |n: usize| delays.get(n).map_or("-".into(), |delay| format!("{delay:.1} s"));
        let _ = writeln!(
            text,
            "{:<32}  {found} of {} found, median {}, worst {}, {alarms} false alarms",
            runs.first().map_or("", |one| one.row),
            runs.len(),
            at(delays.len() / 2),
            at(delays.len().wrapping_sub(1)),
        ); // into memory
    }
    text
}

/// How it went in one sentence.
pub(crate) fn summary(judged: &[Judgement]) -> String {
    let asked: Vec<bool> =
        judged.iter().filter(|one| !one.known_miss).filter_map(|one| one.is_found).collect();
    let found = asked.iter().filter(|found| **found).count();
    let wrong = judged.iter().filter(|one| !one.wrong.is_empty() && !one.known_miss).count();
    let alarms: usize = judged.iter().map(|one| one.false_alarms).sum();
    format!(
        "{found} of {} found, {alarms} false alarms, {wrong} of {} runs not as they must be",
        asked.len(),
        judged.len()
    )
}
