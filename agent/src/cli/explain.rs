//! `vpcwatch explain`: why a line of a log did or did not count.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{Common, grammar, print_all};
use crate::model::log_line::Grammar;
use crate::model::web_log::{Format, WebLog};
use crate::parse::access::{self, AccessReader};
use crate::parse::{Explained, LoginReader};
use crate::replay::Log;
use crate::sinks::terminal;

/// Reads lines from standard input, and prints for each one JSON object a line, in the same order.
#[derive(Debug, Args)]
pub(super) struct Explain {
    #[arg(long, value_name = "NAME", default_value = "auto", help = format!("{}; access: what lines of access logs tell of requests", super::services()))]
    service: String,
    /// Read this file instead of standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// What is said of one line.
#[derive(Debug, Serialize)]
struct Told<'a> {
    line: u64,
    outcome: &'static str,
    service: Option<&'a str>,
    user: Option<&'a str>,
    source: Option<String>,
    method: Option<&'a str>,
    rule: Option<&'static str>,
    note: &'a str,
}

/// What is said of one line of an access log.
#[derive(Debug, Serialize)]
struct Request {
    line: u64,
    format: Option<&'static str>,
    status: Option<u16>,
    latency_ms: Option<f64>,
    source: Option<IpAddr>,
    path: Option<String>,
    note: &'static str,
}

/// What `--service` is for access logs.
const ACCESS: &str = "access";

impl Explain {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.common.load()?;
        if self.service == ACCESS {
            return self.access();
        }
        let grammar = grammar(&self.service, &config)?;
        let mut reader = LoginReader::new(&config.settings.login_patterns);
        let mut number = 0;
        for lines in Log::open(&self.file, grammar.clone())? {
            let lines = lines?;
            let mut text = String::new();
            for line in &lines.lines {
                number += 1;
                let explained = reader.explain(&grammar, &line.text, lines.read, &lines.zone);
                text.push_str(&terminal::json(&serde_json::to_string(&Told::of(number, &explained))?));
                text.push('\n');
            }
            if !print_all(&text)? {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What lines of access logs tell of requests.
    fn access(&self) -> anyhow::Result<ExitCode> {
        let (mut reader, log, mut number) = (AccessReader::default(), WebLog::recognised(ACCESS), 0);
        for lines in Log::open(&self.file, Grammar::Auto)? {
            let lines = lines?;
            let mut text = String::new();
            for line in &lines.lines {
                number += 1;
                let told = Request::of(number, reader.explain(&log, &lines.log, &line.text, lines.read));
                text.push_str(&terminal::json(&serde_json::to_string(&told)?));
                text.push('\n');
            }
            if !print_all(&text)? {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Request {
    fn of(line: u64, explained: access::Explained) -> Self {
        Request {
            line,
            format: explained.format.map(Format::as_str),
            status: explained.status,
            latency_ms: explained.latency,
            source: explained.source,
            path: explained.template,
            note: explained.note,
        }
    }
}

impl<'a> Told<'a> {
    fn of(line: u64, explained: &'a Explained) -> Self {
        let login = explained.login.as_ref();
        Told {
            line,
            outcome: login.map_or("none", |login| login.outcome.as_str()),
            service: explained.service.as_deref(),
            user: login.and_then(|login| login.user.as_deref()),
            source: login.and_then(|login| login.source).map(|source| source.to_string()),
            method: login.and_then(|login| login.method.as_deref()),
            rule: explained.rule,
            note: &explained.note,
        }
    }
}
