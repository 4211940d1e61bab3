//! What is measured: each row a host, its visitors, what befalls it, and what the agent must say. The one place where
//! the expectations stand.

/// One row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) host: Host,
    pub(crate) servers: Vec<Server>,
    pub(crate) clients: Vec<Clients>,
    pub(crate) acts: Vec<Act>,
    /// Seconds that it has been going on when the agent starts, without learning before; else the acts begin after it
    /// has learned.
    pub(crate) running_at_start: Option<f64>,
    /// Takes the whole machine: no other row beside it.
    pub(crate) alone: bool,
    pub(crate) expect: Expect,
}

/// Settings of the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    pub(crate) syncookies: u8,
    pub(crate) max_syn_backlog: u32,
    pub(crate) extra: Extra,
}

/// What else there is to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    Nothing,
    /// Port 80 is forwarded to a container (10.9.1.2), where something listens.
    Published,
    /// Packets for port 80 are dropped by nftables.
    Dropped,
    /// Everybody is 80 ms away, each way.
    FarAway,
}

/// One listener, or a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) backlog: u32,
    pub(crate) sockets: u32,
    pub(crate) slow_ms: u32,
    pub(crate) defer_accept: u32,
    pub(crate) v6: bool,
    /// A server on loopback is asked for each answer.
    pub(crate) forward: bool,
}

/// Visitors throughout, or for a time as an act.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clients {
    pub(crate) port: u16,
    pub(crate) rate: f64,
    pub(crate) burst: u32,
    pub(crate) silent: bool,
}

/// Something that befalls the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act {
    /// Seconds after the lead-in.
    pub(crate) at: f64,
    pub(crate) seconds: f64,
    pub(crate) what: What,
    /// Whether times are measured from it: else it only happens beside.
    pub(crate) counts: bool,
}

/// What befalls it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Flood(Flood),
    Clients(Clients),
    Nothing,
}

/// Arguments of `traffic flood`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flood {
    pub(crate) kind: &'static str,
    pub(crate) rate: f64,
    pub(crate) port: u16,
    pub(crate) sources: u32,
    pub(crate) v6: bool,
    pub(crate) ramp: bool,
    /// On and off, seconds.
    pub(crate) pulses: Option<(f64, f64)>,
}

/// What the agent must say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expect {
    /// The kind of its finding, none if it must say nothing, and any of these verdicts (none: whatever it says).
    pub(crate) with_capture: Said,
    /// The same where the agent only has counters.
    pub(crate) without: Said,
    /// Kinds that may be there besides, at any severity. Any other above `notice` is a false alarm.
    pub(crate) beside: &'static [&'static str],
    /// Seconds in which it must be said, from the first packet.
    pub(crate) within: Option<f64>,
    /// Port that it must name.
    pub(crate) port: Option<u16>,
    /// Known to be missed: measured, not asked for.
    pub(crate) known_miss: bool,
}

/// A kind and verdicts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    pub(crate) kind: Option<&'static str>,
    pub(crate) verdicts: &'static [&'static str],
    /// It may also be left unsaid.
    pub(crate) optional: bool,
}

const UNKNOWN: &[&str] = &["sources_unknown"];

impl Host {
    const ORDINARY: Host = Host { syncookies: 1, max_syn_backlog: 4096, extra: Extra::Nothing };
}

impl Server {
    const ORDINARY: Server =
        Server { port: 80, backlog: 128, sockets: 1, slow_ms: 0, defer_accept: 0, v6: false, forward: false };
}

impl Clients {
    /// As many to port 80.
    const fn at(rate: f64) -> Clients {
        Clients { port: 80, rate, burst: 1, silent: false }
    }
}

impl Flood {
    const fn of(kind: &'static str, rate: f64) -> Flood {
        Flood { kind, rate, port: 80, sources: 64, v6: false, ramp: false, pulses: None }
    }
}

impl Said {
    const fn a(kind: &'static str) -> Said {
        Said { kind: Some(kind), verdicts: &[], optional: false }
    }

    const fn flood(verdicts: &'static [&'static str]) -> Said {
        Said { kind: Some("syn_flood"), verdicts, optional: false }
    }

    const fn perhaps(kind: &'static str) -> Said {
        Said { optional: true, ..Said::a(kind) }
    }
}

impl Expect {
    fn nothing() -> Self {
        Expect::default()
    }

    fn both(said: Said) -> Self {
        Expect { with_capture: said, without: said, ..Expect::default() }
    }

    /// A flood whose verdict takes captured packets.
    fn flood(verdicts: &'static [&'static str], within: f64) -> Self {
        Expect {
            with_capture: Said::flood(verdicts),
            without: Said::flood(UNKNOWN),
            within: Some(within),
            ..Expect::default()
        }
    }
}

impl Row {
    /// An ordinary host with thirty visitors a second, to whom this happens.
    fn new(name: &'static str, acts: Vec<Act>, expect: Expect) -> Row {
        Row {
            name,
            host: Host::ORDINARY,
            servers: vec![Server::ORDINARY],
            clients: vec![Clients::at(30.0)],
            acts,
            running_at_start: None,
            alone: false,
            expect,
        }
    }

    fn flood(name: &'static str, flood: Flood, seconds: f64, expect: Expect) -> Row {
        Row::new(name, vec![act(0.0, seconds, What::Flood(flood))], expect)
    }

    fn host(self, host: Host) -> Row {
        Row { host, ..self }
    }

    fn server(self, server: Server) -> Row {
        self.servers(vec![server])
    }

    fn servers(self, servers: Vec<Server>) -> Row {
        Row { servers, ..self }
    }

    fn clients(self, clients: Vec<Clients>) -> Row {
        Row { clients, ..self }
    }

    fn alone(self) -> Row {
        Row { alone: true, ..self }
    }

    /// Whether it belongs to the fourteen signatures.
    pub(crate) fn is_signature(&self) -> bool {
        fourteen().iter().any(|row| row.name == self.name)
    }
}

fn act(at: f64, seconds: f64, what: What) -> Act {
    Act { at, seconds, what, counts: true }
}

/// Every row, in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    [fourteen(), misleading(), shapes(), sources(), fast()].concat()
}

/// The signatures: thirty legitimate connections a second throughout.
fn fourteen() -> Vec<Row> {
    let spoofed = |rate| Flood::of("spoofed", rate);
    let forged = |within| Expect::flood(&["spoofed"], within);
    let syncookies = |syncookies| Host { syncookies, ..Host::ORDINARY };
    vec![
        Row::new("benign", vec![act(0.0, 120.0, What::Nothing)], Expect::nothing()),
        Row::flood("spoofed-20", spoofed(20.0), 60.0, forged(5.0)),
        Row::flood("spoofed-100", spoofed(100.0), 30.0, forged(2.0)),
        Row::flood("spoofed-1000", spoofed(1000.0), 30.0, forged(2.0)),
        Row::flood("spoofed-1000-backlog-4096", spoofed(1000.0), 30.0, forged(2.0))
            .server(Server { backlog: 4096, ..Server::ORDINARY }),
        Row::flood("spoofed-1000-syncookies-0", spoofed(1000.0), 30.0, forged(2.0)).host(syncookies(0)),
        Row::flood("spoofed-1000-syncookies-2", spoofed(1000.0), 30.0, forged(2.0)).host(syncookies(2)),
        Row::flood(
            "one-source-500",
            Flood::of("one-source", 500.0),
            30.0,
            Expect::flood(&["single_source"], 2.0),
        ),
        Row::flood("live-sources-500", Flood::of("live", 500.0), 30.0, live(2.0)),
        Row::new("flash-crowd-600", vec![crowd()], Expect::both(Said::a("flash_crowd"))),
        Row::new("slow-program", vec![crowd()], slow()).server(Server { slow_ms: 10, ..Server::ORDINARY }),
        Row::flood("scan-300", Flood::of("scan", 300.0), 30.0, unless_captured("port_scan", &["ack_noise"])),
        Row::flood(
            "backscatter-500",
            Flood::of("backscatter", 500.0),
            30.0,
            unless_captured("backscatter", &["ack_noise"]),
        ),
        Row::flood(
            "stray-acks-500",
            Flood::of("stray-acks", 500.0),
            30.0,
            Expect { without: Said::perhaps("ack_noise"), ..Expect::both(Said::a("ack_noise")) },
        ),
    ]
}

fn live(within: f64) -> Expect {
    Expect { within: Some(within), ..Expect::both(Said::flood(&["live_sources"])) }
}

fn slow() -> Expect {
    Expect { beside: &["flash_crowd"], ..Expect::both(Said::a("slow_accept")) }
}

/// Six hundred visitors a second for half a minute.
fn crowd() -> Act {
    act(0.0, 30.0, What::Clients(Clients::at(600.0)))
}

/// A kind that is named by captured packets; without them it may be left unsaid, or called by another name.
fn unless_captured(kind: &'static str, beside: &'static [&'static str]) -> Expect {
    Expect { with_capture: Said::a(kind), without: Said::perhaps(kind), beside, ..Expect::default() }
}

/// What misleads on real hosts.
fn misleading() -> Vec<Row> {
    let spoofed = |rate| Flood::of("spoofed", rate);
    let proxy = Server { forward: true, ..Server::ORDINARY };
    let other = Server { port: 443, ..Server::ORDINARY };
    let to_other = Clients { port: 443, ..Clients::at(30.0) };
    let not_reaching = Expect {
        with_capture: Said::a("not_reaching_tcp"),
        without: Said::perhaps("not_reaching_tcp"),
        ..Expect::default()
    };
    let checks = |rate, sources| Flood { sources, ..Flood::of("live", rate) };
    vec![
        Row::new("proxy-benign", vec![act(0.0, 60.0, What::Nothing)], Expect::nothing()).server(proxy),
        Row::flood("proxy-spoofed-500", spoofed(500.0), 30.0, Expect::flood(&["spoofed"], 2.0)).server(proxy),
        Row::flood("published-port-500", spoofed(500.0), 30.0, not_reaching.clone())
            .host(Host { extra: Extra::Published, ..Host::ORDINARY })
            .server(other)
            .clients(vec![to_other]),
        Row::flood("dropped-by-firewall-500", spoofed(500.0), 30.0, not_reaching)
            .host(Host { extra: Extra::Dropped, ..Host::ORDINARY })
            .servers(vec![Server::ORDINARY, other])
            .clients(vec![to_other]),
        Row::flood(
            "closed-port-500",
            Flood { port: 81, ..spoofed(500.0) },
            30.0,
            // Each is refused by RST: it may be called by any such name, but not a flood.
            Expect { beside: &["ack_noise"], ..Expect::both(Said::perhaps("not_reaching_tcp")) },
        ),
        Row::new(
            "deferred-silent-20",
            vec![act(0.0, 90.0, What::Clients(Clients { silent: true, ..Clients::at(20.0) }))],
            Expect::nothing(),
        )
        .server(Server { defer_accept: 5, backlog: 1024, ..Server::ORDINARY }),
        checked("half-open-checks-5-from-start", checks(5.0, 2), Some(20.0)),
        checked("half-open-checks-8-from-start", checks(8.0, 4), Some(20.0)),
        checked("half-open-checks-5-later", checks(5.0, 2), None),
        checked("half-open-checks-8-later", checks(8.0, 4), None),
        Row::flood("small-syn-backlog-500", spoofed(500.0), 30.0, Expect::flood(&["spoofed"], 2.0))
            .host(Host { syncookies: 0, max_syn_backlog: 64, ..Host::ORDINARY })
            .server(Server { backlog: 1024, ..Server::ORDINARY }),
        plateau("below-backlog-15", 15.0),
        plateau("below-backlog-20", 20.0),
        plateau("below-backlog-100", 100.0),
        Row::flood("reuseport-500", spoofed(500.0), 30.0, Expect::flood(&["spoofed"], 2.0))
            .server(Server { sockets: 4, ..Server::ORDINARY }),
        bursts_from_far_away("far-away-bursts-of-100", 1024),
        bursts_from_far_away("far-away-bursts-of-100-backlog-64", 64),
        Row::flood("far-away-spoofed-20", spoofed(20.0), 60.0, Expect::flood(&["spoofed"], 5.0))
            .host(Host { extra: Extra::FarAway, ..Host::ORDINARY }),
    ]
}

/// Load balancers that check with half a handshake.
fn checked(name: &'static str, checks: Flood, running_at_start: Option<f64>) -> Row {
    Row { running_at_start, ..Row::flood(name, checks, 90.0, Expect::nothing()) }
}

/// The half-open connections level out far below the backlog.
fn plateau(name: &'static str, rate: f64) -> Row {
    // Below 20/s finding it is not asked for within a time.
    let within = (rate >= 20.0).then_some(5.0);
    Row::flood(name, Flood::of("spoofed", rate), 150.0, Expect { within, ..Expect::flood(&["spoofed"], 5.0) })
        .server(Server { backlog: 4096, ..Server::ORDINARY })
}

/// Clients who are 160 ms away and back, a hundred at once every three seconds, as after a message to many.
fn bursts_from_far_away(name: &'static str, backlog: u32) -> Row {
    let bursts = Clients { burst: 100, ..Clients::at(0.3) };
    // Where the accept queue is shorter than the burst it overflows, which is so.
    let beside: &[&str] = if backlog < 100 { &["slow_accept"] } else { &[] };
    let expect = Expect { beside, ..Expect::nothing() };
    Row::new(name, vec![act(0.0, 90.0, What::Clients(bursts))], expect)
        .host(Host { extra: Extra::FarAway, ..Host::ORDINARY })
        .server(Server { backlog, ..Server::ORDINARY })
}

/// Floods that come and go, rise, or have company.
fn shapes() -> Vec<Row> {
    let spoofed = |rate| Flood::of("spoofed", rate);
    let forged = |within| Expect::flood(&["spoofed"], within);
    let at = |port, rate| Clients { port, ..Clients::at(rate) };
    let on = |port| Server { port, ..Server::ORDINARY };
    let beside = |act: Act| Act { counts: false, ..act };
    vec![
        Row::flood("pulses-300", Flood { pulses: Some((10.0, 20.0)), ..spoofed(300.0) }, 180.0, forged(2.0)),
        Row::flood(
            "ramp-1-to-500",
            Flood { ramp: true, ..spoofed(500.0) },
            300.0,
            // 20/s are reached after 12 s.
            forged(12.0 + 5.0),
        ),
        Row::flood(
            "one-of-three-listeners-300",
            Flood { port: 443, ..spoofed(300.0) },
            30.0,
            Expect { port: Some(443), ..forged(2.0) },
        )
        .servers(vec![on(80), on(443), on(8080)])
        .clients(vec![at(80, 10.0), at(443, 10.0), at(8080, 10.0)]),
        Row::new(
            "flood-500-in-flash-crowd",
            vec![
                beside(act(0.0, 60.0, What::Clients(Clients::at(600.0)))),
                act(20.0, 30.0, What::Flood(spoofed(500.0))),
            ],
            Expect { beside: &["flash_crowd"], ..forged(2.0) },
        ),
        Row {
            running_at_start: Some(20.0),
            ..Row::flood("flood-100-at-start", spoofed(100.0), 80.0, forged(10.0))
        },
        Row {
            running_at_start: Some(20.0),
            ..Row::flood("flood-1000-at-start", spoofed(1000.0), 80.0, forged(10.0))
        },
        Row::new(
            "flood-300-beside-slow-program",
            vec![
                beside(act(0.0, 60.0, What::Clients(at(8080, 600.0)))),
                act(20.0, 30.0, What::Flood(spoofed(300.0))),
            ],
            Expect {
                beside: &["slow_accept", "flash_crowd"],
                known_miss: true,
                port: Some(80),
                ..forged(2.0)
            },
        )
        .servers(vec![on(80), Server { slow_ms: 10, ..on(8080) }]),
    ]
}

/// Who floods.
fn sources() -> Vec<Row> {
    let botnet = |name, sources| {
        let flood = Flood { sources, ..Flood::of("botnet", 500.0) };
        Row::flood(name, flood, 40.0, Expect::flood(&["distributed"], 2.0))
    };
    vec![
        botnet("botnet-200", 200),
        botnet("botnet-2000", 2000),
        botnet("botnet-20000", 20_000),
        Row::flood(
            "ipv6-spoofed-500",
            Flood { v6: true, ..Flood::of("spoofed", 500.0) },
            30.0,
            Expect::flood(&["spoofed"], 2.0),
        )
        .server(Server { v6: true, ..Server::ORDINARY }),
    ]
}

/// What the machine can make.
fn fast() -> Vec<Row> {
    let spoofed = |name, rate| {
        Row::flood(name, Flood::of("spoofed", rate), 30.0, Expect::flood(&["spoofed"], 2.0)).alone()
    };
    vec![spoofed("spoofed-20000", 20_000.0), spoofed("spoofed-fastest", f64::INFINITY)]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let rows = all();
        let names: HashSet<_> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len());
        assert_eq!(rows.iter().filter(|row| row.is_signature()).count(), 14);
    }
}
