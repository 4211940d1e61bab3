//! What is kept of a run: the recording, what the agent said, what really happened.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use vpcwatch::detectors;
use vpcwatch::model::event::Event;
use vpcwatch::model::settings::DetectorSettings;
use vpcwatch::model::snapshot::Snapshot;
use vpcwatch_tests::recording;

use crate::judge::{Judgement, Seen, Truth, judge};
use crate::rows::Row;
use crate::scene::Outcome;

/// The three files of a run.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) recording: PathBuf,
    findings: PathBuf,
    truth: PathBuf,
}

impl Files {
    /// Below `folder`, which is made; what an earlier measurement left there goes.
    pub(crate) fn of(folder: &Path, row: &str, number: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let files = Files::named(&folder.join(format!("{row}.{number}")));
        files.remove();
        Ok(files)
    }

    fn named(stem: &Path) -> Self {
        let file = |extension: &str| PathBuf::from(format!("{}.{extension}", stem.display()));
        Files { recording: file("jsonl"), findings: file("findings.json"), truth: file("truth.json") }
    }

    pub(crate) fn write(&self, outcome: &Outcome) -> anyhow::Result<()> {
        fs::write(&self.findings, serde_json::to_string_pretty(&outcome.seen)?)?;
        fs::write(&self.truth, serde_json::to_string_pretty(&outcome.truth)?)?;
        Ok(())
    }

    pub(crate) fn snapshots(&self) -> anyhow::Result<Vec<Snapshot>> {
        Ok(recording::read(&self.recording)?.1)
    }

    pub(crate) fn remove(&self) {
        for file in [&self.recording, &self.findings, &self.truth] {
            let _ = fs::remove_file(file); // it may not be there
        }
    }
}

/// Judges the detectors of this build by what was kept. Delays are those of the snapshots: printing takes no time.
pub(crate) fn replay(folder: &Path, rows: &[Row], counters_only: bool) -> anyhow::Result<Vec<Judgement>> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    names.sort();
    let mut judged = Vec::new();
    for path in names {
        let Some(stem) = path.to_str().and_then(|path| path.strip_suffix(".truth.json")) else { continue };
        let mut truth: Truth = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let Some(row) = rows.iter().find(|row| row.name == truth.row) else { continue };
        let mut snapshots = Files::named(Path::new(stem)).snapshots()?;
        if counters_only {
            snapshots.iter_mut().for_each(|snapshot| snapshot.syns = None);
        }
        truth.counters_only |= counters_only;
        judged.push(judge(row, &truth, &observe(&snapshots)?, &snapshots));
    }
    Ok(judged)
}

/// What the detectors say to these snapshots.
fn observe(snapshots: &[Snapshot]) -> anyhow::Result<Vec<Seen>> {
    let mut detectors = detectors::all(&DetectorSettings::default(), 0);
    let mut seen = Vec::new();
    for snapshot in snapshots {
        let event = Event::Snapshot(Arc::new(snapshot.clone()));
        for finding in detectors.iter_mut().flat_map(|detector| detector.observe(&event)) {
            seen.push(Seen { printed: snapshot.time, finding: serde_json::to_value(finding)? });
        }
    }
    Ok(seen)
}
