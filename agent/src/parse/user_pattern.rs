//! A user's own rules: regular expressions with the groups `source`, `user`, `outcome`.

use std::net::IpAddr;
use std::sync::Arc;

use regex_lite::{Captures, Regex, RegexBuilder};

use super::Told;
use super::address::{address, port};
use crate::model::login::{Count, Outcome};
use crate::model::settings::LoginPattern;

/// Bytes that one compiled rule may take, and that its search may. Rules are written by people; this is for `.{1,100000}`.
const SIZE: usize = 1024 * 1024;
/// How deep groups may be nested.
const NESTING: u32 = 64;
const GROUPS: [&str; 3] = ["source", "user", "outcome"];
const CURE: &str =
    "name what is to be taken: (?P<source>...), (?P<user>...), (?P<outcome>...), at least one of them";

/// A rule that was checked. Matching takes time in proportion to the line's length.
#[derive(Debug, Clone)]
pub struct UserPattern {
    name: Arc<str>,
    regex: Regex,
    success: Vec<String>,
}

impl UserPattern {
    /// Checks a rule; an error says what is wrong with it and what to do.
    pub fn new(pattern: &LoginPattern) -> Result<UserPattern, String> {
        if pattern.regex.is_empty() {
            return Err(format!("the regular expression is empty; {CURE}"));
        }
        let regex = RegexBuilder::new(&pattern.regex)
            .size_limit(SIZE)
            .nest_limit(NESTING)
            .build()
            .map_err(|error| explained(&error))?;
        if regex.is_match("") {
            return Err(
                "the regular expression matches the empty text, and so every line; write what must be in a \
                        line that tells of a login"
                    .to_owned(),
            );
        }
        let groups: Vec<&str> = regex.capture_names().flatten().collect();
        if let Some(other) = groups.iter().find(|group| !GROUPS.contains(group)) {
            return Err(format!(
                "nothing is known of a group {other:?}; {CURE}, and write (?:...) for others"
            ));
        }
        if groups.is_empty() {
            return Err(format!("the regular expression has no named group; {CURE}"));
        }
        if !pattern.success.is_empty() && !groups.contains(&"outcome") {
            return Err(
                "success is given, but no group (?P<outcome>...) to compare with it: add the group, or \
                        leave out success, and each match is a failure"
                    .to_owned(),
            );
        }
        Ok(UserPattern { name: pattern.name.as_str().into(), regex, success: pattern.success.clone() })
    }

    /// Its name: the service of what it finds.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What a whole line tells, its head included: people write rules by looking at lines.
    pub(crate) fn read<'a>(&self, line: &'a str) -> Option<Told<'a>> {
        let found = self.regex.captures(line)?;
        let group = |name| group(&found, name);
        let is_success =
            group("outcome").is_some_and(|word| self.success.iter().any(|success| success == word));
        let (source, port) = group("source").map_or((None, None), source);
        Some(Told {
            outcome: if is_success { Outcome::Success } else { Outcome::Failure },
            source,
            port,
            user: group("user").map(Into::into),
            is_known_user: None,
            method: None,
            count: Count::Daemon(1),
            rule: "pattern",
        })
    }
}

fn group<'a>(found: &Captures<'a>, name: &str) -> Option<&'a str> {
    found.name(name).map(|found| found.as_str()).filter(|text| !text.is_empty())
}

/// `192.0.2.1`, `192.0.2.1:22`, `[2001:db8::1]:22`; a name is no address.
fn source(text: &str) -> (Option<IpAddr>, Option<u16>) {
    let text = text.trim_matches(['"', '\'', '<', '>', '(', ')', ' ']);
    if let Some(source) = address(text) {
        return (Some(source), None);
    }
    let with_port = text.rsplit_once(':').and_then(|(host, digits)| Some((address(host)?, port(digits)?)));
    with_port.map_or((None, None), |(source, port)| (Some(source), Some(port)))
}

/// The library's message, and what it may mean.
fn explained(error: &regex_lite::Error) -> String {
    let why = error.to_string();
    if why.contains("size limit") || why.contains("too big") {
        return format!(
            "the regular expression takes more than {SIZE} bytes; repeat less in it ({{1,1000}})"
        );
    }
    format!(
        "the regular expression is invalid: {why}; look-around and back-references do not exist here, for they can take \
         forever"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(regex: &str, success: &[&str]) -> Result<UserPattern, String> {
        let success = success.iter().map(|word| (*word).to_owned()).collect();
        UserPattern::new(&LoginPattern { name: "shop".to_owned(), regex: regex.to_owned(), success })
    }

    #[test]
    fn rules_are_refused_with_a_cure() {
        let cases = [
            ("", "is empty; name what"),
            ("(?P<user>a*)", "matches the empty text"),
            ("(?P<user>", "open group without closing"),
            ("(?<!x)(?P<user>a)", "look-around"),
            ("login failed", "no named group"),
            ("(?P<source>\\S+) (?P<adress>\\S+)", "group \"adress\""),
            ("a{1000}{1000}(?P<user>b)", "takes more than"),
        ];
        for (regex, expected) in cases {
            let error = pattern(regex, &[]).unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{regex}: {error}");
        }
        assert!(pattern("(?P<user>a)", &["ok"]).unwrap_err().contains("no group (?P<outcome>"));
    }

    #[test]
    fn groups_are_taken() {
        let pattern = pattern(
            "login (?P<outcome>ok|bad)(?: user=(?P<user>\\S*))?(?: from (?P<source>\\S+))?$",
            &["ok"],
        )
        .unwrap();
        let cases = [
            ("login ok user=bob from 192.0.2.1", Outcome::Success, Some("192.0.2.1"), None, Some("bob")),
            ("login bad user= from [2001:db8::1]:99", Outcome::Failure, Some("2001:db8::1"), Some(99), None),
            ("login bad from 192.0.2.1:99", Outcome::Failure, Some("192.0.2.1"), Some(99), None),
            ("login bad from host.example", Outcome::Failure, None, None, None),
            ("login bad", Outcome::Failure, None, None, None),
        ];
        for (line, outcome, source, port, user) in cases {
            let told = pattern.read(line).unwrap();
            let source = source.map(|text| text.parse().unwrap());
            assert_eq!((told.outcome, told.source, told.port), (outcome, source, port), "{line}");
            assert_eq!(told.user.as_deref(), user, "{line}");
        }
        assert!(pattern.read("logout").is_none());
    }
}
