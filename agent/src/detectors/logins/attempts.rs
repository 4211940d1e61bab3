//! Counts each attempt once, though the daemon and PAM both tell of it and some lines only repeat that something failed.
//!
//! Of one connection the number of attempts is the most that any one voice told: the daemon's lines, PAM's count, or one
//! where there is only a sign. Each line adds by how much that maximum grew.
//!
//! What is one connection: with sshd one process serves one connection, so service and process id. Other daemons may serve
//! many connections by one process, and PAM may speak there by another process than the daemon: so service and address,
//! where the line has one.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::generations::{AsHashed, Generations};
use super::patterns::Second;
use crate::detectors::sketches::{KeyedHash, SourceKey};
use crate::model::login::{Count, Login, Outcome};

/// Connections that are remembered, and at most twice as many: 200 KiB each. Who opens more of them between two lines of
/// one attempt makes that one attempt count double.
const CONNECTIONS: usize = 2048;
/// Seconds of quiet after which a connection is over: sshd's `LoginGraceTime` by default. Process ids come again.
const QUIET: Second = 120;
/// Daemons with a process for each connection.
const FORKING: [&str; 1] = ["sshd"];

/// The connections of the last minutes.
#[derive(Debug)]
pub(super) struct Attempts {
    hash: KeyedHash,
    connections: Generations<u64, Connection, AsHashed>,
}

/// What was told of one connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Connection {
    daemon: u32,
    pam: u32,
    has_sign: bool,
    succeeded: bool,
    /// Attempts that were given away with an address, and those that were not.
    counted: u32,
    nameless: u32,
    source: Option<IpAddr>,
    last: Second,
}

/// What a line adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Attempts that no line told before: for the totals.
    pub(super) attempts: u32,
    /// Attempts for the address: also those of earlier lines that had none.
    pub(super) of_source: u32,
    /// Who, also where only an earlier line of the connection tells.
    pub(super) source: Option<IpAddr>,
}

impl Attempts {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Attempts { hash, connections: Generations::new(AsHashed::default(), CONNECTIONS) }
    }

    /// What the line adds: failures or, of a success, one if no other line told it.
    pub(super) fn hear(&mut self, login: &Login, now: Second) -> Heard {
        let Some(key) = self.key(login) else {
            let attempts = if login.outcome == Outcome::Success { 1 } else { told(login.count) };
            return Heard { attempts, of_source: attempts, source: login.source };
        };
        let mut connection = self.connections.take(&key).unwrap_or_default();
        if connection.is_over(login, now) {
            connection = Connection::default();
        }
        let heard = connection.hear(login, now);
        self.connections.put(key, connection);
        heard
    }

    fn key(&self, login: &Login) -> Option<u64> {
        let service = login.service.as_bytes();
        let is_forking = is_forking(&login.service);
        match (login.pid, login.source) {
            (Some(pid), _) if is_forking => Some(self.hash.of(&(service, 1u8, pid))),
            (_, Some(source)) if !is_forking => Some(self.hash.of(&(service, 2u8, SourceKey::from(source)))),
            (Some(pid), None) => Some(self.hash.of(&(service, 1u8, pid))),
            (_, Some(source)) => {
                Some(self.hash.of(&(service, 3u8, SourceKey::from(source), login.port.unwrap_or(0))))
            }
            (None, None) => None,
        }
    }

    /// Connections that are not over yet, for the state file.
    pub(super) fn kept(&self, most: usize) -> Vec<(u64, Connection)> {
        let mut kept: Vec<_> =
            self.connections.iter().map(|(key, connection)| (*key, connection.clone())).collect();
        kept.sort_unstable_by_key(|(key, connection)| (std::cmp::Reverse(connection.last), *key));
        let newest = kept.first().map_or(0, |(_, connection)| connection.last);
        kept.retain(|(_, connection)| newest - connection.last <= QUIET);
        kept.truncate(most);
        kept
    }

    pub(super) fn restore(&mut self, kept: Vec<(u64, Connection)>) {
        kept.into_iter().rev().for_each(|(key, connection)| self.connections.put(key, connection));
    }
}

impl Connection {
    fn is_over(&self, login: &Login, now: Second) -> bool {
        let is_other = |source: IpAddr| login.source.is_some_and(|other| other != source);
        now.abs_diff(self.last) > QUIET
            || self.source.is_some_and(is_other)
            || (self.succeeded && login.outcome == Outcome::Failure)
    }

    fn hear(&mut self, login: &Login, now: Second) -> Heard {
        self.last = now;
        self.source = login.source.or(self.source);
        if login.outcome == Outcome::Success {
            // A process of sshd lets one client in, and PAM says so too; others let in who comes.
            let is_of_many = !is_forking(&login.service) && matches!(login.count, Count::Daemon(_));
            let is_new = u32::from(!self.succeeded || is_of_many);
            self.succeeded = true;
            return Heard { attempts: is_new, of_source: is_new, source: self.source };
        }
        match login.count {
            Count::Daemon(more) => self.daemon = self.daemon.saturating_add(more),
            Count::Pam(more) => self.pam = self.pam.saturating_add(more),
            Count::Sign => self.has_sign = true,
        }
        let most = self.daemon.max(self.pam).max(u32::from(self.has_sign));
        let attempts = most.saturating_sub(self.counted);
        self.counted = most.max(self.counted);
        self.nameless = self.nameless.saturating_add(attempts);
        let of_source = if self.source.is_some() { std::mem::take(&mut self.nameless) } else { 0 };
        Heard { attempts, of_source, source: self.source }
    }
}

fn is_forking(service: &str) -> bool {
    FORKING.contains(&service)
}

fn told(count: Count) -> u32 {
    match count {
        Count::Daemon(more) | Count::Pam(more) => more,
        Count::Sign => 1,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::detectors::sketches::Purpose;

    const DAEMON: Count = Count::Daemon(1);
    const PAM: Count = Count::Pam(1);

    fn line(service: &'static str, pid: u32, source: &str, count: Count) -> Login {
        Login {
            time: Timestamp::UNIX_EPOCH,
            service: service.into(),
            pid: (pid > 0).then_some(pid),
            source: source.parse().ok(),
            port: None,
            user: None,
            is_known_user: None,
            outcome: Outcome::Failure,
            method: None,
            count,
            rule: "",
            is_trusted: true,
        }
    }

    fn success(pid: u32, source: &str) -> Login {
        Login { outcome: Outcome::Success, ..line("sshd", pid, source, DAEMON) }
    }

    /// A name, lines at these seconds, and what each adds.
    type Case = (&'static str, Vec<(Second, Login)>, &'static [u32]);

    /// What each line adds to the address's attempts, if they come so many seconds after the beginning.
    fn heard(lines: &[(Second, Login)]) -> Vec<u32> {
        let mut attempts = Attempts::new(KeyedHash::new(1, Purpose::Logins));
        lines.iter().map(|(second, login)| attempts.hear(login, 1_000 + second).of_source).collect()
    }

    #[test]
    fn each_attempt_counts_once() {
        let (a, b) = ("192.0.2.1", "192.0.2.2");
        let ssh = |count| line("sshd", 7, a, count);
        let ftp = |pid, count| line("vsftpd", pid, a, count);
        let cases: &[Case] = &[
            ("PAM, sshd, end", vec![(0, ssh(PAM)), (2, ssh(DAEMON)), (3, ssh(Count::Sign))], &[1, 0, 0]),
            (
                "invalid user, failed, closed",
                vec![(0, ssh(Count::Sign)), (1, ssh(DAEMON)), (2, ssh(Count::Sign))],
                &[1, 0, 0],
            ),
            ("asked for a password", vec![(0, line("web", 0, a, Count::Daemon(0)))], &[0]),
            ("only a sign", vec![(0, ssh(Count::Sign)), (1, ssh(Count::Sign))], &[1, 0]),
            (
                "three of sshd, PAM tells one and two more",
                vec![
                    (0, ssh(PAM)),
                    (0, ssh(DAEMON)),
                    (3, ssh(DAEMON)),
                    (6, ssh(DAEMON)),
                    (7, ssh(Count::Pam(2))),
                ],
                &[1, 0, 1, 1, 0],
            ),
            ("PAM knows of more", vec![(0, ssh(PAM)), (1, ssh(Count::Pam(4)))], &[1, 4]),
            ("repeated by rsyslog", vec![(0, ssh(DAEMON)), (9, ssh(Count::Daemon(5)))], &[1, 5]),
            (
                "the process id comes again after a while",
                vec![(0, ssh(DAEMON)), (200, ssh(PAM)), (201, ssh(DAEMON))],
                &[1, 1, 0],
            ),
            (
                "the process id comes again for another",
                vec![(0, ssh(DAEMON)), (1, line("sshd", 7, b, PAM))],
                &[1, 1],
            ),
            ("another process", vec![(0, ssh(DAEMON)), (0, line("sshd", 8, a, PAM))], &[1, 1]),
            (
                "a success is told twice, and ends it",
                vec![(0, success(7, a)), (0, success(7, a)), (1, ssh(DAEMON))],
                &[1, 0, 1],
            ),
            (
                "the address comes later",
                vec![(0, line("sshd", 7, "?", Count::Pam(1))), (1, ssh(DAEMON)), (2, ssh(DAEMON))],
                &[0, 1, 1],
            ),
            (
                "the address came earlier",
                vec![(0, ssh(DAEMON)), (1, line("sshd", 7, "?", Count::Pam(3)))],
                &[1, 2],
            ),
            (
                "PAM speaks by another process",
                vec![(0, ftp(3, PAM)), (1, ftp(4, DAEMON)), (2, ftp(5, PAM)), (3, ftp(6, DAEMON))],
                &[1, 0, 1, 0],
            ),
            (
                "one process for all",
                vec![(0, ftp(3, DAEMON)), (0, line("vsftpd", 3, b, DAEMON)), (1, ftp(3, DAEMON))],
                &[1, 1, 1],
            ),
            (
                "no process, no address",
                vec![(0, line("su", 0, "?", DAEMON)), (0, line("su", 0, "?", Count::Pam(2)))],
                &[1, 2],
            ),
            (
                "a count beyond all measure",
                vec![(0, ssh(Count::Daemon(u32::MAX))), (1, ssh(DAEMON))],
                &[u32::MAX, 0],
            ),
        ];
        for (name, lines, expected) in cases {
            assert_eq!(heard(lines), *expected, "{name}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut attempts = Attempts::new(KeyedHash::new(1, Purpose::Logins));
        for pid in 1..50_000 {
            attempts.hear(&line("sshd", pid, "192.0.2.1", DAEMON), 1_000);
        }
        assert!(attempts.connections.iter().count() <= 2 * CONNECTIONS);
        assert_eq!(attempts.kept(100).len(), 100);
    }
}
