//! Logins on the host itself: login(1), su(1), sudo(8). Cron's sessions are nobody's. And programs for which PAM alone speaks.
//!
//! Most failures of these are told by PAM ([`super::pam`]); here are their own words for them.

use super::address::address;
use super::{Message, Told};
use crate::model::login::{Count, Outcome};

fn told<'a>(outcome: Outcome, user: &'a str, count: Count, rule: &'static str) -> Told<'a> {
    Told { outcome, count, ..Told::failure(rule, None) }.of(Some(user))
}

/// login(1) of util-linux (`login.c`: `FAILED LOGIN 1 FROM H FOR U, WHY`, `LOGIN ON T BY U FROM H`, `ROOT LOGIN ON T FROM H`) and
/// of shadow (`FAILED LOGIN (1) on 'T' from 'H' FOR 'U', WHY`). Where from comes before the user's name, which is what was typed.
pub(super) fn login<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    let text = message.text;
    let failed = ["FAILED LOGIN SESSION ", "FAILED LOGIN ", "TOO MANY LOGIN TRIES "];
    if let Some(rest) = failed.iter().find_map(|start| text.strip_prefix(start)) {
        let (place, user) = rest.split_once(" FOR ").ok_or("login's line ends too early")?;
        let host = place.split_once("FROM ").or_else(|| place.split_once(" from ")).map(|(_, host)| host);
        let user = user.rsplit_once(", ").map_or(user, |(user, _)| user).trim_matches('\'');
        let told = told(Outcome::Failure, user, Count::Daemon(1), "login.failed");
        return Ok(Told { source: host.and_then(|host| address(host.trim_matches('\''))), ..told });
    }
    let on = text.strip_prefix("LOGIN ON ").map(|rest| ("", rest));
    let on = on.or_else(|| text.strip_prefix("ROOT LOGIN ON ").map(|rest| ("root", rest)));
    let (root, rest) = on.ok_or("not a line of login that tells of one")?;
    let (place, host) = rest.split_once(" FROM ").unwrap_or((rest, ""));
    let user = place.split_once(" BY ").map_or(root, |(_, user)| user);
    let told = told(Outcome::Success, user, Count::Daemon(1), "login.logged_in");
    Ok(Told { source: address(host), is_known_user: Some(true), ..told })
}

/// su(1) of util-linux (`FAILED SU (to root) bob on pts/0`) and of shadow (`FAILED su for root by bob`); BSD's `BAD SU`.
pub(super) fn su<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    let text = message.text;
    if let Some(rest) = text.strip_prefix("FAILED SU (to ") {
        let user = rest.split_once(") ").map_or(rest, |(user, _)| user);
        return Ok(told(Outcome::Failure, user, Count::Daemon(1), "su.failed"));
    }
    if let Some(rest) = text.strip_prefix("FAILED su for ") {
        let user = rest.split_once(" by ").map_or(rest, |(user, _)| user);
        return Ok(told(Outcome::Failure, user, Count::Daemon(1), "su.failed"));
    }
    if let Some(rest) = text.strip_prefix("BAD SU ") {
        let user = rest.split_once(" to ").map_or("", |(_, user)| user);
        let user = user.split_once(" on ").map_or(user, |(user, _)| user);
        return Ok(told(Outcome::Failure, user, Count::Daemon(1), "su.failed"));
    }
    Err("PAM tells who became whom by su")
}

/// sudo(8): what it logs is commands; whether a password was wrong, PAM tells.
pub(super) fn sudo<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    let text = message.text;
    if text.contains("incorrect password attempt") {
        return Err("PAM tells each wrong password by itself");
    }
    if text.contains("user NOT in sudoers") {
        return Err("the user was who he said, but may not do this");
    }
    Err("a command, not a login")
}

/// Cockpit: `cockpit-session` asks PAM, whose lines are all that it logs of failures (`src/session/session.c`).
pub(super) fn cockpit<'a>(_message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    Err("PAM tells who logged in to cockpit, and who failed")
}

/// Cron, at.
pub(super) fn cron<'a>(_message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    Err("a job, not a login")
}
