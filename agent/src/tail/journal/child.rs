//! journalctl as a child: its lines as they come, never waited for, and what it says on standard error. What is not read
//! stays in the pipe, and journalctl waits: the journal is the buffer.
//!
//! It does not outlive the agent, however that ends: `journalctl --follow` polls its standard output beside the journal
//! and ends when nobody reads it any more (systemd 239 and later, `wait_for_change` in journalctl.c).

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};

use super::super::LINE;

/// The longest line: the longest message as JSON writes it at worst (`\u0001` for a byte), and the other fields.
const JSON_LINE: usize = 8 * LINE;
/// Read at once: what a pipe holds.
const PIECE: usize = 64 * 1024;
/// What is kept of standard error.
const SAID: usize = 4 * 1024;
/// How long the last words of a child are waited for whose output has ended.
const LAST_WORDS: Duration = Duration::from_millis(20);
/// Where programs are, if nobody says so.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Which program gives the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its path, or a name to look for on `PATH`.
    pub path: PathBuf,
    /// Arguments before ours: `--root=/host`.
    pub arguments: Vec<String>,
}

/// A line that journalctl wrote.
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether it was longer than the limit, and this is its beginning.
    pub(super) is_cut: bool,
}

/// What reading met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    Some,
    Nothing,
    End,
}

/// A running journalctl. Ends with this value.
pub(super) struct Child {
    process: std::process::Child,
    out: ChildStdout,
    err: ChildStderr,
    is_err_open: bool,
    piece: Vec<u8>,
    pub(super) lines: Lines,
    said: Vec<u8>,
}

impl Child {
    /// Starts it. It gets nothing of our environment but `PATH`, and no standard input.
    pub(super) fn start<A: AsRef<OsStr>>(program: &Program, arguments: &[A]) -> io::Result<Child> {
        let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
        let mut process = Command::new(&program.path)
            .args(&program.arguments)
            .args(arguments)
            .env_clear()
            .envs([("LC_ALL", "C"), ("SYSTEMD_COLORS", "0")])
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A terminal's ^C is for the agent, which then ends the child.
            .process_group(0)
            .spawn()?;
        let (Some(out), Some(err)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(io::Error::other("no pipe"));
        };
        fcntl_setfl(&out, OFlags::NONBLOCK)?;
        fcntl_setfl(&err, OFlags::NONBLOCK)?;
        Ok(Child {
            process,
            out,
            err,
            is_err_open: true,
            piece: vec![0; PIECE],
            lines: Lines::default(),
            said: Vec::new(),
        })
    }

    /// Waits until there is something to read, or for that long.
    pub(super) fn wait(&self, patience: Duration) {
        let mut pipes = vec![PollFd::from_borrowed_fd(self.out.as_fd(), PollFlags::IN)];
        if self.is_err_open {
            pipes.push(PollFd::from_borrowed_fd(self.err.as_fd(), PollFlags::IN));
        }
        let patience = Timespec::try_from(patience).ok();
        // Interrupted, or out of memory: the caller looks and waits again.
        let _ = poll(&mut pipes, patience.as_ref());
    }

    /// The next line that was read.
    pub(super) fn line(&mut self) -> Option<Line<'_>> {
        self.lines.take()
    }

    /// Whether a line waits that was read already.
    pub(super) fn has_line(&mut self) -> bool {
        self.lines.find().is_some()
    }

    /// Reads a piece, if there is one.
    pub(super) fn fill(&mut self) -> Filled {
        self.listen();
        match self.out.read(&mut self.piece) {
            Ok(0) => Filled::End,
            Ok(length) => {
                self.lines.add(self.piece.get(..length).unwrap_or_default());
                Filled::Some
            }
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind()) => {
                Filled::Nothing
            }
            Err(_) => Filled::End,
        }
    }

    /// Takes what it said on standard error, of which the beginning is kept.
    fn listen(&mut self) {
        let mut piece = [0; SAID];
        // Bounded: one that never stops talking is not listened to for ever.
        for _ in 0..16 {
            match self.err.read(&mut piece) {
                Ok(0) => self.is_err_open = false,
                Ok(length) => {
                    let room = SAID.saturating_sub(self.said.len()).min(length);
                    self.said.extend_from_slice(piece.get(..room).unwrap_or_default());
                    continue;
                }
                Err(_) => {}
            }
            return;
        }
    }

    /// What it said on standard error until now.
    pub(super) fn said(&self) -> String {
        let said = String::from_utf8_lossy(&self.said);
        said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
    }

    /// Ends it, if it has not ended itself; how it ended, and what it said last, for people.
    pub(super) fn end(mut self) -> (String, String) {
        // Standard error ends with the process, a moment after standard output at most.
        let start = Instant::now();
        while self.is_err_open && start.elapsed() < LAST_WORDS {
            let mut pipe = [PollFd::from_borrowed_fd(self.err.as_fd(), PollFlags::IN)];
            let _ = poll(&mut pipe, Timespec::try_from(LAST_WORDS).ok().as_ref());
            self.listen();
        }
        // Of one that is ending already, this changes nothing.
        let _ = self.process.kill();
        let status = self.process.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        (status, self.said())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Errors: it is gone already. After SIGKILL it ends at once, so the wait is short.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Cuts what is read into lines. Never holds more than a line's limit and a piece.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) held: Vec<u8>,
    start: usize,
    /// Up to where there is no line's end.
    searched: usize,
    /// Whether a line's beginning was given, and the rest of it is passed over.
    is_skipping: bool,
}

impl Lines {
    fn add(&mut self, piece: &[u8]) {
        let mut piece = piece;
        if self.is_skipping {
            let Some(end) = piece.iter().position(|byte| *byte == b'\n') else { return };
            self.is_skipping = false;
            piece = piece.get(end + 1..).unwrap_or_default();
        }
        self.held.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.held.extend_from_slice(piece);
    }

    /// Where the next line ends.
    fn find(&mut self) -> Option<usize> {
        let found = self.held.get(self.searched..)?.iter().position(|byte| *byte == b'\n');
        self.searched = found.map_or(self.held.len(), |length| self.searched + length);
        found.map(|_| self.searched)
    }

    fn take(&mut self) -> Option<Line<'_>> {
        let (end, next, is_whole) = match self.find() {
            Some(end) => (end, end + 1, true),
            None if self.held.len() - self.start > JSON_LINE => {
                self.is_skipping = true;
                (self.held.len(), self.held.len(), false)
            }
            None => return None,
        };
        let start = std::mem::replace(&mut self.start, next);
        self.searched = next;
        let bytes = self.held.get(start..end)?;
        let is_cut = !is_whole || bytes.len() > JSON_LINE;
        Some(Line { bytes: bytes.get(..JSON_LINE).unwrap_or(bytes), is_cut })
    }
}
