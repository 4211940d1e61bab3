//! SYN floods, and what looks like one: a program that accepts too slowly, a flash crowd, SYNs that never reach TCP.
//!
//! The half-open count cannot tell a small flood from a huge one (it stops at the backlog, or stays zero with
//! `net.ipv4.tcp_syncookies=2`), and cookie and drop counters cannot tell a flood from a slow program. Together they
//! can. The heart is `u`, the handshakes per second that were begun and will not be completed:
//!
//! - SYN cookies sent that did not come back,
//! - SYNs dropped at a full SYN queue (drops at a full accept queue are the program's doing, and left out),
//! - growth of half-open connections that have waited for longer than any round trip, less completed handshakes that wait
//!   for `TCP_DEFER_ACCEPT`; where the kernel does not show how long they have waited, growth in the second before, as far
//!   as SYN-ACKs are sent again now,
//! - half-open connections that were reset, above what is usual here,
//! - SYN-ACKs sent again, less what the half-open count fell by: about five for each SYN that nobody answers,
//! - handshakes that grew too old, where they were rebuilt from packets and there is no kernel to ask.
//!
//! A cumulative sum of `u` above its learned mean finds weak floods in seconds and strong ones at once. What is usual
//! is not learned while a flood is on. Captured SYNs say who sends them and lift `u` where both agree; without a sign
//! from the kernel they are no flood. Kernel facts: `net/ipv4/tcp_input.c` (`tcp_conn_request`),
//! `net/ipv4/inet_connection_sock.c` (`reqsk_timer_handler`).

mod finding;
mod look_alikes;
mod senders;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Detector;
use super::arrivals::Arrivals;
use super::baseline::Baseline;
use super::cusum::{Allowed, Cusum, Height};
use super::rates_of_snapshots::{Comparison, PerSecond, float};
use super::track::Track;
use crate::model::event::Event;
use crate::model::finding::{Finding, State};
use crate::model::settings::DetectorSettings;
use crate::model::snapshot::{Listener, Snapshot};
use look_alikes::{FlashCrowd, NotReachingTcp, SlowAccept};
use senders::Senders;

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
/// SYNs a second that are no flood in a capture in which this host answers nothing.
const ONE_SIDED: f64 = 50.0;
/// Unusual resets, or cookies that did not come back, that are no chance in one second.
const MANY: f64 = 200.0;
/// Part of the SYNs without a completed handshake that the kernel must know of, before it is believed that it knows of
/// all: the others may never have reached it.
const AGREEMENT: f64 = 0.3;

/// The detector.
#[derive(Debug)]
pub(super) struct SynFlood {
    settings: DetectorSettings,
    comparison: Comparison,
    usual: Usual,
    /// Of unanswered handshakes; knows what is usual of them.
    unanswered: Cusum,
    window: Window,
    suspect_seconds: u32,
    slow_seconds: u32,
    flood: Track,
    senders: Senders,
    slow_accept: SlowAccept,
    flash_crowd: FlashCrowd,
    not_reaching: NotReachingTcp,
    measured: Measured,
}

/// What is usual here, but for unanswered handshakes.
#[derive(Debug, Clone, Copy, Default)]
struct Usual {
    resets: Baseline,
    /// Of the SYNs that are to be ignored, the part that stays unanswered: near 0 for a load balancer, 1 for half-open checks.
    ignored_unanswered: Baseline,
    /// Only of packet captures.
    unheeded: Baseline,
    newly_stale: Baseline,
    completed: Baseline,
    half_open: Baseline,
}

/// What was measured at the last snapshot, as far as it could be.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    /// Unanswered handshakes, where they are more than usual.
    unanswered: Option<f64>,
    /// SYNs to this host.
    received: Option<f64>,
    /// Different sources of SYNs since the minute began.
    sources: Option<f64>,
}

/// What one second says.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    rates: PerSecond,
    /// Unanswered handshakes, as far as they tell that something is still going on.
    lasting: f64,
    /// The same with SYN-ACKs sent again, which go on for a minute after the last SYN.
    unanswered: f64,
    /// The same with those of sources and ports that are to be ignored.
    of_all: f64,
    /// SYN cookies that did not come back, and SYNs dropped at a full SYN queue.
    refused: f64,
    /// Half-open connections that came and were not answered.
    growth: f64,
    /// SYNs that are to be ignored.
    ignored: f64,
    /// SYNs to busy ports at which nobody is known to listen.
    to_busy_ports: f64,
    /// Of those as many as stayed without an answer.
    unheeded: f64,
}

/// The last seconds.
#[derive(Debug, Default)]
struct Window(VecDeque<Second>);

impl Window {
    fn push(&mut self, second: Second) {
        self.0.push_back(second);
        if self.0.len() > WINDOW {
            self.0.pop_front();
        }
    }

    fn sum(&self, of: impl Fn(&Second) -> f64) -> f64 {
        self.0.iter().map(of).sum()
    }

    fn is_full(&self) -> bool {
        self.0.len() == WINDOW
    }
}

/// Everything known of one second.
#[derive(Debug)]
struct Now<'a> {
    snapshot: &'a Snapshot,
    arrivals: Option<&'a Arrivals<'a>>,
    /// How many seconds the rates are of.
    seconds: f64,
    second: Second,
    window: &'a Window,
    usual: Usual,
    usual_unanswered: Baseline,
    flood_is_open: bool,
}

impl Now<'_> {
    /// More clients meet a full accept queue than handshakes stay unanswered: the program's doing.
    fn is_slow_program(&self) -> bool {
        self.window.sum(|s| s.rates.kept_waiting) > self.window.sum(|s| s.unanswered) / 2.0
    }

    /// Half-open connections gather at a listener whose program keeps up, whatever others do.
    fn gather_elsewhere(&self) -> bool {
        let gather = |listener: &Listener| {
            let high = 32.max(listener.accept_limit.unwrap_or(0) / 4);
            listener.half_open >= Some(high) && listener.accept_utilization.is_some_and(|used| used < 50.0)
        };
        self.snapshot.listeners.as_ref().is_some_and(|listeners| listeners.iter().any(gather))
    }
}

impl Detector for SynFlood {
    fn name(&self) -> &'static str {
        "syn_flood"
    }

    fn configure(&mut self, settings: &DetectorSettings) {
        self.settings = settings.clone();
    }

    fn observe(&mut self, event: &Event) -> Vec<Finding> {
        let Event::Snapshot(snapshot) = event else { return Vec::new() };
        self.measured = Measured::default();
        let Some((rates, seconds)) = self.comparison.of(snapshot) else { return Vec::new() };
        if seconds > GAP {
            self.window.0.clear();
            self.unanswered.reset();
            (self.suspect_seconds, self.slow_seconds) = (0, 0);
        }
        let arrivals = Arrivals::of(snapshot, seconds, &self.settings);
        let second = self.weigh(rates, snapshot, arrivals.as_ref());
        self.window.push(second);
        let window = std::mem::take(&mut self.window);
        let now = Now {
            snapshot,
            arrivals: arrivals.as_ref(),
            seconds,
            second,
            window: &window,
            usual: self.usual,
            usual_unanswered: self.unanswered.usual,
            flood_is_open: self.flood.open.is_some(),
        };
        let findings = self.look(&now);
        self.window = window;
        findings
    }

    fn measurements(&mut self) -> Vec<(&'static str, f64)> {
        let is_open = |is_open: bool| {
            Some(if is_open { 1.0 } else { 0.0 }).filter(|_| self.measured.unanswered.is_some())
        };
        let all = [
            ("syn_flood_active", is_open(self.flood.open.is_some())),
            ("slow_accept_active", is_open(self.slow_accept.is_open())),
            ("flash_crowd_active", is_open(self.flash_crowd.is_open())),
            ("not_reaching_tcp_active", is_open(self.not_reaching.is_open())),
            ("syn_unanswered", self.measured.unanswered),
            ("syn_received", self.measured.received),
            ("syn_sources", self.measured.sources),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    fn learned(&self) -> Option<serde_json::Value> {
        let Usual { resets, completed, half_open, .. } = self.usual;
        let unanswered = self.unanswered.usual;
        let learned = Learned { version: LEARNED_VERSION, unanswered, resets, completed, half_open };
        if learned.is_worth_keeping() { serde_json::to_value(learned).ok() } else { None }
    }

    fn restore(&mut self, learned: &serde_json::Value) {
        let Ok(learned) = Learned::deserialize(learned) else { return };
        if learned.version == LEARNED_VERSION && learned.is_worth_keeping() {
            self.unanswered.usual.restore(learned.unanswered);
            self.usual.resets.restore(learned.resets);
            self.usual.completed.restore(learned.completed);
            self.usual.half_open.restore(learned.half_open);
        }
    }
}

impl SynFlood {
    pub(super) fn new(settings: &DetectorSettings, seed: u64) -> Self {
        SynFlood {
            settings: settings.clone(),
            comparison: Comparison::default(),
            usual: Usual::default(),
            unanswered: Cusum::default(),
            window: Window::default(),
            suspect_seconds: 0,
            slow_seconds: 0,
            flood: Track::default(),
            senders: Senders::new(seed),
            slow_accept: SlowAccept::default(),
            flash_crowd: FlashCrowd::default(),
            not_reaching: NotReachingTcp::default(),
            measured: Measured::default(),
        }
    }

    fn allowed(&self) -> Allowed {
        let flood = self.settings.syn_flood;
        Allowed { tolerance: flood.tolerance, sum: flood.sum }
    }

    /// The unanswered handshakes of this second.
    fn weigh(&self, rates: PerSecond, snapshot: &Snapshot, arrivals: Option<&Arrivals>) -> Second {
        let last = self.window.0.back().copied().unwrap_or_default();
        let before = last.rates;
        let grown = if let Some(growth) = rates.stale_growth {
            (growth - rates.waiting_for_data.max(before.waiting_for_data)).max(0.0)
        } else {
            let grown = (before.half_open_growth - before.waiting_for_data).max(0.0);
            grown.min(rates.retransmits.unwrap_or(f64::INFINITY))
        };
        let to_busy_ports = arrivals.map_or(0.0, |arrivals| arrivals.to_busy_ports);
        // What grows old now came in this second or the one before.
        let unheeded = rates.unheeded.min(to_busy_ports.max(last.to_busy_ports));
        let grown_old = rates.grown_old.max(0.0) + self.in_one_direction(unheeded, snapshot);
        let growth = grown + grown_old;
        let refused = rates.cookies_unreturned.max(0.0) + rates.syn_queue_drops;
        let lasting = refused + growth + unusual_resets(&self.usual.resets, &rates);
        let again = rates.syn_ack_retransmits / RETRANSMITS + rates.half_open_growth.min(0.0);
        let unanswered = lasting + again.max(0.0);
        let counted = |unanswered| self.counted(unanswered, &rates, arrivals);
        let of_all = unanswered;
        let (lasting, unanswered) = (counted(lasting), counted(unanswered));
        let ignored = arrivals.map_or(0.0, |arrivals| arrivals.ignored);
        Second { rates, lasting, unanswered, of_all, refused, growth, ignored, to_busy_ports, unheeded }
    }

    /// In a capture of one direction, or of SYNs alone, nobody answers anything: only many more than usual are unanswered.
    fn in_one_direction(&self, unheeded: f64, snapshot: &Snapshot) -> f64 {
        let usual = ONE_SIDED.max(self.usual.unheeded.mean() + 3.0 * self.usual.unheeded.deviation());
        if is_one_sided(snapshot) { (unheeded - usual).max(0.0) } else { 0.0 }
    }

    /// Unanswered handshakes in the light of captured SYNs: those of sources and ports that are to be ignored do not
    /// count, and where the kernel knows of a good part of what was not completed, all of it counts.
    fn counted(&self, unanswered: f64, rates: &PerSecond, arrivals: Option<&Arrivals>) -> f64 {
        let Some(arrivals) = arrivals else { return unanswered };
        let not_completed = arrivals.to_listeners - rates.completed;
        // The kernel does not tell whose handshakes stay unanswered: as many are put down to those sources as usually are
        // theirs, and what chance may add to that.
        let usual = &self.usual.ignored_unanswered;
        let part = if usual.is_learned() { usual.mean().min(1.0) } else { 1.0 };
        // What stays unanswered now came in this second or the one before.
        let ignored = arrivals.ignored.max(self.window.0.back().map_or(0.0, |last| last.ignored));
        let chance = 3.0 * part * ignored.sqrt();
        let of_others = (unanswered - part * ignored - chance).max(0.0);
        let agrees =
            of_others >= AGREEMENT * not_completed && of_others > self.unanswered.level(self.allowed());
        if agrees { of_others.max(not_completed) } else { of_others }
    }

    fn look(&mut self, now: &Now) -> Vec<Finding> {
        let second = &now.second;
        // Handshakes under way come and go: what is usual is no news, and a sparse metric need not be sent for it.
        let is_news = second.unanswered > self.unanswered.level(self.allowed());
        let height = self.unanswered.add(second.unanswered, now.seconds, self.allowed());
        self.senders.observe(now, height > Height::Zero || now.flood_is_open);
        self.measured = Measured {
            unanswered: Some(if is_news { second.unanswered } else { 0.0 }),
            received: now.arrivals.map(|arrivals| arrivals.to_this_host),
            sources: now.arrivals.map(|_| self.senders.this_minute()),
        };
        let flood = self.look_for_flood(now, height);
        if flood.as_ref().is_some_and(|flood| flood.state == State::Closed) {
            // What comes now is another one: it is judged by its own beginning, not by what the last one left behind.
            self.unanswered.reset();
            self.senders.forget_suspects();
        }
        let slow = self.slow_accept.look(now);
        let crowd = self.flash_crowd.look(now, self.settings.flash_crowd);
        let suspected = self.suspect_seconds > 0 || self.slow_accept.is_open();
        let lost = self.not_reaching.look(now, suspected);
        self.learn(now);
        [flood, slow, crowd, lost].into_iter().flatten().collect()
    }

    fn look_for_flood(&mut self, now: &Now, height: Height) -> Option<Finding> {
        let Now { second, window, .. } = now;
        let settings = self.settings.syn_flood;
        let level = self.unanswered.level(self.allowed());

        let unanswered = window.sum(|s| s.unanswered);
        let begun = unanswered + window.sum(|s| s.rates.completed);
        let ratio = if begun > 0.0 { unanswered / begun } else { 0.0 };
        let slow_program = now.is_slow_program() && !now.gather_elsewhere();

        let flood = height >= Height::High
            && (ratio >= settings.ratio
                || (ratio >= settings.least_ratio && second.unanswered >= 5.0 * level));
        // Of the whole window: cookies may come back in the second after. And in two seconds of it at least.
        let refused =
            window.sum(|s| s.rates.cookies_unreturned).max(0.0) + window.sum(|s| s.rates.syn_queue_drops);
        let seconds_refused = window.0.iter().filter(|s| s.refused > 1.0).count();
        // What is put down to sources that are to be ignored presses nobody.
        let is_news = unanswered >= level * float(window.0.len() as u64);
        let pressure = is_news
            && refused.min(unanswered) >= 25.0
            && seconds_refused >= 2
            && ratio >= settings.least_ratio;
        let slow = self.half_open_is_high(now) && is_news;
        let suspect = !slow_program && (flood || pressure || slow);
        self.suspect_seconds = if suspect { self.suspect_seconds + 1 } else { 0 };
        let at_once = flood && height == Height::Top && self.leaves_no_doubt(second);
        let sure = self.suspect_seconds >= 2 || (suspect && at_once);

        // Where as many half-open connections go as come, their number says nothing; those that came just now do.
        let usual = &self.usual.newly_stale;
        let fed = second.rates.newly_stale - usual.mean() - 3.0 * usual.deviation();
        let lasts = second.lasting.max(fed) >= level || (pressure && !slow_program);
        let mut draft = finding::draft(now, &self.senders);
        // Its end is no evidence.
        if let Some(open) = self.flood.open.as_ref().filter(|_| second.lasting.max(fed) < level) {
            draft.evidence.clone_from(&open.evidence);
        }
        self.flood.step(sure, lasts, draft, now.snapshot.time, now.seconds, settings.quiet_seconds)
    }

    /// Whether one second suffices. A burst of clients from far away may just have been sent cookies, and health checks come
    /// together: few of those are looked at for a second more.
    fn leaves_no_doubt(&self, second: &Second) -> bool {
        let rates = &second.rates;
        let resets = unusual_resets(&self.usual.resets, rates);
        second.growth > 0.0 || rates.syn_queue_drops > 0.0 || rates.cookies_unreturned.max(resets) >= MANY
    }

    /// Half-open connections far above what is usual for ten seconds, and still fed.
    fn half_open_is_high(&mut self, now: &Now) -> bool {
        let backlog = busiest(now.snapshot).and_then(|listener| listener.accept_limit).map_or(0.0, f64::from);
        let usual = 2.5 * self.usual.half_open.mean() + 30.0;
        let high = 32f64.max(backlog / 4.0).max(usual).max(3.15 * now.second.rates.completed);
        let fed = now.window.sum(|s| s.lasting) >= FEEDING;
        self.slow_seconds = if half_open(now.snapshot) >= high && fed { self.slow_seconds + 1 } else { 0 };
        self.slow_seconds >= 10
    }

    /// Learns what is usual, but not from an attack or a crowd.
    fn learn(&mut self, now: &Now) {
        if self.flood.open.is_some() || self.suspect_seconds > 0 {
            return;
        }
        let (usual, rates) = (&mut self.usual, &now.second.rates);
        // In the first minutes what adds up may be a flood that was on before the agent.
        if self.unanswered.is_zero() || self.unanswered.usual.is_settled() {
            self.unanswered.usual.learn(now.second.unanswered);
        }
        usual.half_open.learn(half_open(now.snapshot));
        usual.newly_stale.learn(rates.newly_stale);
        if let Some(arrivals) = now.arrivals.filter(|arrivals| arrivals.ignored >= 1.0) {
            usual.ignored_unanswered.learn((now.second.of_all / arrivals.ignored).min(1.0));
        }
        usual.unheeded.learn(now.second.unheeded.min(MOST_CHECKS));
        usual.resets.learn(rates.embryonic_resets.min(MOST_CHECKS));
        if self.slow_accept.is_open() {
            return;
        }
        if usual.completed.is_learned() && self.flash_crowd.is_crowd(rates.completed) {
            usual.completed.learn_slowly(rates.completed);
        } else {
            usual.completed.learn(rates.completed);
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

/// Resets of half-open connections above what is usual. In the first seconds nothing is known to be unusual: a host
/// whose load balancers check it with half connections begins like one that is attacked.
fn unusual_resets(resets: &Baseline, rates: &PerSecond) -> f64 {
    let usual = RESETS.max(resets.mean() + 3.0 * resets.deviation());
    if resets.is_learned() { (rates.embryonic_resets - usual).max(0.0) } else { 0.0 }
}

/// A packet capture in which this host has answered nothing so far.
fn is_one_sided(snapshot: &Snapshot) -> bool {
    snapshot.handshakes.is_some() && snapshot.listeners.as_ref().is_none_or(Vec::is_empty)
}

fn half_open(snapshot: &Snapshot) -> f64 {
    let rebuilt = snapshot.handshakes.as_ref().map(|handshakes| handshakes.half_open);
    let counted = snapshot.tcp.as_ref().map(|tcp| tcp.states.syn_recv);
    counted.or(rebuilt).map_or(0.0, float)
}

/// The listener with most half-open connections; none if there are none.
fn busiest(snapshot: &Snapshot) -> Option<&Listener> {
    let listeners = snapshot.listeners.as_deref().unwrap_or_default();
    let busy = listeners.iter().filter(|listener| listener.half_open > Some(0));
    busy.max_by_key(|listener| listener.half_open)
}
