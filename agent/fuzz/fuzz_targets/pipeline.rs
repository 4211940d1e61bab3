//! Snapshots as a recording might hold them, through the pipeline and both outputs.
#![no_main]

use vpcwatch::model::event::Event;
use vpcwatch::model::identity::Identity;
use vpcwatch::model::settings::{DetectorSettings, Settings};
use vpcwatch::model::snapshot::Snapshot;
use vpcwatch::pipeline::Pipeline;
use vpcwatch::sinks::stdout::{Output, Stdout};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let chosen = vpcwatch::model::catalog::CATALOG.iter().map(|metric| metric.name).collect();
    let settings = Settings {
        interval_seconds: 60,
        namespace: "N".into(),
        chosen,
        samples_group: "/g".into(),
        findings_group: "/f".into(),
        detectors: DetectorSettings::default(),
    };
    let mut pipeline = Pipeline::new(settings, 0);
    let mut records = pipeline.handle(&Event::Identity(Identity::of_host("h")));
    for line in text.lines() {
        if let Ok(snapshot) = serde_json::from_str::<Snapshot>(line) {
            records.extend(pipeline.handle(&Event::Snapshot(std::sync::Arc::new(snapshot))));
        }
    }
    records.extend(pipeline.finish());
    for output in [Output::Table, Output::Json] {
        let mut stdout = Stdout::new(output, std::io::sink(), String::new());
        for record in &records {
            stdout.show(record).expect("a sink takes all");
        }
    }
});
