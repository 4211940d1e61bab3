//! Which series are sent. A *sparse* metric is left out while it is zero; once it was not, it is sent every interval
//! to the end of that clock hour and for at least ten minutes: `CloudWatch` bills a metric by the hour it has data in,
//! and evaluates an alarm on the last real points for a while, so that the zeros after an event must be sent too.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::interval::{Interval, Published, Series};
use crate::model::settings::Settings;

const HOUR: i64 = 3600;
const AT_LEAST: i64 = 600;

type Key = (&'static str, Option<Arc<str>>);

/// Until when each sparse series is sent, in seconds since the epoch.
#[derive(Debug, Clone, Default)]
pub struct Sparse {
    until: HashMap<Key, i64>,
}

impl Sparse {
    /// Decides for every series of an interval.
    pub fn decide_all(&mut self, settings: &Settings, interval: &mut Interval) {
        for series in &mut interval.series {
            series.published = self.decide(settings, series, interval.start, interval.seconds);
        }
    }

    /// Decides for one series of the interval that begins at `start`.
    fn decide(&mut self, settings: &Settings, series: &Series, start: Timestamp, seconds: u32) -> Published {
        let metric = series.metric;
        if !settings.chosen.contains(metric.name) {
            return Published::NotChosen;
        }
        if !metric.sparse {
            return Published::Sent;
        }
        let start = start.as_second();
        // What lies further ahead than the rule can reach was written before the clock was set back.
        self.until
            .retain(|_, until| *until > start && *until - start <= HOUR + AT_LEAST + i64::from(seconds));
        let key = (metric.name, series.interface.clone());
        let distribution = &series.distribution;
        if distribution.max() != 0.0 || distribution.min() != 0.0 {
            let hour_end = start - start.rem_euclid(HOUR) + HOUR;
            self.until.insert(key, hour_end.max(start + i64::from(seconds) + AT_LEAST));
            Published::Sent
        } else if self.until.contains_key(&key) {
            Published::Sent
        } else {
            Published::SparseZero
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog;
    use crate::model::distribution::Distribution;
    use crate::model::settings::DetectorSettings;

    /// Of these minutes, those in which a metric is sent whose value is not zero in `events`.
    fn sent(minutes: impl IntoIterator<Item = i64>, events: &[i64]) -> Vec<i64> {
        let settings = Settings {
            interval_seconds: 60,
            namespace: "N".into(),
            chosen: ["tcp_listen_drops"].into(),
            samples_group: "/g".into(),
            findings_group: "/f".into(),
            detectors: DetectorSettings::default(),
            login_patterns: Vec::new(),
            web_logs: Vec::new(),
        };
        let mut sparse = Sparse::default();
        let mut decide = |minute: &i64| {
            let mut distribution = Distribution::default();
            distribution.add(if events.contains(minute) { 3.0 } else { 0.0 });
            let metric = catalog::find("tcp_listen_drops").unwrap();
            let series = Series { metric, interface: None, distribution, published: Published::Sent };
            let start = Timestamp::from_second(minute * 60).unwrap();
            sparse.decide(&settings, &series, start, 60) == Published::Sent
        };
        minutes.into_iter().filter(|minute| decide(minute)).collect()
    }

    #[test]
    fn silent_while_zero() {
        assert!(sent(0..200, &[]).is_empty());
    }

    #[test]
    fn sent_to_the_end_of_the_clock_hour() {
        assert_eq!(sent(0..200, &[20]), (20..60).collect::<Vec<_>>());
    }

    #[test]
    fn sent_for_ten_minutes_at_least() {
        assert_eq!(sent(0..200, &[57]), (57..68).collect::<Vec<_>>());
    }

    #[test]
    fn each_event_extends_it() {
        assert_eq!(sent(0..200, &[57, 60]), (57..120).collect::<Vec<_>>());
    }

    #[test]
    fn a_clock_set_back_does_not_keep_it_on_for_ever() {
        assert_eq!(sent([1_000_000, 1_000_001, 100, 101], &[1_000_000]), [1_000_000, 1_000_001]);
    }
}
