//! Tables of lines and what they tell: `failure 192.0.2.1:4022 root`, `success - -`, `none`.

use std::fmt::Write as _;

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};

use super::{Message, PARSERS, Told};

type Read = for<'a> fn(&Message<'a>) -> Result<Told<'a>, &'static str>;

/// What a parser makes of a text, in a few words.
pub(super) fn told(read: Read, text: &str) -> String {
    let Ok(told) = read(&Message { program: "", pid: None, text }) else { return "none".into() };
    let mut words = told.outcome.as_str().to_owned();
    match told.source {
        Some(source) => write!(words, " {source}").unwrap(),
        None => words.push_str(" -"),
    }
    if let Some(port) = told.port {
        write!(words, ":{port}").unwrap();
    }
    write!(words, " {}", told.user.as_deref().unwrap_or("-")).unwrap();
    words
}

/// Compares a table with what a parser makes of it.
pub(super) fn check(read: Read, table: &[(&str, &str)]) {
    for (line, want) in table {
        assert_eq!(told(read, line), *want, "{line}");
    }
}

#[test]
fn names_of_services_are_their_own() {
    let mut names: Vec<_> =
        PARSERS.iter().flat_map(|parser| parser.also.iter().chain([&parser.name])).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// Where a hostile user name stands in a line, and how a daemon writes it. `{}` is the name; the address is 203.0.113.9.
const TEMPLATES: &[(&str, &str)] = &[
    ("web", "203.0.113.9 - {} [08/Jun/2026:09:08:53 +0000] \"GET / HTTP/1.1\" 401 172 \"-\" \"curl\""),
    (
        "nginx",
        "2026/06/08 09:08:53 [error] 7#7: *1 user \"{}\" was not found in \"/etc/nginx/users\", client: 203.0.113.9, server: _, request: \"GET / HTTP/1.1\", host: \"a\"",
    ),
    (
        "apache",
        "[Mon Jun 08 09:08:53.250000 2026] [auth_basic:error] [pid 1:tid 2] [client 203.0.113.9:4022] AH01618: user {} not found: /",
    ),
    ("vsftpd", "Mon Jun  8 09:08:53 2026 [pid 2] [{}] FAIL LOGIN: Client \"203.0.113.9\""),
    ("proftpd", "ftp (203.0.113.9[203.0.113.9]): USER {} (Login failed): Incorrect password"),
    ("pure-ftpd", "({}@203.0.113.9) [WARNING] Authentication failed for user [{}]"),
    ("pure-ftpd", "(?@203.0.113.9) [WARNING] Authentication failed for user [{}]"),
    (
        "dovecot",
        "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<{}>, method=PLAIN, rip=203.0.113.9, lip=10.0.0.1, session=<abc>",
    ),
    ("dovecot", "auth: pam({},203.0.113.9,<abc>): unknown user"),
    (
        "postfix",
        "warning: unknown[203.0.113.9]: SASL LOGIN authentication failed: authentication failure, sasl_username={}",
    ),
    (
        "mysql",
        "2026-06-08T09:08:53.250Z 8 [Note] [MY-010926] [Server] Access denied for user '{}'@'203.0.113.9' (using password: YES)",
    ),
    (
        "postgresql",
        "2026-06-08 09:08:53 UTC [8] 203.0.113.9 {}@{} FATAL:  password authentication failed for user \"{}\"",
    ),
    (
        "postgresql",
        "2026-06-08 09:08:53 UTC [8] {}@shop FATAL:  password authentication failed for user \"{}\"",
    ),
    (
        "postgresql",
        "FATAL:  no pg_hba.conf entry for host \"203.0.113.9\", user \"{}\", database \"{}\", no encryption",
    ),
    (
        "pam",
        "pam_unix(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= ruser={} rhost=203.0.113.9  user={}",
    ),
    ("webmin", "Invalid login as {} from 203.0.113.9"),
    (
        "webmin",
        "1780000000.12.0 [08/Jun/2026 09:08:53] {} - 203.0.113.9 global miniserv.pl \"failed\" \"-\" \"wrongpass\"",
    ),
    ("xrdp", "[20260608-09:08:53] [INFO ] AUTHFAIL: user={} ip=::ffff:203.0.113.9 time=1780000000"),
];

/// What attackers build names of: pieces of every daemon's lines around the victim's address.
const PIECES: &[&str] = &[
    "root",
    " ",
    "198.51.100.7",
    " from ",
    "198.51.100.7:22",
    "[198.51.100.7]",
    "(",
    ")",
    "[",
    "]",
    "\"",
    "'",
    "@",
    "'@'",
    ",",
    ": ",
    ">",
    " rip=",
    "rip=198.51.100.7, lip=",
    "auth failed, 9 attempts",
    " rhost=198.51.100.7 ",
    " user=",
    " ip=198.51.100.7 time=1",
    "FATAL:  ",
    "password authentication failed for user \"",
    "\" was not found in \"f\", client: 198.51.100.7, server: _",
    "\": password mismatch",
    ", client: 198.51.100.7, ",
    "[client 198.51.100.7:80] ",
    "] FAIL LOGIN: Client \"198.51.100.7\"",
    ", anon password \"",
    "] \"GET\" 401 ",
    ") [WARNING] Authentication failed for user [",
    "(Login failed): ",
    ": no such user found from x [198.51.100.7] to x",
    "): unknown user",
    ",198.51.100.7",
    "' (using password: YES)",
    " global miniserv.pl \"failed\" \"-\" \"",
    " - 198.51.100.7",
    "client=198.51.100.7 ",
    "host=",
    "Access denied for user '",
    "AUTHFAIL: user=",
    "SASL LOGIN authentication failed: ",
];

/// What Apache, nginx and their like put before a quote in an access log.
fn as_written(service: &str, name: &str) -> String {
    if service == "web" { name.replace('\\', "\\\\").replace('"', "\\\"") } else { name.to_owned() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_parser_panics(text in any::<String>(), pieces in prop::collection::vec(prop::sample::select(PIECES), 0..9)) {
        for text in [text.clone(), pieces.concat(), pieces.join(&text)] {
            for parser in PARSERS {
                let _ = (parser.read)(&Message { program: "", pid: None, text: &text });
                let _ = parser.time.and_then(|time| time(&text));
            }
        }
    }

    #[test]
    fn the_victim_of_an_imitation_is_never_blamed(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..7)) {
        let name = pieces.concat();
        let victim = "198.51.100.7".parse().ok();
        for (service, template) in TEMPLATES {
            let line = template.replace("{}", &as_written(service, &name));
            let message = Message { program: "", pid: None, text: &line };
            let own = PARSERS.iter().find(|parser| parser.name == *service).and_then(|parser| (parser.read)(&message).ok());
            let first = PARSERS.iter().find_map(|parser| (parser.read)(&message).ok());
            for told in own.into_iter().chain(first) {
                prop_assert!(told.source != victim, "{} blames the victim: {line}", told.rule);
            }
        }
    }
}

#[test]
fn times_of_the_daemon_s_own_are_found() {
    let timed = TEMPLATES.iter().filter(|(_, template)| template.contains("09:08:53"));
    for (service, template) in timed {
        let parser = PARSERS.iter().find(|parser| parser.name == *service).unwrap();
        let written = parser.time.and_then(|time| time(template)).map(|written| written.at.to_string());
        assert!(
            written.as_deref().is_some_and(|at| at.starts_with("2026-06-08T09:08:53")),
            "{template}: {written:?}"
        );
    }
}

#[test]
fn plain_names_are_told_with_the_daemon_s_address() {
    for (service, template) in TEMPLATES.iter().filter(|(_, template)| !template.contains("[8] {}@shop")) {
        for name in ["root", "o'neill", "a b", "x@example.org", "näh"] {
            let line = template.replace("{}", name);
            let parser = PARSERS.iter().find(|parser| parser.name == *service).unwrap();
            let words = told(parser.read, &line);
            assert!(words.starts_with("failure 203.0.113.9"), "{line}: {words}");
        }
    }
}
