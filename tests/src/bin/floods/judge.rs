//! What the agent said against what was done to the host.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vpcwatch::model::snapshot::Snapshot;

use crate::rows::{Row, Said};

/// What really happened: times of the traffic programs' own packets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Truth {
    pub(crate) row: String,
    pub(crate) counters_only: bool,
    /// First packet of what counts; or when the agent started, if that was later.
    pub(crate) began: Timestamp,
    /// Last packet of it.
    pub(crate) ended: Timestamp,
    /// What each program said of itself.
    pub(crate) programs: Vec<Value>,
    /// Largest resident memory of the agent, KiB.
    pub(crate) agent_memory_kib: Option<u64>,
}

/// One state of a finding, and when it was printed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) printed: Timestamp,
    pub(crate) finding: Value,
}

/// A row of results.
#[derive(Debug, Clone)]
pub(crate) struct Judgement {
    pub(crate) row: &'static str,
    pub(crate) is_found: Option<bool>,
    /// Packets a second that were sent, on average.
    pub(crate) rate: Option<f64>,
    pub(crate) said: String,
    pub(crate) began_after: Option<f64>,
    pub(crate) printed_after: Option<f64>,
    pub(crate) closed_after: Option<f64>,
    /// Other findings before, and from then on: kind and severity.
    pub(crate) others: Vec<String>,
    pub(crate) false_alarms: usize,
    pub(crate) agent_cpu_percent: Option<f64>,
    pub(crate) agent_memory_mib: Option<f64>,
    /// What is not as it must be.
    pub(crate) wrong: Vec<String>,
    pub(crate) known_miss: bool,
}

/// What the agent may take to close a finding after the last packet, seconds.
const CLOSED_WITHIN: f64 = 60.0;

impl Seen {
    fn text(&self, key: &str) -> &str {
        self.finding.get(key).and_then(Value::as_str).unwrap_or("")
    }

    pub(crate) fn is(&self, state: &str) -> bool {
        self.text("state") == state
    }

    fn kind(&self) -> &str {
        self.text("kind")
    }

    fn time(&self, key: &str) -> Timestamp {
        self.text(key).parse().unwrap_or(self.printed)
    }

    fn is_alarm(&self) -> bool {
        self.text("severity") != "notice"
    }

    /// Kind, verdict, marks, severity, port.
    fn words(&self) -> String {
        let marks = self.finding.get("marks").and_then(Value::as_array);
        let marks: Vec<&str> = marks.into_iter().flatten().filter_map(Value::as_str).collect();
        let port = self.port().map(|port| format!(" at {port}")).unwrap_or_default();
        let words = [self.kind(), self.text("verdict"), &marks.join(" ")].join(" ");
        format!(
            "{} ({}{port})",
            words.split_whitespace().collect::<Vec<_>>().join(" "),
            self.text("severity")
        )
    }

    fn port(&self) -> Option<u64> {
        self.finding.get("where")?.get("port")?.as_u64()
    }
}

/// Judges one run of a row.
pub(crate) fn judge(row: &Row, truth: &Truth, seen: &[Seen], snapshots: &[Snapshot]) -> Judgement {
    let expect = &row.expect;
    let said = if truth.counters_only { expect.without } else { expect.with_capture };
    let is_it = |one: &Seen| Some(one.kind()) == said.kind;
    let opened: Vec<&Seen> = seen.iter().filter(|one| is_it(one) && one.is("open")).collect();
    // What opened before is no answer to it.
    let first = opened.iter().find(|one| one.printed >= truth.began).copied();
    let last = first.and_then(|first| last_state(seen, first));

    let others: Vec<&Seen> = seen
        .iter()
        .filter(|one| one.is("open"))
        .filter(|one| first.is_none_or(|first| one.text("id") != first.text("id")))
        .collect();
    let false_alarms: Vec<&Seen> = others
        .iter()
        .filter_map(|one| last_state(seen, one))
        .filter(|one| one.is_alarm() && !expect.beside.contains(&one.kind()))
        .collect();

    let mut judgement = Judgement {
        row: row.name,
        is_found: said.kind.filter(|_| !said.optional).map(|_| first.is_some()),
        rate: rate(truth),
        said: last.map_or_else(|| "nothing".into(), Seen::words),
        began_after: first.map(|first| seconds(truth.began, first.time("began"))),
        printed_after: first.map(|first| seconds(truth.began, first.printed)),
        closed_after: last.filter(|last| last.is("closed")).map(|last| seconds(truth.ended, last.printed)),
        others: others.iter().map(|one| describe(one, seen, truth)).collect(),
        false_alarms: false_alarms.len(),
        agent_cpu_percent: cpu_percent(snapshots, truth),
        #[expect(clippy::cast_precision_loss, reason = "memory of one process")]
        agent_memory_mib: truth.agent_memory_kib.map(|kib| kib as f64 / 1024.0),
        wrong: Vec::new(),
        known_miss: expect.known_miss,
    };
    judgement.wrong = mistakes(row, said, &judgement, last);
    judgement.wrong.extend(false_alarms.iter().map(|one| format!("false alarm {}", one.words())));
    judgement
}

fn mistakes(row: &Row, said: Said, judgement: &Judgement, last: Option<&Seen>) -> Vec<String> {
    let mut wrong = Vec::new();
    if judgement.is_found == Some(false) {
        wrong.push("not found".into());
    }
    let Some(last) = last else { return wrong };
    let verdict = last.text("verdict");
    if !said.verdicts.is_empty() && !said.verdicts.contains(&verdict) {
        wrong.push(format!("verdict {verdict} is not {}", said.verdicts.join(" or ")));
    }
    if let (Some(limit), Some(after)) = (row.expect.within, judgement.printed_after)
        && after > limit
    {
        wrong.push(format!("after {after:.2} s, not within {limit:.0} s"));
    }
    if let Some(port) = row.expect.port
        && last.port() != Some(port.into())
    {
        wrong.push(format!("not at port {port}"));
    }
    // A slow program goes on turning clients away after the crowd has gone, and those come again for half a minute.
    if said.kind != Some("syn_flood") {
        return wrong;
    }
    match judgement.closed_after {
        Some(after) if after > CLOSED_WITHIN => wrong.push(format!("closed after {after:.0} s")),
        Some(after) if after < 0.0 => wrong.push("closed while it went on".into()),
        Some(_) => {}
        None => wrong.push("not closed".into()),
    }
    wrong
}

/// The last that was said of a finding.
fn last_state<'a>(seen: &'a [Seen], of: &Seen) -> Option<&'a Seen> {
    seen.iter().rfind(|one| one.text("id") == of.text("id"))
}

fn describe(one: &Seen, seen: &[Seen], truth: &Truth) -> String {
    let words = last_state(seen, one).unwrap_or(one).words();
    let when = match one.printed {
        at if at < truth.began => "before",
        at if at > truth.ended => "after",
        _ => "during",
    };
    format!("{when}: {words}")
}

/// What the flood's program says of its rate.
fn rate(truth: &Truth) -> Option<f64> {
    let flood =
        truth.programs.iter().find(|program| program.get("role").is_some_and(|role| role == "flood"))?;
    flood.get("rate")?.as_f64()
}

/// CPU of the agent while it went on, in per cent of a core.
fn cpu_percent(snapshots: &[Snapshot], truth: &Truth) -> Option<f64> {
    let mut during = snapshots
        .iter()
        .filter(|snapshot| snapshot.time >= truth.began && snapshot.time <= truth.ended)
        .filter_map(|snapshot| Some((snapshot.monotonic_ms, snapshot.agent.as_ref()?.cpu_ms)));
    let (first_ms, first_cpu) = during.next()?;
    let (last_ms, last_cpu) = during.next_back()?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of minutes")]
    Some((last_cpu - first_cpu) as f64 * 100.0 / (last_ms - first_ms) as f64)
}

pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}
