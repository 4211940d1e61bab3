//! Connection tracking: entries and limit. The files exist only while the module is loaded; reading them, or finding
//! them missing, loads nothing.

use super::{Source, SourceError, read_text};
use crate::host::paths::Paths;
use crate::model::snapshot::{Conntrack, Snapshot};

pub(super) struct ConntrackSource {
    paths: Paths,
}

impl ConntrackSource {
    pub(super) fn new(paths: &Paths) -> Self {
        ConntrackSource { paths: paths.clone() }
    }

    fn value(&self, name: &str) -> Result<u64, SourceError> {
        let path = self.paths.proc_sys("net/netfilter").join(name);
        let text = read_text(&path)?;
        text.trim()
            .parse()
            .map_err(|_| SourceError::Failed(format!("{}: {text:.40?} is not a number", path.display())))
    }
}

impl Source for ConntrackSource {
    fn name(&self) -> &'static str {
        "conntrack"
    }

    fn read(&mut self, into: &mut Snapshot) -> Result<(), SourceError> {
        if !self.paths.proc_sys("net/netfilter/nf_conntrack_count").exists() {
            return Err(SourceError::Absent("connection tracking is not loaded".into()));
        }
        let (entries, limit) = (self.value("nf_conntrack_count")?, self.value("nf_conntrack_max")?);
        into.conntrack = Some(Conntrack { entries, limit });
        Ok(())
    }
}
