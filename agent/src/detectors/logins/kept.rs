//! What survives a restart: all that is needed so that going on from the stored place in the logs neither loses nor doubles
//! anything. Some 100 KiB of JSON, the most suspicious first; of more than the state file takes, the least is left out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attempts::Connection;
use super::campaign::{Campaign, Key};
use super::guessers::Guesser;
use super::patterns::{Attempt, Second};
use super::targets::Target;
use super::tide::Tide;
use super::{LoginSettings, Logins};
use crate::detectors::sketches::SourceKey;
use crate::model::settings::DetectorSettings;

/// Bytes of all: the state file takes 256 KiB of a detector, and none of more.
const MOST: usize = 240 * 1024;
/// The form of the values; others are passed over.
const VERSION: u32 = 1;
/// Bytes of the addresses and their attempts: 60 an address and 20 an attempt, about.
const SOURCES: usize = 40 * 1024;
/// 40 bytes each.
const LOGINS: usize = 400;
/// 120 bytes each.
const CONNECTIONS: usize = 64;
/// Up to 800 bytes each.
const TARGETS: usize = 16;
/// 30 bytes each.
const NAMES: usize = 200;

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    seed: u64,
    now: Second,
    crowd_seen: Option<Second>,
    sources: Vec<KeptSource>,
    connections: Vec<(u64, Connection)>,
    logins: Vec<(SourceKey, u32, Second)>,
    names: Vec<(u32, String)>,
    /// Whether there are names among them of users that do not exist.
    #[serde(default)]
    has_unknown_users: bool,
    targets: Vec<Target>,
    crowd: Value,
    tide: Tide,
    open: Vec<(Key, Campaign)>,
    waiting: Vec<(Key, Campaign)>,
}

#[derive(Serialize, Deserialize)]
struct KeptSource {
    source: SourceKey,
    attempts: Vec<(Second, u32)>,
    since_success: usize,
    untold: usize,
    unknown_user: Option<Second>,
    is_open: bool,
}

impl From<Guesser> for KeptSource {
    fn from(guesser: Guesser) -> Self {
        KeptSource {
            source: guesser.source,
            attempts: guesser.attempts.iter().map(|attempt| (attempt.at, attempt.user)).collect(),
            since_success: guesser.since_success,
            untold: guesser.untold,
            unknown_user: guesser.unknown_user,
            is_open: guesser.is_open,
        }
    }
}

impl From<KeptSource> for Guesser {
    fn from(kept: KeptSource) -> Self {
        Guesser {
            source: kept.source,
            since_success: kept.since_success.min(kept.attempts.len()),
            untold: kept.untold.min(kept.attempts.len()),
            attempts: kept.attempts.into_iter().map(|(at, user)| Attempt { at, user }).collect(),
            unknown_user: kept.unknown_user,
            is_open: kept.is_open,
        }
    }
}

impl Kept {
    /// Leaves out the lesser half of each list but for what is open. False if nothing is left to leave out.
    fn shrink(&mut self) -> bool {
        fn halve<T>(list: &mut Vec<T>) -> bool {
            list.truncate(list.len() / 2);
            !list.is_empty()
        }
        let is_more = [
            halve(&mut self.targets),
            halve(&mut self.names),
            halve(&mut self.logins),
            halve(&mut self.connections),
            halve(&mut self.sources),
        ];
        is_more.contains(&true)
    }
}

impl Logins {
    /// Nothing before the first line that tells of a login.
    pub(super) fn keep(&self) -> Option<Value> {
        if self.now == 0 {
            return None;
        }
        let mut bytes = 0;
        let mut has_room = |guesser: &Guesser| {
            bytes += 90 + 24 * guesser.attempts.len();
            bytes <= SOURCES
        };
        let sources = self.guessers.most_suspicious().into_iter();
        let mut kept = Kept {
            version: VERSION,
            seed: self.seed,
            now: self.now,
            crowd_seen: self.crowd_seen,
            sources: sources.take_while(|guesser| has_room(guesser)).map(KeptSource::from).collect(),
            connections: self.attempts.kept(CONNECTIONS),
            logins: self.regulars.kept(LOGINS),
            names: self.names.kept(NAMES),
            has_unknown_users: self.settings.show_unknown_users,
            targets: self.targets.kept(TARGETS),
            crowd: self.targets.crowd(),
            tide: self.tide.clone(),
            open: self.open.iter().map(|(key, campaign)| (*key, campaign.clone())).collect(),
            waiting: self.waiting.clone(),
        };
        loop {
            let value = serde_json::to_value(&kept).ok()?;
            if value.to_string().len() <= MOST || !kept.shrink() {
                return Some(value);
            }
        }
    }

    pub(super) fn take_over(&mut self, learned: &Value) {
        let Ok(kept) = serde_json::from_value::<Kept>(learned.clone()) else { return };
        if kept.version != VERSION || self.now != 0 {
            return;
        }
        let logins: LoginSettings = self.settings.clone();
        let has_logs = self.has_logs;
        *self = Logins::new(&DetectorSettings { logins, ..DetectorSettings::default() }, kept.seed);
        self.has_logs = has_logs;
        (self.now, self.crowd_seen, self.tide) = (kept.now, kept.crowd_seen, kept.tide);
        kept.sources.into_iter().for_each(|source| self.guessers.restore(source.into()));
        self.attempts.restore(kept.connections);
        self.regulars.restore(kept.logins);
        // Shown until the last stop, but no longer.
        if self.settings.show_unknown_users || !kept.has_unknown_users {
            self.names.restore(kept.names);
        }
        self.targets.restore(kept.targets);
        self.targets.restore_crowd(kept.crowd);
        self.open = kept.open.into_iter().collect();
        self.guessing = self.open.keys().filter(|key| matches!(key, Key::Source(_))).count();
        self.waiting = kept.waiting;
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::detectors::Detector;
    use crate::model::event::Event;
    use crate::model::login::{Count, Login, Outcome};

    fn logins(show_unknown_users: bool) -> Logins {
        let logins = LoginSettings { show_unknown_users, ..LoginSettings::default() };
        Logins::new(&DetectorSettings { logins, ..DetectorSettings::default() }, 1)
    }

    #[test]
    fn names_that_may_no_longer_be_shown_are_not_taken_over() {
        let login = Login {
            time: Timestamp::from_second(1_780_000_000).unwrap(),
            service: "sshd".into(),
            pid: Some(7),
            source: "203.0.113.9".parse().ok(),
            port: None,
            user: Some("hunter2".into()),
            is_known_user: Some(false),
            outcome: Outcome::Failure,
            method: None,
            count: Count::Daemon(1),
            rule: "",
            is_trusted: true,
        };
        let mut before = logins(true);
        before.observe(&Event::Login(Box::new(login)));
        let learned = before.keep().unwrap();
        for (is_shown, has_name) in [(true, true), (false, false)] {
            let mut after = logins(is_shown);
            after.take_over(&learned);
            assert_eq!(after.keep().unwrap().to_string().contains("hunter2"), has_name);
        }
    }
}
