//! vsftpd: its own log and what it hands to syslog (`logging.c`):
//! `[U] FAIL LOGIN: Client "A"[, anon password "P"]`, and with `log_ftp_protocol` the server's answers.
//!
//! The name stands before the address, an anonymous client's password and FTP commands behind it, and nothing is escaped.

use super::address::address;
use super::{Message, Told};
use crate::model::login::{Count, Outcome};

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    let text = message.text.trim_end();
    if !text.contains(CLIENT) {
        return Err("no client");
    }
    let said = behind_head(text);
    if let Some((user, protocol)) = protocol(said) {
        return answer(user, protocol).ok_or("an FTP command or answer that refuses no login");
    }
    if is_about_a_file(said) {
        return Err("about a file");
    }
    login(said).ok_or("not a login")
}

const CLIENT: &str = ": Client \"";

/// What stands behind `Mon Jun  8 09:08:53 2026 [pid 2] `.
fn behind_head(text: &str) -> &str {
    let Some((time, rest)) = text.split_once(" [pid ") else { return text };
    match rest.split_once("] ") {
        Some((pid, said)) if time.len() <= LONGEST_TIME && pid.bytes().all(|byte| byte.is_ascii_digit()) => {
            said
        }
        _ => text,
    }
}

const LONGEST_TIME: usize = "Mon Jun  8 09:08:53 2026".len();

/// `[U] FTP command: Client "A", "..."`: everything behind the first bracket is the client's or an answer to it.
fn protocol(said: &str) -> Option<(Option<&str>, &str)> {
    let (user, rest) = match said.strip_prefix('[') {
        Some(named) => named.split_once("] ").map(|(user, rest)| (Some(user), rest))?,
        None => (None, said),
    };
    rest.starts_with("FTP ").then_some((user, rest))
}

/// `[U] OK MKDIR: Client "A", "F"`: the file's name is the client's.
fn is_about_a_file(said: &str) -> bool {
    let rest = said.strip_prefix('[').and_then(|named| named.split_once("] ")).map_or(said, |(_, rest)| rest);
    let action = rest.strip_prefix("OK ").or_else(|| rest.strip_prefix("FAIL "));
    action.and_then(|action| action.split_once(':')).is_some_and(|(action, _)| FILE_ACTIONS.contains(&action))
}

const FILE_ACTIONS: &[&str] = &["DOWNLOAD", "UPLOAD", "MKDIR", "DELETE", "RENAME", "RMDIR", "CHMOD"];

/// Refusals: 530 stands beside a `FAIL LOGIN`, unless the user's name alone was enough to refuse.
fn answer<'a>(user: Option<&'a str>, protocol: &'a str) -> Option<Told<'a>> {
    let (client, answer) = protocol.strip_prefix("FTP response: Client \"")?.split_once("\", \"530 ")?;
    let count = match answer.strip_suffix('"')? {
        "Permission denied." => Count::Daemon(1),
        "Login incorrect." => Count::Sign,
        _ => return None,
    };
    Some(Told { count, ..Told::failure("vsftpd.refused", address(client)) }.of(user))
}

fn login(said: &str) -> Option<Told<'_>> {
    anonymous(said).or_else(|| named(said))
}

/// `[ftp] FAIL LOGIN: Client "A", anon password "P"`: the password may imitate the end of a line, so it must not.
fn anonymous(said: &str) -> Option<Told<'_>> {
    let (user, rest) = said.strip_prefix('[')?.split_once("] ")?;
    if !matches!(user, "ftp" | "anonymous") {
        return None;
    }
    let (outcome, rest) = outcome(rest)?;
    let (client, password) = rest.split_once("\", anon password \"")?;
    let source = if password.contains(CLIENT) { None } else { address(client) };
    Some(Told { outcome, ..Told::failure("vsftpd.anonymous", source) }.of(Some(user)))
}

/// `[U] FAIL LOGIN: Client "A"`, and behind it nothing but a reason of vsftpd's: `, "User is not in the allow user list."`.
fn named(said: &str) -> Option<Told<'_>> {
    let (before, client) = said.strip_suffix('"')?.rsplit_once(CLIENT)?;
    let (user, outcome) = match (before.strip_suffix(" FAIL LOGIN"), before.strip_suffix(" OK LOGIN")) {
        (Some(user), _) => (user, Outcome::Failure),
        (None, Some(user)) => (user, Outcome::Success),
        (None, None) => return None,
    };
    let client = client.split_once("\", \"").map_or(client, |(client, _reason)| client);
    let user = user
        .strip_prefix('[')
        .and_then(|user| user.strip_suffix(']'))
        .or((!user.contains(' ')).then_some(""))?;
    Some(Told { outcome, ..Told::failure("vsftpd.login", address(client)) }.of(Some(user)))
}

fn outcome(rest: &str) -> Option<(Outcome, &str)> {
    match rest.strip_prefix("FAIL LOGIN: Client \"") {
        Some(rest) => Some((Outcome::Failure, rest)),
        None => Some((Outcome::Success, rest.strip_prefix("OK LOGIN: Client \"")?)),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        super::super::tables::check(
            super::read,
            &[
                (
                    "Mon Jun  8 09:08:53 2026 [pid 2] [ann] FAIL LOGIN: Client \"::ffff:192.0.2.4\"",
                    "failure 192.0.2.4 ann",
                ),
                ("[ann] OK LOGIN: Client \"2001:db8::4\"", "success 2001:db8::4 ann"),
                ("Mon Jun  8 09:08:53 2026 [pid 2] CONNECT: Client \"192.0.2.4\"", "none"),
                (
                    "Mon Jun  8 09:08:53 2026 [pid 2] [ftp] OK LOGIN: Client \"192.0.2.4\", anon password \"a@b\"",
                    "success 192.0.2.4 ftp",
                ),
                (
                    "[ftp] FAIL LOGIN: Client \"192.0.2.4\", anon password \"x] FAIL LOGIN: Client \"198.51.100.7\"",
                    "failure - ftp",
                ),
                (
                    "[x] FAIL LOGIN: Client \"198.51.100.7\"] FAIL LOGIN: Client \"192.0.2.4\"",
                    "failure 192.0.2.4 x] FAIL LOGIN: Client \"198.51.100.7\"",
                ),
                (
                    "Mon Jun  8 09:08:53 2026 [pid 2] [ann] FTP response: Client \"192.0.2.4\", \"530 Permission denied.\"",
                    "failure 192.0.2.4 ann",
                ),
                (
                    "Mon Jun  8 09:08:53 2026 [pid 2] [ann] FTP response: Client \"192.0.2.4\", \"230 Login successful.\"",
                    "none",
                ),
                (
                    "Mon Jun  8 09:08:53 2026 [pid 2] [ann] FTP command: Client \"192.0.2.4\", \"USER x] FAIL LOGIN: Client \"198.51.100.7\"",
                    "none",
                ),
                (
                    "[ann] OK UPLOAD: Client \"192.0.2.4\", \"/x] FAIL LOGIN: Client \"198.51.100.7\", 5 bytes, 1.00Kbyte/sec",
                    "none",
                ),
                ("[ann] OK MKDIR: Client \"192.0.2.4\", \"/x] FAIL LOGIN: Client \"198.51.100.7\"", "none"),
                (
                    "[ann] FAIL LOGIN: Client \"192.0.2.4\", \"User is not in the allow user list.\"",
                    "failure 192.0.2.4 ann",
                ),
                ("[ann] FAIL LOGIN: Client \"desk.example.org\"", "failure - ann"),
            ],
        );
    }
}
