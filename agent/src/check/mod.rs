//! A preflight: what this host and its role allow, a line each, and what to do about the rest.
//!
//! Takes what was looked at; hands on verdicts and text. `permissions` makes the calls that prove a permission and change nothing;
//! [`crate::app`] looks at the host.

pub mod permissions;

use std::fmt;

use serde::Serialize;

use crate::sinks::terminal::printable;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and something is lost.
    Degraded,
    /// It does not work: the text says what to do.
    Missing,
    /// No harmless call proves it.
    Unverified,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Degraded => "degraded",
            Verdict::Missing => "missing",
            Verdict::Unverified => "unverified",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `host`, `configuration` or `aws`.
    pub part: &'static str,
    /// What was looked at.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, what is lost, what to do; empty where there is nothing to say.
    pub told: String,
}

impl Line {
    /// One line.
    pub fn new(part: &'static str, what: &str, verdict: Verdict, told: impl Into<String>) -> Self {
        Line { part, what: what.to_owned(), verdict, told: told.into() }
    }
}

/// Everything that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// In the order of looking.
    pub lines: Vec<Line>,
}

impl Checked {
    /// Whether nothing is missing.
    pub fn is_good(&self) -> bool {
        self.lines.iter().all(|line| line.verdict != Verdict::Missing)
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut part = "";
        for line in &self.lines {
            if line.part != part {
                part = line.part;
                writeln!(f, "{part}")?;
            }
            let colon = if line.told.is_empty() { "" } else { ": " };
            let (verdict, what, told) = (line.verdict.as_str(), printable(&line.what), printable(&line.told));
            writeln!(f, "  {verdict:<10} {what}{colon}{told}")?;
        }
        let count = |verdict| self.lines.iter().filter(|line| line.verdict == verdict).count();
        writeln!(
            f,
            "{} ok, {} degraded, {} missing, {} unverified",
            count(Verdict::Ok),
            count(Verdict::Degraded),
            count(Verdict::Missing),
            count(Verdict::Unverified)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_by_part_and_counted() {
        let lines = vec![
            Line::new("host", "interfaces", Verdict::Ok, ""),
            Line::new("host", "syn_capture", Verdict::Degraded, "no CAP_NET_RAW"),
            Line::new("aws", "logs:PutLogEvents", Verdict::Missing, "allow it"),
        ];
        let checked = Checked { lines };
        let text = "host\n  ok         interfaces\n  degraded   syn_capture: no CAP_NET_RAW\n\
                    aws\n  missing    logs:PutLogEvents: allow it\n1 ok, 1 degraded, 1 missing, 0 unverified\n";
        assert_eq!(checked.to_string(), text);
        assert!(!checked.is_good());
    }
}
