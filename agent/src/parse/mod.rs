//! What lines of logs tell of logins.
//! Receives lines of logs, hands on the logins that they tell of. Pure: no clock, no name is looked up, and every line takes
//! time in proportion to its length, whatever an attacker made of it.
//!
//! A line passes [`head`] (time, program, process id), then the parsers of the services that it may be of: one file a
//! service or family, listed in [`PARSERS`]. What an attacker chooses (user names above all) never decides which address
//! is blamed: parsers anchor on what the daemon itself wrote last.

mod address;
mod audit;
mod conversations;
mod head;
mod local;
mod pam;
mod reader;
mod sshd;
mod stamp;
pub mod user_pattern;

pub use reader::{Explained, LoginReader};

use std::borrow::Cow;
use std::net::IpAddr;

use crate::model::log_line::Grammar;
use crate::model::login::{Count, Outcome};

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
#[rustfmt::skip] // a service a line
pub(crate) const PARSERS: &[Parser] = &[
    Parser { name: "sshd", also: &["ssh", "openssh"], programs: &["sshd", "sshd-session", "sshd-auth"], read: sshd::read },
    Parser { name: "pam", also: &[], programs: &["pam", "unix_chkpwd"], read: pam::read },
    Parser { name: "login", also: &[], programs: &["login"], read: local::login },
    Parser { name: "su", also: &[], programs: &["su", "su-l"], read: local::su },
    Parser { name: "sudo", also: &[], programs: &["sudo"], read: local::sudo },
    Parser { name: "cron", also: &["CRON", "crond"], programs: &["CRON", "cron", "crond", "anacron", "atd"], read: local::cron },
    Parser { name: "audit", also: &["auditd"], programs: &["audit", "auditd", "audispd", "audisp-syslog"], read: audit::read },
];

/// The grammar of this name: `auto`, a service, or another name that people know it by.
pub fn grammar(name: &str) -> Option<Grammar> {
    if name == "auto" {
        return Some(Grammar::Auto);
    }
    PARSERS.iter().find(|parser| parser.is_called(name)).map(|parser| Grammar::Service(parser.name))
}

/// The names of all services, for messages.
pub fn services() -> impl Iterator<Item = &'static str> {
    PARSERS.iter().map(|parser| parser.name)
}

impl Parser {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.also.contains(&name)
    }
}

#[cfg(test)]
mod tests;
