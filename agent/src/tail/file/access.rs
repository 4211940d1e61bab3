//! Why a file cannot be read, and who can cure that how.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::host::paths::Paths;

/// What is wrong with a file, for the operator.
pub(super) fn trouble(path: &Path, error: &io::Error, paths: &Paths) -> String {
    let shown = paths.on_host(path);
    let shown = shown.display();
    if error.kind() != io::ErrorKind::PermissionDenied {
        return format!("{shown}: {error}");
    }
    let user = user(paths);
    if let Some(folder) = path.ancestors().skip(1).find(|folder| fs::metadata(folder.join(".")).is_ok()) {
        let closed =
            path.ancestors().take_while(|inner| *inner != folder).last().filter(|inner| *inner != path);
        if let Some(closed) = closed {
            let closed = paths.on_host(closed);
            let closed = closed.display();
            return format!(
                "{shown} is in {closed}, which {user} may not enter: setfacl -m u:{user}:x {closed}"
            );
        }
    }
    let Ok(metadata) = fs::metadata(path) else { return format!("{shown}: {error}") };
    let acl = format!(
        "setfacl -m u:{user}:r {shown}, and again in logrotate's postrotate, for each new file comes without it"
    );
    match readers(&metadata, paths) {
        Some(group) => format!(
            "{shown} is readable by group {group} only: usermod -a -G {group} {user} and restart, or {acl}"
        ),
        None => format!("{shown} is readable by its owner only, not by {user}: {acl}"),
    }
}

/// The group that may read a file, unless it is root's.
fn readers(metadata: &Metadata, paths: &Paths) -> Option<String> {
    let (is_for_group, id) = (metadata.mode() & 0o040 != 0, metadata.gid());
    (is_for_group && id != 0).then(|| name_of(id, &paths.group()).unwrap_or_else(|| id.to_string()))
}

/// The user as whom this runs.
fn user(paths: &Paths) -> String {
    let id = rustix::process::geteuid().as_raw();
    name_of(id, &paths.passwd()).unwrap_or_else(|| id.to_string())
}

/// The name of a number in `passwd(5)` or `group(5)`: both have it third.
fn name_of(id: u32, file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}
