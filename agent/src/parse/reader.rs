//! Lines in, logins out: which service a line is of, and when it was.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::conversations::Conversations;
use super::head::{self, Head};
use super::own_time::Written;
use super::stamp::{LastSecond, Stamp};
use super::user_pattern::UserPattern;
use super::{Message, PARSERS, Parser, Told, address, audit, pam, sshd};
use crate::model::log_line::{Grammar, LogLine, LogLines, Writer};
use crate::model::login::{Count, Login};
use crate::model::settings::LoginPattern;

/// Logs of which something is remembered; beyond that all is forgotten.
const LOGS: usize = 256;

/// Reads lines of logs.
#[derive(Debug)]
pub struct LoginReader {
    patterns: Vec<UserPattern>,
    programs: HashMap<&'static str, Vec<usize>>,
    logs: HashMap<Arc<str>, Memory>,
}

/// What is remembered of a log.
#[derive(Debug, Default)]
struct Memory {
    last: LastSecond,
    conversations: Conversations,
}

/// Why a line counts, or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The service that the line is of, if one knows its program or its form.
    pub service: Option<Cow<'static, str>>,
    /// What it tells.
    pub login: Option<Login>,
    /// The rule that matched.
    pub rule: Option<&'static str>,
    /// For people.
    pub note: Cow<'static, str>,
}

impl Default for LoginReader {
    fn default() -> Self {
        LoginReader::new(&[])
    }
}

impl LoginReader {
    /// A reader that knows the services and these patterns. A pattern that does not check (see [`super::user_pattern`]) is
    /// left out: the configuration was checked before.
    pub fn new(patterns: &[LoginPattern]) -> Self {
        let mut programs: HashMap<&'static str, Vec<usize>> = HashMap::new();
        for (index, parser) in PARSERS.iter().enumerate() {
            parser.programs.iter().for_each(|program| programs.entry(program).or_default().push(index));
        }
        let mut reader = LoginReader { patterns: Vec::new(), programs, logs: HashMap::new() };
        reader.configure(patterns);
        reader
    }

    /// Goes on with other patterns.
    pub fn configure(&mut self, patterns: &[LoginPattern]) {
        self.patterns = patterns.iter().filter_map(|pattern| UserPattern::new(pattern).ok()).collect();
    }

    /// What lines tell of logins, in their order.
    pub fn logins(&mut self, lines: &LogLines) -> Vec<Login> {
        let Memory { mut last, mut conversations } = self.logs.remove(&lines.log).unwrap_or_default();
        let mut clock =
            Clock { read: lines.read, is_behind: lines.is_behind, zone: &lines.zone, last: &mut last };
        let login = |line: &LogLine| {
            let writer = line.writer.as_ref();
            let judged = self.judge(&lines.grammar, &line.text, writer);
            let mut login = login(&judged, judged.told.as_ref().ok()?, &line.text, writer, &mut clock);
            conversations.follow(&mut login);
            Some(login)
        };
        let logins = lines.lines.iter().filter_map(login).collect();
        if self.logs.len() >= LOGS {
            self.logs.clear();
        }
        self.logs.insert(lines.log.clone(), Memory { last, conversations });
        logins
    }

    /// Why a line of a file counts, or does not.
    pub fn explain(&mut self, grammar: &Grammar, line: &str, read: Timestamp, zone: &TimeZone) -> Explained {
        let judged = self.judge(grammar, line, None);
        let mut clock = Clock { read, is_behind: false, zone, last: &mut LastSecond::default() };
        let service = judged.service.clone();
        match &judged.told {
            Ok(told) => Explained {
                service,
                login: Some(login(&judged, told, line, None, &mut clock)),
                rule: Some(told.rule),
                note: counted(told.count).into(),
            },
            Err(why) => Explained { service, login: None, rule: None, note: (*why).into() },
        }
    }

    fn judge<'a>(&self, grammar: &Grammar, line: &'a str, writer: Option<&'a Writer>) -> Judged<'a> {
        let head = match writer {
            Some(writer) => {
                let message = Message { program: &writer.program, pid: writer.pid, text: line.trim() };
                Head { stamp: None, message }
            }
            None => head::read(line, |word| self.programs.contains_key(word)),
        };
        let (times, message) = unrepeated(head.message);
        let judged = Judged { stamp: head.stamp, own_time: None, message, service: None, told: Err("") };
        let judged = match grammar {
            Grammar::Auto => self.any(judged, line),
            Grammar::Service(name) => self.service(name, judged, line),
            Grammar::Pattern(name) => self.pattern(|pattern| pattern.name() == name, judged, line),
            Grammar::Access(_) => judged.none("a line of an access log: see parse::access"),
        };
        if times == 1 { judged } else { judged.repeated(times) }
    }

    /// By the program, else by the line's form; users' patterns where no service claims it.
    fn any<'a>(&self, judged: Judged<'a>, line: &'a str) -> Judged<'a> {
        let message = judged.message;
        if pam::is_pam(message.text) {
            return self.pam(judged);
        }
        let claiming = self.claiming(message.program);
        if !claiming.is_empty() {
            return self.first(claiming.iter().filter_map(|index| PARSERS.get(*index)), judged, message);
        }
        let whole = Message { text: line.trim(), program: "", pid: None };
        let judged = if message.program.is_empty() {
            let judged = self.first(PARSERS.iter(), judged, message);
            if judged.stamp.is_none() { judged } else { self.without_head(judged, whole) }
        } else if message.pid.is_some() {
            // Another program wrote it: whatever it quotes is no daemon's word.
            judged.none(NOBODY)
        } else {
            self.without_head(judged, whole)
        };
        if judged.told.is_ok() || self.patterns.is_empty() {
            judged
        } else {
            self.pattern(|_| true, judged, line)
        }
    }

    /// Services whose lines have a time of their own, or none.
    fn without_head<'a>(&self, judged: Judged<'a>, whole: Message<'a>) -> Judged<'a> {
        if judged.told.is_ok() {
            return judged;
        }
        let have_none = |parser: &&Parser| parser.programs.is_empty() || parser.time.is_some();
        self.first(PARSERS.iter().filter(have_none), judged, whole)
    }

    /// One service's grammar. Lines that other services' programs wrote are none of it.
    fn service<'a>(&self, name: &str, judged: Judged<'a>, line: &'a str) -> Judged<'a> {
        let message = judged.message;
        if pam::is_pam(message.text) {
            let judged = self.pam(judged);
            let is_asked = name == pam::ANY || judged.service.as_deref() == Some(name);
            return if is_asked { judged } else { judged.none("PAM's line of another service") };
        }
        let Some(parser) = PARSERS.iter().find(|parser| parser.name == name) else {
            return judged.none("there is no such service");
        };
        let claiming = self.claiming(message.program);
        let is_own = |index: &usize| PARSERS.get(*index).is_some_and(|parser| parser.name == name);
        if !claiming.is_empty() && !claiming.iter().any(is_own) {
            return judged.none("a program of another service wrote this");
        }
        let mut judged = self.first(std::iter::once(parser), judged, message);
        if judged.told.is_err() && claiming.is_empty() && judged.stamp.is_some() {
            let whole = Message { text: line.trim(), program: "", pid: None };
            judged = self.first(std::iter::once(parser), judged, whole);
        }
        Judged { service: judged.service.or(Some(parser.name.into())), ..judged }
    }

    fn pam<'a>(&self, judged: Judged<'a>) -> Judged<'a> {
        let service = pam::service(&judged.message, |name| self.called(name));
        let told = pam::read(&judged.message);
        judged.of(service, told)
    }

    fn pattern<'a>(
        &self,
        is_asked: impl Fn(&UserPattern) -> bool,
        judged: Judged<'a>,
        line: &'a str,
    ) -> Judged<'a> {
        let mut asked = self.patterns.iter().filter(|pattern| is_asked(pattern));
        match asked.find_map(|pattern| Some((pattern, pattern.read(line)?))) {
            Some((pattern, told)) => {
                Judged { service: Some(pattern.name().to_string().into()), told: Ok(told), ..judged }
            }
            None => judged.none("no pattern matches"),
        }
    }

    /// The first of these that finds a login. Who alone is asked says why there is none.
    fn first<'a>(
        &self,
        parsers: impl Iterator<Item = &'static Parser>,
        judged: Judged<'a>,
        message: Message<'a>,
    ) -> Judged<'a> {
        let mut refused: Option<(&'static str, &'static str)> = None;
        for parser in parsers {
            match (parser.read)(&message) {
                Ok(told) => {
                    let service = self.named(parser, &message);
                    return Judged { message, own_time: parser.time, ..judged }.of(service, Ok(told));
                }
                Err(why) => refused = Some((parser.name, why)),
            }
        }
        match refused {
            Some((name, why)) if !message.program.is_empty() => judged.of(name, Err(why)),
            _ => judged.none(NOBODY),
        }
    }

    fn named(&self, parser: &Parser, message: &Message<'_>) -> &'static str {
        if parser.name != "audit" {
            return parser.name;
        }
        audit::service(message, |name| self.called(name)).unwrap_or(parser.name)
    }

    /// The service of this name, or of the program of this name.
    fn called(&self, name: &str) -> Option<&'static str> {
        let of_program = self.claiming(name).first().and_then(|index| PARSERS.get(*index));
        of_program.or_else(|| PARSERS.iter().find(|parser| parser.is_called(name))).map(|parser| parser.name)
    }

    /// The services of a program: `postfix/smtpd` is one of postfix, if nobody claims it alone.
    fn claiming(&self, program: &str) -> &[usize] {
        let found = self.programs.get(program);
        let found = found.or_else(|| self.programs.get(program.split_once('/')?.0));
        found.map_or(&[], Vec::as_slice)
    }
}

const NOBODY: &str = "no service knows such a line, or its program";

/// What a line was found to be.
struct Judged<'a> {
    stamp: Option<Stamp>,
    /// How its service writes a time of its own.
    own_time: Option<fn(&str) -> Option<Written>>,
    message: Message<'a>,
    service: Option<Cow<'static, str>>,
    told: Result<Told<'a>, &'static str>,
}

impl<'a> Judged<'a> {
    fn of(self, service: &'static str, told: Result<Told<'a>, &'static str>) -> Self {
        Judged { service: Some(service.into()), told, ..self }
    }

    fn none(self, why: &'static str) -> Self {
        Judged { told: Err(why), ..self }
    }

    fn repeated(self, times: u32) -> Self {
        let told = self.told.map(|told| {
            let count = match told.count {
                Count::Daemon(count) => Count::Daemon(count.saturating_mul(times)),
                Count::Pam(count) => Count::Pam(count.saturating_mul(times)),
                Count::Sign => Count::Sign,
            };
            Told { count, ..told }
        });
        Judged { told, ..self }
    }
}

/// Repetitions that are believed: rsyslog tells them at the latest when the next line comes.
const REPEATED: u32 = 10_000;

/// rsyslog's (`$RepeatedMsgReduction`) `message repeated N times: [ MESSAGE]`.
fn unrepeated(message: Message<'_>) -> (u32, Message<'_>) {
    let repeated = || {
        let (times, rest) = message.text.strip_prefix("message repeated ")?.split_once(" times: [")?;
        Some((address::number(times.as_bytes())?.min(REPEATED), rest.strip_suffix(']')?.trim()))
    };
    match repeated() {
        Some((times, text)) => (times, Message { text, ..message }),
        None => (1, message),
    }
}

/// What is needed to tell when a line was written.
struct Clock<'a> {
    read: Timestamp,
    is_behind: bool,
    zone: &'a TimeZone,
    last: &'a mut LastSecond,
}

impl Clock<'_> {
    fn time(&mut self, judged: &Judged<'_>, line: &str, writer: Option<&Writer>) -> Timestamp {
        if let Some(writer) = writer {
            return writer.time;
        }
        let own = || judged.own_time.and_then(|time| time(line)).map(Stamp::from);
        let stamp = judged.stamp.or_else(own).or_else(|| Stamp::find(line));
        let time = stamp.and_then(|stamp| stamp.time(self.read, self.zone, self.last));
        let time = time.or_else(|| audit::time(line));
        // A line without a time is of the time of the line before it, where lines of the past are read.
        time.or_else(|| self.last.time().filter(|_| self.is_behind)).unwrap_or(self.read)
    }
}

fn login(
    judged: &Judged<'_>,
    told: &Told<'_>,
    line: &str,
    writer: Option<&Writer>,
    clock: &mut Clock<'_>,
) -> Login {
    let pid = match told.rule {
        sshd::DROPPED | pam::CHECKED => None,
        rule if rule.starts_with("audit.") => audit::pid(&judged.message),
        _ => judged.message.pid,
    };
    Login {
        time: clock.time(judged, line, writer),
        service: judged.service.clone().unwrap_or_default(),
        pid,
        source: told.source,
        port: told.port,
        user: told.user.as_deref().map(str::to_owned),
        is_known_user: told.is_known_user,
        outcome: told.outcome,
        method: told.method.as_deref().map(method),
        count: told.count,
        rule: told.rule,
        is_trusted: writer.is_some(),
    }
}

/// The common ones without a copy.
fn method(name: &str) -> Cow<'static, str> {
    const METHODS: [&str; 6] =
        ["password", "publickey", "keyboard-interactive/pam", "none", "hostbased", "gssapi-with-mic"];
    METHODS
        .iter()
        .find(|method| **method == name)
        .map_or_else(|| name.to_owned().into(), |name| (*name).into())
}

fn counted(count: Count) -> &'static str {
    match count {
        Count::Daemon(0) => {
            "refused without an attempt: a browser that comes without a password is asked for one like this"
        }
        Count::Daemon(1) => "one attempt",
        Count::Daemon(_) => "several attempts",
        Count::Pam(_) => {
            "as PAM tells it: counts where the service itself tells of fewer attempts on the connection"
        }
        Count::Sign => "one attempt, if no other line of the connection tells of one",
    }
}
