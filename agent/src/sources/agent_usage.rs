//! What the agent itself costs, with sysinfo.

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{Source, SourceError};
use crate::model::snapshot::{AgentUsage, Snapshot};

pub(super) struct AgentUsageSource {
    system: Option<System>,
    own: Option<Pid>,
}

impl AgentUsageSource {
    pub(super) fn new() -> Self {
        AgentUsageSource { system: System::new().ok(), own: sysinfo::get_current_pid().ok() }
    }
}

impl Source for AgentUsageSource {
    fn name(&self) -> &'static str {
        "agent_usage"
    }

    fn read(&mut self, into: &mut Snapshot) -> Result<(), SourceError> {
        let unknown =
            || SourceError::Failed("the agent's own process is not in /proc; is /proc mounted?".into());
        let own = self.own.ok_or_else(unknown)?;
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        let system = self.system.as_mut().ok_or_else(unknown)?;
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, what);
        let process = system.process(own).ok_or_else(unknown)?;
        into.agent =
            Some(AgentUsage { cpu_ms: process.accumulated_cpu_time(), memory_bytes: process.memory() });
        Ok(())
    }
}
