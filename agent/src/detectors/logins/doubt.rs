//! Lines that somebody on this host may have written: who is said to have failed never had a connection to it.
//!
//! Anyone local can write `Failed password ... from` some victim to a syslog file (`logger -t sshd`). A real attempt comes
//! by a connection, whose SYN a complete capture has seen. Where anything is uncertain a line is believed: no capture, a
//! sample of it, a capture that began lately, a line that is read late, an address of this host, a service behind others.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::patterns::Second;
use crate::detectors::sketches::{KnownSources, SourceKey};
use crate::model::login::Login;
use crate::model::snapshot::Snapshot;
use crate::model::syns::SynKind;

/// Seconds for which every SYN has to have been captured: longer than any connection lasts before its user is known.
const COMPLETE: f64 = 15.0 * 60.0;
/// Milliseconds until the SYN of a line that was read at once must have been seen: snapshots come each second.
const PATIENCE_MS: u64 = 2_500;
/// Seconds by which a line may be late.
const LATE: Second = 60;
/// Daemons that accept their connections themselves.
const OWN_CONNECTIONS: [&str; 1] = ["sshd"];
/// Addresses that are waited for; of more the lines are believed.
const WAITING: usize = 256;

/// Remembers who sent SYNs.
#[derive(Debug)]
pub(super) struct Doubt {
    key: u64,
    /// Only while there is a capture: 60 KiB.
    seen: Option<Box<KnownSources>>,
    complete_seconds: f64,
    /// This host's own addresses, as far as listeners tell them.
    own: BTreeSet<IpAddr>,
    now: Option<(Second, u64)>,
    waiting: Vec<Waiting>,
}

/// An address whose SYN may still come.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    source: SourceKey,
    since_ms: u64,
    lines: u64,
}

/// An address that was waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forged {
    pub(super) source: SourceKey,
    /// Lines that tell of it.
    pub(super) lines: u64,
}

impl Doubt {
    pub(super) fn new(seed: u64) -> Self {
        Doubt {
            key: seed,
            seen: None,
            complete_seconds: 0.0,
            own: BTreeSet::new(),
            now: None,
            waiting: Vec::new(),
        }
    }

    /// Takes in who sent SYNs in the last `seconds`. Gives those that were waited for and never did.
    pub(super) fn observe(&mut self, snapshot: &Snapshot, now: Second, seconds: f64) -> Vec<Forged> {
        self.now = Some((now, snapshot.monotonic_ms));
        if let Some(listeners) = &snapshot.listeners {
            self.own = listeners.iter().map(|listener| listener.address.to_canonical()).collect();
        }
        let syns = snapshot.syns.as_deref().filter(|syns| {
            !syns.is_empty()
                && syns.iter().all(|second| second.one_in == 1 && second.syns <= second.sample.len() as u64)
        });
        let Some(syns) = syns else {
            (self.seen, self.complete_seconds) = (None, 0.0);
            self.waiting.clear();
            return Vec::new();
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "fifteen minutes")]
        let span = COMPLETE as u64;
        let senders = self.seen.get_or_insert_with(|| Box::new(KnownSources::new(self.key, span)));
        let packets = syns.iter().flat_map(|second| &second.sample);
        for packet in packets.filter(|packet| packet.kind == SynKind::Syn) {
            senders.learn(packet.source.into());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few seconds")]
        senders.learned_for(seconds.round() as u64);
        self.complete_seconds = if senders.is_full() { 0.0 } else { self.complete_seconds + seconds };
        self.judge(snapshot.monotonic_ms)
    }

    fn judge(&mut self, now_ms: u64) -> Vec<Forged> {
        let Some(seen) = &self.seen else { return Vec::new() };
        let is_certain = self.complete_seconds >= COMPLETE;
        self.waiting.retain(|waiting| is_certain && !seen.is_known(waiting.source));
        let (late, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|waiting| now_ms.saturating_sub(waiting.since_ms) >= PATIENCE_MS);
        self.waiting = waiting;
        late.into_iter().map(|late| Forged { source: late.source, lines: late.lines }).collect()
    }

    /// The addresses that are waited for.
    pub(super) fn waiting(&self) -> Vec<SourceKey> {
        self.waiting.iter().map(|waiting| waiting.source).collect()
    }

    /// Whether an address is waited for.
    pub(super) fn is_waiting(&self, source: SourceKey) -> bool {
        self.waiting.iter().any(|waiting| waiting.source == source)
    }

    /// Whether the line may be forged; the next seconds will tell.
    pub(super) fn of(&mut self, login: &Login, source: IpAddr, now: Second) -> bool {
        let (Some((live, live_ms)), Some(seen)) = (self.now, &self.seen) else { return false };
        let is_in_question = !login.is_trusted
            && OWN_CONNECTIONS.contains(&&*login.service)
            && self.complete_seconds >= COMPLETE
            && live.abs_diff(now) <= LATE
            && !source.is_loopback()
            && !source.is_unspecified()
            && !self.own.contains(&source)
            && !seen.is_known(source.into());
        if !is_in_question {
            return false;
        }
        let key = SourceKey::from(source);
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.source == key) {
            waiting.lines += 1;
            return true;
        }
        let has_room = self.waiting.len() < WAITING;
        if has_room {
            self.waiting.push(Waiting { source: key, since_ms: live_ms, lines: 1 });
        }
        has_room
    }
}
