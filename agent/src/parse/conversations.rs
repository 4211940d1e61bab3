//! sshd asks PAM by keyboard-interactive in a child of its own (`auth-pam.c`, `sshpam_init_ctx`), a new one each attempt. The
//! child's failure and the daemon's word for it then come from two process ids, and would count twice. Here the daemon's lines
//! are given the child's id.

use std::collections::HashMap;
use std::net::IpAddr;

use super::sshd;
use crate::model::login::{Count, Login};

/// Failures whose daemon has not spoken yet, and conversations that are remembered; beyond that all are forgotten, which counts
/// some attempts twice. `MaxStartups` allows a hundred connections at a time.
const PENDING: usize = 128;
const CONVERSATIONS: usize = 1024;

/// Who asks PAM through whom.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    /// Failures told by PAM: the process, and where from.
    pending: HashMap<u32, Option<IpAddr>>,
    /// The child that last asked for a daemon.
    children: HashMap<u32, u32>,
}

impl Conversations {
    pub(super) fn follow(&mut self, login: &mut Login) {
        let Some(pid) = login.pid.filter(|_| login.service == "sshd") else { return };
        match login.rule {
            "pam.failure" if !self.children.contains_key(&pid) => {
                insert(&mut self.pending, pid, login.source, PENDING);
                return;
            }
            sshd::PAM_REFUSED => self.adopt(pid, login),
            // The daemon itself asked PAM.
            _ => drop(self.pending.remove(&pid)),
        }
        if let Some(child) = self.children.get(&pid) {
            login.pid = Some(*child);
        }
    }

    /// The youngest failure from the same place is this daemon's child's: it has told the attempt already.
    fn adopt(&mut self, daemon: u32, login: &mut Login) {
        let told = self.pending.iter().filter(|(pid, source)| **pid != daemon && **source == login.source);
        if let Some(child) = told.map(|(pid, _)| *pid).max() {
            self.pending.remove(&child);
            insert(&mut self.children, daemon, child, CONVERSATIONS);
            login.count = Count::Sign;
        }
    }
}

fn insert<V>(map: &mut HashMap<u32, V>, pid: u32, value: V, most: usize) {
    if map.len() >= most && !map.contains_key(&pid) {
        map.clear();
    }
    map.insert(pid, value);
}
