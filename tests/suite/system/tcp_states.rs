//! Every TCP state made for real, on IPv4, IPv6 and v4-mapped, counted by the agent as by a full dump and by `ss`.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use vpcwatch_tests::namespace::Pair;

use super::{begin, dump, sample, states, wait_until};

const HOST4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2));
const HOST6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2));

/// Sources of the ranges that are set aside for benchmarks, RFC 2544 and RFC 5180.
fn made_up(v4: u8, v6: u16) -> (Vec<IpAddr>, Vec<IpAddr>) {
    let four = (1..=v4).map(|n| IpAddr::from([198, 18, 0, n])).collect();
    let six = (1..=v6).map(|n| IpAddr::from([0x2001, 2, 0, 0, 0, 0, 0, n])).collect();
    (four, six)
}

/// Connections from the peer to the host's listener, as (host's end, peer's end).
fn connections(pair: &Pair, listener: &TcpListener, to: IpAddr, count: usize) -> Vec<(TcpStream, TcpStream)> {
    let to = SocketAddr::new(to, listener.local_addr().unwrap().port());
    let one = |_| {
        let theirs =
            pair.peer.inside(|| Ok(TcpStream::connect_timeout(&to, Duration::from_secs(10))?)).unwrap();
        (listener.accept().unwrap().0, theirs)
    };
    (0..count).map(one).collect()
}

/// Listeners of the three kinds: IPv4, IPv6 alone, and [::] which takes both.
fn listeners(pair: &Pair) -> [TcpListener; 3] {
    let listen = |at: &str, v6_only: bool| {
        pair.host
            .inside(|| {
                let at: SocketAddr = at.parse()?;
                let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
                if at.is_ipv6() {
                    socket.set_only_v6(v6_only)?;
                }
                socket.bind(&at.into())?;
                socket.listen(64)?;
                Ok(TcpListener::from(socket))
            })
            .unwrap()
    };
    [listen("0.0.0.0:80", false), listen("[::]:81", true), listen("[::]:82", false)]
}

/// Begins handshakes that nobody completes, `all` of them. A SYN may be lost on a busy machine; sent again it is the same.
fn half_open(pair: &Pair, all: u64, syns: &[(&[IpAddr], IpAddr, u16)]) {
    wait_until("as many half-open", || {
        syns.iter().for_each(|(sources, to, port)| pair.syns(sources, *to, *port).unwrap());
        dump(&pair.host)["syn_recv"] == all
    });
}

#[test]
fn all_eleven_states_equal_a_full_dump_and_ss() {
    let pair = Pair::new().unwrap();
    let [v4, v6, mapped] = listeners(&pair);
    let mut held = Vec::new(); // what must stay open
    let mut close_wait = Vec::new();
    let mut closed_here = Vec::new(); // what the peer must keep open

    // 3 half-open on IPv4, 2 on IPv6, 4 on a v4-mapped address.
    let (four, six) = made_up(7, 2);
    half_open(&pair, 9, &[(&four[..3], HOST4, 80), (&six, HOST6, 81), (&four[3..], HOST4, 82)]);

    for (listener, to) in [(&v4, HOST4), (&v6, HOST6), (&mapped, HOST4), (&mapped, HOST6)] {
        // ESTABLISHED
        held.extend(connections(&pair, listener, to, 3));
        // CLOSE_WAIT: the peer closed, the host did not.
        for (ours, theirs) in connections(&pair, listener, to, 3) {
            drop(theirs);
            close_wait.push(ours);
        }
        // FIN_WAIT2 that a program still holds: half closed.
        for (ours, theirs) in connections(&pair, listener, to, 2) {
            ours.shutdown(Shutdown::Write).unwrap();
            held.push((ours, theirs));
        }
        // FIN_WAIT2 that no program holds: the kernel keeps it as a small time-wait socket.
        for (ours, theirs) in connections(&pair, listener, to, 3) {
            drop(ours);
            closed_here.push(theirs);
        }
        // TIME_WAIT: closed here first, then there.
        for (ours, mut theirs) in connections(&pair, listener, to, 4) {
            drop(ours);
            assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "the FIN has come");
        }
    }
    // SYN_SENT: to addresses behind the peer, which forwards nothing.
    let begun = ["198.18.1.1:9", "[2001:2::1:1]:9"].map(|to| begin(&pair.host, to, 1));
    let mut late = connections(&pair, &v4, HOST4, 2);
    late.extend(connections(&pair, &v6, HOST6, 2));
    let settled = |name: &str, count: u64| {
        wait_until(&format!("{count} in {name}"), || dump(&pair.host)[name] == count);
    };
    settled("close_wait", 12);
    settled("time_wait", 16);
    settled("fin_wait2", 20);
    // Now the peer can answer no more: its packets go nowhere, the host's still arrive there.
    pair.peer.ip(&["route", "add", "blackhole", "10.9.0.2/32"]).unwrap();
    pair.peer.ip(&["-6", "route", "add", "blackhole", "fd09::2/128", "metric", "1"]).unwrap();
    // FIN_WAIT1: closed here, and the ACK never comes.
    for (ours, theirs) in late {
        drop(ours);
        closed_here.push(theirs);
    }
    settled("fin_wait1", 4);
    // LAST_ACK: eight of those that the peer closed are closed here too, and its last ACKs never come.
    close_wait.truncate(4);
    settled("last_ack", 8);

    // Sockets that wait for time-outs may go between two looks: compare when nothing has.
    wait_until("a sample between two equal dumps", || {
        let before = dump(&pair.host);
        let snapshot = sample(&pair.host, &[]);
        if dump(&pair.host) != before {
            return false;
        }
        assert_eq!(states(&snapshot), before);
        assert_eq!(snapshot["tcp"]["method"], "sock_diag_complement");
        assert_eq!((before["listen"], before["syn_recv"], before["syn_sent"]), (3, 9, 2));
        // CLOSE is no state of a socket in the table, and CLOSING needs two FINs that cross.
        let empty: Vec<_> =
            before.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name.as_str()).collect();
        assert_eq!(empty, ["close", "closing"]);
        true
    });

    // The same by the fallback: the very host, but read from its files.
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("proc")).unwrap();
    std::os::unix::fs::symlink("/proc/self/net", root.path().join("proc/net")).unwrap();
    wait_until("a sample of files between two equal dumps", || {
        let before = dump(&pair.host);
        let snapshot = sample(&pair.host, &["--root", root.path().to_str().unwrap()]);
        if dump(&pair.host) != before {
            return false;
        }
        assert_eq!(states(&snapshot), before);
        assert_eq!(snapshot["tcp"]["method"], "procfs");
        true
    });
    drop((held, close_wait, begun, closed_here));
}

#[test]
fn half_open_connections_stand_at_their_listener() {
    let pair = Pair::new().unwrap();
    let _listeners = listeners(&pair);
    let (four, six) = made_up(20, 5);
    half_open(&pair, 25, &[(&four[..6], HOST4, 80), (&six, HOST6, 82), (&four[6..], HOST4, 82)]);
    let snapshot = sample(&pair.host, &[]);
    let half_open = |address: &str, port: u16| {
        let all = snapshot["listeners"].as_array().unwrap();
        all.iter().find(|l| l["address"] == address && l["port"] == port).unwrap()["half_open"].as_u64()
    };
    assert_eq!(half_open("0.0.0.0", 80), Some(6));
    assert_eq!(half_open("::", 81), Some(0));
    assert_eq!(half_open("::", 82), Some(19));
}
