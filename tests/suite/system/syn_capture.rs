//! SYNs that really arrive: counted exactly and once, whatever their interface does meanwhile; and without capability.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use vpcwatch::model::snapshot::{Snapshot, SourceOutcome};
use vpcwatch::model::syns::{SynKind, SynSecond};
use vpcwatch_tests::kernel::tcp_segments_received;
use vpcwatch_tests::namespace::{Namespace, Pair};

use super::{DryRun, recorded, wait_until};
use crate::agent::PATH;

const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 0, 2));

/// A dry run whose recording is read while it goes on.
struct Watched {
    run: DryRun,
    file: PathBuf,
    _folder: TempDir,
}

impl Watched {
    /// Starts it, and waits until SYNs at these interfaces are counted.
    fn start(namespace: &Namespace, interfaces: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("recording.jsonl");
        let run = DryRun::start(namespace, &["--record", file.to_str().unwrap()]);
        let watched = Watched { run, file, _folder: folder };
        watched.wait_for(interfaces);
        watched
    }

    /// Waits until SYNs are counted at just these interfaces.
    fn wait_for(&self, interfaces: &[&str]) {
        wait_until(&format!("SYNs are counted at {interfaces:?}"), || {
            let last = recorded(&self.file).pop();
            let names = |syns: Vec<SynSecond>| syns.into_iter().map(|second| second.interface).collect();
            let names: Vec<String> = last.and_then(|last| last.syns).map(names).unwrap_or_default();
            names == interfaces
        });
    }

    fn seconds(&self) -> Vec<SynSecond> {
        recorded(&self.file).into_iter().filter_map(|snapshot| snapshot.syns).flatten().collect()
    }

    /// SYNs by interface, as far as recorded; interfaces without any left out.
    fn syns(&self) -> BTreeMap<String, u64> {
        let mut syns = BTreeMap::new();
        for second in self.seconds().into_iter().filter(|second| second.syns > 0) {
            *syns.entry(second.interface).or_default() += second.syns;
        }
        syns
    }

    /// Waits until so many SYNs are counted at these interfaces; then two seconds more, in which no other may come.
    #[track_caller]
    fn counts(&self, expected: &[(&str, u64)]) {
        let expected =
            expected.iter().map(|(name, syns)| ((*name).to_owned(), *syns)).collect::<BTreeMap<_, _>>();
        let begun = std::time::Instant::now();
        while self.syns() != expected {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?} instead of {expected:?}", self.syns());
            std::thread::sleep(Duration::from_millis(100));
        }
        let there = recorded(&self.file).len();
        wait_until("two more snapshots", || recorded(&self.file).len() >= there + 2);
        assert_eq!(self.syns(), expected);
    }

    /// CPU time that it has used so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.run.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

/// Waits until the peer may send: it notices a link that came up a little later.
fn wait_for_cable(pair: &Pair) {
    let is_up = || pair.peer.ip(&["-o", "link", "show", "eth0"]).unwrap().contains("state UP");
    wait_until("the cable is up", is_up);
}

/// Made-up addresses of the range for benchmarks.
fn sources(count: u16) -> Vec<IpAddr> {
    let source = |n: u16| [198, 18, u8::try_from(n >> 8).unwrap(), u8::try_from(n & 255).unwrap()].into();
    (0..count).map(source).collect()
}

/// The same of IPv6's.
fn sources_v6(count: u16) -> Vec<IpAddr> {
    (0..count).map(|n| [0x2001, 2, 0, 0, 0, 0, 0, n].into()).collect()
}

#[test]
fn both_families_are_counted_exactly_and_looked_at() {
    let pair = Pair::new().unwrap();
    let watched = Watched::start(&pair.host, &["lo", "eth0"]);
    pair.syns(&sources(60), HOST, 80).unwrap();
    pair.syns(&sources_v6(40), "fd09::2".parse().unwrap(), 81).unwrap();
    pair.syns(&sources(10), [203, 0, 113, 9].into(), 82).unwrap();
    watched.counts(&[("eth0", 110)]);

    let seconds = watched.seconds();
    assert!(seconds.iter().all(|second| second.one_in == 1));
    let mut looked_at: Vec<_> =
        seconds.iter().flat_map(|second| &second.sample).map(|p| (p.port, p.kind, p.source)).collect();
    looked_at.sort_by_key(|(port, _, source)| (*port, *source));
    let expected = [
        (80, SynKind::Syn, sources(60)),
        (81, SynKind::Syn, sources_v6(40)),
        (82, SynKind::Forwarded, sources(10)),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .flat_map(|(port, kind, sources)| sources.into_iter().map(move |source| (port, kind, source)))
        .collect();
    assert_eq!(looked_at, expected);
}

#[test]
fn sockets_are_bound_to_one_protocol_of_one_interface() {
    // Were they bound to all protocols (0003), the kernel would clone each packet that is transmitted.
    let pair = Pair::new().unwrap();
    let _watched = Watched::start(&pair.host, &["lo", "eth0"]);
    let table = || Ok(std::fs::read_to_string("/proc/thread-self/net/packet")?);
    let table = pair.host.inside(table).unwrap();
    let bound = |line: &str| {
        let [_, _, kind, protocol, interface, running, ..] = line.split_whitespace().collect::<Vec<_>>()[..]
        else {
            panic!("{line}");
        };
        assert_eq!((kind, running), ("2", "1"), "a datagram socket that receives: {line}");
        (interface.to_owned(), protocol.to_owned())
    };
    let mut bound: Vec<_> = table.lines().skip(1).map(bound).collect();
    bound.sort();
    // A counter and a sample each.
    let each = |interface: &(String, String)| bound.iter().filter(|other| *other == interface).count();
    assert!(bound.iter().all(|one| each(one) == 2 && ["0800", "86dd"].contains(&one.1.as_str())), "{table}");
    assert_eq!(bound.len(), 8, "{table}");
}

#[test]
fn each_connection_is_counted_once_and_where_it_arrives() {
    let pair = Pair::new().unwrap();
    let at_peer = pair.peer.inside(|| Ok(TcpListener::bind("[::]:80")?)).unwrap();
    let at_host = pair.host.inside(|| Ok(TcpListener::bind("[::]:80")?)).unwrap();
    let watched = Watched::start(&pair.host, &["lo", "eth0"]);
    let connect = |to: &str| pair.host.inside(|| Ok(TcpStream::connect((to, 80))?)).unwrap();
    for own in ["127.0.0.1", "127.7.7.7", "::1", "10.9.0.2", "fd09::2"] {
        connect(own);
    }
    for peer in ["10.9.0.1", "fd09::1"] {
        connect(peer); // transmitted: only the answer is received
    }
    watched.counts(&[("lo", 5)]);
    let answers = watched.seconds().into_iter().filter(|second| second.interface == "eth0");
    let mut answers: Vec<_> =
        answers.flat_map(|second| second.sample).map(|packet| (packet.source, packet.kind)).collect();
    answers.sort_by_key(|(source, _)| *source);
    let peer = |address: &str| (address.parse().unwrap(), SynKind::Answer);
    assert_eq!(answers, [peer("10.9.0.1"), peer("fd09::1")]);
    drop((at_host, at_peer));
}

#[test]
fn what_arrives_at_an_interface_over_another_is_counted_there() {
    let pair = Pair::new().unwrap();
    // Else eth0 answers for the addresses of its upper interfaces.
    pair.host.inside(|| Ok(std::fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1")?)).unwrap();
    let mut expected = vec![("eth0", 1)];
    let mut captured = vec!["lo", "eth0"];
    let mut listeners = Vec::new();
    // Not every kernel has both.
    for (name, kind, net) in
        [("over0", ["type", "macvlan", "mode", "bridge"], 1), ("over1", ["type", "vlan", "id", "5"], 2)]
    {
        let add = |side: &Namespace| {
            side.ip(&[&["link", "add", "link", "eth0", "name", name], kind.as_slice()].concat())
        };
        if add(&pair.host).and_then(|_| add(&pair.peer)).is_err() {
            continue;
        }
        for (side, number) in [(&pair.host, 2), (&pair.peer, 1)] {
            side.ip(&["addr", "add", &format!("10.9.{net}.{number}/24"), "dev", name]).unwrap();
            side.ip(&["link", "set", name, "up"]).unwrap();
        }
        listeners
            .push((net, pair.host.inside(|| Ok(TcpListener::bind((format!("10.9.{net}.2"), 80))?)).unwrap()));
        expected.push((name, 1));
        captured.push(name);
    }
    assert!(!listeners.is_empty(), "neither macvlan nor vlan");
    let watched = Watched::start(&pair.host, &captured);
    for (net, _) in &listeners {
        pair.peer.inside(|| Ok(TcpStream::connect((format!("10.9.{net}.2"), 80))?)).unwrap();
    }
    pair.syns(&sources(1), HOST, 80).unwrap();
    watched.counts(&expected);
}

#[test]
fn an_interface_that_goes_and_comes_is_counted_on_without_spinning() {
    let pair = Pair::new().unwrap();
    let watched = Watched::start(&pair.host, &["lo", "eth0"]);
    pair.syns(&sources(10), HOST, 80).unwrap();
    watched.counts(&[("eth0", 10)]);

    let before = watched.cpu();
    pair.host.ip(&["link", "set", "eth0", "down"]).unwrap();
    watched.wait_for(&["lo"]);
    std::thread::sleep(Duration::from_secs(3));
    pair.host.ip(&["link", "set", "eth0", "up"]).unwrap();
    watched.wait_for(&["lo", "eth0"]);
    wait_for_cable(&pair);
    pair.syns(&sources(10), HOST, 80).unwrap();
    watched.counts(&[("eth0", 20)]);

    // Down and up between two looks: the sockets broke, though the list of interfaces is the same.
    pair.host.ip(&["link", "set", "eth0", "down"]).unwrap();
    pair.host.ip(&["link", "set", "eth0", "up"]).unwrap();
    let there = recorded(&watched.file).len();
    wait_until("two more snapshots", || recorded(&watched.file).len() >= there + 2);
    watched.wait_for(&["lo", "eth0"]);
    wait_for_cable(&pair);
    pair.syns(&sources(10), HOST, 80).unwrap();
    watched.counts(&[("eth0", 30)]);

    // Another under the same name.
    pair.host.ip(&["link", "del", "eth0"]).unwrap();
    watched.wait_for(&["lo"]);
    let peer_of = ["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", pair.host.name()];
    pair.peer.ip(&peer_of).unwrap();
    for side in [&pair.peer, &pair.host] {
        side.ip(&["link", "set", "eth0", "up"]).unwrap();
    }
    pair.host.ip(&["addr", "add", "10.9.0.2/24", "dev", "eth0"]).unwrap();
    watched.wait_for(&["lo", "eth0"]);
    wait_for_cable(&pair);
    pair.syns(&sources(10), HOST, 80).unwrap();
    watched.counts(&[("eth0", 40)]);

    pair.host.ip(&["link", "set", "eth0", "down"]).unwrap();
    pair.host.ip(&["link", "set", "eth0", "name", "ens5"]).unwrap();
    pair.host.ip(&["link", "set", "ens5", "up"]).unwrap();
    watched.wait_for(&["lo", "ens5"]);
    // The socket that is looked at came back each time as well.
    let looked_at =
        watched.seconds().iter().filter(|s| s.interface == "eth0").map(|s| s.sample.len()).sum::<usize>();
    assert_eq!(looked_at, 40);
    // Had it spun while the interface was away, that would have been three seconds at least.
    let used = watched.cpu().saturating_sub(before);
    assert!(used < Duration::from_secs(2), "{used:?}");
}

#[test]
fn a_burst_is_counted_exactly_and_looked_at_within_bounds() {
    let pair = Pair::new().unwrap();
    let watched = Watched::start(&pair.host, &["lo", "eth0"]);
    // The cable drops what it has no room for on a busy machine: the kernel's own count tells what arrived.
    let arrived = || pair.host.inside(tcp_segments_received).unwrap();
    let before = arrived();
    for _ in 0..3 {
        pair.syns(&sources(20_000), HOST, 80).unwrap();
        watched.counts(&[("eth0", arrived() - before)]);
    }
    let whole = arrived() - before;
    assert!(whole > 30_000, "{whole}");
    let seconds = watched.seconds();
    assert!(seconds.iter().all(|second| second.sample.len() <= SynSecond::MAX_SAMPLE));
    assert!(seconds.iter().any(|second| second.one_in >= 4 && !second.sample.is_empty()));
    let estimate: u64 =
        seconds.iter().map(|second| second.sample.len() as u64 * u64::from(second.one_in)).sum();
    // At one in 64 the chance part is some 4 % of the whole.
    assert!((whole * 7 / 10..whole * 13 / 10).contains(&estimate), "{estimate} of {whole}");
}

#[test]
fn without_the_capability_the_run_goes_on_and_says_so_once() {
    let pair = Pair::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.jsonl");
    let run = || {
        let mut command = Command::new("setpriv");
        command.args([
            "--bounding-set=-net_raw",
            "--inh-caps=-net_raw",
            PATH,
            "run",
            "--dry-run",
            "--output",
            "json",
        ]);
        command.args(["--interval", "1h", "--set", "metrics.set=full", "--set", "logins.source=off"]);
        command.args(["--for", "4s", "--record"]).arg(&file);
        Ok(command.stdin(Stdio::null()).output()?)
    };
    let output = pair.host.inside(run).unwrap();
    let printed = crate::agent::printed(&output, 0);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(told.matches("CAP_NET_RAW").count(), 1, "{told}");
    let snapshots: Vec<Snapshot> = recorded(&file);
    assert!(snapshots.len() >= 2);
    for snapshot in &snapshots {
        let report = snapshot.sources.iter().find(|source| source.name == "syn_capture").unwrap();
        assert_eq!((report.outcome, &snapshot.syns), (SourceOutcome::Degraded, &None));
        assert!(snapshot.counters.is_some());
    }
    let lines = crate::agent::lines(&printed);
    let metric = lines.iter().find(|line| line["MetricName"] == "agent_syn_capture").unwrap();
    assert_eq!(metric["Values"], serde_json::json!([0]));
}
