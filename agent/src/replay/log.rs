//! A log file, from its beginning to its end, as the lines that a running agent would have read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::host::clock::wall;
use crate::model::log_line::{Grammar, LogLine, LogLines};
use crate::tail::{BATCH_BYTES, BATCH_LINES, LINE};

/// Why a log could not be read further.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {error}")]
pub struct LogError {
    name: String,
    error: io::Error,
}

/// A log's lines, a batch at a time. Empty lines are lines; one longer than [`LINE`] is cut.
pub struct Log {
    name: Arc<str>,
    lines: BufReader<Box<dyn Read>>,
    grammar: Grammar,
    read: Timestamp,
}

impl Log {
    /// Opens a file; `-` is standard input. Times without a year are of the year before the file was last written.
    pub fn open(path: &Path, grammar: Grammar) -> Result<Log, LogError> {
        if path.as_os_str() == "-" {
            return Ok(Log::of("standard input", Box::new(io::stdin()), grammar, wall()));
        }
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| {
            let about = file.metadata()?;
            if about.is_dir() { Err(io::Error::other("is a folder")) } else { Ok((file, about)) }
        });
        let (file, about) = opened.map_err(|error| LogError { name: name.clone(), error })?;
        let written = about.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        Ok(Log::of(&name, Box::new(file), grammar, written.unwrap_or_else(wall)))
    }

    /// Lines from anywhere, which was last written to at `written`.
    pub fn of(name: &str, from: Box<dyn Read>, grammar: Grammar, written: Timestamp) -> Log {
        Log { name: name.into(), lines: BufReader::with_capacity(LINE, from), grammar, read: written }
    }

    /// The next line, or none at the end.
    fn line(&mut self) -> io::Result<Option<LogLine>> {
        let mut bytes = Vec::new();
        (&mut self.lines).take(LINE as u64 + 1).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let ends = bytes.pop_if(|byte| *byte == b'\n').is_some();
        let is_cut = !ends && bytes.len() > LINE;
        if is_cut {
            bytes.truncate(LINE);
            self.lines.skip_until(b'\n')?;
        }
        bytes.pop_if(|byte| *byte == b'\r');
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned());
        Ok(Some(LogLine { text, writer: None, is_cut }))
    }

    fn batch(&mut self) -> io::Result<Vec<LogLine>> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while lines.len() < BATCH_LINES && bytes < BATCH_BYTES {
            let Some(line) = self.line()? else { break };
            bytes += line.text.len();
            lines.push(line);
            // Who types, or looks on, is not kept waiting for a batch to fill.
            if self.lines.buffer().is_empty() {
                break;
            }
        }
        Ok(lines)
    }
}

impl Iterator for Log {
    type Item = Result<LogLines, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let lines = match self.batch() {
            Ok(lines) if lines.is_empty() => return None,
            Ok(lines) => lines,
            Err(error) => return Some(Err(LogError { name: self.name.to_string(), error })),
        };
        Some(Ok(LogLines {
            log: Arc::clone(&self.name),
            grammar: self.grammar.clone(),
            lines,
            read: self.read,
            is_behind: true,
            zone: TimeZone::UTC,
            cursor: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: Vec<u8>) -> Vec<LogLine> {
        let log = Log::of("log", Box::new(io::Cursor::new(bytes)), Grammar::Auto, Timestamp::UNIX_EPOCH);
        log.flat_map(|lines| lines.unwrap().lines).collect()
    }

    #[test]
    fn every_line_is_one_however_it_ends() {
        let texts =
            |bytes: &[u8]| lines(bytes.to_vec()).into_iter().map(|line| line.text).collect::<Vec<_>>();
        assert_eq!(texts(b"a\n\nb\r\nc"), ["a", "", "b", "c"]);
        assert_eq!(texts(b""), [] as [&str; 0]);
        assert_eq!(texts(b"\n"), [""]);
        assert_eq!(texts(b"\xff\xfe\n"), ["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn a_line_beyond_measure_is_cut() {
        for (length, is_cut) in [(LINE, false), (LINE + 1, true), (5 * LINE, true)] {
            let mut bytes = vec![b'x'; length];
            bytes.extend(b"\nnext\n");
            let lines = lines(bytes);
            assert_eq!(lines.iter().map(|line| line.is_cut).collect::<Vec<_>>(), [is_cut, false], "{length}");
            assert_eq!(lines[0].text.len(), length.min(LINE));
            assert_eq!(lines[1].text, "next");
        }
    }

    #[test]
    fn a_long_log_comes_in_batches() {
        let bytes = b"line\n".repeat(BATCH_LINES + 1);
        let log = Log::of("log", Box::new(io::Cursor::new(bytes)), Grammar::Auto, Timestamp::UNIX_EPOCH);
        let lengths: Vec<usize> = log.map(|lines| lines.unwrap().lines.len()).collect();
        assert_eq!((lengths.iter().max(), lengths.iter().sum()), (Some(&BATCH_LINES), BATCH_LINES + 1));
    }
}
