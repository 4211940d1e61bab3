//! Accept queues, drops and owners, on real listeners.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::Value;
use vpcwatch_tests::namespace::{Namespace, run};

use super::{begin, listen, sample, wait_until};

fn connect(namespace: &Namespace, to: &str, count: usize) -> Vec<TcpStream> {
    namespace.inside(|| (0..count).map(|_| Ok(TcpStream::connect(to)?)).collect()).unwrap()
}

fn at_port(snapshot: &Value, port: u16) -> Value {
    let all = snapshot["listeners"].as_array().unwrap();
    all.iter().find(|listener| listener["port"] == port).unwrap().clone()
}

#[test]
fn a_full_accept_queue_shows_at_its_port() {
    let namespace = Namespace::new().unwrap();
    let _full = listen(&namespace, "127.0.0.1:8080", 4, false);
    let _idle = listen(&namespace, "127.0.0.1:8081", 16, false);
    // The queue takes one more than its limit: sk_acceptq_is_full in include/net/sock.h.
    let _waiting = connect(&namespace, "127.0.0.1:8080", 5);
    let _refused = begin(&namespace, "127.0.0.1:8080", 3);
    wait_until("drops at the listener", || {
        at_port(&sample(&namespace, &[]), 8080)["drops"].as_u64() >= Some(3)
    });

    let snapshot = sample(&namespace, &[]);
    let full = at_port(&snapshot, 8080);
    assert_eq!((&full["accept_queue"], &full["accept_limit"]), (&5.into(), &4.into()));
    assert_eq!(full["accept_utilization"], 125.0);
    let idle = at_port(&snapshot, 8081);
    assert_eq!(
        (&idle["accept_queue"], &idle["accept_limit"], &idle["drops"]),
        (&0.into(), &16.into(), &0.into())
    );
    // As the kernel shows it to others.
    let ss = namespace.inside(|| run(&["ss", "-Hltn", "sport = :8080"])).unwrap();
    let words: Vec<&str> = ss.split_whitespace().collect();
    assert_eq!(words[1..3], ["5", "4"], "{ss}");
}

#[test]
fn a_reuseport_group_is_one_listener() {
    let namespace = Namespace::new().unwrap();
    let _group =
        [listen(&namespace, "127.0.0.1:8080", 8, true), listen(&namespace, "127.0.0.1:8080", 2, true)];
    let _waiting = begin(&namespace, "127.0.0.1:8080", 40);
    wait_until("both queues full", || at_port(&sample(&namespace, &[]), 8080)["accept_queue"] == 12);
    let group = at_port(&sample(&namespace, &[]), 8080);
    assert_eq!((&group["sockets"], &group["accept_limit"]), (&2.into(), &10.into()));
    assert_eq!(group["accept_utilization"], 150.0, "the fullest member's, 3 of 2");
}

#[test]
fn a_listener_names_the_unit_that_opened_it() {
    let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .find(|root| std::path::Path::new(root).join("cgroup.controllers").exists());
    let root = root.expect("this test needs the unified cgroup tree mounted");
    let cgroup = format!("{root}/vpcwatch-test-{}.service", std::process::id());
    std::fs::create_dir(&cgroup).unwrap();
    let namespace = Namespace::new().unwrap();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_listen"));
        Ok(command.args([&cgroup, "127.0.0.1:8080"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
    };
    let mut listener = namespace.inside(start).unwrap();
    let mut ready = [0; 6];
    let read = std::io::Read::read_exact(listener.stdout.as_mut().unwrap(), &mut ready);
    let unit = read.map(|()| at_port(&sample(&namespace, &[]), 8080)["unit"].clone());
    drop(listener.stdin.take());
    listener.wait().unwrap();
    std::fs::remove_dir(&cgroup).unwrap();
    assert_eq!(unit.unwrap(), format!("vpcwatch-test-{}.service", std::process::id()));
}
