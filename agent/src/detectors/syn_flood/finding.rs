//! A flood in words: how bad it is, what kind, how we know, and what to do.

use super::look_alikes::waiting_signal;
use super::senders::{Senders, Verdict};
use super::{Now, busiest, half_open, unusual_resets};
use crate::detectors::track::{blank, evidence};
use crate::model::finding::{Evidence, Finding, Kind, Place, Severity};
use crate::model::snapshot::{Listener, Snapshot};

/// The flood as it looks in this second.
pub(super) fn draft(now: &Now, senders: &Senders) -> Finding {
    let rates = &now.second.rates;
    let half_open = half_open(now.snapshot);
    // Of the listener with most of them, against its own limit.
    let fullness = busiest(now.snapshot).and_then(Listener::syn_utilization).unwrap_or(0.0);
    let drops = rates.syn_queue_drops;
    // Without half-open connections no queue is full: then there is no route back, or no memory.
    let is_full = drops > 0.0 && half_open > 0.0;
    let starved = now.usual.completed.is_learned() && rates.completed < now.usual.completed.mean() / 2.0;

    let mut marks = Vec::new();
    if rates.cookies_sent > 0.0 && (fullness >= 100.0 || half_open == 0.0) {
        marks.push("cookie_masked");
    }
    if is_full {
        marks.push("queue_full");
    }
    let losing = is_full || (now.second.refused > 0.0 && starved) || fullness > 90.0;
    let resets = unusual_resets(&now.usual.resets, rates);
    let verdict = if resets > now.second.unanswered / 2.0 { Verdict::LiveSources } else { senders.verdict() };
    Finding {
        severity: if losing { Severity::Critical } else { Severity::Warning },
        verdict: Some(verdict.as_str()),
        marks,
        place: place(now, senders),
        who: senders.who(),
        evidence: signals(now),
        advice: if is_full && rates.cookies_sent == 0.0 && now.snapshot.counters.is_some() {
            "Handshakes are begun that nobody completes, and clients are dropped because SYN cookies are off: set \
             net.ipv4.tcp_syncookies=1."
        } else {
            advice(verdict, now.arrivals.is_some())
        },
        ..blank(Kind::SynFlood, now.snapshot.time)
    }
}

fn advice(verdict: Verdict, is_captured: bool) -> &'static str {
    match verdict {
        Verdict::Spoofed => {
            "Handshakes are begun in the name of made-up addresses, so blocking sources does not help. SYN cookies keep \
             the service reachable; a longer backlog (net.core.somaxconn and the program's own) delays them. A load \
             balancer or AWS Shield in front takes such floods off the instance."
        }
        Verdict::Distributed => {
            "Many sources begin handshakes that they do not complete. SYN cookies keep the service reachable. A load \
             balancer or AWS Shield in front takes such floods off the instance; if the sources share networks, a network \
             ACL stops those."
        }
        Verdict::SingleSource => {
            "One source sends most of it: block it with a network ACL (security groups cannot deny), and look whose it \
             is if it is inside the VPC."
        }
        Verdict::LiveSources => {
            "Handshakes are begun and reset at once by the hosts whose addresses they carry: those are real, and may be \
             misused as reflectors. Half-open checks of a load balancer look the same: if it is yours, put it into \
             detectors.ignore_sources. Else a network ACL stops the sources."
        }
        Verdict::Unknown if is_captured => {
            "Handshakes are begun that nobody completes; too few were seen so far to say who is behind them. SYN cookies \
             (net.ipv4.tcp_syncookies=1) keep a service reachable."
        }
        Verdict::Unknown => {
            "Handshakes are begun that nobody completes. SYN cookies keep the service reachable; a longer backlog \
             (net.core.somaxconn and the program's own) delays them. If few sources are behind it, a network ACL stops \
             them before the instance; who they are only packet capture can tell (CAP_NET_RAW)."
        }
    }
}

/// Each signal that there is: of a packet capture there are no kernel counters, and those are absent, not zero.
fn signals(now: &Now) -> Vec<Evidence> {
    let (rates, usual) = (&now.second.rates, &now.usual);
    let mut signals = vec![
        evidence("syn_unanswered", now.second.unanswered, Some(now.usual_unanswered.mean())),
        evidence("half_open", half_open(now.snapshot), Some(usual.half_open.mean())),
    ];
    if let Some(arrivals) = now.arrivals {
        signals.push(evidence("syn_received", arrivals.to_this_host, None));
    }
    if now.snapshot.counters.is_some() {
        signals.extend([
            evidence("syncookies_unreturned", rates.cookies_unreturned.max(0.0), None),
            evidence("syn_queue_drops", rates.syn_queue_drops, None),
            evidence("syn_ack_retransmits", rates.syn_ack_retransmits, None),
        ]);
    }
    signals.extend([
        evidence("embryonic_resets", rates.embryonic_resets, Some(usual.resets.mean())),
        evidence(waiting_signal(now.snapshot), rates.kept_waiting, None),
        evidence("completed_handshakes", rates.completed, Some(usual.completed.mean())),
    ]);
    signals
}

/// The port that captured SYNs go to, else the listener with the fullest SYN queue.
fn place(now: &Now, senders: &Senders) -> Option<Place> {
    let most = now.arrivals.and_then(|arrivals| arrivals.interface).map(str::to_owned);
    let interface = senders.interface().or(most);
    let place = match senders.port() {
        Some(port) => {
            let place = listener_at(now.snapshot, port).map(place_of);
            Some(place.unwrap_or(Place { port: Some(port), ..Place::default() }))
        }
        None => busiest(now.snapshot).map(place_of),
    };
    match (place, interface) {
        (Some(place), interface) => Some(Place { interface, ..place }),
        (None, Some(interface)) => Some(Place { interface: Some(interface), ..Place::default() }),
        (None, None) => None,
    }
}

/// Of those at a port the one with most half-open connections.
fn listener_at(snapshot: &Snapshot, port: u16) -> Option<&Listener> {
    let listeners = snapshot.listeners.as_deref().unwrap_or_default();
    listeners.iter().filter(|listener| listener.port == port).max_by_key(|listener| listener.half_open)
}

pub(super) fn place_of(listener: &Listener) -> Place {
    Place {
        interface: None,
        address: Some(listener.address),
        port: Some(listener.port),
        unit: listener.unit.clone(),
        service: None,
    }
}
