//! Logs into the pipeline. Reading blocks, so each reader has a thread of its own; a slow pipeline makes it wait.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{Ended, on_a_thread};
use crate::host::paths::Paths;
use crate::model::event::Event;
use crate::model::log_line::Cursor;
use crate::service::board::Board;
use crate::tail::{self, Cursors, Read, Tail, TailRules};

/// What was read and may wait for the pipeline: the reader of a busy log works while the pipeline does.
const READ: usize = 2;
/// How long a reader waits at a time for something to read; so long it may take until it stops.
const PATIENCE: Duration = Duration::from_millis(500);

/// Reads logs.
pub(super) struct Logs {
    pub(super) paths: Paths,
    pub(super) rules: watch::Receiver<TailRules>,
    pub(super) board: Option<Arc<Board>>,
}

/// What readers told that the next ones, after a reload, need to know.
struct Forwarded<'a> {
    cursors: &'a mut Cursors,
    /// Logs in trouble.
    troubled: BTreeSet<String>,
}

impl Forwarded<'_> {
    /// A log was read as far as this. An empty place is none: the log is gone.
    fn moved(&mut self, Cursor { log, place }: Cursor) {
        if place.is_empty() {
            self.cursors.remove(&log);
        } else {
            self.cursors.insert(log, place);
        }
    }

    fn heard(&mut self, read: &Read) {
        match read {
            Read::Trouble { log, .. } => _ = self.troubled.insert(log.clone()),
            Read::Well { log } => _ = self.troubled.remove(log),
            Read::Lines(_) | Read::Gap { .. } => {}
        }
    }
}

/// Why readers were stopped.
enum Pause {
    Reload,
    Stop,
}

impl Logs {
    /// Reads from `cursors` on, until told to stop or until nobody listens.
    pub(super) async fn run(
        mut self,
        mut cursors: Cursors,
        events: mpsc::Sender<Event>,
        mut stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        loop {
            let rules = self.rules.borrow_and_update().clone();
            let (to, mut from) = mpsc::channel(READ);
            let mut threads = Vec::new();
            let (readers, what) = tail::all(&rules, &self.paths, &cursors);
            if !readers.is_empty() {
                tracing::info!("logins are read in {what}");
            }
            for reader in readers {
                let to = to.clone();
                threads.push(on_a_thread("log", move || {
                    read(reader, &to);
                    Ok(())
                })?);
            }
            let mut forwarded = Forwarded { cursors: &mut cursors, troubled: BTreeSet::new() };
            let pause = self.forward(&rules, &mut from, &mut forwarded, &events, &mut stopped).await;
            let troubled = forwarded.troubled;
            drop(from);
            // No reader is left behind that would start a second time beside itself.
            for thread in &mut threads {
                Ended::wait(thread).await?;
            }
            match pause {
                // What is still wrong the new readers tell again.
                Pause::Reload => self.forget(troubled, &events).await,
                Pause::Stop => return Ok(()),
            }
        }
    }

    async fn forward(
        &mut self,
        rules: &TailRules,
        from: &mut mpsc::Receiver<Read>,
        forwarded: &mut Forwarded<'_>,
        events: &mpsc::Sender<Event>,
        stopped: &mut watch::Receiver<bool>,
    ) -> Pause {
        loop {
            let read = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return Pause::Stop,
                Ok(()) = self.rules.changed() => {
                    if *self.rules.borrow_and_update() == *rules {
                        continue;
                    }
                    return Pause::Reload;
                }
                Some(read) = from.recv() => read,
            };
            match read {
                Read::Lines(lines) => {
                    let cursor = lines.cursor.clone();
                    if events.send(Event::Lines(Arc::new(lines))).await.is_err() {
                        return Pause::Stop;
                    }
                    if let Some(cursor) = cursor {
                        forwarded.moved(cursor);
                    }
                }
                other => {
                    forwarded.heard(&other);
                    self.tell(&other);
                    let trouble = match other {
                        Read::Trouble { log, what } => Event::LogTrouble { log, what: Some(what) },
                        Read::Well { log } => Event::LogTrouble { log, what: None },
                        Read::Gap { .. } | Read::Lines(_) => continue,
                    };
                    if events.send(trouble).await.is_err() {
                        return Pause::Stop;
                    }
                }
            }
        }
    }

    /// Logs that are no longer read are in no trouble.
    async fn forget(&self, troubled: BTreeSet<String>, events: &mpsc::Sender<Event>) {
        for log in troubled {
            self.board.as_ref().inspect(|board| board.well(&log));
            // Where nobody listens any more, the next event tells.
            let _ = events.send(Event::LogTrouble { log, what: None }).await;
        }
    }

    /// Tells the operator.
    fn tell(&self, read: &Read) {
        let board = self.board.as_ref();
        match read {
            Read::Trouble { log, what } => {
                let of = if what.contains(log.as_str()) { String::new() } else { format!("{log}: ") };
                tracing::warn!("{of}{what}");
                board.inspect(|board| board.trouble(log, what));
            }
            Read::Well { log } => {
                tracing::info!("{log}: is read again");
                board.inspect(|board| board.well(log));
            }
            Read::Gap { log, what } => {
                tracing::warn!("{log}: lines may be lost: {what}");
                board.inspect(|board| board.count(|meters| meters.log_gaps += 1));
            }
            Read::Lines(_) => {}
        }
    }
}

/// Reads until nobody listens.
fn read(mut tail: Box<dyn Tail>, to: &mpsc::Sender<Read>) {
    while !to.is_closed() {
        for read in tail.read(PATIENCE) {
            if to.blocking_send(read).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_next_readers_begin_with() {
        let mut cursors = Cursors::from([("/a".into(), vec![1]), ("/b".into(), vec![1])]);
        let mut forwarded = Forwarded { cursors: &mut cursors, troubled: BTreeSet::new() };
        for (log, place) in [("/a", vec![2]), ("/b", vec![]), ("/c", vec![3]), ("/d", vec![])] {
            forwarded.moved(Cursor { log: log.into(), place });
        }
        for log in ["/a", "/b"] {
            forwarded.heard(&Read::Trouble { log: log.into(), what: "no right".into() });
        }
        forwarded.heard(&Read::Well { log: "/a".into() });
        assert_eq!(forwarded.troubled, ["/b".to_owned()].into());
        // A log that is gone has no place: an empty one would be taken for one that is not understood.
        assert_eq!(cursors, Cursors::from([("/a".into(), vec![2]), ("/c".into(), vec![3])]));
    }
}
