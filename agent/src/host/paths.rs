//! Every host path hangs off one root, so that a fixture tree, or a host's root mounted in a container, serves as
//! well as `/`.

use std::path::{Path, PathBuf};

/// The root that host paths hang off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Paths below that root.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Paths { root: root.into() }
    }

    /// Whether this is the live host. Elsewhere only files are read: system calls would answer for the wrong host.
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// `/proc/net/NAME`, which is this process's network namespace.
    pub fn proc_net(&self, name: &str) -> PathBuf {
        self.root.join("proc/net").join(name)
    }

    /// `/proc/sys/NAME`.
    pub fn proc_sys(&self, name: &str) -> PathBuf {
        self.root.join("proc/sys").join(name)
    }

    /// `/sys/class/net`, a folder an interface.
    pub fn sys_class_net(&self) -> PathBuf {
        self.root.join("sys/class/net")
    }

    /// The root of the unified cgroup tree: alone, or beside version 1's.
    pub fn cgroup_roots(&self) -> [PathBuf; 2] {
        [self.root.join("sys/fs/cgroup"), self.root.join("sys/fs/cgroup/unified")]
    }

    /// `/etc/vpcwatch`, the configuration's folder.
    pub fn configuration(&self) -> PathBuf {
        self.root.join("etc/vpcwatch")
    }
}
