//! The guest itself: what other tests here rest on.

use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use vpcwatch_tests::guest::{ALICE, Guest, Login};

use super::watched::Watched;

/// How many of sshd's messages have this text; `boot` is journalctl's: 0 is this one, -1 the one before.
fn count(guest: &Guest, boot: &str, text: &str) -> usize {
    let messages = guest.shell(&format!("journalctl --boot={boot} -t sshd -o cat _UID=0")).unwrap();
    messages.lines().filter(|message| message.contains(text)).count()
}

#[test]
fn logins_from_outside_are_logged_and_the_log_outlives_a_reboot() {
    let mut guest = Guest::boot(&[]).unwrap();
    let (v4, v6): (IpAddr, IpAddr) = ("198.51.100.7".parse().unwrap(), "fd09::1".parse().unwrap());
    assert_eq!(guest.guess(v4, "alice", 2, 3).unwrap(), 6);
    assert_eq!(guest.guess(v6, "nobody-here", 1, 2).unwrap(), 2);
    assert_eq!(guest.log_in(v4, ALICE.0, ALICE.1, 1).unwrap(), Login { refused: 0, is_in: true });
    let failures = "Failed password for alice from 198.51.100.7 ";
    let invalid = "Failed password for invalid user nobody-here from fd09::1 ";
    let told = |guest: &Guest, boot| {
        ["Accepted password for alice", failures, invalid].map(|text| count(guest, boot, text))
    };
    assert_eq!(told(&guest, "0"), [1, 6, 2]);

    guest.reboot().unwrap();
    assert_eq!(guest.guess(v4, "alice", 1, 1).unwrap(), 1);
    assert_eq!((told(&guest, "-1"), told(&guest, "0")), ([1, 6, 2], [0, 1, 0]));
}

#[test]
fn rsyslog_writes_what_the_journal_hands_it() {
    let guest = Guest::boot(&[]).unwrap();
    assert!(
        !guest.file("/var/log/auth.log").exists(),
        "the journal is to be alone, unless a test wants otherwise"
    );
    super::switch_rsyslog_on(&guest);
    assert_eq!(guest.guess("198.51.100.7".parse().unwrap(), "alice", 1, 2).unwrap(), 2);
    super::wait_until("auth.log has both", || {
        let log = std::fs::read_to_string(guest.file("/var/log/auth.log")).unwrap_or_default();
        log.matches("Failed password for alice from 198.51.100.7").count() == 2
    });
}

#[test]
fn nothing_is_left_of_a_guest_nor_of_one_whose_test_was_killed() {
    let namespaces = || std::fs::read_dir("/run/netns").unwrap().map(|entry| entry.unwrap().file_name());
    // A process that is gone has left a namespace behind.
    let made =
        Command::new("sh").args(["-c", "ip netns add vpcwatch-$$-0 && echo vpcwatch-$$-0"]).output().unwrap();
    let left = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(namespaces().any(|name| name == *left), "{left}");

    let guest = Guest::boot(&[(Path::new("/bin/true"), "/usr/local/bin/lent")]).unwrap();
    guest.shell("/usr/local/bin/lent").unwrap();
    let of_guest = [guest.network().host.name().to_owned(), guest.network().peer.name().to_owned()];
    let process = guest.file("").parent().unwrap().to_path_buf();
    assert!(process.exists());
    drop(guest);
    assert!(!process.exists(), "the guest's systemd is still there");
    assert!(!namespaces().any(|name| name == *left || of_guest.iter().any(|of_guest| name == **of_guest)));
    let cgroups = "find /sys/fs/cgroup -maxdepth 2 -name \"$1\"";
    let found = Command::new("sh").args(["-c", cgroups, "", &of_guest[0]]).output().unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap(), "");
}

#[test]
fn a_command_that_fails_says_so() {
    let guest = Guest::boot(&[]).unwrap();
    let error = guest.shell("echo to be seen >&2; exit 3").unwrap_err().to_string();
    assert!(error.contains("to be seen") && error.contains("exit status: 3"), "{error}");
}

#[test]
fn the_agent_prints_or_sends_what_it_sees_of_the_guest() {
    let open = |watched: &Watched| watched.sum("netstat_tcp_established");
    let printing = Watched::printing(Guest::boot(&Watched::program()).unwrap(), &[]);
    let _client = printing.guest.network().peer.inside(|| Ok(TcpStream::connect("10.9.0.2:22")?)).unwrap();
    printing.wait_until("a connection is seen", |watched| open(watched) > 0);

    let mut sending = Watched::delivering(Guest::boot(&Watched::program()).unwrap(), &[]);
    let _client = sending.guest.network().peer.inside(|| Ok(TcpStream::connect("10.9.0.2:22")?)).unwrap();
    sending.wait_until("a connection is told of", |watched| open(watched) > 0);
    sending.guest.reboot().unwrap();
    let before = open(&sending);
    let _client = sending.guest.network().peer.inside(|| Ok(TcpStream::connect("10.9.0.2:22")?)).unwrap();
    sending.wait_until("a connection is told of after the reboot", |watched| open(watched) > before);
}
