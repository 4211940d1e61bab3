//! Lines with what they tell. Whoever adds a rule adds a line here that it reads, and one that looks like it and is none.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::model::log_line::{LogLine, LogLines, Writer};
use crate::model::login::Login;
use crate::model::settings::LoginPattern;

fn read() -> jiff::Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn explain(grammar: &str, line: &str) -> Explained {
    LoginReader::default().explain(&super::grammar(grammar).unwrap(), line, read(), &TimeZone::UTC)
}

/// `OUTCOME SERVICE ADDRESS [USER] COUNT RULE`, or `none`.
fn summary(explained: &Explained) -> String {
    let Some(login) = &explained.login else { return "none".to_owned() };
    let source = login.source.map_or("-".to_owned(), |source| source.to_string());
    let count = match login.count {
        Count::Daemon(count) => format!("daemon{count}"),
        Count::Pam(count) => format!("pam{count}"),
        Count::Sign => "sign".to_owned(),
    };
    let (outcome, user) = (login.outcome.as_str(), login.user.as_deref().unwrap_or("-"));
    format!("{outcome} {} {source} [{user}] {count} {}", login.service, login.rule)
}

fn check(grammar: &str, cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        assert_eq!(summary(&explain(grammar, line)), *expected, "{grammar}: {line:?}");
    }
}

const KEY: &str = "ED25519 SHA256:qk5fQmnhVfbEX0kKk1TE3wcUzrvJd3lXYyMk8Z0EpnE";

const SSHD: &[(&str, &str)] = &[
    (
        "Mar  2 08:05:27 web sshd[71]: Failed password for bob from 192.0.2.7 port 5001 ssh2",
        "failure sshd 192.0.2.7 [bob] daemon1 sshd.failed",
    ),
    (
        "Mar  2 08:05:27 web sshd[71]: Failed password for invalid user  from 192.0.2.7 port 5001 ssh2",
        "failure sshd 192.0.2.7 [] daemon1 sshd.failed",
    ),
    (
        "sshd-session[71]: Failed keyboard-interactive/pam for invalid user a b from 2001:db8::7 port 5001 ssh2",
        "failure sshd 2001:db8::7 [a b] daemon1 sshd.failed",
    ),
    (
        "Failed none for invalid user bob from 192.0.2.7 port 5001 ssh2",
        "failure sshd 192.0.2.7 [bob] sign sshd.failed",
    ),
    (
        "Failed password for bob from fe80::7%eth0 port 5001 ssh2",
        "failure sshd fe80::7 [bob] daemon1 sshd.failed",
    ),
    (
        "Failed password for bob from ::ffff:192.0.2.7 port 5001 ssh2",
        "failure sshd 192.0.2.7 [bob] daemon1 sshd.failed",
    ),
    ("Failed password for bob from host.example port 5001 ssh2", "failure sshd - [bob] daemon1 sshd.failed"),
    (
        "Failed publickey for bob from 192.0.2.7 port 5001 ssh2: RSA SHA256:abc",
        "failure sshd 192.0.2.7 [bob] sign sshd.failed",
    ),
    (
        "Failed hostbased for bob from 192.0.2.7 port 5001 ssh2: RSA SHA256:abc, client user \"eve\", client host \"h.example\"",
        "failure sshd 192.0.2.7 [bob] daemon1 sshd.failed",
    ),
    (
        "Accepted publickey for bob from 192.0.2.7 port 5001 ssh2",
        "success sshd 192.0.2.7 [bob] daemon1 sshd.accepted",
    ),
    (
        "Accepted publickey for bob from 192.0.2.7 port 5001 ssh2: RSA 01:67:32",
        "success sshd 192.0.2.7 [bob] daemon1 sshd.accepted",
    ),
    (
        "Accepted publickey for bob from 192.0.2.7 port 5001 ssh2: ED25519-SK SHA256:abc, signature count = 12",
        "success sshd 192.0.2.7 [bob] daemon1 sshd.accepted",
    ),
    (
        "Accepted publickey for bob from 192.0.2.7 port 5001 ssh2: RSA-CERT SHA256:abc ID bob at work (serial 7) CA ED25519 SHA256:def",
        "success sshd 192.0.2.7 [bob] daemon1 sshd.accepted",
    ),
    (
        "Accepted publickey for bob from 192.0.2.7 port 5001 ssh2: RSA-CERT ID bob (serial 7) CA RSA 01:67",
        "success sshd 192.0.2.7 [bob] daemon1 sshd.accepted",
    ),
    (
        "Accepted gssapi-with-mic for bob from 192.0.2.7 port 5001 ssh2: bob@EXAMPLE",
        "success sshd 192.0.2.7 [bob] daemon1 sshd.accepted",
    ),
    ("Postponed publickey for bob from 192.0.2.7 port 5001 ssh2 [preauth]", "none"),
    ("Partial publickey for bob from 192.0.2.7 port 5001 ssh2", "none"),
    ("Invalid user bob from 192.0.2.7 port 5001", "failure sshd 192.0.2.7 [bob] sign sshd.invalid_user"),
    ("Invalid user bob from 192.0.2.7", "failure sshd 192.0.2.7 [bob] sign sshd.invalid_user"),
    ("Invalid user  from 192.0.2.7 port 5001", "failure sshd 192.0.2.7 [] sign sshd.invalid_user"),
    (
        "User bob from 192.0.2.7 not allowed because listed in DenyUsers",
        "failure sshd 192.0.2.7 [bob] sign sshd.not_allowed",
    ),
    ("User bob not allowed because account is locked", "failure sshd - [bob] sign sshd.not_allowed"),
    (
        "ROOT LOGIN REFUSED FROM 192.0.2.7 port 5001 [preauth]",
        "failure sshd 192.0.2.7 [root] sign sshd.root_refused",
    ),
    (
        "error: maximum authentication attempts exceeded for invalid user bob from 192.0.2.7 port 5001 ssh2 [preauth]",
        "failure sshd 192.0.2.7 [bob] sign sshd.too_many",
    ),
    (
        "error: PAM: Authentication failure for illegal user bob from 192.0.2.7",
        "failure sshd 192.0.2.7 [bob] pam1 sshd.pam_refused",
    ),
    (
        "error: PAM: Have exhausted maximum number of retries for service for bob from 192.0.2.7",
        "failure sshd 192.0.2.7 [bob] pam1 sshd.pam_refused",
    ),
    ("error: PAM: Permission denied for bob from host.example", "failure sshd - [bob] pam1 sshd.pam_refused"),
    ("error: PAM: pam_open_session(): Permission denied", "none"),
    (
        "Connection closed by authenticating user bob 192.0.2.7 port 5001 [preauth]",
        "failure sshd 192.0.2.7 [bob] sign sshd.ended",
    ),
    (
        "Connection reset by invalid user  192.0.2.7 port 5001 [preauth]",
        "failure sshd 192.0.2.7 [] sign sshd.ended",
    ),
    (
        "Disconnected from invalid user bob 192.0.2.7 port 5001 [preauth]",
        "failure sshd 192.0.2.7 [bob] sign sshd.ended",
    ),
    (
        "Disconnecting authenticating user bob 192.0.2.7 port 5001: Too many authentication failures [preauth]",
        "failure sshd 192.0.2.7 [bob] sign sshd.ended",
    ),
    (
        "Disconnecting: Too many authentication failures for bob [preauth]",
        "failure sshd - [bob] sign sshd.too_many",
    ),
    ("Connection closed by 192.0.2.7 port 5001 [preauth]", "none"),
    ("Disconnected from user bob 192.0.2.7 port 5001", "none"),
    (
        "Disconnecting invalid user bob 192.0.2.7 port 5001: Change of username or service not allowed: (bob,x) -> (eve,x) [preauth]",
        "none",
    ),
    ("Received disconnect from 192.0.2.7 port 5001:11: Bye Bye [preauth]", "none"),
    ("fatal: Timeout before authentication for 192.0.2.7 port 5001", "none"),
    ("drop connection #3 from [192.0.2.7]:5001 on [192.0.2.1]:22 past MaxStartups", "none"),
    (
        "drop connection #3 from [2001:db8::7]:5001 on [2001:db8::1]:22 penalty: failed authentication",
        "failure sshd 2001:db8::7 [-] daemon1 sshd.penalty_drop",
    ),
    ("drop connection #3 from [192.0.2.7]:5001 on [192.0.2.1]:22 penalty: exceeded LoginGraceTime", "none"),
    (
        "Authentication tried for bob with correct key but not from a permitted host (host=h.example, ip=192.0.2.7).",
        "failure sshd 192.0.2.7 [bob] sign sshd.wrong_host",
    ),
    (
        "Mar  2 08:05:27 web sshd[71]: message repeated 5 times: [ Failed password for bob from 192.0.2.7 port 5001 ssh2]",
        "failure sshd 192.0.2.7 [bob] daemon5 sshd.failed",
    ),
    ("Mar  2 08:05:27 web CRON[71]: Failed password for bob from 192.0.2.7 port 5001 ssh2", "none"),
    (
        "Mar  2 08:05:27 web sshd[71]: pam_unix(sudo:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7",
        "none",
    ),
    ("Failed password for", "none"),
    ("Failed password for bob from 192.0.2.7", "none"),
    ("Server listening on 0.0.0.0 port 22.", "none"),
];

#[test]
fn sshd_lines_are_read() {
    check("sshd", SSHD);
}

const PAM: &[(&str, &str)] = &[
    (
        "Mar  2 08:05:27 web sshd[71]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=bob",
        "failure sshd 192.0.2.7 [bob] pam1 pam.failure",
    ),
    (
        "Mar  2 08:05:27 web sshd(pam_unix)[71]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=192.0.2.7 user=bob",
        "failure sshd 192.0.2.7 [bob] pam1 pam.failure",
    ),
    (
        "Mar  2 08:05:27 web sshd[71]: PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=bob",
        "failure sshd 192.0.2.7 [bob] pam2 pam.more_failures",
    ),
    (
        "PAM 1 more authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7",
        "failure sshd 192.0.2.7 [-] pam1 pam.more_failures",
    ),
    (
        "Mar  2 08:05:27 web sshd[71]: pam_sss(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7 user=bob",
        "failure sshd 192.0.2.7 [bob] sign pam.module_failure",
    ),
    (
        "Mar  2 08:05:27 web sudo: pam_unix(sudo:auth): authentication failure; logname=bob uid=1001 euid=0 tty=/dev/pts/1 ruser=bob rhost=  user=bob",
        "failure sudo - [bob] pam1 pam.failure",
    ),
    (
        "Mar  2 08:05:27 web su: pam_unix(su-l:auth): authentication failure; logname=bob uid=1001 euid=0 tty=pts/1 ruser=bob rhost=  user=root",
        "failure su - [root] pam1 pam.failure",
    ),
    (
        "Mar  2 08:05:27 web frobd: pam_unix(frob:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=192.0.2.7",
        "failure pam 192.0.2.7 [-] pam1 pam.failure",
    ),
    (
        "Mar  2 08:05:27 web x: pam_unix(x:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=e rhost=203.0.113.9 rhost=192.0.2.7  user=e rhost=203.0.113.9",
        "failure pam 192.0.2.7 [e rhost=203.0.113.9] pam1 pam.failure",
    ),
    (
        "Mar  2 08:05:27 web x: pam_unix(x:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=e rhost=203.0.113.9 rhost=192.0.2.7",
        "failure pam - [-] pam1 pam.failure",
    ),
    (
        "Mar  2 08:05:27 web sshd[71]: pam_sss(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7 user=e rhost=203.0.113.9",
        "failure sshd 192.0.2.7 [e rhost=203.0.113.9] sign pam.module_failure",
    ),
    ("Mar  2 08:05:27 web sshd[71]: pam_unix(sshd:auth): check pass; user unknown", "none"),
    (
        "Mar  2 08:05:27 web sshd[71]: pam_unix(sshd:session): session opened for user bob(uid=1001) by (uid=0)",
        "none",
    ),
    (
        "Mar  2 08:05:27 web login[71]: pam_unix(login:session): session opened for user bob(uid=1001) by LOGIN(uid=0)",
        "success login - [bob] pam1 pam.session_opened",
    ),
    (
        "Mar  2 08:05:27 web su[71]: pam_unix(su:session): session opened for user root by bob(uid=1001)",
        "success su - [root] pam1 pam.session_opened",
    ),
    ("Mar  2 08:05:27 web CRON[71]: pam_unix(cron:session): session opened for user root by (uid=0)", "none"),
    (
        "Mar  2 08:05:27 web sshd[71]: pam_faillock(sshd:auth): Consecutive login failures for user bob account temporarily locked",
        "failure sshd - [bob] sign pam.locked",
    ),
    (
        "Mar  2 08:05:27 web sshd[71]: pam_access(sshd:account): access denied for user `bob' from `192.0.2.7'",
        "failure sshd 192.0.2.7 [bob] sign pam.access_denied",
    ),
    (
        "Mar  2 08:05:27 web unix_chkpwd[72]: password check failed for user (bob)",
        "failure pam - [bob] sign pam.password_check",
    ),
    ("Mar  2 08:05:27 web sshd[71]: PAM service(sshd) ignoring max retries; 6 > 3", "none"),
    ("authentication failure; rhost=192.0.2.7 user=bob@pve msg=no such user", "none"),
    (
        "Mar  2 08:05:27 web login[71]: FAILED LOGIN (1) on '/dev/tty1' FOR 'bob', Authentication failure",
        "failure login - [bob] daemon1 login.failed",
    ),
    (
        "Mar  2 08:05:27 web login[71]: FAILED LOGIN 2 FROM 192.0.2.7 FOR x FROM 203.0.113.9, Authentication failure",
        "failure login 192.0.2.7 [x FROM 203.0.113.9] daemon1 login.failed",
    ),
    ("Mar  2 08:05:27 web login[71]: ROOT LOGIN ON tty1", "success login - [root] daemon1 login.logged_in"),
    (
        "Mar  2 08:05:27 web login[71]: LOGIN ON pts/1 BY bob FROM 192.0.2.7",
        "success login 192.0.2.7 [bob] daemon1 login.logged_in",
    ),
    ("Mar  2 08:05:27 web su[71]: FAILED SU (to root) bob on pts/1", "failure su - [root] daemon1 su.failed"),
    ("Mar  2 08:05:27 web su[71]: Successful su for root by bob", "none"),
    (
        "Mar  2 08:05:27 web sudo:   bob : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls",
        "none",
    ),
    (
        "Mar  2 08:05:27 web sudo:   bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/echo Failed password for x from 203.0.113.9 port 1 ssh2",
        "none",
    ),
];

#[test]
fn pam_lines_are_read() {
    check("auto", PAM);
}

#[test]
fn audit_records_are_read() {
    let record = |kind: &str, inner: &str| {
        format!(
            "type={kind} msg=audit(1772440000.250:77): pid=71 uid=0 auid=4294967295 ses=4294967295 msg='{inner}'"
        )
    };
    let cases = [
        (
            "USER_LOGIN",
            "op=login acct=\"bob\" exe=\"/usr/sbin/sshd\" hostname=? addr=192.0.2.7 terminal=ssh res=failed",
            "failure sshd 192.0.2.7 [bob] daemon1 audit.login_failed",
        ),
        (
            "USER_LOGIN",
            "op=login acct=612062 exe=\"/usr/sbin/sshd\" hostname=192.0.2.7 addr=? terminal=ssh res=failed",
            "failure sshd 192.0.2.7 [a b] daemon1 audit.login_failed",
        ),
        (
            "USER_LOGIN",
            "op=login id=1000 exe=\"/usr/sbin/sshd\" hostname=h.example addr=192.0.2.7 terminal=ssh res=success",
            "success sshd 192.0.2.7 [-] daemon1 audit.login",
        ),
        (
            "USER_AUTH",
            "op=PAM:authentication grantors=? acct=\"bob\" exe=\"/usr/sbin/sshd\" hostname=192.0.2.7 addr=192.0.2.7 terminal=ssh res=failed",
            "failure sshd 192.0.2.7 [bob] pam1 audit.auth_failed",
        ),
        (
            "USER_AUTH",
            "op=password acct=\"bob\" exe=\"/usr/sbin/sshd\" hostname=? addr=192.0.2.7 terminal=ssh res=failed",
            "failure sshd 192.0.2.7 [bob] sign audit.auth_failed",
        ),
        (
            "USER_AUTH",
            "op=PAM:authentication acct=\"root\" exe=\"/usr/bin/su\" hostname=? addr=? terminal=pts/0 res=success",
            "success su - [root] pam1 audit.auth",
        ),
        (
            "USER_AUTH",
            "op=success acct=\"bob\" exe=\"/usr/sbin/sshd\" hostname=? addr=192.0.2.7 terminal=ssh res=success",
            "none",
        ),
        (
            "USER_AUTH",
            "PAM: authentication acct=x addr=203.0.113.9 : exe=\"/usr/sbin/frob\" (hostname=?, addr=192.0.2.7, terminal=ssh res=failed)",
            "failure audit 192.0.2.7 [x] pam1 audit.auth_failed",
        ),
        (
            "CRED_ACQ",
            "op=PAM:setcred acct=\"bob\" exe=\"/usr/sbin/sshd\" hostname=? addr=192.0.2.7 terminal=ssh res=failed",
            "none",
        ),
        ("EXECVE", "argc=1 a0=\"type=USER_LOGIN\" res=failed", "none"),
    ];
    for (kind, inner, expected) in cases {
        check("auto", &[(&record(kind, inner), expected)]);
    }
    let enriched =
        record("USER_LOGIN", "op=login acct=\"bob\" exe=\"/usr/sbin/sshd\" addr=192.0.2.7 res=failed")
            + "\x1dUID=\"root\" res=success";
    check("audit", &[(&enriched, "failure sshd 192.0.2.7 [bob] daemon1 audit.login_failed")]);
    let login = explain("auto", &enriched).login.unwrap();
    assert_eq!((login.time.to_string().as_str(), login.pid), ("2026-03-02T08:26:40.25Z", Some(71)));
    check(
        "auto",
        &[(
            "Mar  2 08:05:27 web audit[71]: USER_LOGIN pid=71 uid=0 msg='op=login acct=\"bob\" exe=\"/usr/sbin/sshd\" hostname=? addr=192.0.2.7 terminal=ssh res=failed'",
            "failure sshd 192.0.2.7 [bob] daemon1 audit.login_failed",
        )],
    );
}

/// Who is blamed for a line in which others chose some words.
#[test]
fn hostile_words_blame_nobody() {
    let victim = format!("from 203.0.113.9 port 1 ssh2: {KEY}");
    let cases = [
        // The user's name ends as sshd's line does.
        (format!("Failed password for invalid user x {victim} from 192.0.2.7 port 5 ssh2"), Some("192.0.2.7")),
        (format!("Failed publickey for invalid user x {victim} from 192.0.2.7 port 5 ssh2: {KEY}"), Some("192.0.2.7")),
        (format!("Failed publickey for invalid user x from 203.0.113.9 port 1 ssh2 from 192.0.2.7 port 5 ssh2: {KEY}"), Some("192.0.2.7")),
        (format!("Failed publickey for invalid user x from 203.0.113.9 port 1 ssh2: RSA-CERT SHA256:a ID y from 192.0.2.7 port 5 ssh2: {KEY}"), Some("192.0.2.7")),
        ("Failed publickey for invalid user x from 203.0.113.9 port 1 ssh2: RSA SHA256:a from 192.0.2.7 port 5 ssh2".to_owned(), Some("192.0.2.7")),
        // The certificate's id has another origin in it: either may be true.
        (format!("Failed publickey for bob from 192.0.2.7 port 5 ssh2: RSA-CERT SHA256:a ID y {victim} (serial 1) CA {KEY}"), Some("192.0.2.7")),
        (format!("Failed publickey for bob from 192.0.2.7 port 5 ssh2: RSA-CERT SHA256:a ID y from 203.0.113.9 port 1 ssh2: RSA-CERT SHA256:a ID z (serial 1) CA {KEY}"), None),
        (format!("Failed publickey for bob from 192.0.2.7 port 5 ssh2: RSA-CERT SHA256:a ID {} {victim}", "y".repeat(1000)), None),
        // The client's user, by hostbased.
        ("Failed hostbased for x from 203.0.113.9 port 1 ssh2: RSA a, client user \"q from 192.0.2.7 port 5 ssh2: RSA a, client user \"c\", client host \"h\"".to_owned(), None),
        ("Invalid user x from 203.0.113.9 port 1 from 192.0.2.7 port 5".to_owned(), Some("192.0.2.7")),
        ("Connection closed by invalid user x 203.0.113.9 port 1 192.0.2.7 port 5 [preauth]".to_owned(), Some("192.0.2.7")),
        ("error: PAM: Authentication failure for illegal user x from 203.0.113.9 from 192.0.2.7".to_owned(), Some("192.0.2.7")),
    ];
    for (line, expected) in cases {
        let login = explain("sshd", &line).login;
        let source = login.and_then(|login| login.source).map(|source| source.to_string());
        if expected.is_none() {
            assert_ne!(source.as_deref(), Some("203.0.113.9"), "{line}");
        } else {
            assert_eq!(source.as_deref(), expected, "{line}");
        }
    }
}

fn lines(texts: &[&str]) -> LogLines {
    LogLines {
        log: "auth.log".into(),
        grammar: Grammar::Auto,
        lines: texts.iter().map(|text| LogLine { text: (*text).to_owned(), ..LogLine::default() }).collect(),
        read: read(),
        is_behind: false,
        zone: TimeZone::UTC,
        cursor: None,
    }
}

/// Attempts by connection: the most that any one voice tells.
fn attempts(logins: &[Login]) -> u32 {
    let mut connections: BTreeMap<Option<u32>, [u32; 3]> = BTreeMap::new();
    for login in logins {
        let [daemon, pam, sign] = connections.entry(login.pid).or_default();
        match login.count {
            Count::Daemon(count) => *daemon += count,
            Count::Pam(count) => *pam += count,
            Count::Sign => *sign = 1,
        }
    }
    connections.values().map(|voices| voices.iter().max().unwrap()).sum()
}

/// As real daemons told it.
#[test]
fn attempts_are_counted_once() {
    let failure = "authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=bob";
    let pam = |pid: u32| format!("sshd[{pid}]: pam_unix(sshd:auth): {failure}");
    let refused = "sshd[70]: error: PAM: Authentication failure for bob from 192.0.2.7";
    let closed = "sshd[70]: Connection closed by authenticating user bob 192.0.2.7 port 5 [preauth]";
    let failed = "sshd[70]: Failed password for bob from 192.0.2.7 port 5 ssh2";
    let interactive = "sshd[70]: Failed keyboard-interactive/pam for bob from 192.0.2.7 port 5 ssh2";
    let more = format!("sshd[70]: PAM 1 {}", failure.replacen("authentication", "more authentication", 1));
    let (pam70, pam71, pam73) = (pam(70), pam(71), pam(73));
    let cases: [(&str, Vec<&str>, u32); 5] = [
        ("passwords", vec![&pam70, failed, failed, closed, &more], 2),
        ("a key", vec![closed], 1),
        ("keyboard-interactive", vec![&pam71, refused, closed], 1),
        ("keyboard-interactive twice", vec![&pam71, refused, &pam73, refused, interactive, closed], 2),
        ("keyboard-interactive without pam_unix", vec![refused, refused, refused, interactive, closed], 3),
    ];
    for (name, texts, expected) in cases {
        let logins = LoginReader::default().logins(&lines(&texts));
        assert_eq!(attempts(&logins), expected, "{name}: {logins:#?}");
    }
}

#[test]
fn lines_of_the_journal_have_their_writers_time_and_trust() {
    let writer = Writer {
        time: "2026-03-01T01:02:03.5Z".parse().unwrap(),
        program: "sshd-session".to_owned(),
        pid: Some(71),
    };
    let text = "Failed password for bob from 192.0.2.7 port 5 ssh2".to_owned();
    let line = LogLine { text, writer: Some(writer.clone()), is_cut: false };
    let logins = LoginReader::default().logins(&LogLines { lines: vec![line], ..lines(&[]) });
    let login = logins.first().unwrap();
    assert_eq!((login.time, login.pid, login.port, login.is_trusted), (writer.time, Some(71), Some(5), true));
    let in_file =
        LoginReader::default().logins(&lines(&["Mar  2 08:05:27 h sshd[7]: Invalid user x from 192.0.2.7"]));
    assert_eq!(
        in_file.first().map(|login| (login.is_trusted, login.time.to_string())),
        Some((false, "2026-03-02T08:05:27Z".to_owned()))
    );
}

#[test]
fn patterns_are_tried_where_no_service_claims_the_program() {
    let pattern = LoginPattern {
        name: "shop".to_owned(),
        regex: "bad login of (?P<user>\\w+) from (?P<source>\\S+)".to_owned(),
        success: vec![],
    };
    let mut reader = LoginReader::new(&[pattern]);
    let asked = Grammar::Pattern(Arc::from("shop"));
    let cases = [
        (
            Grammar::Auto,
            "Mar  2 08:05:27 h shopd[1]: bad login of bob from 192.0.2.7",
            "failure shop 192.0.2.7 [bob] daemon1 pattern",
        ),
        (Grammar::Auto, "bad login of bob from 192.0.2.7", "failure shop 192.0.2.7 [bob] daemon1 pattern"),
        (Grammar::Auto, "Mar  2 08:05:27 h sshd[1]: bad login of bob from 192.0.2.7", "none"),
        (
            asked.clone(),
            "Mar  2 08:05:27 h sshd[1]: bad login of bob from h.example",
            "failure shop - [bob] daemon1 pattern",
        ),
        (asked, "Failed password for bob from 192.0.2.7 port 5 ssh2", "none"),
    ];
    for (grammar, line, expected) in cases {
        assert_eq!(
            summary(&reader.explain(&grammar, line, read(), &TimeZone::UTC)),
            expected,
            "{grammar:?}: {line}"
        );
    }
}

#[test]
fn services_have_names_of_their_own() {
    let mut names: Vec<&str> =
        PARSERS.iter().flat_map(|parser| parser.also.iter().chain([&parser.name])).copied().collect();
    names.push("auto");
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
    assert_eq!(grammar("CRON"), Some(Grammar::Service("cron")));
    assert_eq!(grammar("frob"), None);
}

/// Words that attackers put together.
fn hostile() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just(" from "),
        Just("203.0.113.9"),
        Just(" port 1"),
        Just(" ssh2"),
        Just(": "),
        Just("ED25519 SHA256:a"),
        Just("invalid user "),
        Just("RSA-CERT SHA256:a ID "),
        Just(" (serial 1) CA RSA b"),
        Just(", client user \"a\""),
        Just(" [preauth]"),
        Just("x"),
        Just(" "),
        Just(" rhost="),
        Just(" user="),
        Just(" not allowed because "),
        Just("]"),
        Just(" for "),
    ];
    proptest::collection::vec(word, 0..12).prop_map(|words| {
        let mut name = words.concat();
        name.truncate(100); // as `%.100s` of sshd does
        name
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*", head in "(Mar  2 08:05:27 h )?(sshd|su|audit|login|x)?(\\[7\\])?(: )?") {
        explain("auto", &text);
        explain("auto", &format!("{head}{text}"));
        for service in services() {
            explain(service, &format!("{head}{text}"));
        }
    }

    #[test]
    fn whatever_the_user_is_called_the_daemons_address_is_blamed(user in hostile()) {
        let key = format!("Failed publickey for invalid user {user} from 192.0.2.7 port 5 ssh2: {KEY}");
        let lines = [
            format!("Failed password for invalid user {user} from 192.0.2.7 port 5 ssh2"),
            format!("Failed keyboard-interactive/pam for invalid user {user} from 192.0.2.7 port 5 ssh2"),
            format!("Invalid user {user} from 192.0.2.7 port 5"),
            format!("Connection closed by invalid user {user} 192.0.2.7 port 5 [preauth]"),
            format!("maximum authentication attempts exceeded for invalid user {user} from 192.0.2.7 port 5 ssh2"),
            format!("error: PAM: Authentication failure for illegal user {user} from 192.0.2.7"),
            format!("pam_sss(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7 user={user}"),
            key,
        ];
        for line in lines {
            let login = explain("sshd", &line).login;
            let source = login.and_then(|login| login.source).map(|source| source.to_string());
            prop_assert_eq!(source.as_deref(), Some("192.0.2.7"), "{}", line);
        }
    }

    #[test]
    fn whatever_a_certificate_is_called_no_other_address_is_blamed(user in hostile(), id in hostile()) {
        let line = format!("Failed publickey for invalid user {user} from 192.0.2.7 port 5 ssh2: RSA-CERT SHA256:a ID {id} (serial 1) CA {KEY}");
        let login = explain("sshd", &line).login;
        let source = login.and_then(|login| login.source).map(|source| source.to_string());
        prop_assert!(matches!(source.as_deref(), None | Some("192.0.2.7")), "{:?}: {}", source, line);
    }
}
