//! One attempt to log in, as one line of a log tells it.

use std::borrow::Cow;
use std::net::IpAddr;

use jiff::Timestamp;

/// What became of the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Outcome {
    Failure,
    Success,
}

impl Outcome {
    /// For people and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Failure => "failure",
            Outcome::Success => "success",
        }
    }
}

/// How many attempts a line stands for. A daemon and PAM both speak of one attempt, and some lines only say once more
/// that something failed: of one connection the most that any one voice told counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Count {
    /// So many further attempts, told by the daemon itself; none where it refused before there was any.
    Daemon(u32),
    /// So many further attempts, told by PAM.
    Pam(u32),
    /// At least one attempt on this connection failed, and other lines may have told it.
    Sign,
}

/// What one line of a log tells of an attempt to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// When it was logged.
    pub time: Timestamp,
    /// The service as configuration and findings call it: `sshd`, or a user pattern's name.
    pub service: Cow<'static, str>,
    /// The process that logged it: with the service, one connection of daemons that fork.
    pub pid: Option<u32>,
    /// The client's address, an IPv4 one within IPv6 as IPv4. None for logins on the host itself (`su`), and where the
    /// log has a name or nothing.
    pub source: Option<IpAddr>,
    /// The client's port, where the line has it: one connection where there is no process id.
    pub port: Option<u16>,
    /// The user as the log has it. Attackers choose it, and people type passwords there.
    pub user: Option<String>,
    /// Whether there is such a user, where the line tells.
    pub is_known_user: Option<bool>,
    /// What became of it.
    pub outcome: Outcome,
    /// `password`, `publickey`, `keyboard-interactive` ..., where the line tells.
    pub method: Option<Cow<'static, str>>,
    /// How many attempts it stands for.
    pub count: Count,
    /// The rule that matched: `sshd.failed`. Stable, so that people can ask why a line counted.
    pub rule: &'static str,
    /// Whether only the daemon can have written it (the journal says so). Anyone local can write to a syslog file.
    pub is_trusted: bool,
}
