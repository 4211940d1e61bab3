//! Packet captures as anybody might hand them in: read, rebuilt into snapshots, and shown to every detector.
#![no_main]

use std::sync::Arc;

use vpcwatch::detectors;
use vpcwatch::model::event::Event;
use vpcwatch::model::settings::DetectorSettings;
use vpcwatch::replay::{Capture, Local};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for local in [None, Some(Local::new(vec!["10.0.0.0/8".parse().expect("a network")]))] {
        let Ok(capture) = Capture::read("fuzz", bytes, local) else { return };
        let mut detectors = detectors::all(&DetectorSettings::default(), 0);
        let mut failed = false;
        for snapshot in capture {
            assert!(!failed, "nothing comes after an error");
            match snapshot {
                Ok(snapshot) => {
                    let event = Event::Snapshot(Arc::new(snapshot));
                    detectors.iter_mut().for_each(|detector| drop(detector.observe(&event)));
                }
                Err(error) => failed = !error.to_string().is_empty(),
            }
        }
    }
});
