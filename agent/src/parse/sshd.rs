//! OpenSSH, 6 to 10 (`sshd`, since 9.8 `sshd-session`, since 10 `sshd-auth`).
//!
//! Who logs in chooses the user's name: up to 100 characters, among them spaces, ` from `, ` port `, `ssh2`. So the address is
//! sought from the line's end, where the daemon wrote last. Only behind `ssh2: ` may something follow that others chose too
//! (a certificate's id, the client's host name); there the daemon's own form is asked for to the letter, and a line that can be
//! read in two ways blames nobody.

use std::borrow::Cow;
use std::net::IpAddr;

use super::address::{address, port};
use super::{Message, Told};
use crate::model::login::{Count, Outcome};

/// A connection that the listening process dropped: its id is no connection's.
pub(super) const DROPPED: &str = "sshd.penalty_drop";

/// PAM refused in a child of the daemon: see [`super::conversations`].
pub(super) const PAM_REFUSED: &str = "sshd.pam_refused";

/// Lines that may have been cut off within a certificate's id: busybox takes 256 bytes, `log.c` of OpenSSH 1024. Ordinary lines
/// of plain keys are shorter than this whatever the user's name.
const CUT: usize = 240;

pub(super) fn read<'a>(message: &Message<'a>) -> Result<Told<'a>, &'static str> {
    let text = message.text;
    let text = text.strip_suffix(" [preauth]").unwrap_or(text);
    let text = text.strip_prefix("error: ").or_else(|| text.strip_prefix("fatal: ")).unwrap_or(text);
    match text.as_bytes().first() {
        Some(b'F' | b'A' | b'P' | b'm' | b'R') => authentication(text),
        Some(b'I' | b'U') => refused_user(text),
        Some(b'C' | b'D') => ended(text),
        Some(b'd') => dropped(text),
        _ => Err("not a line of sshd that tells of a login"),
    }
}

/// Where a connection came from, and what stands before that.
#[derive(Clone, Copy)]
struct Origin<'a> {
    before: &'a str,
    source: Option<IpAddr>,
    port: Option<u16>,
}

impl Origin<'_> {
    /// Of two readings that disagree, neither.
    fn or_nobody(self, other: Self) -> Self {
        if self.source == other.source { self } else { Origin { source: None, port: None, ..self } }
    }

    /// The fields that every rule fills alike.
    fn told<'a>(&self, outcome: Outcome, count: Count, rule: &'static str) -> Told<'a> {
        Told { outcome, port: self.port, count, ..Told::failure(rule, self.source) }
    }
}

/// `... from ADDRESS port N`, at the end; older lines have no port.
fn from_at_end(text: &str) -> Option<Origin<'_>> {
    let origin = address_at_end(text)?;
    let before = origin.before.strip_suffix(" from")?;
    Some(Origin { before, ..origin })
}

/// `... ADDRESS port N`, at the end.
fn address_at_end(text: &str) -> Option<Origin<'_>> {
    let (rest, last) = text.rsplit_once(' ')?;
    let Some((rest, port)) = rest.strip_suffix(" port").zip(port(last)) else {
        return Some(Origin { before: rest, source: address(last), port: None });
    };
    let (before, host) = rest.rsplit_once(' ')?;
    Some(Origin { before, source: address(host), port: Some(port) })
}

/// A user, and whether the daemon says that there is none such.
fn user(text: &str) -> (Cow<'_, str>, bool) {
    match text.strip_prefix("invalid user ").or_else(|| text.strip_prefix("illegal user ")) {
        Some(user) => (user.into(), false),
        None => (text.into(), true),
    }
}

/// What `auth.c` and `auth-pam.c` say of attempts.
fn authentication(text: &str) -> Result<Told<'_>, &'static str> {
    if let Some(rest) = text.strip_prefix("Failed ") {
        return attempt(rest, Outcome::Failure, "sshd.failed");
    }
    if let Some(rest) = text.strip_prefix("Accepted ") {
        return attempt(rest, Outcome::Success, "sshd.accepted");
    }
    if text.starts_with("Partial ") || text.starts_with("Postponed ") {
        return Err("not decided yet: a further step of this login follows");
    }
    if let Some(rest) = text.strip_prefix("PAM: ") {
        return pam_refused(rest);
    }
    if let Some(rest) = text.strip_prefix("maximum authentication attempts exceeded for ") {
        return too_many(rest);
    }
    if let Some(rest) = text.strip_prefix("ROOT LOGIN REFUSED FROM ") {
        return Ok(root_refused(rest));
    }
    if text.starts_with("Authentication tried for ") {
        return wrong_host(text);
    }
    if text.starts_with("Received disconnect from ") {
        return Err("the client said goodbye: other lines tell what failed");
    }
    Err("not a line of sshd that tells of a login")
}

/// `auth_log` of `auth.c`: `METHOD[/SUBMETHOD] for [invalid user ]USER from ADDRESS port N ssh2[: EXTRA]`.
fn attempt<'a>(text: &'a str, outcome: Outcome, rule: &'static str) -> Result<Told<'a>, &'static str> {
    let (method, rest) = text.split_once(' ').ok_or("sshd's line ends too early")?;
    let rest = rest.strip_prefix("for ").ok_or("not sshd's form of an attempt")?;
    let origin = if is_bare(method) { bare_origin(rest) } else { origin(rest) };
    let origin = origin.ok_or("not sshd's form of an attempt: no address where the daemon writes it")?;
    let (user, is_known) = user(origin.before);
    // `none` asks which methods there are; nobody guessed a password. And a client offers each key that it has, one after
    // the other: all of them are one attempt of the connection.
    let is_offer = outcome == Outcome::Failure && matches!(method, "none" | "publickey");
    let count = if is_offer { Count::Sign } else { Count::Daemon(1) };
    Ok(Told {
        user: Some(user),
        is_known_user: Some(is_known),
        method: Some(method.into()),
        ..origin.told(outcome, count, rule)
    })
}

/// Methods behind which `auth_log` writes nothing.
fn is_bare(method: &str) -> bool {
    matches!(method, "password" | "none" | "challenge-response" | "skey")
        || method.starts_with("keyboard-interactive")
}

fn bare_origin(text: &str) -> Option<Origin<'_>> {
    let text = text.strip_suffix(" ssh2").or_else(|| text.strip_suffix(" ssh1")).unwrap_or(text);
    from_at_end(text).filter(|origin| origin.port.is_some())
}

/// Where several readings are possible and disagree, the attempt is of nobody known.
fn origin(text: &str) -> Option<Origin<'_>> {
    let may_be_cut = text.len() >= CUT;
    let exact = bare_origin(text).filter(|_| text.ends_with(" ssh2"));
    if exact.is_some() && !may_be_cut {
        return exact;
    }
    let ends = ExtraEnd::of(text);
    let is_form = |at, extra: &str| ends.is_extra(at, extra) || (may_be_cut && is_certificate(extra));
    // A patched sshd may write what we do not know, but not twice.
    let is_single = text.match_indices(MARK).nth(1).is_none();
    let unknown = || readings(text, |_, _| true).next().filter(|_| is_single);
    readings(text, is_form).chain(exact).reduce(Origin::or_nobody).or_else(unknown)
}

/// Between where from and what more there is to say.
const MARK: &str = " ssh2: ";

/// Where from, by each mark behind which the line goes on in the form that is asked for.
fn readings(text: &str, is_form: impl Fn(usize, &str) -> bool) -> impl Iterator<Item = Origin<'_>> {
    text.match_indices(MARK).filter_map(move |(at, _)| {
        let (before, after) = text.split_at_checked(at)?;
        let extra = after.get(MARK.len()..)?;
        let origin = from_at_end(before).filter(|origin| origin.port.is_some())?;
        is_form(at + MARK.len(), extra).then_some(origin)
    })
}

/// How a line ends, looked at once: `format_method_key` of `auth.c` and `auth2_record_info` of `auth2-*.c`.
struct ExtraEnd {
    /// Where `(serial N) CA TYPE FINGERPRINT` begins, if the line ends so.
    serial: Option<usize>,
    /// Whether it ends as `, client user "U", client host "H"` does.
    is_quoted: bool,
}

impl ExtraEnd {
    fn of(text: &str) -> ExtraEnd {
        let text = without_signatures(text);
        ExtraEnd { serial: serial(text), is_quoted: text.ends_with('"') }
    }

    /// Whether this is, to its end, what the daemon writes behind `ssh2: `; `at` is its place in the line.
    fn is_extra(&self, at: usize, extra: &str) -> bool {
        let Some((kind, rest)) = extra.split_once(' ') else { return is_word(extra) };
        if !is_word(kind) {
            return false;
        }
        if is_certificate(extra) {
            return self.is_quoted || self.serial.is_some_and(|serial| serial > at);
        }
        let end = rest.find([' ', ',']).unwrap_or(rest.len());
        let rest = rest.get(end..).unwrap_or_default();
        rest.is_empty()
            || (rest.starts_with(", client user \"") && self.is_quoted)
            || rest.strip_prefix(SIGNATURES).is_some_and(is_number)
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains([' ', ','])
}

/// `TYPE[-CERT] [FINGERPRINT] ID `: what follows is the certificate's id, which its maker chose.
fn is_certificate(extra: &str) -> bool {
    let mut words = extra.split(' ').skip(1);
    words.next() == Some("ID") || words.next() == Some("ID")
}

const SIGNATURES: &str = ", signature count = ";

fn without_signatures(text: &str) -> &str {
    match text.rsplit_once(SIGNATURES) {
        Some((rest, count)) if is_number(count) => rest,
        _ => text,
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn serial(text: &str) -> Option<usize> {
    let mut words = text.rsplitn(6, ' ');
    let (_fingerprint, _kind) = (words.next()?, words.next()?);
    let is_form = words.next()? == "CA"
        && words.next()?.strip_suffix(')').is_some_and(is_number)
        && words.next()? == "(serial";
    is_form.then(|| words.next().map(str::len))?
}

/// `auth-pam.c`: `PAM: WHY for [illegal user ]USER from HOST`; each attempt that PAM refused, by keyboard-interactive.
fn pam_refused(text: &str) -> Result<Told<'_>, &'static str> {
    const NONE: &str = "an error of PAM's that tells of no attempt";
    let origin = from_at_end(text).ok_or(NONE)?;
    let (why, rest) = origin.before.split_once(" for ").ok_or(NONE)?;
    // `pam_strerror`: "Have exhausted maximum number of retries for service"
    let rest =
        if why.ends_with("retries") { rest.strip_prefix("service for ").unwrap_or(rest) } else { rest };
    let (user, is_known) = user(rest);
    Ok(Told {
        user: Some(user),
        is_known_user: Some(is_known),
        method: Some("keyboard-interactive/pam".into()),
        ..origin.told(Outcome::Failure, Count::Pam(1), PAM_REFUSED)
    })
}

fn too_many(text: &str) -> Result<Told<'_>, &'static str> {
    let origin = bare_origin(text).ok_or("sshd's line ends too early")?;
    let (user, is_known) = user(origin.before);
    Ok(Told {
        user: Some(user),
        is_known_user: Some(is_known),
        ..origin.told(Outcome::Failure, Count::Sign, "sshd.too_many")
    })
}

fn root_refused(text: &str) -> Told<'_> {
    let (host, rest) = text.split_once(' ').unwrap_or((text, ""));
    let origin =
        Origin { before: "", source: address(host), port: rest.strip_prefix("port ").and_then(port) };
    Told {
        user: Some("root".into()),
        is_known_user: Some(true),
        ..origin.told(Outcome::Failure, Count::Sign, "sshd.root_refused")
    }
}

/// `auth2-pubkeyfile.c`: `Authentication tried for U with correct key but not from a permitted host (host=H, ip=A[, ...]).`
fn wrong_host(text: &str) -> Result<Told<'_>, &'static str> {
    const NONE: &str = "not a line of sshd that tells of a login";
    let (user, rest) = text.split_once(" with correct key but not from a permitted host ").ok_or(NONE)?;
    let source = rest.rsplit_once("ip=").and_then(|(_, rest)| rest.split([',', ')']).next());
    let origin = Origin { before: "", source: source.and_then(address), port: None };
    Ok(Told {
        user: user.strip_prefix("Authentication tried for ").map(Cow::from),
        is_known_user: Some(true),
        method: Some("publickey".into()),
        ..origin.told(Outcome::Failure, Count::Sign, "sshd.wrong_host")
    })
}

/// `getpwnamallow` and `allowed_user` of `auth.c`. Attempts of this user follow, and are counted then.
fn refused_user(text: &str) -> Result<Told<'_>, &'static str> {
    if let Some(rest) = text.strip_prefix("Invalid user ").or_else(|| text.strip_prefix("Illegal user ")) {
        // Without a name, `from` is what is left of it.
        let origin = from_at_end(rest).or_else(|| {
            let origin = address_at_end(rest)?;
            (origin.before == "from").then_some(Origin { before: "", ..origin })
        });
        let origin = origin.ok_or("sshd's line ends too early")?;
        return Ok(Told {
            user: Some(origin.before.into()),
            is_known_user: Some(false),
            ..origin.told(Outcome::Failure, Count::Sign, "sshd.invalid_user")
        });
    }
    let rest = text.strip_prefix("User ").ok_or("not a line of sshd that tells of a login")?;
    let (rest, _) =
        rest.split_once(" not allowed because ").ok_or("not a line of sshd that tells of a login")?;
    let origin = from_at_end(rest).unwrap_or(Origin { before: rest, source: None, port: None });
    Ok(Told {
        user: Some(origin.before.into()),
        is_known_user: Some(true),
        ..origin.told(Outcome::Failure, Count::Sign, "sshd.not_allowed")
    })
}

/// What `ssh_packet_disconnect` writes behind `Disconnecting ORIGIN: `, and behind it the names that the client sent, all of it
/// cut after 100 characters (`auth2.c`, `packet.c`): so the client chooses how the line ends.
const RENAMED: &str = ": Change of username or service not allowed: (";

/// How connections end before somebody is logged in (`sshpkt_vfatal` of `packet.c`): for valid users whose keys were refused
/// this is the only line.
fn ended(text: &str) -> Result<Told<'_>, &'static str> {
    const PLAIN: &str = "a connection ended; nobody had tried to log in, or had logged in before";
    const ENDS: [(&str, &str); 5] = [
        ("Connection closed by ", ""),
        ("Connection reset by ", ""),
        ("Disconnected from ", ""),
        ("Disconnecting ", ": Too many authentication failures"),
        ("Connection from ", " timed out"),
    ];
    if text.starts_with("Disconnecting: Too many authentication failures") {
        let nowhere = Origin { before: "", source: None, port: None };
        let user = text.split_once(" for ").map(|(_, user)| user.into());
        return Ok(Told { user, ..nowhere.told(Outcome::Failure, Count::Sign, "sshd.too_many") });
    }
    let rest = ENDS.iter().find_map(|(before, after)| text.strip_prefix(before)?.strip_suffix(after));
    let rest = rest.ok_or("not a line of sshd that tells of a login")?;
    if rest.contains(RENAMED) {
        return Err("the client changed its user's name: what follows is its own words, cut at any place");
    }
    let (rest, is_known) = match rest.strip_prefix("authenticating user ") {
        Some(rest) => (rest, true),
        None => (rest.strip_prefix("invalid user ").ok_or(PLAIN)?, false),
    };
    let origin = address_at_end(rest).filter(|origin| origin.port.is_some()).ok_or(PLAIN)?;
    Ok(Told {
        user: Some(origin.before.into()),
        is_known_user: Some(is_known),
        ..origin.told(Outcome::Failure, Count::Sign, "sshd.ended")
    })
}

/// `sshd.c` (`should_drop_connection`): `drop connection #N from [A]:P on [B]:22 penalty: REASON`; reasons are in `srclimit.c`.
fn dropped(text: &str) -> Result<Told<'_>, &'static str> {
    let rest = text.strip_prefix("drop connection #").and_then(|rest| rest.split_once(" from ["));
    let (_, rest) = rest.ok_or("not a line of sshd that tells of a login")?;
    let (host, rest) = rest.split_once("]:").ok_or("sshd's line ends too early")?;
    let (client, reason) = rest.split_once(' ').ok_or("sshd's line ends too early")?;
    let is_failure = ["failed authentication", "attempted authentication by invalid user"]
        .iter()
        .any(|penalty| reason.strip_suffix(penalty).is_some_and(|rest| rest.ends_with("penalty: ")));
    if !is_failure {
        return Err("a connection was dropped before anybody could try to log in");
    }
    let origin = Origin { before: "", source: address(host), port: port(client) };
    Ok(origin.told(Outcome::Failure, Count::Daemon(1), DROPPED))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_that_is_repeated_at_the_line_s_end_blames_nobody() {
        // The name is chosen so that the message is cut right behind it.
        const NAME: &str = "x 198.51.100.7 port 22: Too many authentication failures";
        let line = format!(
            "Disconnecting invalid user {NAME} 203.0.113.9 port 4022: Change of username or service not allowed: ({NAME}"
        );
        let plain =
            "Disconnecting invalid user x 203.0.113.9 port 4022: Too many authentication failures [preauth]";
        super::super::tables::check(super::read, &[(&line, "none"), (plain, "failure 203.0.113.9:4022 x")]);
    }

    #[test]
    fn keys_that_are_offered_are_one_attempt() {
        use crate::model::login::Count;
        for (method, want) in
            [("publickey", Count::Sign), ("none", Count::Sign), ("password", Count::Daemon(1))]
        {
            let text = format!("Failed {method} for ann from 192.0.2.4 port 4022 ssh2");
            let message = super::Message { program: "sshd", pid: Some(7), text: &text };
            assert_eq!(super::read(&message).unwrap().count, want, "{method}");
        }
    }
}
