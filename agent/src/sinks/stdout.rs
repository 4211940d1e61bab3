//! Standard output, for a dry run: a table for people, or one JSON object a line as `CloudWatch` would get it.

use std::io::{self, Write};

use super::{table, terminal};
use crate::model::record::Record;

/// How records are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// An aligned table of each interval.
    Table,
    /// One JSON object a line, each a metric datum or a log event.
    Json,
}

/// Writes records as text.
#[derive(Debug)]
pub struct Stdout<W> {
    output: Output,
    to: W,
    /// What stands above the first table, until it was printed.
    heading: Option<String>,
}

/// A writer that takes the colours out of what passes.
pub fn without_colours<W: Write>(to: W) -> anstream::StripStream<W> {
    anstream::StripStream::new(to)
}

impl<W: Write> Stdout<W> {
    /// Shows records on `to` (which strips the colours if nobody would see them).
    pub fn new(output: Output, to: W, heading: String) -> Self {
        Stdout { output, to, heading: Some(heading) }
    }

    /// Shows one record, if this kind of output has it. An error of the kind `BrokenPipe` means that nobody reads.
    pub fn show(&mut self, record: &Record) -> io::Result<()> {
        match (self.output, record) {
            (Output::Json, Record::Metric(datum)) => self.line(datum),
            (Output::Json, Record::Log(event)) => self.line(event),
            (Output::Table, Record::Summary(interval)) => {
                let table = table::render(interval, self.heading.take().as_deref());
                self.to.write_all(table.as_bytes())?;
                self.to.flush()
            }
            (Output::Table, Record::Finding(finding)) => {
                self.to.write_all(table::finding(finding).as_bytes())?;
                self.to.flush()
            }
            (
                Output::Json,
                Record::Summary(_) | Record::Finding(_) | Record::Learned(_) | Record::Cursor(_),
            )
            | (Output::Table, Record::Metric(_) | Record::Log(_) | Record::Learned(_) | Record::Cursor(_)) => {
                Ok(())
            }
        }
    }

    fn line(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        let text = terminal::json(&serde_json::to_string(value)?);
        writeln!(self.to, "{text}")?;
        self.to.flush()
    }
}
