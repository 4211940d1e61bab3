//! SYN floods, and what looks like one: a program that accepts too slowly, a flash crowd. On kernel counters alone.
//!
//! The half-open count cannot tell a small flood from a huge one (it stops at the backlog, or stays zero with
//! `net.ipv4.tcp_syncookies=2`), and cookie and drop counters cannot tell a flood from a slow program. Together they
//! can. The heart is `u`, the handshakes per second that were begun and will not be completed:
//!
//! - SYN cookies sent that did not come back,
//! - SYNs dropped at a full SYN queue (drops at a full accept queue are the program's doing, and left out),
//! - growth of half-open connections in the second before, less completed handshakes that wait for
//!   `TCP_DEFER_ACCEPT`, as far as SYN-ACKs are sent again now: a handshake under way is answered within that second,
//! - half-open connections that were reset, above what is usual here,
//! - SYN-ACKs sent again, less what the half-open count fell by: about five for each SYN that nobody answers.
//!
//! A cumulative sum of `u` above its learned mean finds weak floods in seconds and strong ones at once. What is usual
//! is not learned while a flood is on. Kernel facts: `net/ipv4/tcp_input.c` (`tcp_conn_request`),
//! `net/ipv4/inet_connection_sock.c` (`reqsk_timer_handler`).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Detector;
use super::baseline::Baseline;
use super::rates_of_snapshots::{Comparison, PerSecond, float};
use super::track::{Track, blank, evidence};
use crate::model::event::Event;
use crate::model::finding::{Finding, Kind, Place, Severity};
use crate::model::settings::{DetectorSettings, FlashCrowdSettings, SynFloodSettings};
use crate::model::snapshot::{Listener, Snapshot};

/// Seconds over which ratios are formed.
const WINDOW: usize = 5;
/// Unanswered handshakes within a window that feed a high half-open count; fewer are chance.
const FEEDING: f64 = 5.0;
/// A gap between snapshots after which sums over seconds say nothing.
const GAP: f64 = 15.0;
/// SYN-ACKs sent again for each SYN that is never answered (`tcp_synack_retries`, whose default is 5).
const RETRANSMITS: f64 = 5.0;
/// Resets of half-open connections per second that are no flood, whatever is usual: health checks do that.
const RESETS: f64 = 10.0;
/// Resets per second that are taken for health checks: more at the agent's start are a flood that is on already.
const MOST_CHECKS: f64 = 50.0;

/// The detector.
#[derive(Debug)]
pub(super) struct SynFlood {
    settings: SynFloodSettings,
    crowd_settings: FlashCrowdSettings,
    comparison: Comparison,
    unanswered: Baseline,
    resets: Baseline,
    completed: Baseline,
    half_open: Baseline,
    /// The cumulative sum.
    sum: f64,
    window: VecDeque<Second>,
    suspect_seconds: u32,
    slow_seconds: u32,
    flood: Track,
    slow_accept: Track,
    flash_crowd: Track,
    /// Completed handshakes per second that were a crowd when the one that is on began.
    crowd_level: f64,
    /// Unanswered handshakes of this second, where they are more than usual; nothing without counters.
    measured: Option<f64>,
}

/// What one second says.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    rates: PerSecond,
    /// Unanswered handshakes, as far as they tell that something is still going on.
    lasting: f64,
    /// The same with SYN-ACKs sent again, which go on for a minute after the last SYN.
    unanswered: f64,
    /// SYN cookies that did not come back, and SYNs dropped at a full SYN queue.
    refused: f64,
    /// Half-open connections that came and were not answered.
    growth: f64,
}

impl Detector for SynFlood {
    fn name(&self) -> &'static str {
        "syn_flood"
    }

    fn configure(&mut self, settings: &DetectorSettings) {
        self.settings = settings.syn_flood;
        self.crowd_settings = settings.flash_crowd;
    }

    fn observe(&mut self, event: &Event) -> Vec<Finding> {
        let Event::Snapshot(snapshot) = event else { return Vec::new() };
        self.measured = None;
        let Some((rates, seconds)) = self.comparison.of(snapshot) else { return Vec::new() };
        if seconds > GAP {
            self.window.clear();
            (self.sum, self.suspect_seconds, self.slow_seconds) = (0.0, 0, 0);
        }
        let second = self.weigh(rates);
        self.window.push_back(second);
        if self.window.len() > WINDOW {
            self.window.pop_front();
        }
        // Handshakes under way come and go: what is usual is no news, and a sparse metric need not be sent for it.
        let is_news = second.unanswered > self.unanswered.mean() + self.allowance();
        self.measured = Some(if is_news { second.unanswered } else { 0.0 });
        let flood = self.look_for_flood(&second, snapshot, seconds);
        let slow = self.look_for_slow_accept(&second, snapshot, seconds);
        let crowd = self.look_for_flash_crowd(&second, snapshot, seconds);
        self.learn(&second, snapshot);
        [flood, slow, crowd].into_iter().flatten().collect()
    }

    fn measurements(&self) -> Vec<(&'static str, f64)> {
        let active = if self.flood.open.is_some() { 1.0 } else { 0.0 };
        self.measured
            .map(|unanswered| vec![("syn_flood_active", active), ("syn_unanswered", unanswered)])
            .unwrap_or_default()
    }

    fn learned(&self) -> Option<serde_json::Value> {
        let learned = Learned {
            version: LEARNED_VERSION,
            unanswered: self.unanswered,
            resets: self.resets,
            completed: self.completed,
            half_open: self.half_open,
        };
        if learned.is_worth_keeping() { serde_json::to_value(learned).ok() } else { None }
    }

    fn restore(&mut self, learned: &serde_json::Value) {
        let Ok(learned) = Learned::deserialize(learned) else { return };
        if learned.version == LEARNED_VERSION && learned.is_worth_keeping() {
            self.unanswered.restore(learned.unanswered);
            self.resets.restore(learned.resets);
            self.completed.restore(learned.completed);
            self.half_open.restore(learned.half_open);
        }
    }
}

impl SynFlood {
    pub(super) fn new(settings: SynFloodSettings, crowd_settings: FlashCrowdSettings) -> Self {
        SynFlood {
            settings,
            crowd_settings,
            comparison: Comparison::default(),
            unanswered: Baseline::default(),
            resets: Baseline::default(),
            completed: Baseline::default(),
            half_open: Baseline::default(),
            sum: 0.0,
            window: VecDeque::new(),
            suspect_seconds: 0,
            slow_seconds: 0,
            flood: Track::default(),
            slow_accept: Track::default(),
            flash_crowd: Track::default(),
            crowd_level: 0.0,
            measured: None,
        }
    }

    /// The unanswered handshakes of this second.
    fn weigh(&self, rates: PerSecond) -> Second {
        let before = self.window.back().map(|second| second.rates).unwrap_or_default();
        let grown = (before.half_open_growth - before.waiting_for_data).max(0.0);
        let growth = grown.min(rates.retransmits.unwrap_or(f64::INFINITY));
        let refused = rates.cookies_unreturned.max(0.0) + rates.syn_queue_drops;
        let lasting = refused + growth + self.unusual_resets(&rates);
        let again = rates.syn_ack_retransmits / RETRANSMITS + rates.half_open_growth.min(0.0);
        Second { rates, lasting, unanswered: lasting + again.max(0.0), refused, growth }
    }

    /// Resets of half-open connections above what is usual. In the first seconds nothing is known to be unusual: a
    /// host whose load balancers check it with half connections begins like one that is attacked.
    fn unusual_resets(&self, rates: &PerSecond) -> f64 {
        let usual = RESETS.max(self.resets.mean() + 3.0 * self.resets.deviation());
        if self.resets.is_learned() { (rates.embryonic_resets - usual).max(0.0) } else { 0.0 }
    }

    /// What an unanswered rate must exceed to count: `m + K` of the cumulative sum.
    fn allowance(&self) -> f64 {
        let (mean, deviation) = (self.unanswered.mean(), self.unanswered.deviation());
        self.settings.tolerance.max(mean / 2.0).max(3.0 * deviation)
    }

    fn over_window(&self, of: impl Fn(&Second) -> f64) -> f64 {
        self.window.iter().map(of).sum()
    }

    fn look_for_flood(&mut self, second: &Second, snapshot: &Snapshot, seconds: f64) -> Option<Finding> {
        let usual = self.unanswered.mean();
        let allowance = self.allowance();
        let high = self.settings.sum.max(5.0 * allowance);
        self.sum = (self.sum + (second.unanswered - usual - allowance) * seconds).clamp(0.0, 4.0 * high);

        let unanswered = self.over_window(|s| s.unanswered);
        let begun = unanswered + self.over_window(|s| s.rates.completed);
        let ratio = if begun > 0.0 { unanswered / begun } else { 0.0 };
        let slow_program = self.over_window(|s| s.rates.listen_overflows) > unanswered / 2.0;

        let flood = self.sum >= high
            && (ratio >= self.settings.ratio
                || (ratio >= self.settings.least_ratio && second.unanswered >= 5.0 * (usual + allowance)));
        // Of the whole window: cookies may come back in the second after. And in two seconds of it at least.
        let refused = self.over_window(|s| s.rates.cookies_unreturned).max(0.0)
            + self.over_window(|s| s.rates.syn_queue_drops);
        let seconds_refused = self.window.iter().filter(|s| s.refused > 1.0).count();
        let pressure = refused >= 25.0 && seconds_refused >= 2 && ratio >= self.settings.least_ratio;
        let slow = self.half_open_is_high(second, snapshot);
        let suspect = !slow_program && (flood || pressure || slow);
        self.suspect_seconds = if suspect { self.suspect_seconds + 1 } else { 0 };
        let strong = self.sum >= 4.0 * high && second.refused + second.growth > 0.0;
        let sure = self.suspect_seconds >= 2 || (suspect && flood && strong);

        let lasts = second.lasting >= usual + allowance || (pressure && !slow_program);
        let draft = flood_draft(self, second, snapshot);
        self.flood.step(sure, lasts, draft, snapshot.time, seconds)
    }

    /// Half-open connections far above what is usual for ten seconds, and still fed.
    fn half_open_is_high(&mut self, second: &Second, snapshot: &Snapshot) -> bool {
        let backlog = busiest(snapshot).and_then(|listener| listener.accept_limit).map_or(0.0, f64::from);
        let usual = 2.5 * self.half_open.mean() + 30.0;
        let high = 32f64.max(backlog / 4.0).max(usual).max(3.15 * second.rates.completed);
        let fed = self.over_window(|s| s.lasting) >= FEEDING;
        self.slow_seconds = if half_open(snapshot) >= high && fed { self.slow_seconds + 1 } else { 0 };
        self.slow_seconds >= 10
    }

    /// The accept queue overflows: real clients, a program that is too slow for them.
    fn look_for_slow_accept(
        &mut self,
        second: &Second,
        snapshot: &Snapshot,
        seconds: f64,
    ) -> Option<Finding> {
        let overflows = self.over_window(|s| s.rates.listen_overflows);
        let is_on = overflows >= 25.0 && overflows > self.over_window(|s| s.unanswered) / 2.0;
        let draft = Finding {
            severity: Severity::Warning,
            advice: "The program behind this listener accepts connections more slowly than clients come. Look at it \
                     before you look for an attacker; a longer backlog only helps with short peaks.",
            evidence: vec![
                evidence("listen_overflows", second.rates.listen_overflows, None),
                evidence("syn_unanswered", second.unanswered, Some(self.unanswered.mean())),
                evidence("completed_handshakes", second.rates.completed, Some(self.completed.mean())),
            ],
            place: fullest_accept_queue(snapshot).map(place),
            ..blank(Kind::SlowAccept, snapshot.time)
        };
        self.slow_accept.step(is_on, second.rates.listen_overflows > 0.0, draft, snapshot.time, seconds)
    }

    /// Completed handshakes per second that are a crowd here.
    fn crowd(&self) -> f64 {
        let usual = self.completed.mean();
        let FlashCrowdSettings { least, times_usual } = self.crowd_settings;
        least.max(times_usual * usual).max(usual + 6.0 * self.completed.deviation())
    }

    /// Many more clients than usual, all served.
    fn look_for_flash_crowd(
        &mut self,
        second: &Second,
        snapshot: &Snapshot,
        seconds: f64,
    ) -> Option<Finding> {
        let usual = self.completed.mean();
        // What was unusual when it began is the measure until that is what is usual.
        if self.flash_crowd.open.is_none() {
            self.crowd_level = self.crowd();
        }
        let crowd = self.crowd_level;
        let everyone = self.window.len() == WINDOW && self.window.iter().all(|s| s.rates.completed >= crowd);
        let lost = self.over_window(|s| s.unanswered + s.rates.listen_overflows);
        let served = lost < 0.05 * self.over_window(|s| s.rates.completed);
        let is_on = self.completed.is_learned() && everyone && served && self.flood.open.is_none();
        let draft = Finding {
            severity: Severity::Notice,
            advice: "Nothing to do as long as clients are served. If the traffic is not welcome, it is a flood of real \
                     requests, which listeners cannot tell from visitors.",
            evidence: vec![
                evidence("completed_handshakes", second.rates.completed, Some(usual)),
                evidence("syn_unanswered", second.unanswered, Some(self.unanswered.mean())),
            ],
            ..blank(Kind::FlashCrowd, snapshot.time)
        };
        let lasts = second.rates.completed >= crowd && usual < crowd;
        self.flash_crowd.step(is_on && lasts, lasts, draft, snapshot.time, seconds)
    }

    /// Learns what is usual, but not from an attack or a crowd.
    fn learn(&mut self, second: &Second, snapshot: &Snapshot) {
        if self.flood.open.is_none() && self.suspect_seconds == 0 {
            // In the first minutes what adds up may be a flood that was on before the agent.
            if self.sum == 0.0 || self.unanswered.is_settled() {
                self.unanswered.learn(second.unanswered);
            }
            self.half_open.learn(half_open(snapshot));
            self.resets.learn(second.rates.embryonic_resets.min(MOST_CHECKS));
            let is_crowd = self.completed.is_learned() && second.rates.completed >= self.crowd_level;
            if self.slow_accept.open.is_none() {
                if is_crowd {
                    self.completed.learn_slowly(second.rates.completed);
                } else {
                    self.completed.learn(second.rates.completed);
                }
            }
        }
    }
}

/// Version of [`Learned`]; another one is not understood.
const LEARNED_VERSION: u32 = 1;

/// What survives a restart, as JSON. A flood is not in it: nothing is learned while one is on.
#[derive(Debug, Serialize, Deserialize)]
struct Learned {
    version: u32,
    unanswered: Baseline,
    resets: Baseline,
    completed: Baseline,
    half_open: Baseline,
}

impl Learned {
    fn is_worth_keeping(&self) -> bool {
        [self.unanswered, self.resets, self.completed, self.half_open].iter().all(Baseline::is_worth_keeping)
    }
}

const WITH_COOKIES: &str = "Handshakes are begun that nobody completes. SYN cookies keep the service reachable; a longer \
     backlog (net.core.somaxconn and the program's own) delays them. If few sources are behind it, a network ACL stops \
     them before the instance; counters alone do not tell who they are.";
const WITHOUT_COOKIES: &str = "Handshakes are begun that nobody completes, and clients are dropped because SYN cookies are \
     off: set net.ipv4.tcp_syncookies=1. If few sources are behind it, a network ACL stops them before the instance; \
     counters alone do not tell who they are.";

/// The flood as it looks in this second.
fn flood_draft(detector: &SynFlood, second: &Second, snapshot: &Snapshot) -> Finding {
    let rates = &second.rates;
    let listener = busiest(snapshot);
    let half_open = half_open(snapshot);
    let backlog = listener.and_then(|listener| listener.accept_limit).map_or(f64::INFINITY, f64::from);
    let resets = detector.unusual_resets(rates);
    let drops = rates.syn_queue_drops;
    let starved = detector.completed.is_learned() && rates.completed < detector.completed.mean() / 2.0;

    let mut marks = Vec::new();
    if rates.cookies_sent > 0.0 && (half_open >= backlog || half_open == 0.0) {
        marks.push("cookie_masked");
    }
    if drops > 0.0 {
        marks.push("queue_full");
    }
    let losing = drops > 0.0 || (second.refused > 0.0 && starved) || half_open > 0.9 * backlog;
    let severity = if losing { Severity::Critical } else { Severity::Warning };
    let verdict = if resets > second.unanswered / 2.0 { "live_sources" } else { "sources_unknown" };
    Finding {
        severity,
        verdict: Some(verdict),
        marks,
        place: listener.map(place),
        evidence: vec![
            evidence("syn_unanswered", second.unanswered, Some(detector.unanswered.mean())),
            evidence("half_open", half_open, Some(detector.half_open.mean())),
            evidence("syncookies_unreturned", rates.cookies_unreturned.max(0.0), None),
            evidence("syn_queue_drops", drops, None),
            evidence("embryonic_resets", rates.embryonic_resets, Some(detector.resets.mean())),
            evidence("syn_ack_retransmits", rates.syn_ack_retransmits, None),
            evidence("listen_overflows", rates.listen_overflows, None),
            evidence("completed_handshakes", rates.completed, Some(detector.completed.mean())),
        ],
        advice: if drops > 0.0 && rates.cookies_sent == 0.0 { WITHOUT_COOKIES } else { WITH_COOKIES },
        ..blank(Kind::SynFlood, snapshot.time)
    }
}

fn half_open(snapshot: &Snapshot) -> f64 {
    snapshot.tcp.as_ref().map_or(0.0, |tcp| float(tcp.states.syn_recv))
}

/// The listener whose SYN queue is fullest; none if there are no half-open connections.
fn busiest(snapshot: &Snapshot) -> Option<&Listener> {
    let listeners = snapshot.listeners.as_deref().unwrap_or_default();
    let busy = listeners.iter().filter(|listener| listener.half_open > Some(0));
    let fullness = |listener: &Listener| listener.syn_utilization().unwrap_or(0.0);
    busy.max_by(|a, b| fullness(a).total_cmp(&fullness(b)).then(a.half_open.cmp(&b.half_open)))
}

fn fullest_accept_queue(snapshot: &Snapshot) -> Option<&Listener> {
    let listeners = snapshot.listeners.as_deref().unwrap_or_default();
    let full = listeners.iter().filter(|listener| listener.accept_utilization > Some(0.0));
    full.max_by(|a, b| a.accept_utilization.unwrap_or(0.0).total_cmp(&b.accept_utilization.unwrap_or(0.0)))
}

fn place(listener: &Listener) -> Place {
    Place {
        interface: None,
        address: Some(listener.address),
        port: Some(listener.port),
        unit: listener.unit.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::model::counters::KernelCounters;
    use crate::model::finding::State;
    use crate::model::snapshot::{HalfOpen, TcpStates, TcpTable, TcpTableMethod};

    /// What happens in one second.
    #[derive(Default, Clone, Copy)]
    struct Rates {
        completed: u64,
        /// SYNs that nobody will complete: first the SYN queue fills, then cookies are sent.
        spoofed: u64,
        resets: u64,
        /// Completed handshakes that wait for data at a `TCP_DEFER_ACCEPT` listener.
        deferred: u64,
        overflows: u64,
        /// Cookies sent and returned, as with `tcp_syncookies=2`.
        cookies: u64,
        /// Cookies sent that come back in the second after.
        late_cookies: u64,
        /// Handshakes that are under way when the snapshot is taken, and complete in the second after.
        in_flight: u64,
        /// SYNs of connections that this host begins, sent again.
        own_retransmits: u64,
    }

    const BACKLOG: u64 = 128;

    fn detector() -> SynFlood {
        SynFlood::new(SynFloodSettings::default(), FlashCrowdSettings::default())
    }

    /// A host with three listeners, of which port 443 is attacked.
    fn observe(seconds: u64, rates: impl Fn(u64) -> Rates) -> Vec<(u64, Finding)> {
        watch(&mut detector(), 0..seconds, rates)
    }

    /// The same from its start on, looked at by this detector in these seconds.
    fn watch(
        detector: &mut SynFlood,
        seconds: std::ops::Range<u64>,
        rates: impl Fn(u64) -> Rates,
    ) -> Vec<(u64, Finding)> {
        let mut found = Vec::new();
        let mut c = KernelCounters::default();
        let mut expiry: VecDeque<u64> = VecDeque::from(vec![0; 63]); // half-open for 63 s
        let (mut half_open, mut unacknowledged, mut late) = (0u64, VecDeque::new(), 0);
        let add = |counter: &mut Option<u64>, by: u64| *counter = Some(counter.unwrap_or(0) + by);
        for second in 0..seconds.end {
            let now = rates(second);
            let room = (BACKLOG + 1).saturating_sub(half_open);
            let (queued, masked) = (now.spoofed.min(room), now.spoofed.saturating_sub(room));
            expiry.push_back(queued + now.deferred);
            half_open = (half_open + queued + now.deferred).saturating_sub(expiry.pop_front().unwrap_or(0));
            add(&mut c.tcp_passive_opens, now.completed);
            add(&mut c.syncookies_sent, masked + now.cookies + now.late_cookies);
            add(&mut c.syncookies_recv, now.cookies + late);
            late = now.late_cookies;
            add(&mut c.embryonic_rsts, now.resets);
            // Clients that do talk count there too, beside the completed ones.
            add(&mut c.defer_accept_drop, if now.deferred > 0 { now.deferred + now.completed } else { 0 });
            add(&mut c.listen_overflows, now.overflows);
            add(&mut c.listen_drops, now.overflows);
            // The kernel sends no SYN-ACK again to a client that has acknowledged it and is silent (`syn_ack_recalc`).
            unacknowledged.push_front(queued);
            unacknowledged.truncate(63);
            let again = [1, 3, 7, 15, 31].iter().filter_map(|age| unacknowledged.get(*age)).sum::<u64>();
            add(&mut c.tcp_syn_retrans, again + now.own_retransmits);
            let time = Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap();
            let mut snapshot = Snapshot::at(time, second * 1000);
            snapshot.counters = Some(c.clone());
            snapshot.tcp = Some(TcpTable {
                age_ms: 0,
                method: TcpTableMethod::SockDiagComplement,
                states: TcpStates {
                    syn_recv: half_open + now.in_flight,
                    syn_sent: now.own_retransmits * 3,
                    ..TcpStates::default()
                },
                half_open: vec![HalfOpen { address: [10, 0, 0, 1].into(), port: 443, count: 0 }],
            });
            let listener = |port, half_open: u64| Listener {
                address: [0, 0, 0, 0].into(),
                port,
                unit: None,
                sockets: 1,
                accept_queue: 0,
                accept_limit: Some(128),
                accept_utilization: Some(0.0),
                half_open: u32::try_from(half_open).ok(),
                drops: None,
            };
            snapshot.listeners = Some(vec![listener(22, 0), listener(443, half_open), listener(8080, 0)]);
            if second < seconds.start {
                continue;
            }
            found.extend(
                detector.observe(&Event::Snapshot(Arc::new(snapshot))).into_iter().map(|f| (second, f)),
            );
        }
        found
    }

    fn calm() -> Rates {
        Rates { completed: 30, ..Rates::default() }
    }

    /// When floods opened and closed.
    fn floods(found: &[(u64, Finding)]) -> Vec<(u64, State)> {
        let floods = found.iter().filter(|(_, f)| f.kind == Kind::SynFlood && f.state != State::Update);
        floods.map(|(second, f)| (*second, f.state)).collect()
    }

    fn flood(rate: impl Fn(u64) -> u64) -> impl Fn(u64) -> Rates {
        move |second| Rates { spoofed: rate(second), ..calm() }
    }

    #[test]
    fn what_is_no_flood() {
        let benign: [(&str, &dyn Fn(u64) -> Rates); 12] = [
            ("nothing", &|_| Rates::default()),
            ("ordinary", &|t| Rates { completed: 30 + t * 7 % 11, ..calm() }),
            ("health checks with half connections", &|_| Rates { resets: 8, ..calm() }),
            ("many of them, from the start", &|t| Rates { resets: 40 + t % 10, ..calm() }),
            ("browsers' preconnects at TCP_DEFER_ACCEPT", &|t| Rates {
                deferred: if t < 100 { 0 } else { 20 },
                completed: 10,
                ..calm()
            }),
            ("syncookies=2", &|t| Rates { cookies: 30 + t % 3, ..calm() }),
            ("bursts of clients that are far away", &|t| Rates {
                in_flight: if t % 97 == 0 { 120 } else { t * 5 % 9 },
                ..calm()
            }),
            ("a burst of cookies that come back a second later", &|t| Rates {
                late_cookies: if t % 60 == 59 { 40 } else { 0 },
                ..calm()
            }),
            ("a dead server behind this one", &|t| Rates {
                own_retransmits: if t > 300 { 200 } else { 0 },
                in_flight: t % 7,
                ..calm()
            }),
            ("one second of resets", &|t| Rates { resets: if t == 500 { 60 } else { 0 }, ..calm() }),
            ("flash crowd", &|t| Rates {
                completed: if (60..120).contains(&t) { 600 } else { 30 },
                ..calm()
            }),
            ("slow program", &|t| match t {
                60..120 => Rates { overflows: 2000, completed: 95, spoofed: 5, ..calm() },
                _ => calm(),
            }),
        ];
        for (name, rates) in benign {
            let found = observe(900, rates);
            assert_eq!(floods(&found), [], "{name}");
            let above =
                found.iter().filter(|(_, f)| f.severity > Severity::Notice && f.kind != Kind::SlowAccept);
            assert_eq!(above.count(), 0, "{name}");
        }
    }

    #[test]
    fn floods_are_found_and_close_within_a_minute_of_their_end() {
        for (rate, delay) in [(100, 2), (1000, 1), (20, 5)] {
            let found = floods(&observe(600, flood(|t| if (200..320).contains(&t) { rate } else { 0 })));
            let [(open, State::Open), (closed, State::Closed)] = found[..] else {
                panic!("{rate}/s: {found:?}")
            };
            assert!((200..=200 + delay).contains(&open), "{rate}/s: opened at {open}");
            assert!((320..=380).contains(&closed), "{rate}/s: closed at {closed}");
        }
    }

    #[test]
    fn a_flood_that_runs_when_the_agent_starts_is_found_and_not_learned() {
        let found = observe(400, flood(|_| 200));
        assert_eq!(floods(&found), [(1, State::Open)]);
    }

    #[test]
    fn pulses_are_one_flood() {
        let found = observe(400, flood(|t| if t >= 100 && t % 30 < 10 { 300 } else { 0 }));
        let [(open, State::Open)] = floods(&found)[..] else { panic!("{:?}", floods(&found)) };
        assert!((100..=122).contains(&open), "{open}");
    }

    #[test]
    fn a_ramp_is_found_before_it_hurts() {
        let found = observe(500, flood(|t| if t < 100 { 0 } else { (1 + (t - 100) * 500 / 300).min(500) }));
        let (open, _) = floods(&found)[0];
        assert!(open <= 130, "opened at {open}, at {}/s", (open - 100) * 500 / 300);
    }

    #[test]
    fn a_flood_within_a_flash_crowd_is_found_at_its_listener() {
        let rates = |t| match t {
            100..160 => Rates { completed: 600, ..calm() },
            160..200 => Rates { completed: 600, spoofed: 300, ..calm() },
            _ => calm(),
        };
        let found = observe(300, rates);
        let (second, flood) = found.iter().find(|(_, f)| f.kind == Kind::SynFlood).unwrap();
        assert!((160..=162).contains(second), "{second}");
        assert_eq!(flood.place.as_ref().unwrap().port, Some(443));
        assert!(found.iter().any(|(_, f)| f.kind == Kind::FlashCrowd));
    }

    #[test]
    fn a_crowd_that_stays_becomes_usual() {
        let found = observe(3000, |t| Rates { completed: if t < 200 { 30 } else { 600 }, ..calm() });
        let states: Vec<_> =
            found.iter().filter(|(_, f)| f.kind == Kind::FlashCrowd).map(|(_, f)| f.state).collect();
        assert_eq!((states[0], states[states.len() - 1]), (State::Open, State::Closed));
        let closed = found.iter().find(|(_, f)| f.state == State::Closed).unwrap().0;
        assert!((250..1500).contains(&closed), "{closed}");
    }

    #[test]
    fn live_sources_are_named_by_their_resets() {
        let found = observe(200, |t| Rates { resets: if t < 100 { 3 } else { 500 }, ..calm() });
        let (second, flood) = found.iter().find(|(_, f)| f.kind == Kind::SynFlood).unwrap();
        assert!((100..=102).contains(second), "{second}");
        assert_eq!(flood.verdict, Some("live_sources"));
    }

    #[test]
    fn one_finding_is_updated_once_a_minute() {
        let found = observe(500, flood(|t| if t >= 100 { 200 } else { 0 }));
        let updates: Vec<u64> =
            found.iter().filter(|(_, f)| f.state == State::Update).map(|(second, _)| *second).collect();
        assert_eq!(updates.len(), 6, "{updates:?}");
        assert!(updates.windows(2).all(|pair| pair[1] - pair[0] == 60), "{updates:?}");
        assert!(found.windows(2).all(|pair| pair[0].1.id == pair[1].1.id));
    }

    /// What a detector stores that watched for so long.
    fn stored(seconds: u64, rates: impl Fn(u64) -> Rates) -> Option<serde_json::Value> {
        let mut detector = detector();
        watch(&mut detector, 0..seconds, rates);
        detector.learned()
    }

    #[test]
    fn what_was_learned_is_stored_once_it_is_enough_and_taken_over() {
        assert_eq!(stored(100, |_| calm()), None);
        let learned = stored(300, |t| Rates { completed: 30 + t * 7 % 11, resets: t % 3, ..calm() }).unwrap();
        let mut restarted = detector();
        restarted.restore(&learned);
        assert_eq!(restarted.learned(), Some(learned.clone()));
        let text = learned.to_string();
        restarted.restore(&serde_json::from_str(&text).unwrap());
        assert_eq!(restarted.learned().map(|again| again.to_string()), Some(text));
    }

    #[test]
    fn what_is_stored_during_a_flood_is_what_was_before_it() {
        let rates = |t| Rates { spoofed: if t >= 200 { 200 } else { 0 }, resets: t % 4, ..calm() };
        let mean = |seconds, of: &str| stored(seconds, rates).unwrap()[of]["mean"].as_f64().unwrap();
        for of in ["unanswered", "resets", "completed", "half_open"] {
            assert!((mean(200, of) - mean(210, of)).abs() < 1.0, "{of}");
        }
        assert_eq!(stored(210, rates), stored(2000, rates));
    }

    #[test]
    fn after_a_restart_even_a_weak_flood_that_is_on_already_is_found_at_once() {
        let learned = stored(600, |_| calm()).unwrap();
        for (name, rates, delay, without) in [
            ("strong", Rates { spoofed: 500, ..calm() }, 2, true),
            ("weak", Rates { spoofed: 20, ..calm() }, 5, true),
            ("resets that would be taken for health checks", Rates { resets: 45, ..calm() }, 3, false),
        ] {
            let found = |detector: &mut SynFlood| floods(&watch(detector, 400..500, |_| rates));
            let mut restarted = detector();
            restarted.restore(&learned);
            let [(opened, State::Open)] = found(&mut restarted)[..] else { panic!("{name}") };
            assert!((400..=400 + delay).contains(&opened), "{name}: {opened}");
            assert_eq!(!found(&mut detector()).is_empty(), without, "{name}: without what was learned");
            // And what is stored from then on is still what was learned before.
            let mean = |value: &serde_json::Value, of: &str| value[of]["mean"].as_f64().unwrap();
            let again = restarted.learned().unwrap();
            for of in ["unanswered", "resets"] {
                assert!((mean(&again, of) - mean(&learned, of)).abs() < 1.0, "{name}: {again}");
            }
        }
    }

    #[test]
    fn what_comes_late_replaces_seconds_and_not_minutes() {
        let learned = stored(300, |_| calm()).unwrap();
        for (seconds, usual) in [(0..2, 30.0), (0..20, 30.0), (0..200, 300.0)] {
            let mut late = detector();
            watch(&mut late, seconds.clone(), |_| Rates { completed: 300, ..calm() });
            late.restore(&learned);
            assert!((late.completed.mean() - usual).abs() < 1.0, "{seconds:?}: {:?}", late.completed);
        }
    }

    #[test]
    fn what_is_damaged_or_newer_changes_nothing() {
        let good = stored(300, |_| calm()).unwrap();
        let with = |path: &str, value: serde_json::Value| {
            let mut changed = good.clone();
            *changed.pointer_mut(path).unwrap() = value;
            changed
        };
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove("resets");
        let mut host = detector();
        watch(&mut host, 0..20, |_| calm());
        let before = format!("{host:?}");
        for bad in [
            serde_json::Value::Null,
            "text".into(),
            serde_json::json!({}),
            without,
            with("/version", 2.into()),
            with("/unanswered", 5.into()),
            with("/unanswered/mean", (-1.0).into()),
            with("/unanswered/mean", 1e300.into()),
            with("/resets/variance", (-0.1).into()),
            with("/resets/variance", serde_json::Value::Null),
            with("/completed/seen", 1e12.into()),
            with("/half_open/seen", 3.into()),
        ] {
            host.restore(&bad);
            assert_eq!(format!("{host:?}"), before, "{bad}");
        }
        host.restore(&good);
        assert_ne!(format!("{host:?}"), before);
    }
}
