//! Lines that are shipped, whatever they hold: nothing panics, no event is empty or too large, and no text is lost.
#![no_main]

use jiff::Timestamp;
use jiff::tz::TimeZone;
use vpcwatch::model::log_line::{Grammar, LogLine, LogLines};
use vpcwatch::model::shipped::{LineTime, Origin, ShippedLog, StreamNames};
use vpcwatch::shipping::{EVENT, QUIET_MS, Shipper};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for (first_line, time) in [
        (None, LineTime::Auto),
        (Some("^[0-9]"), LineTime::Auto),
        (Some("^[0-9]"), LineTime::Format("%d.%m.%Y %H:%M:%S".to_owned())),
        (None, LineTime::Read),
    ] {
        let log = ShippedLog {
            name: "fuzz".into(),
            from: Origin::Files(vec!["/fuzz".to_owned()]),
            group: "/fuzz".to_owned(),
            stream: "{file}".to_owned(),
            time,
            zone: None,
            first_line: first_line.map(str::to_owned),
            include: Vec::new(),
            exclude: Vec::new(),
            daily_limit: u64::MAX,
        };
        let lines = LogLines {
            log: "/fuzz".into(),
            grammar: Grammar::Auto,
            lines: text.lines().map(|text| LogLine { text: text.to_owned(), ..LogLine::default() }).collect(),
            read: Timestamp::UNIX_EPOCH,
            is_behind: false,
            zone: TimeZone::UTC,
            cursor: None,
        };
        let (mut shipper, _) = Shipper::new(log, StreamNames::default(), [], 0);
        let shipments = [shipper.ship(&lines, 0), shipper.due(Timestamp::UNIX_EPOCH, QUIET_MS)];
        let events = || shipments.iter().flat_map(|shipment| &shipment.events).flat_map(|(_, events)| events);
        assert!(events().all(|event| (1..=EVENT.max(bytes.len() * 3)).contains(&event.message.len())));
        let letters = |text: &str| text.chars().filter(|c| *c != '\n').count();
        let sent: usize = events().map(|event| letters(&event.message)).sum();
        assert_eq!(sent, text.lines().map(letters).sum::<usize>());
    }
});
