//! Kernel counters: `/proc/net/snmp` and `snmp6` with procfs; `netstat`, `sockstat` and `sockstat6`, which it has no
//! types for, by name and value. Nothing here costs by the socket, so all of it is read each second.

use procfs::FromBufRead;
use procfs::net::{Snmp, Snmp6};

use super::name_value::{inline_pairs, paired_lines, prefixed_lines};
use super::{Source, SourceError, read_text};
use crate::host::paths::Paths;
use crate::model::counters::KernelCounters;
use crate::model::snapshot::Snapshot;

/// Fills in what the text has; returns how much of it was damaged.
type Parse = fn(&str, &mut KernelCounters) -> usize;

/// Files of `/proc/net`, each with its parser.
pub(super) const PARSERS: [(&str, Parse); 5] =
    [("snmp", snmp), ("netstat", netstat), ("sockstat", sockstat), ("snmp6", snmp6), ("sockstat6", sockstat)];

pub(super) struct KernelCountersSource {
    paths: Paths,
}

impl KernelCountersSource {
    pub(super) fn new(paths: &Paths) -> Self {
        KernelCountersSource { paths: paths.clone() }
    }
}

impl Source for KernelCountersSource {
    fn name(&self) -> &'static str {
        "kernel_counters"
    }

    fn read(&mut self, into: &mut Snapshot) -> Result<(), SourceError> {
        let mut counters = KernelCounters::default();
        let mut troubles = Vec::new();
        for (name, parse) in PARSERS {
            let path = self.paths.proc_net(name);
            match read_text(&path) {
                Ok(text) => match parse(&text, &mut counters) {
                    0 => {}
                    damaged => {
                        troubles.push(format!("{}: {damaged} damaged lines or values", path.display()));
                    }
                },
                // Without IPv6 in the kernel its files are not there, and nothing is amiss.
                Err(_) if name.ends_with('6') && !path.exists() => {}
                Err(error) => troubles.push(error.to_string()),
            }
        }
        if counters == KernelCounters::default() {
            return Err(SourceError::Failed(troubles.join("; ")));
        }
        into.counters = Some(counters);
        if troubles.is_empty() { Ok(()) } else { Err(SourceError::Degraded(troubles.join("; "))) }
    }
}

/// procfs refuses a file that lacks one field it knows; then names and values serve.
fn snmp(text: &str, into: &mut KernelCounters) -> usize {
    let Ok(snmp) = Snmp::from_buf_read(text.as_bytes()) else {
        return paired_lines(text, |group, name, value| into.set(group, name, value));
    };
    into.tcp_active_opens = Some(snmp.tcp_active_opens);
    into.tcp_passive_opens = Some(snmp.tcp_passive_opens);
    into.tcp_attempt_fails = Some(snmp.tcp_attempt_fails);
    into.tcp_estab_resets = Some(snmp.tcp_estab_resets);
    into.tcp_curr_estab = Some(snmp.tcp_curr_estab);
    into.tcp_in_segs = Some(snmp.tcp_in_segs);
    into.tcp_out_segs = Some(snmp.tcp_out_segs);
    into.tcp_retrans_segs = Some(snmp.tcp_retrans_segs);
    into.tcp_in_errs = Some(snmp.tcp_in_errs);
    into.tcp_out_rsts = Some(snmp.tcp_out_rsts);
    into.udp_in_datagrams = Some(snmp.udp_in_datagrams);
    into.udp_out_datagrams = Some(snmp.udp_out_datagrams);
    into.udp_no_ports = Some(snmp.udp_no_ports);
    into.udp_in_errors = Some(snmp.udp_in_errors);
    into.udp_rcvbuf_errors = Some(snmp.udp_rcvbuf_errors);
    into.udp_sndbuf_errors = Some(snmp.udp_sndbuf_errors);
    0
}

fn snmp6(text: &str, into: &mut KernelCounters) -> usize {
    let Ok(snmp6) = Snmp6::from_buf_read(text.as_bytes()) else {
        return prefixed_lines(text, "Udp6", |name, value| into.set("Udp6", name, value));
    };
    into.udp6_in_datagrams = Some(snmp6.udp_in_datagrams);
    into.udp6_out_datagrams = Some(snmp6.udp_out_datagrams);
    into.udp6_no_ports = Some(snmp6.udp_no_ports);
    into.udp6_in_errors = Some(snmp6.udp_in_errors);
    into.udp6_rcvbuf_errors = Some(snmp6.udp_rcvbuf_errors);
    into.udp6_sndbuf_errors = Some(snmp6.udp_sndbuf_errors);
    0
}

fn netstat(text: &str, into: &mut KernelCounters) -> usize {
    paired_lines(text, |group, name, value| into.set(group, name, value))
}

fn sockstat(text: &str, into: &mut KernelCounters) -> usize {
    inline_pairs(text, |group, name, value| into.set(group, name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_parsers_of_snmp_agree() {
        let whole = include_str!("../../../tests/fixtures/kernel-6.18/proc/net/snmp");
        // A kernel that lacks one field that procfs insists on, in the group after the ones compared.
        let lacking = whole.replace("IgnoredMulti", "Renamed");
        let (mut by_type, mut by_name) = (KernelCounters::default(), KernelCounters::default());
        assert!(Snmp::from_buf_read(whole.as_bytes()).is_ok());
        assert!(Snmp::from_buf_read(lacking.as_bytes()).is_err());
        snmp(whole, &mut by_type);
        snmp(&lacking, &mut by_name);
        assert_eq!(by_type, by_name);
        assert!(by_type.tcp_curr_estab.is_some() && by_type.udp_sndbuf_errors.is_some());

        let whole = include_str!("../../../tests/fixtures/kernel-6.18/proc/net/snmp6");
        let lacking = whole.replace("Udp6IgnoredMulti", "Renamed");
        let (mut by_type, mut by_name) = (KernelCounters::default(), KernelCounters::default());
        snmp6(whole, &mut by_type);
        snmp6(&lacking, &mut by_name);
        assert_eq!(by_type, by_name);
        assert!(by_type.udp6_sndbuf_errors.is_some());
    }

    proptest! {
        #[test]
        fn hostile_text_does_no_harm(cut in 0usize..4000, junk in "(?s).{0,200}") {
            for whole in [include_str!("../../../tests/fixtures/kernel-6.18/proc/net/snmp"), include_str!("../../../tests/fixtures/kernel-6.18/proc/net/snmp6")] {
                let mut into = KernelCounters::default();
                let text = format!("{}{junk}", &whole[..cut.min(whole.len())]);
                snmp(&text, &mut into);
                snmp6(&text, &mut into);
            }
        }
    }
}
