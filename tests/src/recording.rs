//! A recording run through the pipeline and a sink, as the agent itself would.

use std::path::Path;

use vpcwatch::config::{Config, Layers};
use vpcwatch::model::event::Event;
use vpcwatch::model::identity::Identity;
use vpcwatch::model::record::Record;
use vpcwatch::model::settings::Settings;
use vpcwatch::model::snapshot::Snapshot;
use vpcwatch::pipeline::Pipeline;
use vpcwatch::replay::{Header, Recording};
use vpcwatch::sinks::stdout::{Output, Stdout, without_colours};

/// Reads a whole recording.
pub fn read(path: &Path) -> anyhow::Result<(Header, Vec<Snapshot>)> {
    let (header, recording) = Recording::open(path)?;
    Ok((header, recording.collect::<Result<_, _>>()?))
}

/// The default configuration but for `sets`.
pub fn settings(sets: &[(&str, &str)]) -> anyhow::Result<Settings> {
    let sets = sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let layers = Layers {
        environment: Some(std::collections::HashMap::new()),
        ..Layers::new("/nonexistent".into(), None, sets)
    };
    Ok(Config::load(&layers)?.settings)
}

/// All records of the pipeline over these snapshots, with the default configuration but for `sets`.
pub fn run(snapshots: &[Snapshot], sets: &[(&str, &str)]) -> anyhow::Result<Vec<Record>> {
    let mut pipeline = Pipeline::new(settings(sets)?, 0);
    let mut records = pipeline.handle(&Event::Identity(Identity::of_host("web-1")));
    for snapshot in snapshots {
        records.extend(pipeline.handle(&Event::Snapshot(std::sync::Arc::new(snapshot.clone()))));
    }
    records.extend(pipeline.finish());
    Ok(records)
}

/// What the agent would print for these records, without colours.
pub fn print(records: &[Record], output: Output) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let mut stdout = Stdout::new(output, without_colours(&mut text), "heading".into());
    records.iter().try_for_each(|record| stdout.show(record))?;
    Ok(String::from_utf8(text)?)
}
