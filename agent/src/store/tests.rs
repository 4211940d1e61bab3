use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

use jiff::SignedDuration;
use proptest::prelude::*;
use redb::{Database, ReadableDatabase, TableDefinition};

use super::disk::{Access, REGION};
use super::*;
use crate::model::record::{Dimension, MetricDatum};
use crate::model::spool::{ClockEra, Payload, StoredEvent};

const ALL: TakeLimits = TakeLimits { records: usize::MAX, bytes: usize::MAX, span: None };

fn logs(number: usize) -> Destination {
    Destination::Logs { group: format!("/vpcwatch/{number}"), stream: "i-1".into() }
}

fn at(second: u32) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_780_000_000 + i64::from(second))
}

/// A record says its number, and is of about this size.
fn entry(destination: usize, kind: Kind, numbers: &[u32], size: usize) -> Entry {
    let event = |number: &u32| StoredEvent {
        timestamp: at(*number),
        message: format!("{number}{}", " ".repeat(size)),
    };
    let payload = Payload::Logs(numbers.iter().map(event).collect());
    Entry { destination: logs(destination), kind, era: ClockEra::default(), payload }
}

fn numbers_of(frames: &[Frame]) -> Vec<u32> {
    let number = |event: &StoredEvent| event.message.trim().parse().unwrap();
    let events = |frame: &Frame| match &frame.entry.payload {
        Payload::Logs(events) => events.iter().map(number).collect::<Vec<u32>>(),
        Payload::Metrics(_) => panic!("log events"),
    };
    frames.iter().flat_map(events).collect()
}

fn ids_of(frames: &[Frame]) -> Vec<u64> {
    frames.iter().map(|frame| frame.id).collect()
}

fn held(store: &mut Store, destination: usize) -> Vec<u32> {
    numbers_of(&store.take(&logs(destination), Order::Oldest, ALL))
}

fn add(store: &mut Store, numbers: &[u32], size: usize) -> Vec<Shed> {
    store.append(vec![entry(0, Kind::Logs, numbers, size)], Vec::new()).shed
}

fn open(path: &Path) -> (Store, Opened) {
    Store::open(path, "i-1", LEAST_LIMIT).unwrap()
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn new_file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    (folder, path)
}

fn datum(value: f64) -> MetricDatum {
    MetricDatum {
        namespace: "VpcWatch".into(),
        metric_name: "net_bytes_recv".into(),
        dimensions: vec![Dimension { name: "InstanceId".into(), value: "i-1".into() }],
        timestamp: at(7) + SignedDuration::from_nanos(123_456_789),
        values: vec![value, 1.0 / 3.0, 4e300],
        counts: vec![1.0, 2.0, 3.0],
        unit: "Bytes".into(),
        storage_resolution: 1,
        urgent: false,
    }
}

#[test]
fn entries_come_back_as_they_were_also_after_reopening() {
    let (_folder, path) = new_file();
    let (mut store, _) = open(&path);
    let era = ClockEra { boot: "b5a2".into(), wall_less_boottime_ms: -5, offset_ms: 3_600_000 };
    let metrics = Destination::Metrics { namespace: "VpcWatch".into() };
    let data = Payload::Metrics(vec![datum(0.1), datum(f64::MIN_POSITIVE)]);
    let first = Entry { destination: metrics.clone(), kind: Kind::Metrics, era: era.clone(), payload: data };
    let event = StoredEvent { timestamp: at(3), message: "não \u{1f980}\n".into() };
    let payload = Payload::Logs(vec![event.clone(), StoredEvent { message: String::new(), ..event }]);
    let second = Entry { destination: logs(1), kind: Kind::Findings, era, payload };
    let cursor = ValueKey::Cursor("/var/log/a".into());
    let values = vec![(cursor.clone(), Some(b"7".to_vec())), (ValueKey::Mark("m".into()), Some(Vec::new()))];
    assert!(store.append(vec![first.clone(), second.clone()], values).shed.is_empty());
    drop(store);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let (mut store, opened) = open(&path);
    assert!(opened.set_aside.is_none() && opened.memory_only.is_none() && opened.ambiguous == 0);
    assert_eq!(store.take(&metrics, Order::Oldest, ALL)[0].entry, first);
    assert_eq!(store.take(&logs(1), Order::Newest, ALL)[0].entry, second);
    assert_eq!(store.value(&cursor), Some(b"7".to_vec()));
    assert_eq!(store.values(ValueKind::Cursor), vec![(cursor.clone(), b"7".to_vec())]);
    store.append(Vec::new(), vec![(cursor.clone(), None)]);
    assert_eq!(store.value(&cursor), None);
    let stats = store.destinations();
    assert_eq!(stats.len(), 2);
    assert_eq!((stats[1].kind, stats[1].records, stats[1].oldest), (Kind::Findings, 2, at(3)));
    assert_eq!(
        store.usage().records,
        vec![(Kind::Metrics, 2), (Kind::Findings, 2), (Kind::Logs, 0), (Kind::Gaps, 0), (Kind::Lines, 0)]
    );
}

#[test]
fn take_keeps_its_limits_but_takes_at_least_one_frame() {
    let (_folder, path) = new_file();
    let (mut store, _) = open(&path);
    for number in 0..10 {
        add(&mut store, &[number * 100, number * 100 + 1], 10);
    }
    let mut take = |order, limits| numbers_of(&store.take(&logs(0), order, limits));
    assert_eq!(take(Order::Oldest, TakeLimits { records: 5, ..ALL }), [0, 1, 100, 101]);
    assert_eq!(take(Order::Newest, TakeLimits { records: 1, ..ALL }), [900, 901]);
    assert_eq!(take(Order::Oldest, TakeLimits { bytes: 1, ..ALL }), [0, 1]);
    let span = Some(Duration::from_secs(150));
    assert_eq!(take(Order::Newest, TakeLimits { span, ..ALL }), [900, 901, 800, 801]);
    assert_eq!(store.take(&logs(9), Order::Oldest, ALL), []);
}

#[test]
fn full_frames_fill_their_pages() {
    let (_folder, path) = new_file();
    let (mut store, _) = Store::open(&path, "i-1", 64 << 20).unwrap();
    for commit in 0..5 {
        let numbers: Vec<u32> = (commit * 5000..(commit + 1) * 5000).collect();
        assert!(add(&mut store, &numbers, 160).is_empty());
    }
    let payload = store.usage().payload_bytes;
    assert!(length(&path) < payload + payload / 10 + REGION, "{} of {payload}", length(&path));
}

#[test]
fn a_large_record_has_a_frame_of_its_own_and_one_too_large_is_told() {
    let (_folder, path) = new_file();
    let (mut store, _) = open(&path);
    assert!(add(&mut store, &[1, 2], 1 << 20).is_empty());
    let shed = add(&mut store, &[3], 2 << 20);
    assert_eq!((shed[0].cause, shed[0].records), (Cause::TooLarge, 1));
    assert_eq!(store.destinations()[0].frames, 2);
    assert_eq!(held(&mut store, 0), [1, 2]);
    assert_eq!(store.trouble(), None);
    let ids = ids_of(&store.take(&logs(0), Order::Oldest, TakeLimits { records: 1, ..ALL }));
    store.settle(&ids, vec![entry(0, Kind::Logs, &[0], 100)]);
    assert_eq!(held(&mut store, 0), [0, 2]);
}

#[test]
fn a_batch_sent_in_part_keeps_its_place() {
    let (_folder, path) = new_file();
    let (mut store, _) = open(&path);
    for number in [0, 10, 20, 30] {
        add(&mut store, &[number, number + 1], 10);
    }
    let frames = store.take(&logs(0), Order::Oldest, TakeLimits { records: 4, ..ALL });
    store.sending(&ids_of(&frames));
    store.settle(&ids_of(&frames), vec![entry(0, Kind::Logs, &[1, 11], 10)]);
    assert_eq!(held(&mut store, 0), [1, 11, 20, 21, 30, 31]);
    drop(store);
    let (mut store, opened) = open(&path);
    assert_eq!(opened.ambiguous, 0);
    assert_eq!(held(&mut store, 0), [1, 11, 20, 21, 30, 31]);
}

#[test]
fn what_was_being_sent_is_counted_once() {
    let (_folder, path) = new_file();
    let (mut store, _) = open(&path);
    add(&mut store, &[1, 2, 3], 10);
    add(&mut store, &[4], 10);
    let ids = ids_of(&store.take(&logs(0), Order::Oldest, ALL));
    store.sending(&ids);
    store.unsent(&ids[1..]);
    drop(store);
    assert_eq!(open(&path).1.ambiguous, 3);
    assert_eq!(open(&path).1.ambiguous, 0);
}

#[test]
fn room_is_taken_from_whoever_takes_the_most_and_not_from_what_is_being_sent() {
    let (_folder, path) = new_file();
    let (mut store, _) = open(&path);
    store.append(vec![entry(1, Kind::Findings, &[1], 100)], Vec::new());
    add(&mut store, &[2], 50_000);
    let ids = ids_of(&store.take(&logs(0), Order::Oldest, ALL));
    store.sending(&ids);
    let mut shed = 0;
    for number in 3..200 {
        for told in add(&mut store, &[number], 50_000) {
            assert_eq!((told.kind, told.cause), (Kind::Logs, Cause::Full));
            shed += told.records;
        }
        assert!(length(&path) <= LEAST_LIMIT);
    }
    assert_eq!(held(&mut store, 1), [1]);
    let left = held(&mut store, 0);
    assert_eq!(left[0], 2, "it is being sent");
    assert_eq!(left.len() as u64 + shed, 198);
    assert!(left[1..].is_sorted());
    assert_eq!(*left.last().unwrap(), 199);
}

#[test]
fn a_file_cut_while_it_is_open_is_told_and_begun_anew() {
    let (_folder, path) = new_file();
    let (mut store, _) = open(&path);
    for number in 0..50 {
        store.look();
        store.append(vec![entry(0, Kind::Logs, &[number], 1000)], Vec::new());
    }
    store.look();
    fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    store.look();
    let shed = store.append(vec![entry(0, Kind::Logs, &[50], 1000)], Vec::new()).shed;
    let lost: u64 = shed.iter().map(|shed| shed.records).sum();
    assert!(shed.iter().all(|shed| shed.cause == Cause::Damaged), "{shed:?}");
    assert_eq!((lost, held(&mut store, 0)), (50, vec![50]));
    assert_eq!(store.trouble(), None);
}

#[test]
fn a_draining_file_that_shrinks_is_whole() {
    let (_folder, path) = new_file();
    let (mut store, _) = Store::open(&path, "i-1", 64 << 20).unwrap();
    for number in 0..50 {
        store.append(vec![entry(0, Kind::Logs, &[number], 60_000)], Vec::new());
    }
    let before = length(&path);
    let mut left: Vec<u32> = (0..50).collect();
    while !left.is_empty() {
        let frames = store.take(&logs(0), Order::Newest, TakeLimits { records: 5, ..ALL });
        assert_eq!(store.destinations().len(), 1);
        store.sending(&ids_of(&frames));
        store.settle(&ids_of(&frames), Vec::new());
        left.retain(|number| !numbers_of(&frames).contains(number));
        store.append(Vec::new(), vec![(ValueKey::Mark("m".into()), Some(vec![1]))]);
        store.look();
        assert!(store.file.is_some(), "{:?}", store.trouble());
        assert_eq!(store.usage().records[2], (Kind::Logs, left.len() as u64));
    }
    assert_eq!(store.trouble(), None);
    assert!(length(&path) < before, "it never shrank, so this proves nothing");
}

#[test]
fn another_agents_file_is_left_alone() {
    let (folder, path) = new_file();
    let (_store, _) = open(&path);
    assert!(matches!(Store::open(&path, "i-2", LEAST_LIMIT), Err(OpenError::Locked(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_of_another_instance_or_a_newer_version_is_set_aside_and_never_overwritten() {
    let (folder, path) = new_file();
    add(&mut open(&path).0, &[1], 10);
    for count in 2..4 {
        let (mut store, opened) = Store::open(&path, &format!("i-{count}"), LEAST_LIMIT).unwrap();
        let aside = opened.set_aside.unwrap();
        assert!(aside.path.to_str().unwrap().contains("state.redb.set-aside-other-instance-2"), "{aside:?}");
        assert!(aside.why.contains("belongs to i-"), "{}", aside.why);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), count);
        assert!(held(&mut store, 0).is_empty());
    }
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(TableDefinition::<&str, &str>::new("about"))
        .unwrap()
        .insert("version", "2")
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let aside = Store::open(&path, "i-3", LEAST_LIMIT).unwrap().1.set_aside.unwrap();
    assert!(aside.why.contains("version 2"), "{}", aside.why);
    let database = Database::open(aside.path).unwrap();
    assert!(database.begin_read().is_ok());
}

#[test]
fn what_is_no_state_file_is_set_aside() {
    let other_redb = {
        let (_folder, path) = new_file();
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TableDefinition::<u8, u8>::new("index")).unwrap();
        transaction.commit().unwrap();
        drop(database);
        fs::read(path).unwrap()
    };
    for content in [b"# my notes\n".to_vec(), b"SQLite format 3\0".repeat(500), vec![0; 9000], other_redb] {
        let (_folder, path) = new_file();
        fs::write(&path, &content).unwrap();
        let (mut store, opened) = open(&path);
        let aside = fs::read(opened.set_aside.unwrap().path).unwrap();
        assert!(aside == content || content.starts_with(b"redb"));
        add(&mut store, &[1], 10);
        assert_eq!((held(&mut store, 0), store.trouble()), (vec![1], None));
    }
}

#[test]
fn a_damaged_file_works_or_is_set_aside() {
    let (_folder, path) = new_file();
    let (mut store, _) = open(&path);
    for number in 0..8 {
        add(&mut store, &[number], 3000);
    }
    drop(store);
    let good = fs::read(&path).unwrap();
    let (mut works, mut aside) = (0, 0);
    let mut check = |damaged: &[u8]| {
        let (_folder, path) = new_file();
        fs::write(&path, damaged).unwrap();
        let (mut store, opened) = open(&path);
        let expected = if opened.set_aside.is_some() { 0 } else { 8 };
        if expected == 0 {
            aside += 1;
        } else {
            works += 1;
        }
        assert!(held(&mut store, 0).len() <= expected);
        add(&mut store, &[99], 10);
        assert_eq!(held(&mut store, 0).last(), Some(&99));
        assert_eq!(store.trouble(), None);
    };
    for place in (0..64).chain((64..400).step_by(6)).chain((400..good.len()).step_by(good.len() / 60)) {
        let mut damaged = good.clone();
        damaged[place] ^= 0x55;
        check(&damaged);
    }
    check(&[good.clone(), vec![0; 100]].concat());
    for length in [1, 8, 9, 100, 511, 512, 4095, 4096, 5000, 8192, good.len() / 2, good.len() - 1] {
        check(&good[..length]);
    }
    assert!(works > 20 && aside > 20, "{works} work, {aside} set aside");

    fs::write(&path, b"").unwrap();
    assert!(open(&path).1.set_aside.is_none(), "an empty file is a new one");
}

#[test]
fn without_a_file_all_is_kept_in_memory_within_its_bound() {
    let (folder, path) = new_file();
    fs::write(&path, b"text").unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let places = [
        (path.join("state.redb"), "has to be a folder"),
        (folder.path().join("missing/state.redb"), "create the folder"),
        (folder.path().to_owned(), "not a regular file"),
        (pipe, "not a regular file"),
        (PathBuf::from("/dev/null"), "not a regular file"),
        (PathBuf::from("/proc/vpcwatch.redb"), "/proc"),
    ];
    for (place, cure) in places {
        let (mut store, opened) = open(&place);
        let why = opened.memory_only.unwrap();
        assert!(why.contains(cure), "{why}");
        assert_eq!(store.trouble(), Some(why.as_str()));
        let cursor = ValueKey::Cursor("a".into());
        store.append(vec![entry(0, Kind::Logs, &[1, 2], 10)], vec![(cursor.clone(), Some(vec![1]))]);
        assert_eq!(store.value(&cursor), Some(vec![1]));
        let ids = ids_of(&store.take(&logs(0), Order::Oldest, ALL));
        store.sending(&ids);
        store.settle(&ids, vec![entry(0, Kind::Logs, &[2], 10)]);
        assert_eq!(held(&mut store, 0), [2]);
        let shed: u64 =
            (3..103).flat_map(|number| add(&mut store, &[number], 60_000)).map(|shed| shed.records).sum();
        assert_eq!(held(&mut store, 0).len() as u64 + shed, 101);
        assert!(store.usage().payload_bytes <= IN_MEMORY as u64);
    }
}

/// Faults that a test turns on: a mask of the accesses that fail, and with what.
fn faulty(path: &Path) -> (Store, Arc<AtomicU64>) {
    let mask = Arc::new(AtomicU64::new(0));
    let asked = mask.clone();
    let gate = move |access: Access| {
        let mask = asked.load(Atomic::Relaxed);
        let error = if mask & 32 != 0 { libc::EIO } else { libc::ENOSPC };
        if mask & (1 << access as u64) == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(error)) }
    };
    (Store::open_behind(path, "i-1", LEAST_LIMIT, Arc::new(gate)).unwrap().0, mask)
}

/// The disk is well, and the next write need not wait because this machine is slow.
fn heal(store: &mut Store, mask: &AtomicU64) {
    mask.store(0, Atomic::Relaxed);
    store.failed = None;
}

#[test]
fn while_the_disk_is_in_trouble_nothing_is_lost_or_sent_twice() {
    let every = 0b11111;
    let only = |access: Access| 1 << access as u64;
    let faults = [
        every,
        only(Access::Grow),
        only(Access::Write),
        only(Access::Sync),
        every | 32,
        only(Access::Write) | 32,
    ];
    for fault in faults {
        let (_folder, path) = new_file();
        let (mut store, mask) = faulty(&path);
        let cursor = ValueKey::Cursor("a".into());
        add(&mut store, &[1, 2], 10);
        add(&mut store, &[3], 10);
        let sent = store.take(&logs(0), Order::Oldest, TakeLimits { records: 2, ..ALL });
        store.sending(&ids_of(&sent));

        mask.store(fault, Atomic::Relaxed);
        store.settle(&ids_of(&sent), vec![entry(0, Kind::Logs, &[2], 10)]);
        let numbers: Vec<u32> = (4..34).collect();
        store.append(vec![entry(0, Kind::Logs, &numbers, 20_000)], vec![(cursor.clone(), Some(vec![44]))]);
        let trouble = store.trouble().unwrap().to_owned();
        assert!(trouble.contains("state.redb") && (fault > 31 || trouble.contains("make room")), "{trouble}");
        let seen = held(&mut store, 0);
        assert!(!seen.contains(&1) && seen.ends_with(&numbers), "{fault:b}: {seen:?}");
        assert_eq!(store.value(&cursor), Some(vec![44]));

        heal(&mut store, &mask);
        assert_eq!(add(&mut store, &[34], 10), []);
        assert_eq!(store.trouble(), None);
        let all: Vec<u32> = (2..35).collect();
        assert_eq!(held(&mut store, 0), all);
        drop(store);
        let (mut store, opened) = open(&path);
        assert_eq!((held(&mut store, 0), opened.ambiguous), (all, 0));
        assert_eq!(store.value(&cursor), Some(vec![44]));
    }
}

#[test]
fn what_was_settled_in_part_on_a_full_disk_outlives_a_kill() {
    let (folder, path) = new_file();
    let (mut store, mask) = faulty(&path);
    for number in 0..8 {
        add(&mut store, &[number], 10);
    }
    let frames = store.take(&logs(0), Order::Oldest, ALL);
    assert_eq!(frames.len(), 8);
    store.sending(&ids_of(&frames));
    mask.store(1 << Access::Grow as u64, Atomic::Relaxed);
    store.settle(&ids_of(&frames), vec![entry(0, Kind::Logs, &[4, 5, 6, 7], 10)]);
    assert!(store.trouble().is_some());
    // A copy of the file while it is open is what a kill -9 leaves.
    let after = folder.path().join("after.redb");
    fs::copy(&path, &after).unwrap();
    let (mut reopened, _) = Store::open(&after, "i-1", LEAST_LIMIT).unwrap();
    assert_eq!(held(&mut reopened, 0), [4, 5, 6, 7]);
}

#[test]
fn what_was_taken_can_be_settled_while_the_file_is_closed() {
    let (_folder, path) = new_file();
    let (mut store, mask) = faulty(&path);
    add(&mut store, &[1, 2], 10);
    add(&mut store, &[3], 10);
    store.append(vec![entry(1, Kind::Logs, &[9], 10)], Vec::new());
    let taken = store.take(&logs(0), Order::Oldest, TakeLimits { records: 2, ..ALL });
    mask.store(0b11111, Atomic::Relaxed);
    add(&mut store, &[4], 10);
    assert!(store.trouble().is_some());
    store.sending(&ids_of(&taken));
    store.settle(&ids_of(&taken), vec![entry(0, Kind::Logs, &[2], 10)]);
    assert_eq!(store.destinations().len(), 2, "what the closed file holds is there");
    heal(&mut store, &mask);
    add(&mut store, &[5], 10);
    assert_eq!(held(&mut store, 0), [2, 3, 4, 5]);
    assert_eq!(store.trouble(), None);
}

#[test]
fn frames_that_cannot_be_read_are_not_lost() {
    let (_folder, path) = new_file();
    let (mut store, mask) = faulty(&path);
    let numbers: Vec<u32> = (0..50).collect();
    add(&mut store, &numbers, 60_000);
    for fault in [1 << Access::Read as u64, 1 << Access::Read as u64 | 32] {
        mask.store(fault, Atomic::Relaxed);
        assert!(held(&mut store, 0).len() < 50);
        assert!(store.trouble().is_some());
        add(&mut store, &[], 0);
        heal(&mut store, &mask);
        assert_eq!(held(&mut store, 0), numbers);
        assert_eq!((add(&mut store, &[], 0), store.trouble()), (vec![], None));
    }
}

#[test]
fn in_long_trouble_the_oldest_in_memory_goes() {
    let (_folder, path) = new_file();
    let (mut store, mask) = faulty(&path);
    add(&mut store, &[0], 10);
    mask.store(0b11111, Atomic::Relaxed);
    let shed: Vec<Shed> = (1..101).flat_map(|number| add(&mut store, &[number], 60_000)).collect();
    assert!(shed.iter().all(|shed| shed.cause == Cause::Full));
    heal(&mut store, &mask);
    store.append(Vec::new(), Vec::new());
    let left = held(&mut store, 0);
    assert_eq!(left.len() as u64 + shed.iter().map(|shed| shed.records).sum::<u64>(), 101);
    assert_eq!((left[0], left.last()), (0, Some(&100)));
}

#[test]
fn while_a_full_file_is_in_trouble_what_is_new_is_kept() {
    let (_folder, path) = new_file();
    let (mut store, mask) = faulty(&path);
    let told = |shed: Vec<Shed>| shed.iter().map(|shed| shed.records).sum::<u64>();
    let before: u64 = (0..110).map(|number| told(add(&mut store, &[number], 60_000))).sum();
    assert!(before > 10);
    mask.store(0b11111, Atomic::Relaxed);
    let new: Vec<u32> = (110..120).collect();
    // The first still takes its room from the file.
    let meanwhile: u64 = new.iter().map(|number| told(add(&mut store, &[*number], 60_000))).sum();
    assert!(meanwhile <= 1, "{meanwhile}");
    heal(&mut store, &mask);
    let shed = told(add(&mut store, &[], 0));
    let left = held(&mut store, 0);
    assert_eq!(left.len() as u64 + before + meanwhile + shed, 120);
    assert!(left.ends_with(&new) && length(&path) <= LEAST_LIMIT);
}

#[test]
fn a_deleted_file_comes_back_and_one_in_its_place_is_not_touched() {
    let (_folder, path) = new_file();
    let (mut store, _) = open(&path);
    add(&mut store, &[1], 10);
    fs::remove_file(&path).unwrap();
    add(&mut store, &[2], 10);
    assert_eq!(store.trouble(), None);
    drop(store);
    let (mut store, _) = open(&path);
    assert_eq!(held(&mut store, 0), [1, 2]);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "mine").unwrap();
    add(&mut store, &[3], 10);
    assert!(store.trouble().unwrap().contains("replaced by another file"));
    assert_eq!((held(&mut store, 0), fs::read(&path).unwrap()), (vec![1, 2, 3], b"mine".to_vec()));
    fs::remove_file(&path).unwrap();
    add(&mut store, &[4], 10);
    assert_eq!(store.trouble(), None);
    drop(store);
    assert_eq!(held(&mut open(&path).0, 0), [1, 2, 3, 4]);
}

#[test]
fn a_file_damaged_while_it_is_open_is_told() {
    let (_folder, path) = new_file();
    let (mut store, mask) = faulty(&path);
    add(&mut store, &[1, 2], 10);
    mask.store(0b11111, Atomic::Relaxed);
    add(&mut store, &[3], 10);
    fs::File::options().write(true).open(&path).unwrap().write_all_at(&[7; 4096], 0).unwrap();
    heal(&mut store, &mask);
    let shed = add(&mut store, &[4], 10);
    assert_eq!((shed.len(), shed[0].cause, shed[0].records), (1, Cause::Damaged, 2));
    assert_eq!((held(&mut store, 0), store.trouble()), (vec![3, 4], None));
}

#[test]
fn a_lower_limit_holds_from_the_start_and_a_drained_file_shrinks() {
    let (_folder, path) = new_file();
    let (mut store, _) = Store::open(&path, "i-1", 64 << 20).unwrap();
    let numbers: Vec<u32> = (0..200).collect();
    add(&mut store, &numbers, 60_000);
    assert!(length(&path) > 12 << 20);
    drop(store);
    let (mut store, _) = open(&path);
    assert!(length(&path) <= LEAST_LIMIT, "{}", length(&path));
    assert!(add(&mut store, &[], 0)[0].records > 100);
    let ids = ids_of(&store.take(&logs(0), Order::Oldest, ALL));
    assert!(ids.len() > 20);
    store.settle(&ids, Vec::new());
    store.compact();
    assert!(length(&path) <= 2 * REGION, "{}", length(&path));
}

#[test]
fn the_bound_holds_under_churn() {
    let (_folder, path) = new_file();
    let (mut store, _) = Store::open(&path, "i-1", LEAST_LIMIT).unwrap();
    let budget = store.budget;
    let mut random = 1u64;
    let mut next = |below: u32| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(random >> 33).unwrap() % below
    };
    let mut shed = 0;
    for number in 0..400u32 {
        let size = match next(4) {
            0 => next(400),
            1 => next(4000),
            2 => next(66_000),
            _ => next(if number % 50 == 0 { 1_000_000 } else { 30_000 }),
        };
        let destination = next(5) as usize;
        let kind = Kind::ALL[destination % 3];
        let numbers: Vec<u32> = (0..=next(3)).collect();
        shed += store.append(vec![entry(destination, kind, &numbers, size as usize)], Vec::new()).shed.len();
        if next(3) == 0 {
            let order = if next(2) == 0 { Order::Oldest } else { Order::Newest };
            let limits = TakeLimits { records: 10, bytes: 200_000, span: None };
            let ids = ids_of(&store.take(&logs(next(5) as usize), order, limits));
            store.sending(&ids);
            if next(2) == 0 { store.settle(&ids, Vec::new()) } else { store.unsent(&ids) }
        }
        assert!(length(&path) <= LEAST_LIMIT, "{} at {number}", length(&path));
        assert_eq!(store.trouble(), None);
    }
    assert!(shed > 10, "{shed}");
    assert_eq!(store.budget, budget, "the sum of pages was right, growth never had to be refused");
}

#[test]
fn the_bound_holds_also_when_the_sum_of_pages_is_wrong() {
    let (_folder, path) = new_file();
    let (mut store, _) = open(&path);
    store.budget = 2 * LEAST_LIMIT;
    let mut shed = 0;
    for number in 0..150 {
        shed += add(&mut store, &[number], 60_000).iter().map(|shed| shed.records).sum::<u64>();
        assert!(length(&path) <= LEAST_LIMIT);
        assert_eq!(store.trouble(), None);
    }
    let left = held(&mut store, 0);
    assert_eq!(left.len() as u64 + shed, 150);
    assert!(left.len() > 60 && left.is_sorted() && left.ends_with(&[149]), "{}", left.len());
}

#[tokio::test]
async fn the_handle_reaches_the_store_until_its_thread_ends() {
    let (_folder, path) = new_file();
    let (handle, calls) = service::channel();
    let store = open(&path).0;
    let thread = std::thread::Builder::new().spawn(|| service::serve(store, calls)).unwrap();
    handle.append(vec![entry(0, Kind::Logs, &[1], 10)], Vec::new()).await.unwrap();
    let frames = handle.take(logs(0), Order::Oldest, ALL).await.unwrap();
    handle.sending(ids_of(&frames)).await.unwrap();
    handle.settle(ids_of(&frames), Vec::new()).await.unwrap();
    assert_eq!(handle.destinations().await.unwrap(), []);
    drop(handle);
    thread.join().unwrap();
    let (handle, calls) = service::channel();
    drop(calls);
    assert!(handle.usage().await.is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Append { destination: usize, count: u32, size: usize },
    Settle { destination: usize, newest: bool, records: usize, keep_each: usize },
    Unsent { destination: usize },
    Reopen { crash: bool, sending: usize },
    Compact,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3usize, 1..100u32, prop_oneof![Just(8usize), 8..1000usize])
            .prop_map(|(destination, count, size)| Step::Append { destination, count, size }),
        4 => (0..3usize, any::<bool>(), 1..300usize, 1..6usize)
            .prop_map(|(destination, newest, records, keep_each)| Step::Settle { destination, newest, records, keep_each }),
        1 => (0..3usize).prop_map(|destination| Step::Unsent { destination }),
        2 => (any::<bool>(), 0..4usize).prop_map(|(crash, sending)| Step::Reopen { crash, sending }),
        1 => Just(Step::Compact),
    ];
    proptest::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_behaves_like_three_queues(steps in steps()) {
        let (folder, mut path) = new_file();
        let (mut store, _) = Store::open(&path, "i-1", 64 << 20).unwrap();
        let mut model: [VecDeque<u32>; 3] = Default::default();
        let mut next = 0u32;
        let cursor = ValueKey::Cursor("log".into());
        for (count, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append { destination, count, size } => {
                    let numbers: Vec<u32> = (next..next + count).collect();
                    next += count;
                    let value = (cursor.clone(), Some(next.to_le_bytes().to_vec()));
                    let done = store.append(vec![entry(destination, Kind::Logs, &numbers, size)], vec![value]);
                    prop_assert!(done.shed.is_empty());
                    model[destination].extend(numbers);
                }
                Step::Settle { destination, newest, records, keep_each } => {
                    let order = if newest { Order::Newest } else { Order::Oldest };
                    let mut frames = store.take(&logs(destination), order, TakeLimits { records, ..ALL });
                    prop_assert!(frames.len() <= 1 || numbers_of(&frames).len() <= records);
                    store.sending(&ids_of(&frames));
                    frames.sort_by_key(|frame| frame.id);
                    let (ids, numbers) = (ids_of(&frames), numbers_of(&frames));
                    let (kept, sent): (Vec<u32>, Vec<u32>) =
                        numbers.iter().partition(|number| **number as usize % keep_each == 1);
                    let leftover = if kept.is_empty() { vec![] } else { vec![entry(destination, Kind::Logs, &kept, 8)] };
                    store.settle(&ids, leftover);
                    model[destination].retain(|number| !sent.contains(number));
                }
                Step::Unsent { destination } => {
                    let ids = ids_of(&store.take(&logs(destination), Order::Oldest, ALL));
                    store.sending(&ids);
                    store.unsent(&ids);
                }
                Step::Reopen { crash, sending } => {
                    let frames = store.take(&logs(sending), Order::Newest, TakeLimits { records: 100, ..ALL });
                    store.sending(&ids_of(&frames));
                    let after = folder.path().join(format!("after-{count}.redb"));
                    // A copy of the file while it is open is what a kill -9 leaves.
                    if crash {
                        fs::copy(&path, &after).unwrap();
                    }
                    drop(store);
                    if !crash {
                        fs::rename(&path, &after).unwrap();
                    }
                    path = after;
                    let (reopened, opened) = Store::open(&path, "i-1", 64 << 20).unwrap();
                    store = reopened;
                    prop_assert!(opened.set_aside.is_none());
                    prop_assert_eq!(opened.ambiguous, numbers_of(&frames).len() as u64);
                }
                Step::Compact => store.compact(),
            }
            for (destination, model) in model.iter_mut().enumerate() {
                prop_assert_eq!(held(&mut store, destination), model.make_contiguous());
                let stats = store.destinations();
                let stats = stats.iter().find(|stats| stats.destination == logs(destination));
                prop_assert_eq!(stats.map_or(0, |stats| stats.records), model.len() as u64);
            }
            let expected = (next > 0).then(|| next.to_le_bytes().to_vec());
            prop_assert_eq!(store.value(&cursor), expected);
            prop_assert_eq!(store.trouble(), None);
        }
    }
}
