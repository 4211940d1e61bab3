//! What kind of host this is, for the head of a table and of a recording.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::paths::Paths;

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
    /// Facts of the host that these paths lead to.
    pub fn of(paths: &Paths) -> Self {
        if paths.is_live() { Self::live() } else { Self::of_files(paths) }
    }

    /// What the files of another root tell; what they do not is empty or zero.
    fn of_files(paths: &Paths) -> Self {
        let line = |path: PathBuf| {
            std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
        };
        let release = line(paths.os_release());
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        HostFacts {
            // Not /proc/sys/kernel/hostname, which answers with the reader's own.
            name: line(paths.hostname()),
            kernel: line(paths.proc_sys("kernel/osrelease")),
            system: name.map(|name| name.trim_matches('"').to_owned()).unwrap_or_default(),
            ..HostFacts::default()
        }
    }

    /// Asks the live host.
    fn live() -> Self {
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
