//! Receives lines of logs, hands on what they tell of logins. Pure: no clock, no name is looked up, and every line takes
//! time in proportion to its length, whatever an attacker made of it.
//!
//! A line passes [`head`] (time, program, process id), then the parsers of the services that it may be of: one file a
//! service or family, listed in [`PARSERS`]. What an attacker chooses (user names above all) never decides which address
//! is blamed: parsers anchor on what the daemon itself wrote last.

mod head;
mod sshd;
pub mod user_pattern;

use std::borrow::Cow;
use std::net::IpAddr;

use crate::model::log_line::LogLines;
use crate::model::login::{Count, Login, Outcome};
use crate::model::settings::LoginPattern;

/// Reads lines of logs; remembers of each log what it needs to tell the year of times without one.
#[derive(Debug, Default)]
pub struct LoginReader;

impl LoginReader {
    /// A reader that knows the services and these patterns. A pattern that does not check (see [`user_pattern`]) is left out:
    /// the configuration was checked before.
    pub fn new(_patterns: &[LoginPattern]) -> Self {
        LoginReader
    }

    /// Goes on with other patterns.
    pub fn configure(&mut self, _patterns: &[LoginPattern]) {}

    pub fn explain(
        &mut self,
        _grammar: &crate::model::log_line::Grammar,
        _line: &str,
        _read: jiff::Timestamp,
        _zone: &jiff::tz::TimeZone,
    ) -> Explained {
        Explained { service: None, login: None, rule: None, note: "".into() }
    }

    /// What lines tell of logins, in their order.
    pub fn logins(&mut self, _lines: &LogLines) -> Vec<Login> {
        Vec::new()
    }
}

/// Why a line does or does not tell of a login.
#[derive(Debug)]
pub struct Explained {
    pub service: Option<Cow<'static, str>>,
    pub login: Option<Login>,
    pub rule: Option<&'static str>,
    pub note: Cow<'static, str>,
}

/// A line with its head taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// The program as the head has it (`sshd-session`); empty where there is none.
    pub(crate) program: &'a str,
    /// Its process id.
    pub(crate) pid: Option<u32>,
    /// What it wrote.
    pub(crate) text: &'a str,
}

/// What a parser makes of a message that tells of an attempt to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) source: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<Cow<'a, str>>,
    pub(crate) is_known_user: Option<bool>,
    pub(crate) method: Option<Cow<'a, str>>,
    pub(crate) count: Count,
    /// Stable name of the rule: `sshd.failed`.
    pub(crate) rule: &'static str,
}

/// A service and how its lines are read.
pub(crate) struct Parser {
    /// Its name in configuration, findings and `explain`.
    pub(crate) name: &'static str,
    /// Other names that people know it by.
    pub(crate) also: &'static [&'static str],
    /// Programs that write its lines; empty where lines have no syslog head.
    pub(crate) programs: &'static [&'static str],
    /// What a message tells; `Err` says why it tells of no login, for people.
    pub(crate) read: for<'a> fn(&Message<'a>) -> Result<Told<'a>, &'static str>,
}

/// Every service, in the order in which a line without a head is tried.
pub(crate) const PARSERS: &[Parser] =
    &[Parser { name: "sshd", also: &[], programs: &["sshd", "sshd-session", "sshd-auth"], read: sshd::read }];

/// The grammar of that name: `auto`, a service, or another name that people know it by.
pub fn grammar(name: &str) -> Option<crate::model::log_line::Grammar> {
    use crate::model::log_line::Grammar;
    if name == "auto" {
        return Some(Grammar::Auto);
    }
    let of = |parser: &&Parser| parser.name == name || parser.also.contains(&name);
    PARSERS.iter().find(of).map(|parser| Grammar::Service(parser.name))
}

/// Names of the services that are known.
pub fn services() -> impl Iterator<Item = &'static str> {
    PARSERS.iter().map(|parser| parser.name)
}
