//! A host whose kernel is simulated second by second: what arrives goes in, the snapshot that the agent would have taken
//! comes out. Seeded and without clock, so a week takes seconds and is the same each time.
//!
//! The kernel's rules, as of 6.1 and 6.18 (`net/ipv4/tcp_input.c`, `net/ipv4/inet_connection_sock.c`):
//! - A half-open connection that nobody answers is asked again after 1, 3, 7, 15 and 31 s and forgotten after 63 s;
//!   sooner, down to 7 s, while the SYN queue is more than half full and mostly old (`reqsk_timer_handler`).
//! - The SYN queue takes one more than the backlog. When it is full a SYN gets a cookie (`tcp_syncookies=1`), or is
//!   dropped (0); with 2 every SYN gets one and nothing is half-open.
//! - A SYN that meets a full accept queue is dropped and counts as overflow; its client tries again 1, 3 and 7 s later.
//! - With `TCP_DEFER_ACCEPT` a handshake stays half-open until the client says something; its bare ACK is counted.
//!
//! What it leaves out: the order of packets within a second (arrivals are spread evenly, or come at once), and
//! `SO_REUSEPORT`.

use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use vpcwatch::model::counters::KernelCounters;
use vpcwatch::model::snapshot::{
    HalfOpen, Listener as Listening, Snapshot, TcpStates, TcpTable, TcpTableMethod, percent,
};
use vpcwatch::model::syns::{SynKind, SynPacket, SynSecond};

use crate::chance::{binomial, share};

/// Seconds after the SYN at which the SYN-ACK is sent again; 63 is the end.
const TIMER: [usize; 6] = [1, 3, 7, 15, 31, 63];
/// `net.ipv4.tcp_synack_retries`.
const RETRIES: usize = 5;
/// Seconds after which a client whose SYN was dropped tries again: once, twice, and then no more.
const TRIES: [usize; 3] = [1, 2, 4];
/// Seconds that `TCP_DEFER_ACCEPT` waits for a silent client, here; then the SYN-ACK is sent again, whose ACK completes.
const DEFERRED: usize = 7;
/// This host.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 10));
/// What a [`Plan`]'s first entry is due in.
const AHEAD: usize = 64;

/// A listener.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    /// Local port.
    pub port: u16,
    /// Limit of its queues.
    pub backlog: u64,
    /// Whether it has `TCP_DEFER_ACCEPT`.
    pub defers: bool,
}

/// Where packets come from.
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    /// Address of the first.
    pub first: Ipv4Addr,
    /// How many there are.
    pub count: u32,
}

/// Clients who complete their handshakes.
#[derive(Debug, Clone, Copy)]
pub struct Visits {
    /// Index of the listener.
    pub to: usize,
    /// How many begin in this second.
    pub count: u64,
    /// Round trip, seconds, below one.
    pub round_trip: f64,
    /// Share of SYN-ACKs or final ACKs that are lost.
    pub loss: f64,
    /// All in one moment, else spread over the second.
    pub at_once: bool,
    /// Seconds after the handshake in which they say nothing: matters to `TCP_DEFER_ACCEPT` alone.
    pub silent_seconds: usize,
    /// Who they are.
    pub from: Sources,
}

/// What else arrives: packets to one listener, or to none.
#[derive(Debug, Clone, Copy)]
pub struct Packets {
    /// What they are.
    pub kind: Stray,
    /// How many in this second.
    pub count: u64,
    /// From where.
    pub from: Sources,
}

/// Packets that no connection comes of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// SYNs to the listener of that index that nobody will answer for.
    Unanswered(usize),
    /// SYNs to it whose sender resets the half-open connection: half a handshake, as some health checks.
    Reset(usize),
    /// SYNs to closed ports, one after the other from this one on.
    ClosedPort(u16),
    /// SYN-ACKs to nobody.
    SynAck,
    /// RSTs to nobody.
    Rst,
    /// ACKs to nobody.
    Ack,
}

/// What happens in one second.
#[derive(Debug, Clone, Default)]
pub struct Second {
    /// Clients.
    pub visits: Vec<Visits>,
    /// Others.
    pub packets: Vec<Packets>,
    /// Listeners, by index, that are closed in this second: their program restarts.
    pub gone: Vec<usize>,
    /// Listeners whose program accepts nothing in this second.
    pub stalled: Vec<usize>,
    /// Connections that the host itself begins.
    pub own: u64,
    /// Those that it begins towards somebody who does not answer.
    pub own_unanswered: u64,
    /// Whether each visit makes a connection over loopback, as behind a reverse proxy.
    pub is_proxy: bool,
}

/// Counts that become due in later seconds.
#[derive(Debug, Clone)]
struct Plan([u64; AHEAD], usize);

impl Default for Plan {
    fn default() -> Self {
        Plan([0; AHEAD], 0)
    }
}

impl Plan {
    fn add(&mut self, after: usize, count: u64) {
        let at = (self.1 + after) % AHEAD;
        if let Some(due) = self.0.get_mut(at) {
            *due += count;
        }
    }

    /// Goes on by a second; gives what is due now.
    fn next(&mut self) -> u64 {
        self.1 = (self.1 + 1) % AHEAD;
        self.0.get_mut(self.1).map_or(0, std::mem::take)
    }
}

/// The queues of a listener.
#[derive(Debug, Clone, Default)]
struct Queues {
    /// Half-open connections that nobody answers, by age in seconds.
    silent: Vec<u64>,
    /// Half-open connections that will complete in so many seconds.
    under_way: Plan,
    under_way_now: u64,
    /// Handshakes that lost a packet: the SYN-ACK is sent again in the next second.
    lost: u64,
    /// Silent clients of whom `TCP_DEFER_ACCEPT` has enough in so many seconds.
    deferred: Plan,
    /// Cookies that come back in the next second.
    cookies_out: u64,
    accept_queue: u64,
    drops: u64,
    /// Clients that were turned away and try again, by how often they have.
    again: [Plan; 3],
}

impl Queues {
    fn half_open(&self) -> u64 {
        self.silent.iter().sum::<u64>() + self.under_way_now
    }

    /// Those that have waited for longer than half a second: of this second's about half, where nobody answers.
    fn stale(&self, defers: bool) -> u64 {
        let young = self.silent.first().copied().unwrap_or(0);
        let silent = self.silent.iter().sum::<u64>() - young / 2;
        silent + if defers { self.under_way_now } else { self.lost }
    }

    fn newly_stale(&self) -> u64 {
        self.silent.first().map_or(0, |young| young - young / 2)
    }

    /// These come again, unless they have `tried` often enough.
    fn try_later(&mut self, tried: usize, count: u64) {
        if let (Some(after), Some(plan)) = (TRIES.get(tried), self.again.get_mut(tried)) {
            plan.add(*after, count);
        }
    }
}

/// The host.
#[derive(Debug, Clone)]
pub struct SimulatedHost {
    listeners: Vec<(Listener, Queues)>,
    syncookies: u8,
    captures: bool,
    random: fastrand::Rng,
    began: Timestamp,
    seconds: u64,
    counters: Counters,
    own_syns: Vec<u64>,
    /// SYNs of this second, for the capture.
    syns: u64,
    sample: Vec<SynPacket>,
}

/// The counters that move.
#[derive(Debug, Clone, Default)]
struct Counters {
    passive_opens: u64,
    active_opens: u64,
    attempt_fails: u64,
    out_rsts: u64,
    cookies_sent: u64,
    cookies_recv: u64,
    embryonic_rsts: u64,
    listen_overflows: u64,
    listen_drops: u64,
    queue_full_drops: u64,
    queue_full_cookies: u64,
    timeouts: u64,
    syn_retrans: u64,
    deferred: u64,
}

impl SimulatedHost {
    /// A host that has run for a while without a visitor. `captures`: whether the agent may see SYNs.
    pub fn new(listeners: &[Listener], syncookies: u8, captures: bool, seed: u64) -> Self {
        SimulatedHost {
            listeners: listeners.iter().map(|listener| (*listener, Queues::default())).collect(),
            syncookies,
            captures,
            random: fastrand::Rng::with_seed(seed),
            began: Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(490_920), // 2026-01-02 00:00 UTC
            seconds: 0,
            counters: Counters::default(),
            own_syns: Vec::new(),
            syns: 0,
            sample: Vec::new(),
        }
    }

    /// One second passes; gives the snapshot at its end.
    pub fn pass(&mut self, second: &Second) -> Snapshot {
        self.seconds += 1;
        self.syns = 0;
        self.sample.clear();
        let one_in = one_in(second);
        for index in 0..self.listeners.len() {
            self.timers(index);
            self.drain(index, second.stalled.contains(&index));
            self.try_again(index, second, one_in);
        }
        for visits in &second.visits {
            self.visit(visits, second, one_in);
        }
        for packets in &second.packets {
            self.receive(packets, one_in);
        }
        self.begin_own(second);
        self.snapshot(one_in)
    }

    /// Half-open connections that nobody answers grow older.
    fn timers(&mut self, index: usize) {
        let Some((listener, queues)) = self.listeners.get_mut(index) else { return };
        let patience = patience(queues, listener.backlog);
        queues.silent.insert(0, 0);
        for (fired, age) in TIMER.iter().enumerate() {
            let Some(count) = queues.silent.get_mut(*age) else { break };
            if fired >= patience {
                *count = 0;
            } else {
                self.counters.syn_retrans += *count;
                self.counters.timeouts += *count;
            }
        }
        queues.silent.truncate(TIMER[5] + 1);

        // Lost packets of the second before are sent again; the handshake completes within this one.
        let lost = std::mem::take(&mut queues.lost) + queues.deferred.next();
        self.counters.syn_retrans += lost;
        self.counters.timeouts += lost;
        let done = queues.under_way.next();
        queues.under_way_now -= done.min(queues.under_way_now);
        self.counters.passive_opens += done;
        queues.accept_queue += done;
        let back = std::mem::take(&mut queues.cookies_out);
        self.counters.cookies_recv += back;
        self.counters.passive_opens += back;
        queues.accept_queue += back;
    }

    /// The program accepts, all that wait or none.
    fn drain(&mut self, index: usize, is_stalled: bool) {
        if let Some((_, queues)) = self.listeners.get_mut(index)
            && !is_stalled
        {
            queues.accept_queue = 0;
        }
    }

    /// Clients whose SYNs were dropped come again.
    fn try_again(&mut self, index: usize, second: &Second, one_in: u32) {
        for tried in 0..TRIES.len() {
            let Some((_, queues)) = self.listeners.get_mut(index) else { return };
            let count = queues.again.get_mut(tried).map_or(0, Plan::next);
            if count > 0 {
                let from = Sources { first: Ipv4Addr::new(10, 1, 0, 0), count: 5000 };
                let visits = Visits {
                    to: index,
                    count,
                    round_trip: 0.05,
                    loss: 0.0,
                    at_once: false,
                    silent_seconds: 0,
                    from,
                };
                self.arrive(&visits, second, tried + 1, one_in);
            }
        }
    }

    fn visit(&mut self, visits: &Visits, second: &Second, one_in: u32) {
        self.arrive(visits, second, 0, one_in);
        if second.is_proxy {
            self.counters.passive_opens += visits.count;
            self.counters.active_opens += visits.count;
        }
    }

    /// SYNs of clients; `tried` counts those they sent before.
    fn arrive(&mut self, visits: &Visits, second: &Second, tried: usize, one_in: u32) {
        self.capture(visits.count, visits.from, self.port(visits.to), SynKind::Syn, one_in);
        let Some((listener, queues)) = self.listeners.get_mut(visits.to) else { return };
        let random = &mut self.random;
        let counters = &mut self.counters;
        let mut count = visits.count;
        if second.gone.contains(&visits.to) {
            counters.out_rsts += count;
            // They do not take no for an answer: most come back within seconds.
            let soon = binomial(random, count, 0.7);
            queues.try_later(tried, soon);
            return;
        }
        // More than the accept queue holds are turned away.
        if second.stalled.contains(&visits.to) {
            let room = (listener.backlog + 1).saturating_sub(queues.accept_queue);
            let dropped = count.saturating_sub(room);
            counters.listen_overflows += dropped;
            counters.listen_drops += dropped;
            queues.drops += dropped;
            queues.try_later(tried, dropped);
            count -= dropped;
        }
        if self.syncookies == 2 {
            counters.cookies_sent += count;
            counters.queue_full_cookies += count;
            let late = binomial(random, count, visits.round_trip);
            queues.cookies_out += late;
            counters.cookies_recv += count - late;
            counters.passive_opens += count - late;
            queues.accept_queue += count - late;
            return;
        }
        // At once they are all under way together; else as many as arrive in a round trip.
        let room = (listener.backlog + 1).saturating_sub(queues.half_open());
        let together = if visits.at_once { count } else { share(count, visits.round_trip) };
        let beyond = together.saturating_sub(room).min(count);
        if self.syncookies == 1 {
            counters.cookies_sent += beyond;
            counters.queue_full_cookies += beyond;
            let late = binomial(random, beyond, visits.round_trip);
            queues.cookies_out += late;
            counters.cookies_recv += beyond - late;
            counters.passive_opens += beyond - late;
        } else {
            counters.queue_full_drops += beyond;
            counters.listen_drops += beyond;
            queues.drops += beyond;
            queues.try_later(tried, beyond);
        }
        count -= beyond;
        if listener.defers {
            counters.deferred += count; // each one's bare ACK
            if visits.silent_seconds > 0 {
                queues.under_way.add(visits.silent_seconds.min(DEFERRED), count);
                if visits.silent_seconds >= DEFERRED {
                    queues.deferred.add(DEFERRED, count);
                }
                queues.under_way_now += count;
                return;
            }
        }
        let lost = binomial(random, count, visits.loss);
        queues.lost += lost;
        let late = binomial(random, count - lost, visits.round_trip) + lost;
        queues.under_way.add(1, late);
        queues.under_way_now += late;
        counters.passive_opens += count - late;
        queues.accept_queue += count - late;
    }

    fn receive(&mut self, packets: &Packets, one_in: u32) {
        let Packets { kind, count, from } = *packets;
        match kind {
            Stray::Unanswered(index) => {
                self.capture(count, from, self.port(index), SynKind::Syn, one_in);
                self.unanswered(index, count);
            }
            Stray::Reset(index) => {
                self.capture(count, from, self.port(index), SynKind::Syn, one_in);
                self.counters.embryonic_rsts += count;
                self.counters.attempt_fails += count;
            }
            Stray::ClosedPort(port) => {
                self.capture_ports(count, from, port, one_in);
                self.counters.out_rsts += count;
            }
            Stray::SynAck => {
                for _ in 0..binomial(&mut self.random, count, 1.0 / f64::from(one_in)) {
                    let port = self.random.u16(1024..65_000);
                    self.look_at(from, port, SynKind::Answer);
                }
                self.counters.out_rsts += count;
            }
            Stray::Ack => self.counters.out_rsts += count,
            Stray::Rst => {}
        }
    }

    /// SYNs that nobody will complete: the SYN queue takes what it can.
    fn unanswered(&mut self, index: usize, count: u64) {
        let Some((listener, queues)) = self.listeners.get_mut(index) else { return };
        let room =
            if self.syncookies == 2 { 0 } else { (listener.backlog + 1).saturating_sub(queues.half_open()) };
        let taken = count.min(room);
        match queues.silent.first_mut() {
            Some(young) => *young += taken,
            None => queues.silent.push(taken),
        }
        let beyond = count - taken;
        if self.syncookies > 0 {
            self.counters.cookies_sent += beyond;
            self.counters.queue_full_cookies += beyond;
        } else {
            self.counters.queue_full_drops += beyond;
            self.counters.listen_drops += beyond;
            queues.drops += beyond;
        }
    }

    /// The host's own connections; those to a dead peer are tried six times.
    fn begin_own(&mut self, second: &Second) {
        self.counters.active_opens += second.own + second.own_unanswered;
        self.own_syns.insert(0, second.own_unanswered);
        for age in [1, 3, 7, 15, 31] {
            let again = self.own_syns.get(age).copied().unwrap_or(0);
            self.counters.syn_retrans += again;
            self.counters.timeouts += again;
        }
        self.own_syns.truncate(64);
    }

    fn port(&self, index: usize) -> u16 {
        self.listeners.get(index).map_or(0, |(listener, _)| listener.port)
    }

    fn capture(&mut self, count: u64, from: Sources, port: u16, kind: SynKind, one_in: u32) {
        self.syns += count;
        if self.captures {
            for _ in 0..binomial(&mut self.random, count, 1.0 / f64::from(one_in)) {
                self.look_at(from, port, kind);
            }
        }
    }

    fn capture_ports(&mut self, count: u64, from: Sources, first: u16, one_in: u32) {
        self.syns += count;
        if self.captures {
            for _ in 0..binomial(&mut self.random, count, 1.0 / f64::from(one_in)) {
                let ahead = u16::try_from(self.random.u64(0..count)).unwrap_or(0);
                self.look_at(from, first.wrapping_add(ahead).max(1), SynKind::Syn);
            }
        }
    }

    fn look_at(&mut self, from: Sources, port: u16, kind: SynKind) {
        if self.captures && self.sample.len() < SynSecond::MAX_SAMPLE {
            let address = from.first.to_bits().wrapping_add(self.random.u32(0..from.count.max(1)));
            self.sample.push(SynPacket { source: Ipv4Addr::from_bits(address).into(), port, kind });
        }
    }

    fn snapshot(&mut self, one_in: u32) -> Snapshot {
        let ms = self.seconds * 1000;
        let time = self.began + jiff::SignedDuration::from_secs(self.seconds.cast_signed());
        let mut snapshot = Snapshot::at(time, ms);
        snapshot.counters = Some(self.kernel_counters());
        let half_open = |(listener, queues): &(Listener, Queues)| {
            let count = u32::try_from(queues.half_open()).unwrap_or(u32::MAX);
            (count > 0).then_some(HalfOpen { address: ADDRESS, port: listener.port, count })
        };
        let half_open: Vec<HalfOpen> = self.listeners.iter().filter_map(half_open).collect();
        snapshot.tcp = Some(TcpTable {
            age_ms: 0,
            method: TcpTableMethod::SockDiagComplement,
            states: TcpStates {
                syn_recv: half_open.iter().map(|row| u64::from(row.count)).sum(),
                syn_sent: self.own_syns.iter().sum(),
                listen: self.listeners.len() as u64,
                ..TcpStates::default()
            },
            half_open_newly_stale: Some(self.listeners.iter().map(|(_, queues)| queues.newly_stale()).sum()),
            half_open_stale: Some(
                self.listeners.iter().map(|(listener, queues)| queues.stale(listener.defers)).sum(),
            ),
            half_open,
        });
        snapshot.listeners = Some(self.listeners.iter().map(listening).collect());
        if self.captures {
            let sample = std::mem::take(&mut self.sample);
            snapshot.syns =
                Some(vec![SynSecond { interface: "eth0".into(), syns: self.syns, one_in, sample }]);
        }
        snapshot
    }

    fn kernel_counters(&self) -> KernelCounters {
        let c = &self.counters;
        KernelCounters {
            tcp_active_opens: Some(c.active_opens),
            tcp_passive_opens: Some(c.passive_opens),
            tcp_attempt_fails: Some(c.attempt_fails),
            tcp_out_rsts: Some(c.out_rsts),
            syncookies_sent: Some(c.cookies_sent),
            syncookies_recv: Some(c.cookies_recv),
            syncookies_failed: Some(0),
            embryonic_rsts: Some(c.embryonic_rsts),
            listen_overflows: Some(c.listen_overflows),
            listen_drops: Some(c.listen_drops),
            req_q_full_do_cookies: Some(c.queue_full_cookies),
            req_q_full_drop: Some(c.queue_full_drops),
            tcp_timeouts: Some(c.timeouts),
            tcp_syn_retrans: Some(c.syn_retrans),
            defer_accept_drop: Some(c.deferred),
            ..KernelCounters::default()
        }
    }
}

/// What share of SYNs is looked at, so that there is room for the sample.
fn one_in(second: &Second) -> u32 {
    let visits = second.visits.iter().map(|visits| visits.count).sum::<u64>();
    let packets = second.packets.iter().map(|packets| packets.count).sum::<u64>();
    let most = u64::try_from(SynSecond::MAX_SAMPLE / 2).unwrap_or(u64::MAX);
    let mut one_in = 1;
    while (visits + packets) / u64::from(one_in) > most {
        one_in *= 2;
    }
    one_in
}

fn listening((listener, queues): &(Listener, Queues)) -> Listening {
    let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let waiting = queues.accept_queue.min(listener.backlog + 1);
    Listening {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        port: listener.port,
        unit: None,
        sockets: 1,
        accept_queue: small(waiting),
        accept_limit: Some(small(listener.backlog)),
        accept_utilization: percent(waiting, listener.backlog),
        half_open: Some(small(queues.half_open())),
        drops: Some(queues.drops),
    }
}

/// How often a SYN-ACK is sent again before the connection is forgotten: less often while the queue is more than half
/// full and not mostly young (`reqsk_timer_handler`).
fn patience(queues: &Queues, backlog: u64) -> usize {
    let mut patience = RETRIES;
    let length = queues.half_open();
    if length * 2 > backlog.max(8) {
        let mut young = (queues.silent.first().unwrap_or(&0) + queues.under_way_now) * 2;
        while patience > 2 && length >= young {
            patience -= 1;
            young *= 2;
        }
    }
    patience
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: Listener = Listener { port: 80, backlog: 128, defers: false };
    const SOURCES: Sources = Sources { first: Ipv4Addr::new(198, 18, 0, 0), count: 131_072 };

    /// The snapshot of each second of a flood of that rate, which stops after `until`.
    fn flooded(listener: Listener, syncookies: u8, rate: u64, until: u64, seconds: u64) -> Vec<Snapshot> {
        let mut host = SimulatedHost::new(&[listener], syncookies, false, 1);
        let second = |t| {
            let count = if t < until { rate } else { 0 };
            let packets = vec![Packets { kind: Stray::Unanswered(0), count, from: SOURCES }];
            Second { packets, ..Second::default() }
        };
        (0..seconds).map(|t| host.pass(&second(t))).collect()
    }

    fn half_open(snapshot: &Snapshot) -> u64 {
        snapshot.tcp.as_ref().unwrap().states.syn_recv
    }

    fn counter(snapshot: &Snapshot, of: impl Fn(&KernelCounters) -> Option<u64>) -> u64 {
        of(snapshot.counters.as_ref().unwrap()).unwrap()
    }

    #[test]
    fn half_open_connections_are_asked_again_five_times_and_last_63_seconds() {
        let seconds = flooded(Listener { backlog: 4096, ..WEB }, 1, 10, 1, 70);
        let retrans: Vec<u64> = seconds.iter().map(|s| counter(s, |c| c.tcp_syn_retrans)).collect();
        let grows: Vec<usize> = (1..70).filter(|t| retrans[*t] > retrans[t - 1]).collect();
        assert_eq!(grows, [1, 3, 7, 15, 31]);
        let gone = seconds.iter().position(|s| half_open(s) == 0).unwrap();
        assert_eq!(gone, 63);
    }

    #[test]
    fn below_half_of_the_backlog_they_level_out_at_63_times_the_rate() {
        let seconds = flooded(Listener { backlog: 4096, ..WEB }, 1, 15, 200, 200);
        assert_eq!(half_open(&seconds[199]), 63 * 15);
    }

    #[test]
    fn a_full_queue_holds_one_more_than_the_backlog_and_the_rest_gets_cookies() {
        let seconds = flooded(WEB, 1, 1000, 30, 60);
        assert_eq!(half_open(&seconds[29]), 129);
        let last =
            counter(&seconds[29], |c| c.syncookies_sent) - counter(&seconds[28], |c| c.syncookies_sent);
        assert!((900..=1000).contains(&last), "{last}");
        assert!(half_open(&seconds[45]) <= 65, "half of the backlog stays: {}", half_open(&seconds[45]));
    }

    #[test]
    fn without_cookies_they_are_dropped_and_with_two_there_is_no_queue() {
        let dropped = flooded(WEB, 0, 1000, 30, 30);
        assert!(counter(&dropped[29], |c| c.req_q_full_drop) > 25_000);
        assert_eq!(counter(&dropped[29], |c| c.syncookies_sent), 0);
        let always = flooded(WEB, 2, 1000, 30, 30);
        assert_eq!(half_open(&always[29]), 0);
        assert_eq!(counter(&always[29], |c| c.syncookies_sent), 30_000);
    }

    #[test]
    fn every_visitor_is_served_in_the_end() {
        for (syncookies, defers) in [(1, false), (2, false), (1, true)] {
            let mut host = SimulatedHost::new(&[Listener { defers, ..WEB }], syncookies, true, 1);
            let visits = Visits {
                to: 0,
                count: 50,
                round_trip: 0.3,
                loss: 0.1,
                at_once: true,
                silent_seconds: 3,
                from: SOURCES,
            };
            for _ in 0..100 {
                let snapshot = host.pass(&Second { visits: vec![visits], ..Second::default() });
                assert_eq!(snapshot.syns.unwrap()[0].sample.len(), 50);
            }
            let last = (0..20).map(|_| host.pass(&Second::default())).last().unwrap();
            assert_eq!(counter(&last, |c| c.tcp_passive_opens), 5000, "{syncookies} {defers}");
            assert_eq!(half_open(&last), 0);
        }
    }

    #[test]
    fn those_whom_a_stalled_program_turns_away_come_again() {
        let mut host = SimulatedHost::new(&[WEB], 1, false, 1);
        let visits = Visits {
            to: 0,
            count: 200,
            round_trip: 0.01,
            loss: 0.0,
            at_once: false,
            silent_seconds: 0,
            from: SOURCES,
        };
        let stalled = |stalled| Second { visits: vec![visits], stalled, ..Second::default() };
        host.pass(&stalled(vec![0]));
        let second = host.pass(&stalled(vec![0]));
        assert!(counter(&second, |c| c.listen_overflows) > 200);
        let last = (0..20).map(|_| host.pass(&Second::default())).last().unwrap();
        assert!(counter(&last, |c| c.tcp_passive_opens) > 350);
    }
}
