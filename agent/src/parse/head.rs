//! What stands before a log line's message: time, host, program, process id. Taken off without a copy.
//!
//! Read are RFC 3164 as syslogd, rsyslog, busybox and `journalctl` write it (with or without priority, host, fraction, year),
//! ISO 8601 times (rsyslog, `journalctl -o short-iso`, `short-full`), RFC 5424, and lines that have only a tag, or nothing.
//! The form is fixed, so this is done byte by byte: most lines of a log tell nothing, and their head is all that they cost.

use super::Message;
use super::address::number;
use super::stamp::Stamp;

/// A line's head, and its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// The time, as written.
    pub(super) stamp: Option<Stamp>,
    /// The program is empty where the line names none; the text is then what follows the time.
    pub(super) message: Message<'a>,
}

/// Takes the head off a line. A word and a colon at the very beginning are a tag only if `is_program` knows the word, for
/// messages begin like this too (`error: PAM: ...`).
pub(super) fn read(line: &str, is_program: impl Fn(&str) -> bool) -> Head<'_> {
    let (priority, rest) = priority(line);
    if let Some(head) = rest.strip_prefix("1 ").filter(|_| priority).and_then(structured) {
        return head;
    }
    if let Some((stamp, rest)) = Stamp::read(rest) {
        let message = tagged(rest).unwrap_or(untagged(rest));
        return Head { stamp: Some(stamp), message };
    }
    let (word, after) = word(rest);
    let message =
        tag(word).filter(|tag| word.ends_with(':') && (tag.pid.is_some() || is_program(tag.program)));
    Head { stamp: None, message: message.map_or(untagged(rest), |tag| Message { text: after.trim(), ..tag }) }
}

fn untagged(text: &str) -> Message<'_> {
    Message { program: "", pid: None, text: text.trim() }
}

/// `<38>`, as it came over the network.
fn priority(line: &str) -> (bool, &str) {
    let rest = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match rest.filter(|(digits, _)| digits.len() <= 3 && number(digits.as_bytes()).is_some()) {
        Some((_, rest)) => (true, rest),
        None => (false, line),
    }
}

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// `host sshd[123]: text`, where the host may be missing, and facilities may stand around it.
fn tagged(rest: &str) -> Option<Message<'_>> {
    let mut rest = rest.trim_start();
    let mut has_host = false;
    for _ in 0..4 {
        let (word, after) = word(rest);
        if let Some(tag) = tag(word) {
            if tag.pid.is_none() && is_facility(tag.program) {
                return Some(within(after.trim_start()));
            }
            return Some(Message { text: after.trim(), ..tag });
        }
        if !is_noise(word) {
            if has_host || word.is_empty() {
                return None;
            }
            has_host = true;
        }
        rest = after.trim_start();
    }
    None
}

/// What svlogd and the like have put `auth.info:` before: a time and a tag may follow.
fn within(rest: &str) -> Message<'_> {
    let rest = Stamp::read(rest).map_or(rest, |(_, rest)| rest.trim_start());
    let (word, after) = word(rest);
    let tag = tag(word).filter(|tag| tag.pid.is_some());
    tag.map_or(untagged(rest), |tag| Message { text: after.trim(), ..tag })
}

/// `sshd[123]:`, `sshd[123]`, `sudo:`, `su(pam_unix)[77]:`.
fn tag(word: &str) -> Option<Message<'_>> {
    let bare = word.strip_suffix(':').unwrap_or(word);
    let pid = bare.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
    let pid = pid.and_then(|(program, digits)| Some((program, number(digits.as_bytes())?)));
    let (program, pid) = match pid {
        Some((program, pid)) => (program, Some(pid)),
        None if bare.len() < word.len() => (bare, None),
        None => return None,
    };
    let program = match program.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        Some((program, _)) => program,
        None => program,
    };
    let program = program.strip_prefix('/').and_then(|path| path.rsplit('/').next()).unwrap_or(program);
    // An IPv6 address may stand where the host does.
    let is_name = !program.is_empty() && !program.contains(':');
    is_name.then_some(Message { program, pid, text: "" })
}

/// `auth.info` (busybox), `<10.5>`.
fn is_noise(word: &str) -> bool {
    is_facility(word) || (word.starts_with('<') && word.ends_with('>'))
}

fn is_facility(word: &str) -> bool {
    const SEVERITIES: [&str; 11] =
        ["emerg", "panic", "alert", "crit", "err", "error", "warn", "warning", "notice", "info", "debug"];
    const FACILITIES: [&str; 13] = [
        "kern", "user", "mail", "daemon", "auth", "security", "syslog", "lpr", "news", "uucp", "cron",
        "authpriv", "ftp",
    ];
    word.split_once('.').is_some_and(|(facility, severity)| {
        SEVERITIES.contains(&severity)
            && (FACILITIES.contains(&facility) || facility.starts_with("local") && facility.len() == 6)
    })
}

/// RFC 5424 behind its version: time, host, program, process id, message id, structured data, message.
fn structured(rest: &str) -> Option<Head<'_>> {
    let (stamp, rest) = match rest.strip_prefix("- ") {
        Some(rest) => (None, rest),
        None => Stamp::read(rest).map(|(stamp, rest)| (Some(stamp), rest.trim_start()))?,
    };
    let (_host, rest) = word(rest);
    let (program, rest) = word(rest);
    let (pid, rest) = word(rest);
    let (_id, rest) = word(rest);
    let text = match rest.strip_prefix('-') {
        Some(text) => text,
        None => behind_data(rest)?,
    };
    let program = if program == "-" { "" } else { program };
    let program = program.strip_prefix('/').and_then(|path| path.rsplit('/').next()).unwrap_or(program);
    let text = text.trim_start().trim_start_matches('\u{feff}').trim();
    Some(Head { stamp, message: Message { program, pid: number(pid.as_bytes()), text } })
}

/// What follows `[id name="value"][id ...]`.
fn behind_data(text: &str) -> Option<&str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    let mut is_open = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'[' if !is_quoted => is_open = true,
            b']' if !is_quoted => is_open = false,
            b' ' if !is_open => return text.get(at..),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_taken_off() {
        let cases = [
            ("Mar  2 08:05:27 host sshd[123]: text", "sshd", Some(123), "text"),
            ("Mar 2 08:05:27 host sshd[123]: text", "sshd", Some(123), "text"),
            ("Mar 02 2026 08:05:27 host sshd[123]: text", "sshd", Some(123), "text"),
            ("Mar  2 08:05:27.123456 host sshd[123]: text", "sshd", Some(123), "text"),
            ("<38>Mar  2 08:05:27 host sshd-session[1]: text", "sshd-session", Some(1), "text"),
            ("Mar  2 08:05:27 sshd[123]: text", "sshd", Some(123), "text"),
            ("Mar  2 08:05:27  sshd[123]: text", "sshd", Some(123), "text"),
            ("Mar  2 08:05:27 2001:db8:: sshd[123]: text", "sshd", Some(123), "text"),
            ("Mar  2 08:05:27 host auth.info sshd[123]: text", "sshd", Some(123), "text"),
            ("Mar  2 08:05:27 <4.6> host sshd[123]: text", "sshd", Some(123), "text"),
            ("Mar  2 08:05:27 host su(pam_unix)[77]: text", "su", Some(77), "text"),
            ("Mar  2 08:05:27 host /usr/sbin/sshd[77]: text", "sshd", Some(77), "text"),
            ("Mar  2 08:05:27 host postfix/smtpd[77]: text", "postfix/smtpd", Some(77), "text"),
            ("Mar  2 08:05:27 host sudo:    bob : text", "sudo", None, "bob : text"),
            ("2026-03-02T08:05:27.123456+00:00 host sshd[1]: text", "sshd", Some(1), "text"),
            ("2026-03-02T08:05:27+0100 host sshd[1]: text", "sshd", Some(1), "text"),
            ("2026-03-02T08:05:27Z host sshd[1] text", "sshd", Some(1), "text"),
            ("2026-03-02 08:05:27.5-0500 host sshd[1]: text", "sshd", Some(1), "text"),
            ("Mon 2026-03-02 08:05:27 UTC host sshd[1]: text", "sshd", Some(1), "text"),
            ("2026-03-02T08:05:27.46 auth.info: sshd[1]:  text", "sshd", Some(1), "text"),
            ("2026-03-02T08:05:27.46 auth.info: Mar  2 08:05:27 sshd[1]: text", "sshd", Some(1), "text"),
            ("2026-03-02T08:05:27.46 auth.info: Failed x: y", "", None, "Failed x: y"),
            ("2026-03-02 08:05:27.108781500 Failed a for b: c", "", None, "Failed a for b: c"),
            ("<38>1 2026-03-02T08:05:27Z host sshd 55 - - text", "sshd", Some(55), "text"),
            ("<38>1 - host sshd 55 - - text", "sshd", Some(55), "text"),
            ("<38>1 2026-03-02T08:05:27Z host sshd - - [a b=\"\\\"] \"][c] text", "sshd", None, "text"),
            ("<38>1 2026-03-02T08:05:27Z host sshd 55 - - \u{feff}text", "sshd", Some(55), "text"),
            ("sshd[123]: text", "sshd", Some(123), "text"),
            ("sudo: text", "sudo", None, "text"),
            ("error: PAM: text", "", None, "error: PAM: text"),
            ("text alone\r", "", None, "text alone"),
            ("Mar  2 08:05:27 host", "", None, "host"),
            ("", "", None, ""),
            ("<38>", "", None, ""),
        ];
        for (line, program, pid, text) in cases {
            let head = read(line, |word| word == "sudo");
            assert_eq!(head.message, Message { program, pid, text }, "{line:?}");
        }
    }
}
