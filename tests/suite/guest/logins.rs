//! Somebody guesses passwords of a real sshd: the agent says who, counts each attempt once, and loses none whatever is
//! killed, and users of the host cannot make it blame others.

use vpcwatch_tests::guest::{ALICE, Guest};

use super::watched::{Watched, address};

/// Who attacks, and whom a local user would like to be blamed.
const ATTACKER: &str = "198.51.100.7";
const SCAPEGOAT: &str = "203.0.113.9";

fn guest() -> Guest {
    Guest::boot(&Watched::program()).unwrap()
}

/// Guesses ALICE's password often and fast, over many connections; gives how often.
fn attack(watched: &Watched) -> u64 {
    // One attempt a connection is told by sshd and PAM once each; three are told by PAM as one and "2 more".
    let attempts = [(6, 1), (2, 3)].map(|(connections, times)| {
        watched.guest.guess(address(ATTACKER), ALICE.0, connections, times).unwrap()
    });
    assert_eq!(attempts, [6, 6]);
    attempts.iter().map(|refused| u64::from(*refused)).sum()
}

/// ALICE's right password, from where it was guessed.
fn succeed(watched: &Watched) {
    assert!(watched.guest.log_in(address(ATTACKER), ALICE.0, ALICE.1, 1).unwrap().is_in);
}

/// What MALLORY, who has an account, writes in sshd's name.
fn forge(watched: &Watched) {
    let line = format!("Failed password for root from {SCAPEGOAT} port 1 ssh2");
    let script =
        format!("seq 20 | while read n; do logger -t sshd '{line}'; done; logger -t 'sshd[1]' '{line}'");
    watched.guest.shell(&format!("runuser -u mallory -- sh -c \"{script}\"")).unwrap();
    let heard = watched.guest.shell(&format!("journalctl -o cat | grep -c '{SCAPEGOAT}'")).unwrap();
    assert_eq!(heard.trim(), "21");
}

fn expected() -> Vec<(String, String, String)> {
    [("brute_force", "warning"), ("success_after_failures", "critical")]
        .map(|(kind, severity)| (kind.to_owned(), severity.to_owned(), ATTACKER.to_owned()))
        .to_vec()
}

#[track_caller]
fn nobody_else_is_blamed(watched: &Watched) {
    let findings = watched.findings();
    let blamed = |finding: &&serde_json::Value| finding.to_string().contains(SCAPEGOAT);
    assert_eq!(findings.iter().filter(blamed).count(), 0, "{findings:#?}");
}

#[test]
fn guessing_is_found_in_the_journal_where_there_is_no_other_log() {
    let watched = Watched::printing(guest(), &[]).reading();
    forge(&watched);
    let attempts = attack(&watched);
    succeed(&watched);
    watched.settle();
    assert_eq!(watched.opened(), expected());
    assert_eq!(watched.sum("login_failures"), attempts + watched.marks);
    nobody_else_is_blamed(&watched);
}

#[test]
fn guessing_is_found_in_the_file_that_rsyslog_writes() {
    let guest = guest();
    super::switch_rsyslog_on(&guest);
    let watched = Watched::printing(guest, &["logins.source=files"]).reading();
    let attempts = attack(&watched);
    succeed(&watched);
    watched.settle();
    assert_eq!(watched.opened(), expected());
    assert_eq!(watched.sum("login_failures"), attempts + watched.marks);
    assert_eq!(watched.sum("login_events_suspect"), 0);
}

#[test]
fn an_agent_that_is_killed_loses_no_attempt_and_counts_none_twice() {
    let watched = Watched::delivering(guest(), &[]).reading();
    let mut attempts = 0;
    for _ in 0..3 {
        let (during, ()) = std::thread::scope(|scope| {
            let attack = scope.spawn(|| attack(&watched));
            std::thread::sleep(std::time::Duration::from_millis(400)); // in the middle of it
            watched.kill_agent();
            (attack.join().unwrap(), ())
        });
        attempts += during;
        // Nobody reads meanwhile.
        attempts += u64::from(watched.guest.guess(address(ATTACKER), ALICE.0, 2, 1).unwrap());
        watched.start_agent();
    }
    watched.settle();
    assert_eq!(watched.sum("login_failures"), attempts + watched.marks);
    let kinds: Vec<_> = watched.opened().into_iter().map(|(kind, ..)| kind).collect();
    assert!(kinds.contains(&"brute_force".to_owned()), "{kinds:?}");
}

#[test]
fn what_was_logged_before_a_reboot_is_read_after_it() {
    let mut watched = Watched::delivering(guest(), &[]).reading();
    let mut attempts = attack(&watched);
    watched.settle();
    watched.stop_agent();
    attempts += u64::from(watched.guest.guess(address(ATTACKER), ALICE.0, 4, 1).unwrap());
    watched.guest.reboot().unwrap(); // the agent comes up with the host
    attempts += u64::from(watched.guest.guess(address(ATTACKER), ALICE.0, 4, 1).unwrap());
    watched.settle();
    assert_eq!(watched.sum("login_failures"), attempts + watched.marks);
}
