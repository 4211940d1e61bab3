//! The kernel's audit trail: `type=USER_LOGIN msg=audit(SECONDS:SERIAL): pid=N ... msg='op=login acct="U" exe="E" hostname=H
//! addr=A terminal=T res=failed'`, raw or enriched (auditd's `log_format`), and as journald has it.
//!
//! `acct` stands in quotes, or in hexadecimal when it has spaces, quotes or the like in it (audit-userspace, `audit_logging.c`);
//! in lines older than that it is bare, hence addresses are sought from the end. One login makes many records: `USER_LOGIN` is
//! the daemon's word for it, `USER_AUTH` PAM's, and all others only tell what follows from these.

use std::borrow::Cow;

use jiff::Timestamp;

use super::address::{address, number};
use super::{Message, Told};
use crate::model::login::{Count, Outcome};

/// Between a record and its enrichment.
const ENRICHED: char = '\x1d';

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    let record = Record::read(message.text).ok_or("not an audit record of a login")?;
    let is_failure = match record.field("res") {
        Some("failed" | "no" | "0") => true,
        Some("success" | "yes" | "1") => false,
        _ => return Err("an audit record without a result"),
    };
    let (count, rule) = match (record.is_login, is_failure, record.exe()) {
        (true, true, _) => (Count::Daemon(1), "audit.login_failed"),
        (true, false, _) => (Count::Daemon(1), "audit.login"),
        (false, true, _) if record.is_pam() => (Count::Pam(1), "audit.auth_failed"),
        (false, true, _) => (Count::Sign, "audit.auth_failed"),
        (false, false, "su" | "sudo") => (Count::Pam(1), "audit.auth"),
        (false, false, _) => return Err("authenticated; USER_LOGIN tells of the login"),
    };
    let source = record.field("addr").and_then(address);
    Ok(Told {
        outcome: if is_failure { Outcome::Failure } else { Outcome::Success },
        source: source.or_else(|| record.field("hostname").and_then(address)),
        port: record.field("rport").and_then(super::address::port),
        user: record.field("acct").and_then(account),
        is_known_user: None,
        method: None,
        count,
        rule,
    })
}

/// The service that the record's program is, if we know it.
pub(super) fn service(
    message: &Message<'_>,
    known: impl Fn(&str) -> Option<&'static str>,
) -> Option<&'static str> {
    known(Record::read(message.text)?.exe())
}

/// The process that the record is of: that of the daemon's own lines.
pub(super) fn pid(message: &Message<'_>) -> Option<u32> {
    let (_, rest) = message.text.split_once("pid=")?;
    number(rest.split(' ').next()?.as_bytes())
}

/// When it was: `msg=audit(1492896301.818:19955)`.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let (_, rest) = text.split_once("audit(")?;
    let (seconds, rest) = rest.split_once('.')?;
    let (millis, _) = rest.split_once(':')?;
    let millis = i64::from(number(millis.as_bytes()).filter(|_| millis.len() == 3)?);
    let seconds: i64 = seconds.parse().ok()?;
    Timestamp::from_millisecond(seconds.checked_mul(1000)?.checked_add(millis)?).ok()
}

struct Record<'a> {
    is_login: bool,
    text: &'a str,
}

impl<'a> Record<'a> {
    fn read(text: &'a str) -> Option<Record<'a>> {
        let text = text.split_once(ENRICHED).map_or(text, |(record, _)| record);
        let text = text.trim_end();
        let typed = match text.strip_prefix("node=") {
            Some(rest) => rest.split_once(' ')?.1,
            None => text,
        };
        let kind = typed.strip_prefix("type=").unwrap_or(typed);
        let (kind, text) = kind.split_once(' ')?;
        let is_login = match kind {
            "USER_LOGIN" | "1112" => true,
            "USER_AUTH" | "1100" => false,
            _ => return None,
        };
        text.contains("msg='").then_some(Record { is_login, text })
    }

    /// The last field of this name: behind the account, all is the daemon's own.
    fn field(&self, name: &str) -> Option<&'a str> {
        let at = self.text.rmatch_indices(name).find(|(at, _)| {
            let before = at.checked_sub(1).and_then(|at| self.text.as_bytes().get(at));
            let after = self.text.as_bytes().get(at + name.len());
            matches!(before, Some(b' ' | b'\'' | b'(')) && after == Some(&b'=')
        });
        let value = self.text.get(at?.0 + name.len() + 1..)?;
        Some(value.split([' ', ',']).next()?.trim_end_matches(['\'', ')']))
    }

    /// The program's name.
    fn exe(&self) -> &'a str {
        let path = self.field("exe").unwrap_or_default().trim_matches('"');
        path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether PAM wrote it; sshd writes `op=password`, `op=pubkey` of its own besides.
    fn is_pam(&self) -> bool {
        self.text.contains("msg='op=PAM:") || self.text.contains("msg='PAM: ")
    }
}

/// `"root"`, `726F6F74`, `?`.
fn account(written: &str) -> Option<Cow<'_, str>> {
    if let Some(quoted) = written.strip_prefix('"') {
        return Some(quoted.trim_end_matches('"').into());
    }
    if matches!(written, "" | "?" | "(unknown)") {
        return None;
    }
    let decoded: Option<Vec<u8>> = written.as_bytes().chunks(2).map(hexadecimal).collect();
    Some(match decoded {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
        None => written.into(),
    })
}

fn hexadecimal(pair: &[u8]) -> Option<u8> {
    let [high, low] = pair else { return None };
    let value = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    Some(value(high)? * 16 + value(low)?)
}
