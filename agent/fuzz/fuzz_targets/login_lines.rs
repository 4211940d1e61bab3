//! Lines of logs as anybody might write them: through every grammar, from files and from the journal. Nothing panics, what is
//! read once reads the same again, and nobody is trusted who wrote to a file.
#![no_main]

use jiff::Timestamp;
use jiff::tz::TimeZone;
use vpcwatch::model::log_line::{Grammar, LogLine, LogLines, Writer};
use vpcwatch::parse::{self, LoginReader};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let grammars = parse::services().filter_map(parse::grammar).chain([Grammar::Auto]);
    let writers = [None, Some(Writer { time: Timestamp::UNIX_EPOCH, program: "sshd".to_owned(), pid: Some(1) })];
    for grammar in grammars {
        for writer in &writers {
            let line = |text: &str| LogLine { text: text.to_owned(), writer: writer.clone(), is_cut: false };
            let lines = LogLines {
                log: "fuzz".into(),
                grammar: grammar.clone(),
                lines: text.lines().map(line).collect(),
                read: Timestamp::UNIX_EPOCH,
                is_behind: false,
                zone: TimeZone::UTC,
                cursor: None,
            };
            let logins = LoginReader::default().logins(&lines);
            assert!(logins.len() <= lines.lines.len(), "a line tells of one login at most");
            assert!(logins.iter().all(|login| login.is_trusted == writer.is_some()), "files are not trusted");
            assert_eq!(logins, LoginReader::default().logins(&lines), "the same lines tell the same");
        }
    }
});
