//! What lines of logs tell of logins.
//! Receives lines of logs, hands on the logins that they tell of. Pure: no clock, no name is looked up, and every line takes
//! time in proportion to its length, whatever an attacker made of it.
//!
//! A line passes [`head`] (time, program, process id), then the parsers of the services that it may be of: one file a
//! service or family, listed in [`PARSERS`]. What an attacker chooses (user names above all) never decides which address
//! is blamed: parsers anchor on what the daemon itself wrote last.

pub mod access;
mod address;
mod apache;
mod audit;
mod conversations;
mod dovecot;
mod head;
mod local;
mod mysql;
mod nginx;
mod own_time;
mod pam;
mod postfix;
mod postgresql;
mod proftpd;
mod pure_ftpd;
mod reader;
mod sshd;
mod stamp;
#[cfg(test)]
mod tables;
pub mod user_pattern;
mod vsftpd;
mod web_access;
mod webmin;
mod xrdp;

pub use reader::{Explained, LoginReader};
pub use stamp::LineTimes;

use std::borrow::Cow;
use std::net::IpAddr;

use self::own_time::Written;
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

impl<'a> Told<'a> {
    /// One attempt that failed, told by the daemon.
    fn failure(rule: &'static str, source: Option<IpAddr>) -> Self {
        Told {
            outcome: Outcome::Failure,
            source,
            port: None,
            user: None,
            is_known_user: None,
            method: None,
            count: Count::Daemon(1),
            rule,
        }
    }

    /// One attempt that succeeded, told by the daemon.
    fn success(rule: &'static str, source: Option<IpAddr>) -> Self {
        Told { outcome: Outcome::Success, ..Told::failure(rule, source) }
    }

    /// The same, with the user, if there is a name.
    fn of(self, user: Option<&'a str>) -> Self {
        Told { user: user.filter(|user| !user.is_empty()).map(Cow::Borrowed), ..self }
    }
}

/// What stands behind the only place where `mark` stands. None where it stands nowhere, or more than once: then part of the
/// line is somebody's imitation, and it cannot be said which.
fn only<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(mark)?;
    (!rest.contains(mark)).then_some(rest)
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
    /// The time that the daemon wrote into a message itself; None where syslog or the journal always has it.
    pub(crate) time: Option<fn(&str) -> Option<Written>>,
}

/// Every service, in the order in which a line without a head is tried.
#[rustfmt::skip] // a service a line
pub(crate) const PARSERS: &[Parser] = &[
    Parser { name: "sshd", also: &["ssh", "openssh"], programs: &["sshd", "sshd-session", "sshd-auth"], read: sshd::read, time: None },
    Parser { name: "pam", also: &[], programs: &["pam", "unix_chkpwd"], read: pam::read, time: None },
    Parser { name: "login", also: &[], programs: &["login"], read: local::login, time: None },
    Parser { name: "su", also: &[], programs: &["su", "su-l"], read: local::su, time: None },
    Parser { name: "sudo", also: &[], programs: &["sudo"], read: local::sudo, time: None },
    Parser { name: "cron", also: &["CRON", "crond"], programs: &["CRON", "cron", "crond", "anacron", "atd"], read: local::cron, time: None },
    Parser { name: "audit", also: &["auditd"], programs: &["audit", "auditd", "audispd", "audisp-syslog"], read: audit::read, time: None },
    Parser { name: "web", also: WEB_ALSO, programs: &[], read: web_access::read, time: Some(own_time::of_access_log) },
    Parser { name: "nginx", also: &[], programs: &["nginx"], read: nginx::read, time: Some(nginx::time) },
    Parser { name: "apache", also: &["apache2", "httpd"], programs: APACHE, read: apache::read, time: Some(apache::time) },
    Parser { name: "vsftpd", also: &[], programs: &["vsftpd"], read: vsftpd::read, time: Some(own_time::of_c) },
    Parser { name: "proftpd", also: &[], programs: &["proftpd"], read: proftpd::read, time: Some(own_time::dashed) },
    Parser { name: "pure-ftpd", also: &["pureftpd"], programs: &["pure-ftpd"], read: pure_ftpd::read, time: None },
    Parser { name: "dovecot", also: &[], programs: DOVECOT, read: dovecot::read, time: Some(own_time::dashed) },
    Parser { name: "postfix", also: &["postfix-sasl"], programs: POSTFIX, read: postfix::read, time: None },
    Parser { name: "mysql", also: MYSQL_ALSO, programs: MYSQL, read: mysql::read, time: Some(own_time::dashed) },
    Parser { name: "cockpit", also: &[], programs: &["cockpit-session"], read: local::cockpit, time: None },
    Parser { name: "webmin", also: &["usermin"], programs: &["webmin", "usermin"], read: webmin::read, time: Some(own_time::of_access_log) },
    Parser { name: "xrdp", also: &["xrdp-sesman"], programs: XRDP, read: xrdp::read, time: Some(own_time::dashed) },
    // The last, for what stands before its messages can be anything.
    Parser { name: "postgresql", also: &["postgres", "pgsql"], programs: POSTGRESQL, read: postgresql::read, time: Some(own_time::dashed) },
];

const WEB_ALSO: &[&str] = &["http", "http-401", "web-access"];
const APACHE: &[&str] = &["apache", "apache2", "httpd"];
const DOVECOT: &[&str] = &["dovecot", "imap-login", "pop3-login", "submission-login", "managesieve-login"];
const POSTFIX: &[&str] =
    &["postfix/smtpd", "postfix/submission/smtpd", "postfix/smtps/smtpd", "postfix/submissions/smtpd"];
const MYSQL: &[&str] = &["mysqld", "mariadbd", "mysql", "mariadb"];
const MYSQL_ALSO: &[&str] = &["mariadb", "mysqld", "mysqld-auth"];
const POSTGRESQL: &[&str] = &["postgres", "postgresql"];
const XRDP: &[&str] = &["xrdp-sesman", "xrdp-sesexec", "xrdp"];

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
