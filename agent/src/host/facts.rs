//! What kind of host this is, for the head of a table and of a recording.

use serde::{Deserialize, Serialize};

/// Facts that do not change while the agent runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// Host name, without a domain where the system has none.
    pub name: String,
    /// Kernel release, as `uname -r`.
    pub kernel: String,
    /// Distribution's name and version.
    pub system: String,
    /// Machine, as `uname -m`.
    pub architecture: String,
    /// Processors online.
    pub processors: usize,
    /// Memory, bytes.
    pub memory_bytes: u64,
}

impl HostFacts {
    /// Asks the live host.
    pub fn live() -> Self {
        let memory = sysinfo::System::new().map(|mut system| {
            system.refresh_memory_specifics(sysinfo::MemoryRefreshKind::nothing().with_ram());
            system.total_memory()
        });
        let name = sysinfo::System::host_name().unwrap_or_default();
        HostFacts {
            name: if name.is_empty() { "localhost".into() } else { name },
            kernel: sysinfo::System::kernel_version().unwrap_or_default(),
            system: [sysinfo::System::name(), sysinfo::System::os_version()]
                .map(Result::unwrap_or_default)
                .join(" "),
            architecture: sysinfo::System::cpu_arch(),
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            memory_bytes: memory.unwrap_or(0),
        }
    }
}
