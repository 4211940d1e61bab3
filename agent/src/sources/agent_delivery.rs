//! What the agent counts of its own delivery.

use std::sync::Arc;

use super::{Source, SourceError};
use crate::model::meters::Loss;
use crate::model::snapshot::{DeliveryUsage, Snapshot};
use crate::service::board::Board;

pub(super) struct AgentDeliverySource {
    board: Arc<Board>,
}

impl AgentDeliverySource {
    pub(super) fn new(board: Arc<Board>) -> Self {
        AgentDeliverySource { board }
    }
}

impl Source for AgentDeliverySource {
    fn name(&self) -> &'static str {
        "agent_delivery"
    }

    fn read(&mut self, into: &mut Snapshot) -> Result<(), SourceError> {
        let meters = self.board.meters();
        let age = meters.oldest.map(|oldest| into.time.duration_since(oldest).as_secs());
        into.delivery = Some(DeliveryUsage {
            sent: meters.sent_in_all(),
            rejected: meters.lost_for(&[Loss::Rejected]),
            expired: meters.lost_for(&[Loss::TooOld, Loss::TooNew]),
            crowded_out: meters.lost_for(&[Loss::Full, Loss::Damaged, Loss::Crowded]),
            failures: meters.failures,
            ambiguous: meters.ambiguous,
            state_file_bytes: meters.state_file_bytes,
            oldest_seconds: age.map(|age| u64::try_from(age).unwrap_or(0)),
            publish_latency_ms: meters.publish_latency_ms,
            clock_offset_ms: meters.clock_offset_ms,
            log_gaps: meters.log_gaps,
        });
        Ok(())
    }
}
