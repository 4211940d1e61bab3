//! Lines of access logs as anybody might write them, as every format: nothing panics, and no latency is negative.
#![no_main]

use jiff::Timestamp;
use vpcwatch::model::web_log::{Format, WebLog};
use vpcwatch::parse::access::AccessReader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for format in Format::ALL.into_iter().map(Some).chain([None]) {
        let (log, mut reader) = (WebLog { format, ..WebLog::recognised("fuzz") }, AccessReader::default());
        for line in text.lines() {
            let told = reader.explain(&log, &log.name, line, Timestamp::UNIX_EPOCH);
            assert!(told.latency.is_none_or(|latency| latency >= 0.0), "{line}: {told:?}");
            assert!(format.is_none() || told.format.is_none() || told.format == format, "{line}: {told:?}");
        }
    }
});
