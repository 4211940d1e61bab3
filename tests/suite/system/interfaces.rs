//! Interface bytes of real traffic, and interfaces that are renamed, vanish, or are not to be measured.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use vpcwatch::model::snapshot::Snapshot;
use vpcwatch_tests::kernel::interface_bytes;
use vpcwatch_tests::namespace::{Namespace, Pair};

use super::{DryRun, sample, wait_until};
use crate::agent::total;

/// Sends bytes from the peer to the host.
fn transfer(pair: &Pair, port: u16, bytes: usize) {
    let listener = pair.host.inside(|| Ok(TcpListener::bind(("10.9.0.2", port))?)).unwrap();
    let mut sender = pair.peer.inside(|| Ok(TcpStream::connect(("10.9.0.2", port))?)).unwrap();
    let mut receiver = listener.accept().unwrap().0;
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.write_all(&vec![7; bytes]).unwrap()); // and closes it
        receiver.read_to_end(&mut all).unwrap();
    });
    assert_eq!(all.len(), bytes);
}

fn bytes(pair: &Pair, name: &str) -> (u64, u64) {
    pair.host.inside(|| interface_bytes(name)).unwrap()
}

/// Bytes received and sent in each snapshot that is recorded so far.
fn recorded(file: &Path) -> Vec<(u64, u64)> {
    let bytes = |snapshot: Snapshot| {
        snapshot
            .interfaces
            .unwrap()
            .first()
            .map_or((0, 0), |interface| (interface.bytes_recv, interface.bytes_sent))
    };
    super::recorded(file).into_iter().map(bytes).collect()
}

#[test]
fn published_bytes_equal_the_kernels_even_across_a_rename() {
    let pair = Pair::new().unwrap();
    for side in [&pair.host, &pair.peer] {
        // IPv6 sends packets of its own accord when a link comes up.
        side.inside(|| Ok(std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1")?)).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.jsonl");
    let run = DryRun::start(&pair.host, &["--record", file.to_str().unwrap()]);
    wait_until("the first snapshot", || !recorded(&file).is_empty());
    transfer(&pair, 8, 20_000_000);
    let caught_up = |name: &str| {
        wait_until("a snapshot that has all of the transfer", || {
            recorded(&file).last() == Some(&bytes(&pair, name))
        });
    };
    caught_up("eth0");
    // A rename, as udev and cloud-init do at boot. The counters go on.
    pair.host.ip(&["link", "set", "eth0", "down"]).unwrap();
    pair.host.ip(&["link", "set", "eth0", "name", "ens5"]).unwrap();
    pair.host.ip(&["link", "set", "ens5", "up"]).unwrap();
    transfer(&pair, 9, 10_000_000);
    caught_up("ens5");
    let lines = run.stop();

    let readings = recorded(&file);
    let (first, last) = (readings[0], readings[readings.len() - 1]);
    assert!(last.0 - first.0 > 30_000_000);
    // An hour may have ended in between; sums do not mind.
    assert_eq!(total(&lines, "net_bytes_recv").0, last.0 - first.0);
    assert_eq!(total(&lines, "net_bytes_sent").0, last.1 - first.1);
    let received = lines.iter().filter(|line| line["MetricName"] == "net_bytes_recv");
    let names: Vec<_> = received.map(|line| line["Dimensions"][1]["Value"].clone()).collect();
    assert!(names.contains(&"eth0".into()) && names.contains(&"ens5".into()), "{names:?}");
}

#[test]
fn interfaces_that_swap_their_names_keep_their_counters() {
    let pair = Pair::new().unwrap();
    pair.host.ip(&["link", "add", "eth1", "type", "bridge"]).unwrap();
    pair.host.ip(&["link", "set", "eth1", "up"]).unwrap();
    transfer(&pair, 8, 5_000_000);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.jsonl");
    let run = DryRun::start(&pair.host, &["--record", file.to_str().unwrap()]);
    wait_until("two snapshots", || recorded(&file).len() >= 2);
    let swap = "link set eth0 down\nlink set eth1 down\nlink set eth0 name old\nlink set eth1 name eth0\n\
                link set old name eth1\nlink set eth0 up\nlink set eth1 up\n";
    let batch = folder.path().join("swap");
    std::fs::write(&batch, swap).unwrap();
    pair.host.ip(&["-batch", batch.to_str().unwrap()]).unwrap();
    let so_far = recorded(&file).len();
    wait_until("two more", || recorded(&file).len() >= so_far + 2);
    let (sum, _) = total(&run.stop(), "net_bytes_recv");
    assert!(sum < 100_000, "{sum} bytes: those from before the agent were counted");
}

#[test]
fn an_interface_that_vanishes_ends_nothing() {
    let pair = Pair::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.jsonl");
    let run = DryRun::start(&pair.host, &["--record", file.to_str().unwrap()]);
    wait_until("two snapshots", || recorded(&file).len() >= 2);
    pair.host.ip(&["link", "del", "eth0"]).unwrap();
    let so_far = recorded(&file).len();
    wait_until("two more", || recorded(&file).len() >= so_far + 2);
    let lines = run.stop();
    assert!(total(&lines, "net_bytes_recv").1 >= 1);
    assert!(lines.iter().any(|line| line["MetricName"] == "netstat_tcp_established"));
}

#[test]
fn loopback_container_ends_and_unused_interfaces_are_left_out() {
    let namespace = Namespace::new().unwrap();
    let container = Namespace::new().unwrap();
    let veth = |name: &str| {
        namespace
            .ip(&[
                "link",
                "add",
                name,
                "type",
                "veth",
                "peer",
                "name",
                &format!("{name}c"),
                "netns",
                container.name(),
            ])
            .unwrap();
        namespace.ip(&["link", "set", name, "up"]).unwrap();
        container.ip(&["link", "set", &format!("{name}c"), "up"]).unwrap();
    };
    veth("routed0"); // has an address: this host's own
    namespace.ip(&["addr", "add", "10.8.0.1/24", "dev", "routed0"]).unwrap();
    veth("veth1"); // has none: a container's
    namespace.ip(&["link", "add", "br0", "type", "bridge"]).unwrap();
    namespace.ip(&["link", "set", "br0", "up"]).unwrap();
    namespace.ip(&["link", "add", "idle0", "type", "bridge"]).unwrap(); // never up

    let names = |more: &[&str]| {
        let snapshot = sample(&namespace, more);
        let all = snapshot["interfaces"].as_array().unwrap().clone();
        all.iter().map(|i| i["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["br0", "routed0"]);
    assert_eq!(
        names(&["--set", "interfaces.loopback=true", "--set", "interfaces.exclude=br*"]),
        ["lo", "routed0"]
    );
    assert_eq!(
        names(&["--set", "interfaces.container_veths=true", "--set", "interfaces.include=veth?"]),
        ["veth1"]
    );
}
