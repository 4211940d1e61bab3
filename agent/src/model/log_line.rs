//! Lines of logs, as `tail` hands them on.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::web_log::WebLog;

/// Lines of one log, in its order, and where reading stands behind the last of them.
#[derive(Debug, Clone)]
pub struct LogLines {
    /// The log: `journal`, or the path of a file.
    pub log: Arc<str>,
    /// Which grammar its lines are of.
    pub grammar: Grammar,
    /// The lines.
    pub lines: Vec<LogLine>,
    /// When they were read.
    pub read: Timestamp,
    /// Whether more was there to be read at once: they are of the past.
    pub is_behind: bool,
    /// The zone of times that have none written beside them.
    pub zone: TimeZone,
    /// Where reading goes on, if it moved.
    pub cursor: Option<Cursor>,
}

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogLine {
    /// Its text without the line's end. Bytes that are not UTF-8 stand as U+FFFD.
    pub text: String,
    /// What the journal knows of who wrote it; nothing in a file, where a head within the text may say something.
    pub writer: Option<Writer>,
    /// Whether it was longer than the limit, and this is its beginning.
    pub is_cut: bool,
}

/// Who wrote an entry of the journal. `tail` asks the journal only for entries whose writer it vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// When (`__REALTIME_TIMESTAMP`).
    pub time: Timestamp,
    /// `SYSLOG_IDENTIFIER`; empty where there is none.
    pub program: String,
    /// `_PID`.
    pub pid: Option<u32>,
}

/// Which grammar a log's lines are of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Grammar {
    /// Whatever each line's head and form say.
    #[default]
    Auto,
    /// That of one service, by its name.
    Service(&'static str),
    /// That of a user pattern, by its name.
    Pattern(Arc<str>),
    /// An access log that is measured.
    Access(Arc<WebLog>),
}

impl Grammar {
    /// For people.
    pub fn as_str(&self) -> Cow<'static, str> {
        match self {
            Grammar::Auto => "auto".into(),
            Grammar::Service(name) => (*name).into(),
            Grammar::Pattern(name) => name.to_string().into(),
            Grammar::Access(_) => "access".into(),
        }
    }
}

/// Where reading a log goes on after a restart. Stored with what was made of the lines before it, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Which log: the key in the state file.
    pub log: String,
    /// The place; only who reads that log understands it. Empty: there is nothing to remember any more.
    pub place: Vec<u8>,
}
