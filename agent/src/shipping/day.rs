//! The limit of a day: what was used of it, and what is told where it ends. Days are UTC's.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::model::spool::StoredEvent;

/// What a day has used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Day {
    date: Option<Date>,
    used: u64,
    /// Events and bytes beyond the limit.
    lost: (u64, u64),
    /// The stream that was written to last: its end is told there.
    pub(super) stream: Option<String>,
    is_changed: bool,
}

/// How an event fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    /// It goes out.
    Fits,
    /// It is the first that does not.
    Reached,
    /// So was another before it.
    Over,
}

impl Day {
    /// Counts an event. From the first that does not fit nothing goes out until the day is over: a log with holes where its
    /// long lines were would mislead.
    pub(super) fn spend(&mut self, bytes: u64, limit: u64) -> Spent {
        self.is_changed = true;
        let is_first = self.lost.0 == 0;
        if is_first && self.used.saturating_add(bytes) <= limit {
            self.used += bytes;
            return Spent::Fits;
        }
        self.lost = (self.lost.0 + 1, self.lost.1.saturating_add(bytes));
        if is_first { Spent::Reached } else { Spent::Over }
    }

    /// What is told when the limit is reached: the gap begins here.
    pub(super) fn reached(&self, log: &str, limit: u64, time: Timestamp) -> StoredEvent {
        let until = self.date.and_then(|date| date.tomorrow().ok()).map(|date| format!("{date}T00:00:00Z"));
        let message = json!({
            "type": "gap", "version": 1, "of": "lines", "log": log, "cause": "daily_limit",
            "limit_bytes": limit, "until": until,
        });
        StoredEvent { timestamp: time, message: message.to_string() }
    }

    /// A new day begins with `now`, or not; gives what is to be told of the day before. A clock that is set back by a day
    /// begins no day anew; by more, it was wrong before.
    pub(super) fn turn(&mut self, now: Timestamp, log: &str, limit: u64) -> Option<StoredEvent> {
        let today = now.to_zoned(TimeZone::UTC).date();
        let latest = today.tomorrow().unwrap_or(today);
        if self.date.is_some_and(|date| (today..=latest).contains(&date)) {
            return None;
        }
        let stream = self.stream.clone();
        let new = Day { date: Some(today), stream, is_changed: true, ..Day::default() };
        let before = std::mem::replace(self, new);
        let (lost, lost_bytes) = before.lost;
        (lost > 0).then(|| {
            let message = json!({
                "type": "gap", "version": 1, "of": "lines", "log": log, "cause": "daily_limit",
                "limit_bytes": limit, "day": before.date.map(|date| date.to_string()),
                "lost": lost, "lost_bytes": lost_bytes,
            });
            StoredEvent { timestamp: now, message: message.to_string() }
        })
    }

    /// Its value, if it changed since it was last asked for.
    pub(super) fn changed(&mut self) -> Option<Vec<u8>> {
        let date = self.date.filter(|_| std::mem::take(&mut self.is_changed))?;
        let stream = self.stream.as_deref().unwrap_or_default();
        Some(format!("{date} {} {} {} {stream}", self.used, self.lost.0, self.lost.1).into_bytes())
    }

    /// As it was kept; a new day of what was not written by us.
    pub(super) fn read(value: &[u8]) -> Day {
        let read = || -> Option<Day> {
            let mut words = std::str::from_utf8(value).ok()?.splitn(5, ' ');
            let date = Some(words.next()?.parse().ok()?);
            let mut number = || words.next()?.parse().ok();
            let (used, lost) = (number()?, (number()?, number()?));
            let stream = words.next().filter(|stream| !stream.is_empty()).map(str::to_owned);
            Some(Day { date, used, lost, stream, is_changed: false })
        };
        read().unwrap_or_default()
    }
}
