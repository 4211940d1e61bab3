//! From a cgroup's id to the systemd unit it is.
//!
//! A socket's cgroup id (`INET_DIAG_CGROUP_ID`, Linux 5.8 and later) is the inode number of that cgroup's folder in
//! the unified tree, which anyone may list. So no capability is needed to say which unit opened a socket.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::paths::Paths;

/// Folders to visit at most in one scan: a host with more has its further sockets without a unit.
const MAX_FOLDERS: usize = 20_000;
/// A scan for an unknown id is not repeated sooner than this.
const RESCAN_AFTER_MS: u64 = 30_000;

/// Names of cgroups by id, as of the last scan.
#[derive(Debug)]
pub struct CgroupUnits {
    root: Option<PathBuf>,
    /// `None` for the root, where nothing is a unit.
    names: HashMap<u64, Option<String>>,
    scanned_ms: Option<u64>,
}

impl CgroupUnits {
    /// Looks below the first of the roots that is a unified tree.
    pub fn new(paths: &Paths) -> Self {
        let root = paths.cgroup_roots().into_iter().find(|root| root.join("cgroup.controllers").exists());
        CgroupUnits { root, names: HashMap::new(), scanned_ms: None }
    }

    /// The unit that this cgroup is, if the tree has it.
    pub fn unit(&mut self, id: u64, monotonic_ms: u64) -> Option<String> {
        let due =
            self.scanned_ms.is_none_or(|scanned| monotonic_ms.saturating_sub(scanned) >= RESCAN_AFTER_MS);
        if due && !self.names.contains_key(&id) {
            self.scanned_ms = Some(monotonic_ms);
            self.names = self.root.as_deref().map(scan).unwrap_or_default();
        }
        self.names.get(&id).cloned().flatten()
    }
}

fn scan(root: &Path) -> HashMap<u64, Option<String>> {
    let mut names = HashMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        if names.len() >= MAX_FOLDERS {
            break;
        }
        if let Ok(metadata) = folder.metadata() {
            let below = folder.strip_prefix(root).unwrap_or(&folder);
            names.insert(metadata.ino(), unit_of(&below.to_string_lossy()));
        }
        let Ok(entries) = folder.read_dir() else { continue };
        let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        folders.extend(entries.flatten().filter(is_folder).map(|entry| entry.path()));
    }
    names
}

/// The deepest service, scope or socket in a cgroup's path; else the path itself; nothing for the root.
fn unit_of(path: &str) -> Option<String> {
    let is_unit = |name: &&str| [".service", ".scope", ".socket"].iter().any(|kind| name.ends_with(kind));
    match path.rsplit('/').find(is_unit) {
        Some(unit) => Some(unit.to_owned()),
        None => (!path.is_empty()).then(|| format!("/{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_unit_names_the_cgroup() {
        for (path, unit) in [
            ("system.slice/nginx.service", "nginx.service"),
            ("user.slice/user-1000.slice/user@1000.service/app.slice/web.service", "web.service"),
            ("system.slice/docker-0123.scope/init", "docker-0123.scope"),
            ("init.scope", "init.scope"),
            ("lxc/payload", "/lxc/payload"),
        ] {
            assert_eq!(unit_of(path).as_deref(), Some(unit));
        }
        assert_eq!(unit_of(""), None);
    }

    #[test]
    fn ids_are_inodes_and_new_ones_are_found_after_a_while() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("sys/fs/cgroup");
        let service = |name: &str| {
            std::fs::create_dir_all(tree.join("system.slice").join(name)).unwrap();
            tree.join("system.slice").join(name).metadata().unwrap().ino()
        };
        let web = service("web.service");
        std::fs::write(tree.join("cgroup.controllers"), "").unwrap();
        let mut units = CgroupUnits::new(&Paths::below(root.path()));
        assert_eq!(units.unit(web, 0).as_deref(), Some("web.service"));
        let late = service("late.service");
        assert_eq!(units.unit(late, 1000), None);
        assert_eq!(units.unit(late, 31_000).as_deref(), Some("late.service"));
    }
}
