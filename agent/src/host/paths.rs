//! Every host path hangs off one root, so that a fixture tree, or a host's root mounted in a container, serves as
//! well as `/`.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Opens a file for reading, where anything may be: a pipe or device would be waited for, or never end.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

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

    /// `/proc/net/NAME`, which is this process's network namespace. Below another root it is that of its first
    /// process, if there is one: `/proc/net` of a host's `/proc` mounted in a container would be the container's.
    pub fn proc_net(&self, name: &str) -> PathBuf {
        let first = self.root.join("proc/1/net");
        let folder = if !self.is_live() && first.is_dir() { first } else { self.root.join("proc/net") };
        folder.join(name)
    }

    /// `/etc/hostname`.
    pub fn hostname(&self) -> PathBuf {
        self.root.join("etc/hostname")
    }

    /// Why nothing could be read below this root, if so.
    pub fn check(&self) -> Result<(), String> {
        let proc = self.root.join("proc");
        let found = proc.metadata().map_err(|error| error.to_string());
        let is_folder =
            found.and_then(|found| if found.is_dir() { Ok(()) } else { Err("not a folder".into()) });
        is_folder.map_err(|why| {
            format!("{}: {why}; --root takes a folder that has proc, sys and etc", proc.display())
        })
    }

    /// `/etc/os-release`.
    pub fn os_release(&self) -> PathBuf {
        self.root.join("etc/os-release")
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

    /// `/sys/class/dmi/id/NAME`, what the firmware says of this machine.
    pub fn dmi(&self, name: &str) -> PathBuf {
        self.root.join("sys/class/dmi/id").join(name)
    }

    /// `/sys/hypervisor/uuid`, of Xen.
    pub fn hypervisor_uuid(&self) -> PathBuf {
        self.root.join("sys/hypervisor/uuid")
    }

    /// `/etc/machine-id`.
    pub fn machine_id(&self) -> PathBuf {
        self.root.join("etc/machine-id")
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where journald keeps its files, a folder a machine: persistent and volatile.
    pub fn journals(&self) -> [PathBuf; 2] {
        [self.root.join("var/log/journal"), self.root.join("run/log/journal")]
    }

    /// Where journalctl may be installed.
    pub fn journalctl(&self) -> [PathBuf; 2] {
        [self.root.join("usr/bin/journalctl"), self.root.join("bin/journalctl")]
    }

    /// `/etc/localtime`, the rules of this host's time zone.
    pub fn localtime(&self) -> PathBuf {
        self.root.join("etc/localtime")
    }

    /// The system's log files: of Amazon Linux 2 and RHEL, of Debian and Ubuntu. As the host itself calls them.
    pub fn system_logs() -> [&'static str; 2] {
        ["/var/log/secure", "/var/log/auth.log"]
    }

    /// `/etc/passwd`, users by name.
    pub fn passwd(&self) -> PathBuf {
        self.root.join("etc/passwd")
    }

    /// `/etc/group`, groups by name.
    pub fn group(&self) -> PathBuf {
        self.root.join("etc/group")
    }

    /// A path or pattern that the configuration names, with what stands for characters in the root itself taken literally.
    pub fn pattern(&self, named: &str) -> String {
        let root = self.root.to_string_lossy();
        format!("{}/{}", glob::Pattern::escape(root.trim_end_matches('/')), named.trim_start_matches('/'))
    }

    /// A path that was named on the host itself.
    pub fn named(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What a path below this root is called on the host itself.
    pub fn on_host(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).map_or_else(|_| path.into(), |inside| Path::new("/").join(inside))
    }

    /// `/etc/vpcwatch`, the configuration's folder.
    pub fn configuration(&self) -> PathBuf {
        self.root.join("etc/vpcwatch")
    }
}
