//! The life of a finding: it opens once, is updated once a minute while it lasts and at once when it
//! gets worse or its verdict becomes known, and closes once, after a quiet spell.

use jiff::Timestamp;

use crate::model::finding::{Evidence, Finding, Kind, Severity, State};

/// Seconds after which a verdict stays.
const NAMING: f64 = 60.0;
/// Seconds between two updates of one finding.
const UPDATE: f64 = 60.0;

/// The life of one kind of finding.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) open: Option<Finding>,
    quiet_seconds: f64,
    since_update: f64,
}

impl Track {
    /// Opens, updates or closes the finding; `draft` is how it looks now, `quiet_seconds` what closes it.
    pub(super) fn step(
        &mut self,
        is_on: bool,
        lasts: bool,
        draft: Finding,
        now: Timestamp,
        seconds: f64,
        quiet_seconds: u32,
    ) -> Option<Finding> {
        let Some(open) = &mut self.open else {
            if is_on {
                self.quiet_seconds = 0.0;
                self.since_update = 0.0;
                self.open = Some(draft.clone());
                return Some(draft);
            }
            return None;
        };
        self.since_update += seconds;
        let is_named_anew = lasts && draft.verdict != open.verdict && may_be_named_anew(open, &draft);
        let is_news = draft.severity > open.severity || is_named_anew;
        open.severity = open.severity.max(draft.severity);
        if lasts {
            self.quiet_seconds = 0.0;
            open.last_seen = now;
            // Its name and beginning stay, and the worst that it has been; what was measured is of when it was last seen.
            if is_named_anew {
                open.verdict = draft.verdict;
            }
            open.evidence = draft.evidence;
            open.advice = draft.advice;
            open.place = draft.place.or(open.place.take());
            open.who = draft.who.or(open.who.take());
            let new: Vec<&str> = draft.marks.into_iter().filter(|mark| !open.marks.contains(mark)).collect();
            open.marks.extend(new);
        } else {
            self.quiet_seconds += seconds;
        }
        if self.quiet_seconds >= f64::from(quiet_seconds) {
            let open = self.open.take()?;
            return Some(Finding { state: State::Closed, ended: Some(now), ..open });
        }
        if self.since_update >= UPDATE || is_news {
            self.since_update = 0.0;
            open.state = State::Update;
            return Some(open.clone());
        }
        None
    }
}

/// A verdict that says that too little is known yet.
pub(super) const NOT_KNOWN_YET: &str = "sources_unknown";

/// A verdict on few packets is a guess; that on many stays, though the end of an attack may look otherwise.
fn may_be_named_anew(open: &Finding, draft: &Finding) -> bool {
    let is_young = draft.began.duration_since(open.began).as_secs_f64() < NAMING;
    draft.verdict != Some(NOT_KNOWN_YET) && (is_young || open.verdict == Some(NOT_KNOWN_YET))
}

/// A finding of this kind that opens now, with nothing said of it yet.
pub(super) fn blank(kind: Kind, now: Timestamp) -> Finding {
    Finding {
        id: format!("{}-{}", kind.as_str(), now.as_millisecond()),
        state: State::Open,
        kind,
        severity: Severity::Notice,
        verdict: None,
        marks: Vec::new(),
        began: now,
        last_seen: now,
        ended: None,
        place: None,
        who: None,
        evidence: Vec::new(),
        advice: "",
    }
}

/// A signal, rounded as people read it.
pub(super) fn evidence(signal: &'static str, value: f64, baseline: Option<f64>) -> Evidence {
    let round = |value: f64| (value * 10.0).round() / 10.0;
    Evidence { signal, value: round(value), baseline: baseline.map(round) }
}
