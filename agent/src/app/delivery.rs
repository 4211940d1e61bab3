//! State file to CloudWatch: metrics, our own log events, and shipped lines, side by side, so that none waits for another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::aws::{Link, ServerClock};
use crate::host::clock::EraClock;
use crate::model::spool::Kind;
use crate::service::board::Board;
use crate::sinks::cloudwatch_logs::CloudWatchLogs;
use crate::sinks::cloudwatch_metrics::CloudWatchMetrics;
use crate::sinks::deliver::{Deliver, Schedule, Sink, Wake};
use crate::store::service::{StoreGone, StoreHandle};

/// Between two requests of a backlog of shipped lines: some 10 MB a second at most. CloudWatch Logs takes 5,000 requests
/// a second in a region.
const LINES_PAUSE: Duration = Duration::from_millis(100);
/// Seconds after which lines go out at the latest: requests of CloudWatch Logs cost nothing, its gigabytes do.
const LINES_INTERVAL: u32 = 5;

/// What the sinks need.
#[derive(Debug)]
pub struct Delivery {
    /// The state file.
    pub store: StoreHandle,
    /// Where it goes.
    pub link: Arc<Link>,
    /// CloudWatch's clock, which the link's answers tell.
    pub server_clock: Arc<ServerClock>,
    /// What is counted.
    pub board: Arc<Board>,
    /// Days that log groups are kept.
    pub retention: watch::Receiver<HashMap<String, Option<u16>>>,
    /// Counts what is put into the state file.
    pub wake: watch::Receiver<Wake>,
    /// Counts what of shipped lines is.
    pub lines_wake: watch::Receiver<Wake>,
    /// Who this host is: another moment for each.
    pub name: String,
    /// When to flush.
    pub schedule: watch::Receiver<Schedule>,
    /// True when nothing more is put into the state file: deliver what goes, and end.
    pub drain: watch::Receiver<bool>,
}

impl Delivery {
    /// Delivers until it is told to drain, and has.
    pub async fn run(self) -> Result<(), StoreGone> {
        let metrics = self.sink(CloudWatchMetrics::new(Arc::clone(&self.link)), &[Kind::Metrics]);
        let logs = CloudWatchLogs::new(Arc::clone(&self.link), self.retention.clone());
        let logs = self.sink(logs, &[Kind::Findings, Kind::Logs, Kind::Gaps]);
        let lines = CloudWatchLogs::new(Arc::clone(&self.link), self.retention.clone());
        let lines = self.sink(lines, &[Kind::Lines]).paced(LINES_PAUSE).in_order();
        let (_never_changes, lines_schedule) = watch::channel(Schedule::of(&self.name, LINES_INTERVAL));
        let (wake, schedule, drain) = (&self.wake, &self.schedule, &self.drain);
        tokio::try_join!(
            metrics.run(wake.clone(), schedule.clone(), drain.clone()),
            logs.run(wake.clone(), schedule.clone(), drain.clone()),
            lines.run(self.lines_wake.clone(), lines_schedule, drain.clone()),
        )?;
        Ok(())
    }

    fn sink<S: Sink>(&self, sink: S, kinds: &'static [Kind]) -> Deliver<S> {
        let (board, clock) = (Arc::clone(&self.board), Arc::clone(&self.server_clock));
        Deliver::new(sink, kinds, self.store.clone(), board, clock, EraClock::start())
    }
}
