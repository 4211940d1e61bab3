//! An interval as a table for reading.

use std::fmt::Write;
use std::net::SocketAddr;

use anstyle::{AnsiColor, Style};

use super::terminal::printable;
use crate::model::catalog::{Group, Unit};
use crate::model::finding::{Finding, Place, Severity, State, Users, Who};
use crate::model::interval::{Interval, ListenerSummary, Published, Series};

const NAME: usize = 40;
const VALUE: usize = 11;
/// Listeners shown; the fullest come first.
const LISTENERS: usize = 12;

const BOLD: Style = Style::new().bold();
const HEADING: Style = AnsiColor::Cyan.on_default().bold();
const DIM: Style = Style::new().dimmed();
const SENT: Style = AnsiColor::Green.on_default();
const ALERT: Style = AnsiColor::Yellow.on_default().bold();

/// The table as text with colours. The first one has a heading, and a legend below.
pub fn render(interval: &Interval, heading: Option<&str>) -> String {
    let mut table = Table(String::new());
    if let Some(heading) = heading {
        heading.lines().for_each(|line| table.line(format_args!("{}", printable(line))));
        table.line(format_args!(""));
    }
    table.title(interval);
    table.group("FINDINGS", interval, Group::Findings);
    table.group("TCP STATES", interval, Group::TcpStates);
    table.group("LISTENERS", interval, Group::Listeners);
    table.listeners(&interval.listeners);
    table.group("INTERFACES", interval, Group::Interfaces);
    table.group("WEB", interval, Group::Web);
    table.group("PRESSURE", interval, Group::Pressure);
    table.group("AGENT", interval, Group::Agent);
    for trouble in interval.troubles.iter().chain(&interval.remarks) {
        table.line(format_args!("{ALERT}! {}{ALERT:#}", printable(trouble)));
    }
    if heading.is_some() {
        table.line(format_args!(""));
        table.line(format_args!(
            "{SENT}●{SENT:#} sent as a metric   {DIM}○ only in the samples log event{DIM:#}"
        ));
        table.line(format_args!(
            "{DIM}Values are one-second samples; those with /s are growth per second. --output json shows what CloudWatch gets.{DIM:#}"
        ));
    }
    table.line(format_args!(""));
    table.0
}

/// A finding as it opens, goes on or closes.
pub fn finding(finding: &Finding) -> String {
    let mut table = Table(String::new());
    let style = if finding.severity == Severity::Notice { BOLD } else { ALERT };
    let (what, since) = match finding.state {
        State::Open => ("FINDING", String::new()),
        State::Update => ("STILL", format!(" since {}", finding.began.strftime("%H:%M:%S"))),
        State::Closed => {
            let (from, to) = (finding.began.strftime("%H:%M:%S"), finding.last_seen.strftime("%H:%M:%S"));
            ("OVER", format!(", was there from {from} to {to}"))
        }
    };
    let said: Vec<String> =
        finding.verdict.iter().chain(&finding.marks).map(|word| word.replace('_', " ")).collect();
    let said = if said.is_empty() { String::new() } else { format!(", {}", said.join(", ")) };
    let severity = format!("{:?}", finding.severity).to_lowercase();
    let seen = finding.ended.unwrap_or(finding.last_seen).strftime("%Y-%m-%d %H:%M:%S UTC");
    table.line(format_args!(
        "{style}{what} {}{style:#} ({severity}{said}) {seen}{since}",
        finding.kind.as_str()
    ));
    table.place(finding.place.as_ref());
    // A guesser goes on for hours: what was said of him at the beginning is said again at the end.
    let is_brief = finding.state == State::Update && is_of_logins(finding);
    table.who(finding.who.as_ref().filter(|_| !is_brief));
    // Of packets what was seen at its beginning says nothing of its end; of logins it is all that was counted.
    let is_told = finding.state != State::Closed || is_of_logins(finding);
    let evidence = finding.evidence.iter().filter(|_| is_told).take(if is_brief { 1 } else { usize::MAX });
    for evidence in evidence {
        let usual = evidence.baseline.map(|usual| format!(", usually {usual}")).unwrap_or_default();
        table.line(format_args!("  {:<24}{:>10}{DIM}{usual}{DIM:#}", evidence.signal, evidence.value));
    }
    if finding.state == State::Open {
        table.line(format_args!("  {}", finding.advice));
    }
    table.line(format_args!(""));
    table.0
}

/// Whether logs tell of it.
fn is_of_logins(finding: &Finding) -> bool {
    finding.place.as_ref().is_some_and(|place| place.service.is_some())
}

struct Table(String);

impl Table {
    /// Where on this host.
    fn place(&mut self, place: Option<&Place>) {
        let Some(place) = place else { return };
        let unit = place.unit.as_deref().map(|unit| format!(" ({})", printable(unit))).unwrap_or_default();
        let at = match (place.address, place.port) {
            (Some(address), Some(port)) => format!(" at {}{unit}", SocketAddr::new(address, port)),
            (None, Some(port)) => format!(" at port {port}"),
            _ => String::new(),
        };
        let via = place.interface.as_deref().map(|name| format!(" arriving at {}", printable(name)));
        let of = place.service.as_deref().map(|name| format!(" logins of {}", printable(name)));
        self.line(format_args!(" {at}{}{}", via.unwrap_or_default(), of.unwrap_or_default()));
    }

    /// Who sends it; a share that rounds to nothing is no news.
    fn who(&mut self, who: Option<&Who>) {
        let Some(Who { distinct_sources, top_sources, users }) = who else { return };
        let worth_naming = top_sources.iter().filter(|source| source.share >= 0.01);
        let named: Vec<String> =
            worth_naming.map(|source| format!("{} ({:.0} %)", source.source, source.share * 100.0)).collect();
        let most = if named.is_empty() {
            ", none of them prominent".to_owned()
        } else {
            format!(": {}", named.join(", "))
        };
        match distinct_sources {
            1 => self.line(format_args!("  from one source{most}")),
            0 => {} // on the host itself, or the log does not tell
            many => self.line(format_args!("  from about {many} sources{most}")),
        }
        if let Some(Users { distinct, top }) = users {
            let named: Vec<String> = top.iter().map(|name| printable(name)).collect();
            match distinct {
                1 => self.line(format_args!("  as {}", named.join(", "))),
                many => self.line(format_args!("  as {many} users: {}", named.join(", "))),
            }
        }
    }

    fn line(&mut self, text: std::fmt::Arguments) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{text}");
        self.0.truncate(self.0.trim_end_matches(' ').len());
        self.0.push('\n');
    }

    fn title(&mut self, interval: &Interval) {
        let sent = interval.series.iter().filter(|series| series.published == Published::Sent).count();
        let what = if interval.closed { "" } else { "  (first look: the open interval so far)" };
        self.line(format_args!(
            "{BOLD}{} to {}{BOLD:#}  {} sample{}, {sent} metrics sent{what}",
            interval.first.strftime("%Y-%m-%d %H:%M:%S"),
            interval.last.strftime("%H:%M:%S UTC"),
            interval.samples,
            if interval.samples == 1 { "" } else { "s" },
        ));
    }

    fn group(&mut self, heading: &str, interval: &Interval, group: Group) {
        let series: Vec<&Series> =
            interval.series.iter().filter(|series| series.metric.group == group).collect();
        if group == Group::Findings && series.iter().all(|series| is_quiet(series)) {
            return self.line(format_args!("\n{HEADING}{heading}{HEADING:#}  {DIM}none{DIM:#}"));
        }
        let listeners_follow = group == Group::Listeners && !interval.listeners.is_empty();
        if series.is_empty() && !listeners_follow {
            return;
        }
        self.line(format_args!(
            "\n{HEADING}{heading:<width$}{HEADING:#}{DIM}{:>VALUE$}{:>VALUE$}{:>VALUE$}{:>VALUE$}{DIM:#}",
            "min",
            "mean",
            "p99",
            "max",
            width = NAME + 2
        ));
        let mut interfaces: Vec<Option<&str>> =
            series.iter().map(|series| series.interface.as_deref()).collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        for interface in interfaces {
            if let Some(name) = interface {
                self.line(format_args!("{BOLD}{}{BOLD:#}", printable(name)));
            }
            let here = series.iter().filter(|series| series.interface.as_deref() == interface);
            let (quiet, shown): (Vec<&Series>, Vec<&Series>) = here.partition(|series| is_quiet(series));
            shown.into_iter().for_each(|series| self.series(series));
            if !quiet.is_empty() {
                self.line(format_args!("{DIM}  {} more at zero{DIM:#}", quiet.len()));
            }
        }
    }

    fn series(&mut self, series: &Series) {
        let (mark, style) = match series.published {
            Published::Sent => ("●", SENT),
            Published::SparseZero | Published::NotChosen => ("○", DIM),
        };
        let metric = series.metric;
        let d = &series.distribution;
        let name_style = if metric.sparse && d.max() > 0.0 { ALERT } else { Style::new() };
        let value = |value: f64| quantity(value, metric.unit);
        // A space only before text, so that no line ends in one.
        let per_second = if metric.reading.is_counter() { " /s" } else { "" };
        self.line(format_args!(
            "{style}{mark}{style:#} {name_style}{:<NAME$}{name_style:#}{:>VALUE$}{:>VALUE$}{:>VALUE$}{:>VALUE$}{DIM}{per_second}{DIM:#}",
            metric.name,
            value(d.min()),
            value(d.mean()),
            value(d.percentile(99.0)),
            value(d.max()),
        ));
    }

    fn listeners(&mut self, listeners: &[ListenerSummary]) {
        if listeners.is_empty() {
            return;
        }
        self.line(format_args!(
            "{DIM}  {:<NAME$}{:>VALUE$}{:>VALUE$}{:>VALUE$}{:>VALUE$}  unit{DIM:#}",
            "address (maxima)", "accept q.", "limit", "half-open", "new drops"
        ));
        for listener in listeners.iter().take(LISTENERS) {
            let or_none =
                |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
            let address = SocketAddr::new(listener.address, listener.port).to_string();
            let full = listener.accept_utilization_max.max(listener.syn_utilization_max) >= 80.0;
            let style = if full || listener.drops.unwrap_or(0) > 0 { ALERT } else { Style::new() };
            self.line(format_args!(
                "  {style}{address:<NAME$}{style:#}{:>VALUE$}{:>VALUE$}{:>VALUE$}{:>VALUE$}  {}",
                listener.accept_queue_max,
                or_none(listener.accept_limit.map(u64::from)),
                or_none(listener.half_open_max.map(u64::from)),
                or_none(listener.drops),
                printable(listener.unit.as_deref().unwrap_or("-")),
            ));
        }
        if listeners.iter().all(|listener| listener.accept_limit.is_none()) {
            self.line(format_args!(
                "{DIM}  read from /proc/net/tcp, which has no limits, drops or units{DIM:#}"
            ));
        }
        if let Some(more) = listeners.len().checked_sub(LISTENERS).filter(|more| *more > 0) {
            self.line(format_args!("{DIM}  {more} more, none fuller{DIM:#}"));
        }
    }
}

/// Sparse, zero throughout and not sent: counted, not shown.
fn is_quiet(series: &Series) -> bool {
    series.metric.sparse
        && series.published != Published::Sent
        && series.distribution.min() == 0.0
        && series.distribution.max() == 0.0
}

/// A number as people read it: few digits, and the unit where it is not a plain count.
fn quantity(value: f64, unit: Unit) -> String {
    let suffix = match unit {
        Unit::Bytes => "B",
        Unit::Count => "",
        Unit::Milliseconds => " ms",
        Unit::Percent => " %",
        Unit::Seconds => " s",
    };
    let mut scaled = value;
    let mut prefix = "";
    // Counts and times are shown in full as long as they fit; bytes are scaled as soon as they can be.
    let least = if unit == Unit::Bytes { 1000.0 } else { 1_000_000.0 };
    if value.abs() >= least {
        for next in ["k", "M", "G", "T", "P"] {
            if scaled.abs() < 1000.0 {
                break;
            }
            (scaled, prefix) = (scaled / 1000.0, next);
        }
    }
    let gap = if unit == Unit::Bytes { " " } else { "" };
    let decimals = usize::from(scaled.fract() != 0.0 && (scaled.abs() < 1000.0 || !prefix.is_empty()));
    format!("{scaled:.decimals$}{gap}{prefix}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (value, unit, text) in [
            (0.0, Unit::Count, "0"),
            (12.25, Unit::Count, "12.2"),
            (123_456.0, Unit::Count, "123456"),
            (1_234_567.0, Unit::Count, "1.2M"),
            (999.0, Unit::Bytes, "999 B"),
            (1536.0, Unit::Bytes, "1.5 kB"),
            (2e9, Unit::Bytes, "2 GB"),
            (99.5, Unit::Percent, "99.5 %"),
        ] {
            assert_eq!(quantity(value, unit), text);
        }
    }
}
