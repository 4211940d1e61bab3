//! A reader against journalctl's stand-ins: scripts that a test writes. They note their arguments.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use super::super::{BATCH_BYTES, BATCH_LINES, LINE, Read, Tail};
use super::entry::Entry;
use super::place::Place;
use super::*;

const T: i64 = 1_795_000_000_000_000;
const PACE: Pace = Pace {
    first: Duration::from_millis(1),
    longest: Duration::from_secs(20),
    missing: Duration::from_millis(1),
    settled: Duration::from_secs(100),
    quiet: Duration::from_secs(100),
};
/// What a stand-in answers when asked for the oldest entry.
const OLDEST: &str = "echo '1700000000.000001 host program[1]: hello'";
const STAY: &str = "exec sleep 1000";

/// A folder with a stand-in for journalctl.
struct Stand(TempDir);

impl Stand {
    /// `oldest` is run when asked for the oldest entry, `follow` when following; there, `$run` is 1, 2, ....
    fn new(oldest: &str, follow: &str) -> Self {
        let stand = Stand(tempfile::tempdir().unwrap());
        let script = format!(
            "#!/bin/sh\ncd {}\ncase \"$*\" in\n*--follow*) ;;\n*) {oldest}\nexit;;\nesac\n\
             echo \"$*\" >> arguments\nenv > environment\necho $$ >> pids\n\
             run=$(wc -l < arguments)\n{follow}\n",
            stand.0.path().display()
        );
        stand.write("script", &script);
        // Not the script itself: while any process still has it open to write, it would not start.
        symlink("/bin/sh", stand.path("journalctl")).unwrap();
        stand
    }

    fn following(follow: &str) -> Self {
        Stand::new(OLDEST, follow)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn program(&self) -> Program {
        Program { path: self.path("journalctl"), arguments: vec![self.path("script").display().to_string()] }
    }

    fn open(&self, stored: Option<&str>, pace: Pace) -> Journal {
        let stored = stored.map(str::as_bytes);
        Journal::new(self.program(), vec!["_UID=0".into()], stored, TimeZone::UTC).with_pace(pace)
    }

    /// The argument by which each run was told where to begin.
    fn begun(&self) -> Vec<String> {
        let arguments = fs::read_to_string(self.path("arguments")).unwrap();
        let begins = |word: &&str| word.starts_with("--cursor=") || word.starts_with("--since=");
        arguments.lines().map(|line| line.split(' ').find(begins).unwrap().to_string()).collect()
    }

    fn pid(&self) -> Pid {
        let pids = fs::read_to_string(self.path("pids")).unwrap();
        Pid::from_raw(pids.lines().last().unwrap().parse().unwrap()).unwrap()
    }
}

fn entry(number: i64) -> String {
    let time = T + number;
    format!(
        r#"{{"MESSAGE":"m{number}","__CURSOR":"c{number}","_BOOT_ID":"b","__REALTIME_TIMESTAMP":"{time}","SYSLOG_IDENTIFIER":"sshd","_PID":"7"}}"#
    ) + "\n"
}

fn entries(numbers: std::ops::Range<i64>) -> String {
    numbers.map(entry).collect()
}

/// What reading told, in short; texts joined, cursors as the last of each.
#[derive(Debug, Default)]
struct Told {
    texts: Vec<String>,
    places: Vec<String>,
    words: Vec<String>,
}

impl Told {
    fn add(&mut self, reads: Vec<Read>) {
        for read in reads {
            match read {
                Read::Lines(lines) => {
                    assert_eq!(&*lines.log, LOG);
                    self.texts.extend(lines.lines.into_iter().map(|line| line.text));
                    self.places.extend(lines.cursor.map(|cursor| String::from_utf8(cursor.place).unwrap()));
                }
                Read::Trouble { what, .. } => self.words.push(format!("trouble: {what}")),
                Read::Gap { what, .. } => self.words.push(format!("gap: {what}")),
                Read::Well { .. } => self.words.push("well".into()),
            }
        }
    }
}

/// Reads until it holds. What must come is waited for as long as it takes on a busy machine.
fn read_until(journal: &mut Journal, holds: impl Fn(&Told) -> bool) -> Told {
    let start = Instant::now();
    let mut told = Told::default();
    while !holds(&told) {
        assert!(start.elapsed() < Duration::from_mins(1), "{told:?}");
        told.add(journal.read(Duration::from_millis(20)));
    }
    told
}

#[test]
fn entries_become_lines() {
    let fields = |message: &str| {
        format!(
            r#"{{"__CURSOR":"c","MESSAGE":{message},"__REALTIME_TIMESTAMP":"{T}","_PID":"7","_COMM":"cat"}}"#
        )
    };
    let read = |message: &str, line_ends: LineEnds| {
        let (entry, is_whole) = Entry::read(fields(message).as_bytes());
        assert!(is_whole, "{message}");
        entry.into_line(line_ends, false).map(|line| (line.text, line.is_cut))
    };
    let text = |message: &str| read(message, LineEnds::Joined);
    let some = |text: &str| Some((text.to_string(), false));
    assert_eq!(text(r#""Failed \"x\" \u0001""#), some("Failed \"x\" \u{1}"));
    assert_eq!(text("null"), None);
    assert_eq!(text("[70,255,97,0]"), some("F\u{fffd}a\0"));
    assert_eq!(text(r#"["first","second"]"#), some("first"));
    assert_eq!(text(r#"[[70,97],"second"]"#), some("Fa"));
    assert_eq!(text(r#"[null,"second"]"#), some("second"));
    for odd in ["true", "-1", "1.5", "300", "{\"a\":[1]}"] {
        assert_eq!(text(odd), None, "{odd}");
    }
    // One line, whatever is in it.
    assert_eq!(
        text(r#""user a\nAccepted password for root from 192.0.2.1 port 1 ssh2\r\n""#)
            .unwrap()
            .0
            .lines()
            .count(),
        1
    );
    assert_eq!(read(r#""boom\n  at a\n""#, LineEnds::Kept), some("boom\n  at a"));
    assert_eq!(text(&format!("\"{}\"", "é".repeat(LINE))), Some(("é".repeat(LINE / 2), true)));
}

#[test]
fn an_entry_names_its_writer() {
    let base = format!(r#""MESSAGE":"m","__REALTIME_TIMESTAMP":"{T}""#);
    let writer = |more: &str| {
        let (entry, _) = Entry::read(format!("{{{base}{more}}}").as_bytes());
        let writer = entry.into_line(LineEnds::Joined, false).unwrap().writer.unwrap();
        assert_eq!(writer.time.as_microsecond(), T);
        (writer.program, writer.pid)
    };
    assert_eq!(
        writer(r#","SYSLOG_IDENTIFIER":"sshd","_COMM":"x","_PID":"7","SYSLOG_PID":"8""#),
        ("sshd".into(), Some(7))
    );
    assert_eq!(writer(r#","_COMM":"nginx","SYSLOG_PID":"8""#), ("nginx".into(), Some(8)));
    assert_eq!(writer(r#","_PID":"-1","X":{"a":[1]}"#), (String::new(), None));
}

#[test]
fn what_is_no_entry_is_none() {
    for line in [
        "",
        "{",
        "[]",
        "garbage",
        "{}",
        r#"{"MESSAGE":"m"}"#,
        "-- Journal begins",
        "\u{0}",
        "{\"MESSAGE\":[[[[",
    ] {
        assert!(!Entry::read(line.as_bytes()).1, "{line}");
    }
    let deep = format!("{{\"MESSAGE\":{}", "[".repeat(100_000));
    assert!(!Entry::read(deep.as_bytes()).1);
}

#[test]
fn places_are_stored_and_read_again() {
    for (cursor, text, argument) in [
        (Some("s=1;i=2;x=3"), "s=1;i=2;x=3 @1795000000000042", "--cursor=s=1;i=2;x=3"),
        (None, "@1795000000000042", "--since=@1795000000.000042"),
    ] {
        let place = Place { cursor: cursor.map(Into::into), until_us: T + 42 };
        assert_eq!(place.write(), text.as_bytes());
        assert_eq!(Place::read(text.as_bytes()), Some(place.clone()));
        assert_eq!(place.argument(), argument);
    }
    for text in ["", "s=1;i=2", "@", "@-1", "a b @1", "c\u{0} @1", "c @1x"] {
        assert_eq!(Place::read(text.as_bytes()), None, "{text}");
    }
    assert_eq!(Place::read(b"\xff @1"), None);
}

#[test]
fn an_entry_is_known_again_in_another_file() {
    let place = Place { cursor: Some("s=1;i=2;b=3;m=4;t=5;x=6".into()), until_us: 0 };
    for (cursor, expected) in [
        ("s=1;i=2;b=3;m=4;t=5;x=6", true),
        ("s=9;i=8;b=3;m=4;t=5;x=6", true),
        ("s=1;i=2;b=9;m=4;t=5;x=6", false),
        ("s=1;i=2;b=3;m=9;t=5;x=6", false),
        ("s=1;i=2;b=3;m=4;t=9;x=6", false),
        ("s=1;i=2;b=3;m=4;t=5;x=9", false),
        ("s=1;i=2;b=3;m=4;t=5", false),
    ] {
        assert_eq!(place.is_at(cursor), expected, "{cursor}");
    }
    assert!(!Place { cursor: None, until_us: 0 }.is_at(""));
}

#[test]
fn matches_are_groups_of_trusted_fields() {
    let given = matches(
        &["my app".into(), " shop ".into(), String::new(), "nginx".into(), "a.scope".into()],
        Some("1d"),
    );
    let groups: Vec<&[String]> = given.split(|word| word == "+").collect();
    assert_eq!(groups.len(), 3);
    let has = |group: usize, word: &str| groups[group].iter().filter(|found| *found == word).count();
    for (group, word) in [
        (0, "SYSLOG_IDENTIFIER=sshd"),
        (0, "SYSLOG_IDENTIFIER=sshd-session"),
        (0, "SYSLOG_IDENTIFIER=sshd-auth"),
        (0, "_UID=0"),
        (1, "_EXE=/usr/bin/sudo"),
        (1, "_EXE=/bin/su"),
        (2, "_SYSTEMD_UNIT=shop.service"),
        (2, "_SYSTEMD_UNIT=my app.service"),
        (2, "_SYSTEMD_UNIT=nginx.service"),
        (2, "_SYSTEMD_UNIT=a.scope"),
        (2, "_SYSTEMD_UNIT=postfix@-.service"),
    ] {
        assert_eq!(has(group, word), 1, "{word}");
    }
    // Each group asks for something that only journald writes, and for this machine.
    for group in groups {
        assert!(
            group.iter().any(|word| word.starts_with('_') && !word.starts_with("_MACHINE_ID=")),
            "{group:?}"
        );
        assert!(group.contains(&"_MACHINE_ID=1d".to_string()));
        assert!(group.iter().all(|word| !word.ends_with('=') && !word.contains("=.service")), "{group:?}");
    }
    assert!(!matches(&[], None).iter().any(|word| word.contains("MACHINE")));
}

#[test]
fn a_journal_is_there_with_files_and_a_program() {
    let id = "0123456789abcdef0123456789abcdef";
    let file = format!("var/log/journal/{id}/system.journal");
    let volatile = format!("run/log/journal/{id}/system.journal");
    let cases: [(&[&str], bool); 6] = [
        (&[&file, "usr/bin/journalctl"], true),
        (&[&volatile, "bin/journalctl"], true),
        (&[&file], false),
        (&["usr/bin/journalctl", "var/log/journal/README"], false),
        (&["usr/bin/journalctl", "var/log/journal/fedcba9876543210fedcba9876543210/system.journal"], false),
        (&["usr/bin/journalctl", "var/log/journal/system.journal"], false),
    ];
    for (names, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let paths = Paths::below(root.path());
        names.iter().for_each(|name| put(name, ""));
        assert!(!there_is_a_journal(&paths), "no machine id: {names:?}");
        put("etc/machine-id", &format!("{id}\n"));
        assert_eq!(there_is_a_journal(&paths), expected, "{names:?}");
        assert_eq!(machine_id(&paths).as_deref(), Some(id));
    }
    assert_eq!(program(&Paths::below("/host")).arguments, ["--root=/host"]);
    assert!(program(&Paths::below("/")).arguments.is_empty());
}

#[test]
fn each_start_begins_behind_what_was_read() {
    let stand = Stand::following(&format!("cat part$run 2>/dev/null || {STAY}"));
    stand.write("part1", &entries(1..3));
    // As journalctl does: from the cursor's own entry on. Ended within an entry.
    stand.write("part2", &(entries(2..5) + &entry(5)[..40]));
    stand.write("part3", &entries(4..7));
    let mut journal = stand.open(None, PACE);
    let first = read_until(&mut journal, |told| !told.places.is_empty());
    let since = first.places[0].clone();
    assert!(
        since.starts_with('@') && first.texts.is_empty(),
        "where it began is told before there is an entry"
    );
    let told = read_until(&mut journal, |told| told.texts.len() >= 6);
    assert_eq!(told.texts, ["m1", "m2", "m3", "m4", "m5", "m6"]);
    assert_eq!(told.places.last().unwrap(), &format!("c6 @{}", T + 6));
    let mut begun = stand.begun();
    while begun.len() < 4 {
        journal.read(Duration::from_millis(5));
        begun = stand.begun();
    }
    assert!(begun[0].replace('.', "").ends_with(&since), "{begun:?} {since}");
    assert_eq!(begun[1..4], ["--cursor=c2", "--cursor=c4", "--cursor=c6"]);
}

#[test]
fn a_stored_place_is_gone_on_from() {
    let stand = Stand::following(&format!("cat part; {STAY}"));
    stand.write("part", &entries(7..10));
    let mut journal = stand.open(Some(&format!("c7 @{T}")), PACE);
    let told = read_until(&mut journal, |told| !told.texts.is_empty());
    assert_eq!((told.texts, told.words), (vec!["m8".to_string(), "m9".into()], vec![]));
    assert_eq!(stand.begun(), ["--cursor=c7"]);
    let arguments = fs::read_to_string(stand.path("arguments")).unwrap();
    for word in ["--follow", "--merge", "--lines=all", "--all", "--output=json", "_UID=0"] {
        assert!(arguments.trim_end().split(' ').any(|given| given == word), "{word}");
    }
    let environment = fs::read_to_string(stand.path("environment")).unwrap();
    let names = environment.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    // What the shell adds by itself is its own.
    let mut names: Vec<_> = names.filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name)).collect();
    names.sort_unstable();
    assert_eq!(names, ["LC_ALL", "PATH", "SYSTEMD_COLORS"]);
}

#[test]
fn a_killed_child_is_told_and_started_again() {
    let stand = Stand::following(&format!("cat part$run; {STAY}"));
    stand.write("part1", &entries(1..3));
    stand.write("part2", &entries(2..4));
    let mut journal = stand.open(None, PACE);
    read_until(&mut journal, |told| told.texts.len() == 2);
    kill_process(stand.pid(), Signal::KILL).unwrap();
    let told = read_until(&mut journal, |told| !told.texts.is_empty());
    assert_eq!(told.texts, ["m3"]);
    assert!(told.words[0].starts_with("trouble: journalctl ended (signal: 9 (SIGKILL))"), "{told:?}");
    assert_eq!(told.words[1..], ["well"]);
}

#[test]
fn nothing_is_left_running() {
    let stand = Stand::following(&format!("cat part; {STAY}"));
    stand.write("part", &entries(1..2));
    let mut journal = stand.open(None, PACE);
    read_until(&mut journal, |told| !told.texts.is_empty());
    let pid = stand.pid();
    test_kill_process(pid).unwrap();
    drop(journal);
    assert!(test_kill_process(pid).is_err());
}

#[test]
fn what_journalctl_lacks_or_says_is_told_once_with_the_cure() {
    let hint = "echo 'Hint: You are currently not seeing messages from other users and the system.' >&2;";
    let fails = |words: &str| format!("echo '{words}' >&2; exit 1");
    let stay = || STAY.to_string();
    let cases: [(String, String, &str); 7] = [
        (
            format!("{hint} {OLDEST}"),
            stay(),
            "trouble: the journal may not be read: put the agent into the group systemd-journal",
        ),
        (
            fails("No journal files were opened due to insufficient permissions."),
            stay(),
            "trouble: the journal may not be read",
        ),
        (
            fails("No journal files were found."),
            stay(),
            "trouble: there is no journal: start systemd-journald",
        ),
        (
            OLDEST.into(),
            fails("Failed to open journal: Input/output error"),
            "Failed to open journal: Input/output error",
        ),
        (OLDEST.into(), "exit 3".into(), "trouble: journalctl ended (exit status: 3); it is started again"),
        (OLDEST.into(), "exec >&-; exec sleep 1000".into(), "trouble: journalctl ended (signal: 9"),
        (
            format!("echo 'Journal file /a/system@1.journal is truncated, ignoring file.' >&2; {OLDEST}"),
            stay(),
            "gap: journalctl leaves out what it cannot read: Journal file /a/system@1.journal is truncated",
        ),
    ];
    for (oldest, follow, expected) in cases {
        let stand = Stand::new(&oldest, &follow);
        let mut journal = stand.open(None, PACE);
        let mut told = read_until(&mut journal, |told| !told.words.is_empty());
        for _ in 0..10 {
            told.add(journal.read(Duration::from_millis(2)));
        }
        assert!(told.words[0].contains(expected), "{told:?}");
        assert_eq!(told.words.len(), 1, "{told:?}");
    }
}

#[test]
fn what_was_lacking_is_tried_again() {
    let stand = Stand::new(
        &format!("test -e allowed || {{ echo 'insufficient permissions' >&2; exit 1; }}; {OLDEST}"),
        "cat part; exec sleep 1000",
    );
    stand.write("part", &entries(1..2));
    fs::rename(stand.path("journalctl"), stand.path("elsewhere")).unwrap();
    let mut journal = stand.open(None, PACE);
    let told = read_until(&mut journal, |told| !told.words.is_empty());
    assert!(
        told.words[0].ends_with("journalctl is not there: install systemd, or set logins.source = \"files\""),
        "{told:?}"
    );
    fs::rename(stand.path("elsewhere"), stand.path("journalctl")).unwrap();
    let told = read_until(&mut journal, |told| !told.words.is_empty());
    assert!(told.words[0].starts_with("trouble: the journal may not be read"), "{told:?}");
    stand.write("allowed", "");
    let told = read_until(&mut journal, |told| told.words.contains(&"well".to_string()));
    assert_eq!(told.words, ["well"]);
}

#[test]
fn a_child_that_stays_is_well_though_it_is_silent() {
    let stand = Stand::following(&format!("test $run = 2 || exit 1; {STAY}"));
    let mut journal = stand.open(None, Pace { settled: Duration::from_millis(20), ..PACE });
    let told = read_until(&mut journal, |told| told.words.contains(&"well".to_string()));
    assert_eq!(told.words.len(), 2, "{told:?}");
}

#[test]
fn entries_removed_before_they_were_read_are_a_gap() {
    let gone = |until: i64| {
        let stand = Stand::new(
            &format!("echo '-- Journal begins --'; echo '{}.{:06} host x[1]: y'", T / 1_000_000, 5),
            &format!("cat part; {STAY}"),
        );
        stand.write("part", &entries(8..9));
        let mut journal = stand.open(Some(&format!("c1 @{until}")), PACE);
        read_until(&mut journal, |told| !told.texts.is_empty()).words
    };
    assert_eq!(gone(T + 5), Vec::<String>::new());
    assert_eq!(gone(T + 4).len(), 1);
    assert!(gone(T + 4)[0].starts_with("gap: what was logged between 2026-11-18T"), "{:?}", gone(T + 4));
}

#[test]
fn a_refused_place_is_a_gap_and_time_serves() {
    let follow = format!(
        "case \"$*\" in *--cursor=bad*) echo 'Failed to seek to cursor: Invalid argument' >&2; exit 1;; esac; cat part; {STAY}"
    );
    let stand = Stand::following(&follow);
    stand.write("part", &entries(1..2));
    let mut journal = stand.open(Some(&format!("bad @{T}")), PACE);
    let told = read_until(&mut journal, |told| !told.texts.is_empty());
    assert!(told.words[0].starts_with("gap: its place was refused"), "{told:?}");
    assert_eq!(stand.begun(), ["--cursor=bad", "--since=@1795000000.000001"]);

    let told = read_until(&mut stand.open(Some("no place"), PACE), |told| !told.texts.is_empty());
    assert!(told.words[0].starts_with("gap: the place where reading it stood cannot be read"), "{told:?}");
}

#[test]
fn quiet_moves_the_place_in_time() {
    let stand = Stand::following(&format!("cat part; {STAY}"));
    stand.write("part", &entries(1..2));
    let mut journal =
        stand.open(Some(&format!("c0 @{T}")), Pace { quiet: Duration::from_millis(10), ..PACE });
    let behind = |told: &Told| -> Vec<Place> {
        let places = told.places.iter().map(|place| Place::read(place.as_bytes()).unwrap());
        places.filter(|place| place.cursor.as_deref() == Some("c1")).collect()
    };
    let told = read_until(&mut journal, |told| behind(told).len() >= 3);
    let places = behind(&told);
    assert_eq!(places[0].until_us, T + 1);
    assert!(places[1].until_us < places[2].until_us, "{places:?}");
    assert_eq!(told.texts, ["m1"]);
}

#[test]
fn garbage_is_passed_over_and_long_lines_are_cut() {
    let stand =
        Stand::following(&format!("cat part1; head -c 100000000 /dev/zero | tr '\\0' x; cat part2; {STAY}"));
    stand.write(
        "part1",
        &format!(
            "garbage\n{}{{\"__CURSOR\":\"c2\",\"__REALTIME_TIMESTAMP\":\"{T}\",\"MESSAGE\":\"",
            entry(1)
        ),
    );
    stand.write("part2", &format!("\"}}\n{}", entry(3)));
    let mut journal = stand.open(Some(&format!("c0 @{T}")), PACE);
    let mut told = Told::default();
    while told.texts.len() < 3 {
        told.add(journal.read(Duration::from_millis(1)));
        let State::Following { child, .. } = &journal.state else { continue };
        assert!(child.lines.held.capacity() < 32 * LINE, "{}", child.lines.held.capacity());
    }
    assert_eq!(told.texts, ["m1", "", "m3"]);
    assert_eq!(told.words, ["trouble: journalctl gave what is no entry of a journal; passed over", "well"]);
    assert_eq!(told.places.last().unwrap(), &format!("c3 @{}", T + 3));
}

#[test]
fn batches_are_bounded_and_say_whether_there_is_more() {
    let stand = Stand::following(&format!("cat part; {STAY}"));
    let mut text = entries(0..2500);
    for number in 2500..2520 {
        let _ = writeln!(
            text,
            r#"{{"__CURSOR":"c{number}","__REALTIME_TIMESTAMP":"{T}","MESSAGE":"{}"}}"#,
            "x".repeat(LINE)
        );
    }
    stand.write("part", &text);
    let mut journal = stand.open(None, PACE);
    let mut batches = Vec::new();
    let start = Instant::now();
    while batches.iter().map(|(lines, _)| lines).sum::<usize>() < 2520 {
        assert!(start.elapsed() < Duration::from_mins(1));
        for read in journal.read(Duration::from_millis(20)) {
            let Read::Lines(lines) = read else { panic!("{read:?}") };
            let bytes: usize = lines.lines.iter().map(|line| line.text.len()).sum();
            assert!(lines.lines.len() <= BATCH_LINES && bytes < BATCH_BYTES + LINE, "{bytes}");
            batches.push((lines.lines.len(), lines.is_behind));
        }
    }
    assert!(batches.iter().any(|(_, is_behind)| *is_behind));
    assert!(!batches.last().unwrap().1, "{batches:?}");
}

#[test]
fn reading_waits_as_long_as_it_may_and_no_longer() {
    let stand = Stand::following("while :; do cat /dev/zero; done");
    let mut journal = stand.open(Some(&format!("c0 @{T}")), PACE);
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let start = Instant::now();
        journal.read(Duration::from_millis(5));
        slowest = slowest.max(start.elapsed());
    }
    // Generous: the machine may be busy. Without a bound this reads for ever.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");

    let stand = Stand::following(STAY);
    let mut journal = stand.open(Some(&format!("c0 @{T}")), PACE);
    let start = Instant::now();
    assert!(journal.read(Duration::from_millis(30)).is_empty());
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn pauses_double_and_entries_end_them() {
    let stand = Stand::following("test $run != 4 || { cat part; }; exit 1");
    stand.write("part", &entries(1..2));
    let mut journal = stand.open(None, Pace { longest: Duration::from_millis(6), ..PACE });
    let mut pauses = Vec::new();
    while pauses.len() < 5 {
        journal.step(&mut Vec::new());
        let is_waiting = matches!(journal.state, State::Waiting { .. });
        if is_waiting && pauses.last() != Some(&journal.pause.as_millis()) {
            pauses.push(journal.pause.as_millis());
        }
        journal.wait(Duration::from_millis(1));
    }
    assert_eq!(pauses, [2, 4, 6, 2, 4]);
}

proptest::proptest! {
    /// Whatever stands in a line, in whatever pieces it comes, lines are as their ends say, and entries are read or not.
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(0_u8..128, 0..300), cut in 0_usize..400) {
        let _ = Entry::read(&bytes);
        let line = entry(1);
        let (found, is_whole) = Entry::read(line.as_bytes().get(..cut).unwrap_or(line.as_bytes()));
        assert_eq!(is_whole, cut >= line.trim_end().len());
        assert!(found.cursor.is_none_or(|cursor| cursor == "c1"), "a cut cursor is no cursor");
        let _ = found.time_us.map(|time| assert_eq!(time, T + 1));
        if let Some(place) = Place::read(&bytes) {
            assert_eq!(Place::read(&place.write()), Some(place));
        }
    }
}

#[test]
fn a_right_that_was_given_later_is_noticed() {
    let hint = "echo 'Hint: You are currently not seeing messages from other users and the system.' >&2";
    let stand = Stand::new(&format!("test -e allowed || {hint}; {OLDEST}"), STAY);
    let mut journal = stand.open(None, Pace { settled: Duration::from_millis(1), ..PACE });
    let told = read_until(&mut journal, |told| !told.words.is_empty());
    assert!(told.words[0].starts_with("trouble: the journal may not be read"), "{told:?}");
    for _ in 0..10 {
        assert!(journal.read(Duration::from_millis(2)).is_empty(), "a child that stays is not enough");
    }
    stand.write("allowed", "");
    let told = read_until(&mut journal, |told| !told.words.is_empty());
    assert_eq!(told.words, ["well"]);
}
