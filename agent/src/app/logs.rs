//! Logs into the pipeline. Reading blocks, so each reader has a thread of its own; a slow pipeline makes it wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{Ended, on_a_thread};
use crate::host::paths::Paths;
use crate::model::event::Event;
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
            let pause = self.forward(&rules, &mut from, &mut cursors, &events, &mut stopped).await;
            drop(from);
            // No reader is left behind that would start a second time beside itself.
            for thread in &mut threads {
                Ended::wait(thread).await?;
            }
            match pause {
                Pause::Reload => {}
                Pause::Stop => return Ok(()),
            }
        }
    }

    async fn forward(
        &mut self,
        rules: &TailRules,
        from: &mut mpsc::Receiver<Read>,
        cursors: &mut Cursors,
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
                        cursors.insert(cursor.log, cursor.place);
                    }
                }
                other => {
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
