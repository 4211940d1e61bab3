//! Packet captures: what a file of any form tells, what is said of a bad one, and that all of it is the same each time.

use std::path::{Path, PathBuf};

use pcap_file::{Endianness, TsResolution};
use serde_json::Value;
use vpcwatch::model::snapshot::Snapshot;
use vpcwatch::model::syns::{Handshakes, SynKind};
use vpcwatch::replay::{Capture, CaptureError, Local};
use vpcwatch_tests::packets::{
    self, Exchange, Link, Packet, Pcap, client, client6, each_second, pcap, pcapng, received, together,
};
use vpcwatch_tests::recording;

use crate::agent::{self, printed};

/// The snapshots of a capture, and why it ended, if not by its end.
fn read(bytes: &[u8], local: Option<Local>) -> (Vec<Snapshot>, Option<CaptureError>) {
    let (mut snapshots, mut error) = (Vec::new(), None);
    match Capture::read("capture", bytes, local) {
        Err(refused) => error = Some(refused),
        Ok(capture) => {
            for snapshot in capture {
                assert!(error.is_none(), "nothing comes after an error");
                match snapshot {
                    Ok(snapshot) => snapshots.push(snapshot),
                    Err(failed) => error = Some(failed),
                }
            }
        }
    }
    (snapshots, error)
}

/// The sum over a capture that is good.
fn sum(bytes: &[u8]) -> Handshakes {
    let (snapshots, error) = read(bytes, None);
    assert!(error.is_none(), "{error:?}");
    let mut sum = Handshakes::default();
    for second in snapshots.iter().filter_map(|snapshot| snapshot.handshakes.as_ref()) {
        sum.begun += second.begun;
        sum.completed += second.completed;
        sum.unanswered += second.unanswered;
        sum.unheeded += second.unheeded;
        sum.late += second.late;
        sum.reset += second.reset;
        sum.refused += second.refused;
        sum.retried += second.retried;
        sum.half_open = second.half_open;
        sum.stray_answers += second.stray_answers;
        sum.stray_segments += second.stray_segments;
    }
    sum
}

/// Ten seconds of thirty connections a second.
fn benign() -> Vec<Packet> {
    each_second(30, 0..10, |number, at| Exchange::with(client(number), at).served())
}

fn forged() -> Vec<Packet> {
    each_second(100, 3..8, |number, at| Exchange::with(client(100_000 + number), at).unanswered())
}

fn flood() -> Vec<Packet> {
    together(&[benign(), forged()])
}

const BENIGN: Handshakes = Handshakes {
    begun: 300,
    completed: 300,
    unanswered: 0,
    unheeded: 0,
    late: 0,
    reset: 0,
    refused: 0,
    retried: 0,
    half_open: 0,
    stray_answers: 0,
    stray_segments: 0,
};
const FLOOD: Handshakes = Handshakes { begun: 800, unanswered: 500, half_open: 500, ..BENIGN };

#[test]
fn scenarios_are_told_apart() {
    let other = |number| client(200_000 + number);
    let rate = 100;
    let port = |number: u32| u16::try_from(1 + number).unwrap();
    let at_port = |number, at| {
        let Exchange { client, mut server, .. } = Exchange::with(other(0), at);
        server.set_port(port(number));
        Exchange { at, client, server }.closed()
    };
    let one = |number, at| {
        let mut client = other(0);
        client.set_port(10_000 + port(number));
        Exchange::with(client, at).unanswered()
    };
    let during = 3..8;
    for (name, scenario, expected) in [
        ("benign", Vec::new(), BENIGN),
        ("forged sources", forged(), FLOOD),
        (
            "live sources",
            each_second(rate, during.clone(), |number, at| Exchange::with(other(number), at).live_source()),
            Handshakes { begun: 800, reset: 500, ..BENIGN },
        ),
        ("one source", each_second(rate, during.clone(), one), FLOOD),
        (
            "flash crowd",
            each_second(rate, during.clone(), |number, at| Exchange::with(other(number), at).served()),
            Handshakes { begun: 800, completed: 800, ..BENIGN },
        ),
        (
            "slow program",
            each_second(rate, during.clone(), |number, at| Exchange::with(other(number), at).kept_waiting()),
            Handshakes { begun: 800, completed: 800, retried: 500, ..BENIGN },
        ),
        (
            "SYNs dropped and repeated",
            each_second(rate, during.clone(), |number, at| {
                Exchange::with(other(number), at).dropped_and_repeated()
            }),
            Handshakes { begun: 800, completed: 800, unanswered: 500, late: 500, retried: 500, ..BENIGN },
        ),
        (
            "scan",
            each_second(rate, during.clone(), at_port),
            Handshakes { begun: 800, refused: 500, ..BENIGN },
        ),
        (
            "backscatter",
            each_second(rate, during.clone(), |number, at| Exchange::with(other(number), at).backscatter()),
            Handshakes { stray_answers: 500, ..BENIGN },
        ),
        (
            "stray segments",
            each_second(rate, during, |number, at| Exchange::with(other(number), at).stray()),
            Handshakes { stray_segments: 500, ..BENIGN },
        ),
    ] {
        let capture = pcap(&together(&[benign(), scenario]), Pcap::default()).unwrap();
        assert_eq!(sum(&capture), expected, "{name}");
    }
}

#[test]
fn every_form_of_a_file_tells_the_same() {
    let expected = read(&pcap(&flood(), Pcap::default()).unwrap(), None).0;
    for link in Link::ALL {
        for endianness in [Endianness::Little, Endianness::Big] {
            for resolution in [TsResolution::MicroSecond, TsResolution::NanoSecond] {
                let form = Pcap { link, endianness, resolution, ..Pcap::default() };
                let (snapshots, error) = read(&pcap(&flood(), form).unwrap(), None);
                assert!(snapshots == expected && error.is_none(), "{form:?}");
            }
        }
    }
    let short = Pcap { snapshot_length: 14 + 20 + 14, ..Pcap::default() };
    assert_eq!(read(&pcap(&flood(), short).unwrap(), None).0, expected, "headers cut short behind the flags");
}

#[test]
fn interfaces_of_pcapng_have_names_links_and_clocks_of_their_own() {
    let interfaces = [("eth0", Link::Ethernet, 6), ("any", Link::Cooked2, 9), ("wg0", Link::Raw, 3)];
    // Of clients with an even last part at the one, of the others at the other.
    let interface = |packet: &Packet| {
        let client = if packet.from.port() == 80 { packet.to } else { packet.from };
        if client.ip().to_string().ends_with(['0', '2', '4', '6', '8']) { 0 } else { 2 }
    };
    let packets: Vec<_> = flood().into_iter().map(|packet| (interface(&packet), packet)).collect();
    for endianness in [Endianness::Little, Endianness::Big] {
        let capture = pcapng(&interfaces, &packets, endianness).unwrap();
        assert_eq!(sum(&capture), FLOOD, "{endianness:?}");
        let (snapshots, _) = read(&capture, None);
        let syns = |name: &str| -> u64 {
            let seconds = snapshots.iter().flat_map(|snapshot| snapshot.syns.iter().flatten());
            seconds.filter(|second| second.interface == name).map(|second| second.syns).sum()
        };
        assert!(syns("eth0") > 0 && syns("wg0") > 0 && syns("any") == 0);
        assert_eq!(syns("eth0") + syns("wg0"), 800);
    }
}

#[test]
fn both_families_are_one_host() {
    let six = each_second(30, 0..10, |number, at| Exchange::with(client6(number), at).served());
    let both = together(&[flood(), six]);
    let expected = Handshakes { begun: 1100, completed: 600, ..FLOOD };
    assert_eq!(sum(&pcap(&both, Pcap::default()).unwrap()), expected);
}

#[test]
fn one_direction_alone_tells_most() {
    // Which ACKs complete something must be believed: the host's own numbers were not captured.
    assert_eq!(sum(&pcap(&received(&flood()), Pcap::default()).unwrap()), FLOOD);
    let syns: Vec<_> = forged().into_iter().filter(|packet| packet.flags == 2).collect();
    let expected = Handshakes { begun: 500, unheeded: 500, half_open: 500, ..Handshakes::default() };
    assert_eq!(sum(&pcap(&syns, Pcap::default()).unwrap()), expected);
}

#[test]
fn a_snapshot_comes_each_second_with_what_came_in_it() {
    let (snapshots, _) = read(&pcap(&flood(), Pcap::default()).unwrap(), None);
    let times: Vec<_> = snapshots.iter().map(|snapshot| snapshot.monotonic_ms).collect();
    assert_eq!(times, (0..=10).map(|second| second * 1000).collect::<Vec<_>>());
    assert_eq!(snapshots[3].time.as_second(), i64::try_from(packets::BEGAN).unwrap() + 3);
    for snapshot in &snapshots {
        assert!(snapshot.counters.is_none() && snapshot.tcp.is_none(), "what only a kernel tells is absent");
    }
    let unanswered: Vec<_> =
        snapshots.iter().map(|snapshot| snapshot.handshakes.as_ref().unwrap().unanswered).collect();
    assert_eq!(unanswered, [0, 0, 0, 0, 50, 100, 100, 100, 100, 50, 0]);
    let [second] = &snapshots[5].syns.as_ref().unwrap()[..] else { panic!() };
    assert_eq!(
        (second.interface.as_str(), second.syns, second.one_in, second.sample.len()),
        ("capture", 130, 1, 130)
    );
    assert!(second.sample.iter().all(|packet| packet.port == 80 && packet.kind == SynKind::Syn));
    let [listener] = &snapshots[5].listeners.as_ref().unwrap()[..] else { panic!() };
    assert_eq!((listener.address, listener.port, listener.half_open), (packets::HOST, 80, Some(200)));
}

#[test]
fn what_is_open_at_the_end_is_given_time_to_grow_old() {
    let last = Exchange::with(client(1), 900_000).unanswered();
    let capture = pcap(&together(&[Exchange::with(client(2), 0).served(), last]), Pcap::default()).unwrap();
    let (snapshots, _) = read(&capture, None);
    assert_eq!(snapshots.len(), 3);
    assert_eq!(snapshots[2].handshakes.as_ref().unwrap().unanswered, 1);
}

fn at_interface(number: usize, packets: Vec<Packet>) -> Vec<(usize, Packet)> {
    packets.into_iter().map(|packet| (number, packet)).collect()
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_bad_file_is_read_as_far_as_it_goes_and_said_to_be() {
    let good = pcap(&flood(), Pcap::default()).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file.splice(at..at + bytes.len(), bytes.iter().copied());
        file
    };
    let ng = pcapng(&[("eth0", Link::Ethernet, 6)], &at_interface(0, flood()), Endianness::Little).unwrap();
    let ng_with = |at: usize, bytes: &[u8]| {
        let mut file = ng.clone();
        file.splice(at..at + bytes.len(), bytes.iter().copied());
        file
    };
    // Behind pcap's header of 24 bytes each packet takes 16 + 54.
    let tenth = 24 + 70 * 9;
    let section = 28;
    let first_block = section
        + usize::try_from(u32::from_le_bytes(ng[section + 4..section + 8].try_into().unwrap())).unwrap();
    for (name, bytes, message, some) in [
        ("empty", Vec::new(), "not a packet capture", false),
        ("text", b"hello, world; this is no capture at all".to_vec(), "not a packet capture", false),
        ("gzip", [&[0x1f, 0x8b, 8, 0][..], &[0; 40]].concat(), "zcat FILE | vpcwatch replay --pcap -", false),
        ("Wi-Fi", with(20, &[105]), "link type 105 (IEEE 802.11)", false),
        ("unknown link", with(20, &[0xee, 0x77]), "link type 30702: read are Ethernet", false),
        ("newer pcap", with(4, &[3]), "pcap of version 3, this vpcwatch reads version 2", false),
        ("newer pcapng", ng_with(12, &[2]), "pcapng of version 2, this vpcwatch reads version 1", false),
        (
            "cut in a header",
            good[..tenth + 7].to_vec(),
            "at packet 10 (byte 654): the capture ends within it",
            true,
        ),
        (
            "cut in a frame",
            good[..tenth + 30].to_vec(),
            "at packet 10 (byte 654): the capture ends within it",
            true,
        ),
        ("cut pcapng", ng[..ng.len() - 5].to_vec(), "the capture ends within it", true),
        (
            "4 GB frame",
            with(tenth + 8, &[0xff; 4]),
            "at packet 10 (byte 654): damaged: 4294967311 bytes in one block",
            true,
        ),
        (
            "4 GB block",
            ng_with(first_block + 4, &[0xfc, 0xff, 0xff, 0xff]),
            "damaged: 4294967292 bytes in one block",
            false,
        ),
        ("block of nothing", ng_with(first_block + 4, &[0; 4]), "damaged: a block of 0 bytes", false),
        ("odd block", ng_with(first_block + 4, &[33, 0, 0, 0]), "damaged: a block of 33 bytes", false),
        (
            "frame beyond its block",
            ng_with(first_block + 20, &[0xff, 0xff]),
            "damaged: a block whose parts do not fit",
            false,
        ),
        ("no such interface", ng_with(first_block + 8, &[9]), "interface 9, which is not described", false),
    ] {
        let (snapshots, error) = read(&bytes, None);
        let text = error.expect(name).to_string();
        assert!(text.starts_with("capture") && text.contains(message), "{name}: {text}");
        assert_eq!(!snapshots.is_empty(), some, "{name}");
        assert_eq!(text.ends_with("; what stands before it was read"), some, "{name}: {text}");
    }
}

#[test]
fn packets_of_an_interface_that_cannot_be_read_are_passed_over_and_told() {
    let interfaces = [("eth0", Link::Ethernet, 6), ("usb0", Link::Raw, 6)];
    let mut packets = at_interface(0, flood());
    packets.insert(5, (1, packets[4].1));
    let mut bytes = pcapng(&interfaces, &packets, Endianness::Little).unwrap();
    let raw = bytes.windows(8).position(|window| window == [101, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    bytes[raw] = 220;
    let (snapshots, error) = read(&bytes, None);
    assert_eq!(snapshots.len(), 11);
    let text = error.unwrap().to_string();
    assert!(text.contains("1 packets of interface usb0, link type 220 (USB), were passed over"), "{text}");
}

#[test]
fn the_command_reads_a_capture_and_records_it() {
    let folder = tempfile::tempdir().unwrap();
    let capture = file(folder.path(), "flood.pcap", &pcap(&flood(), Pcap::default()).unwrap());
    let (capture, recorded) = (capture.to_str().unwrap(), folder.path().join("flood.jsonl"));
    let output = agent::run(&["replay", "--pcap", capture, "--record", recorded.to_str().unwrap()]);
    let told = "11 snapshots of 2800 packets (2800 TCP segments), 1 finding, 1 still on at the end\n";
    assert!(printed(&output, 0).ends_with(told));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("local side taken to be 10.0.0.5 (at first received 800 SYNs, answered 800)"),
        "{said}"
    );
    let (_, snapshots) = recording::read(&recorded).unwrap();
    assert_eq!(snapshots, read(&std::fs::read(capture).unwrap(), None).0);
    // What was recorded says the same as the capture itself, and nothing is written over.
    let replayed =
        |arguments: &[&str]| printed(&agent::run(&[&["replay", "--output", "json"], arguments].concat()), 0);
    let recorded = recorded.to_str().unwrap();
    assert_eq!(replayed(&["--recording", recorded]), replayed(&["--pcap", capture]));
    let again = agent::run(&["replay", "--pcap", capture, "--record", recorded]);
    printed(&again, 1);
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"), "{again:?}");
}

#[test]
fn the_local_side_may_be_said() {
    let folder = tempfile::tempdir().unwrap();
    let capture = file(folder.path(), "flood.pcap", &pcap(&flood(), Pcap::default()).unwrap());
    let record = |name: &str, local: &str| {
        let recorded = folder.path().join(name);
        let arguments = ["--local", local, "--record", recorded.to_str().unwrap()];
        let output = agent::run(&[&["replay", "--pcap", capture.to_str().unwrap()], &arguments[..]].concat());
        printed(&output, 0);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (recording::read(&recorded).unwrap().1, said)
    };
    let record = |name: &str, local: &str, has_local: bool| {
        let (snapshots, said) = record(name, local);
        assert_eq!(said.contains("nothing was looked at; mend --local"), !has_local, "{said}");
        snapshots
    };
    let right = record("right", "10.0.0.0/24", true);
    assert_eq!(right, read(&std::fs::read(&capture).unwrap(), None).0);
    assert_eq!(record("address", "10.0.0.5", true), right);
    let elsewhere = record("elsewhere", "192.0.2.0/24", false);
    assert!(elsewhere.iter().all(|snapshot| snapshot.handshakes == Some(Handshakes::default())));
    let kinds =
        elsewhere.iter().flat_map(|snapshot| &snapshot.syns.as_ref().unwrap()[..]).flat_map(|s| &s.sample);
    assert!(kinds.clone().count() == 800 && kinds.clone().all(|packet| packet.kind == SynKind::Forwarded));
    printed(&agent::run(&["replay", "--pcap", "x", "--local", "nonsense"]), 2);
}

#[test]
fn standard_input_is_read_as_it_comes() {
    for bytes in [
        pcap(&flood(), Pcap::default()).unwrap(),
        pcapng(&[("eth0", Link::Ethernet, 6)], &at_interface(0, flood()), Endianness::Little).unwrap(),
    ] {
        let mut command = agent::command();
        let output = command.args(["replay", "--pcap", "-"]).write_stdin(bytes).output().unwrap();
        assert!(printed(&output, 0).contains("11 snapshots of 2800 packets"));
    }
}

#[test]
fn one_input_is_asked_for() {
    for arguments in [
        &["replay"][..],
        &["replay", "--pcap", "x", "--recording", "y"],
        &["replay", "--recording", "y", "--local", "10.0.0.5"],
        &["replay", "--recording", "y", "--record", "z"],
    ] {
        printed(&agent::run(arguments), 2);
    }
    let missing = agent::run(&["replay", "--pcap", "/nonexistent.pcap"]);
    printed(&missing, 1);
    assert!(
        String::from_utf8_lossy(&missing.stderr).contains("/nonexistent.pcap: cannot be read"),
        "{missing:?}"
    );
}

#[test]
fn a_cut_capture_fails_after_what_it_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = pcap(&flood(), Pcap::default()).unwrap();
    bytes.truncate(bytes.len() - 1);
    let capture = file(folder.path(), "cut.pcap", &bytes);
    let output = agent::run(&["replay", "--pcap", capture.to_str().unwrap()]);
    assert!(printed(&output, 1).contains("11 snapshots of 2799 packets"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("cut.pcap, at packet 2800") && said.contains("what stands before it was read"),
        "{said}"
    );
}

#[test]
fn configuration_is_that_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let capture = file(folder.path(), "flood.pcap", &pcap(&flood(), Pcap::default()).unwrap());
    let capture = capture.to_str().unwrap();
    printed(&agent::run(&["replay", "--pcap", capture, "--set", "metrics.set=full"]), 0);
    printed(&agent::run(&["replay", "--pcap", capture, "--set", "no.such=1"]), 3);
}

type Scenario<'a> = &'a dyn Fn(u32, u64) -> Vec<Packet>;
type Keep = fn(Vec<Packet>) -> Vec<Packet>;

/// What `replay` finds in thirty connections a second of 64 clients for a minute and a half, with this in seconds 20 to 40.
fn found(
    scenario: impl Fn(u32, u64) -> Vec<Packet>,
    rate: u32,
    keep: fn(Vec<Packet>) -> Vec<Packet>,
) -> Vec<Value> {
    let usual = |number: u32, at| {
        let mut client = client(number % 64);
        client.set_port(u16::try_from(10_000 + number).unwrap());
        Exchange::with(client, at).served()
    };
    let packets = keep(together(&[each_second(30, 0..90, usual), each_second(rate, 20..40, scenario)]));
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "capture", &pcap(&packets, Pcap::default()).unwrap());
    let local = packets::HOST.to_string();
    let arguments = ["replay", "--output", "json", "--local", &local, "--pcap", path.to_str().unwrap()];
    agent::lines(&printed(&agent::run(&arguments), 0))
}

fn drawn(number: u32, among: u32) -> std::net::SocketAddr {
    client(1000 + fastrand::Rng::with_seed(number.into()).u32(..among))
}

#[test]
fn attacks_in_captures_are_named_and_what_is_none_is_not() {
    let all = |packets| packets;
    let syns_alone = |packets: Vec<Packet>| {
        packets.into_iter().filter(|packet| packet.flags == 2 && packet.to.port() == 80).collect()
    };
    let sent_by = |sources: u32| move |number, at| Exchange::with(drawn(number, sources), at).unanswered();
    let one = |number: u32, at| {
        let mut client = client(5000);
        client.set_port(u16::try_from(10_000 + number).unwrap());
        Exchange::with(client, at).unanswered()
    };
    let filtered = |number: u32, at| {
        let Exchange { client, mut server, .. } = Exchange::with(drawn(number, 131_072), at);
        server.set_port(8080);
        Exchange { at, client, server }
            .unanswered()
            .into_iter()
            .filter(|packet| packet.flags == 2)
            .collect::<Vec<_>>()
    };
    let scan = |is_filtered: bool| {
        move |number: u32, at| {
            let Exchange { client, mut server, .. } = Exchange::with(client(5000), at);
            server.set_port(u16::try_from(100 + number).unwrap());
            let probe = Exchange { at, client, server }.closed();
            probe.into_iter().filter(|packet| !is_filtered || packet.flags == 2).collect::<Vec<_>>()
        }
    };
    let cases: [(&str, Scenario, u32, Keep, &[&str]); 15] = [
        ("nothing", &|_, _| Vec::new(), 1, all, &[]),
        ("forged sources", &sent_by(131_072), 300, all, &["syn_flood spoofed"]),
        ("forged sources, few", &sent_by(131_072), 20, all, &["syn_flood spoofed"]),
        ("200 sources", &sent_by(200), 300, all, &["syn_flood distributed"]),
        ("2,000 sources", &sent_by(2_000), 300, all, &["syn_flood distributed"]),
        ("one source", &one, 300, all, &["syn_flood single_source"]),
        (
            "live sources",
            &|n, at| Exchange::with(drawn(n, 64), at).live_source(),
            300,
            all,
            &["syn_flood live_sources"],
        ),
        ("forged sources, SYNs alone", &sent_by(131_072), 300, syns_alone, &["syn_flood spoofed"]),
        ("flash crowd", &|n, at| Exchange::with(client(5000 + n), at).served(), 600, all, &["flash_crowd"]),
        (
            "slow program",
            &|n, at| Exchange::with(client(5000 + n), at).kept_waiting(),
            100,
            all,
            &["slow_accept"],
        ),
        ("closed ports", &scan(false), 300, all, &["port_scan"]),
        ("filtered ports", &scan(true), 300, all, &["port_scan"]),
        ("one filtered port", &filtered, 300, all, &["not_reaching_tcp"]),
        (
            "backscatter",
            &|n, at| Exchange::with(drawn(n, 9000), at).backscatter(),
            300,
            all,
            &["backscatter"],
        ),
        ("stray segments", &|n, at| Exchange::with(drawn(n, 9000), at).stray(), 300, all, &["ack_noise"]),
    ];
    for (name, scenario, rate, keep, expected) in cases {
        let findings = found(scenario, rate, keep);
        let last = |finding: &&Value| finding["state"] == "closed";
        let named = |finding: &Value| match finding["verdict"].as_str() {
            Some(verdict) => format!("{} {verdict}", finding["kind"].as_str().unwrap()),
            None => finding["kind"].as_str().unwrap().to_owned(),
        };
        let told: Vec<String> = findings.iter().filter(last).map(named).collect();
        assert_eq!(told, expected, "{name}: {findings:#?}");
        if let Some(first) = findings.first() {
            let began: jiff::Timestamp = first["began"].as_str().unwrap().parse().unwrap();
            let attack = jiff::Timestamp::from_second(packets::BEGAN.cast_signed() + 20).unwrap();
            let after = began.duration_since(attack).as_secs_f64();
            let limit = if rate < 100 || first["kind"] != "syn_flood" { 6.0 } else { 2.0 };
            assert!((0.0..=limit).contains(&after), "{name}: {after} s");
        }
    }
}
