//! What the kernel itself says, read in ways that share nothing with the agent: to compare with.

use std::collections::BTreeMap;

use anyhow::Context;

use crate::namespace::run;

/// TCP states in the order of the kernel's numbers, from 1, as the agent spells them.
const STATES: [&str; 11] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];

/// Sockets by state.
pub type States = BTreeMap<String, u64>;

/// Every socket of `/proc/net/tcp` and `tcp6` of the calling thread's namespace, counted one by one.
pub fn full_dump() -> anyhow::Result<States> {
    let mut states = none();
    for file in ["tcp", "tcp6"] {
        // thread-self: a test's thread is in a namespace that its process is not.
        for line in std::fs::read_to_string(format!("/proc/thread-self/net/{file}"))?.lines().skip(1) {
            let state = line.split_whitespace().nth(3).context("a line without a state")?;
            let number = usize::from_str_radix(state, 16)?;
            let name = STATES.get(number.wrapping_sub(1)).context("an unknown state")?;
            *states.entry((*name).to_owned()).or_default() += 1;
        }
    }
    Ok(states)
}

/// Every socket that `ss` shows.
pub fn ss() -> anyhow::Result<States> {
    let mut states = none();
    for line in run(&["ss", "-Htan"])?.lines() {
        let shown = line.split_whitespace().next().context("a line without a state")?;
        let name = match shown {
            "ESTAB" => "established".to_owned(),
            "UNCONN" => "close".to_owned(),
            "FIN-WAIT-1" => "fin_wait1".to_owned(),
            "FIN-WAIT-2" => "fin_wait2".to_owned(),
            other => other.to_lowercase().replace('-', "_"),
        };
        *states.entry(name).or_default() += 1;
    }
    Ok(states)
}

/// TCP segments of IPv4 and IPv6 that the calling thread's namespace received so far.
pub fn tcp_segments_received() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp:")).map(str::split_whitespace);
    let (names, values) = (lines.next().context("no names")?, lines.next().context("no values")?);
    let value = names.zip(values).find(|(name, _)| *name == "InSegs").context("no InSegs")?.1;
    Ok(value.parse()?)
}

fn none() -> States {
    STATES.iter().map(|name| ((*name).to_owned(), 0)).collect()
}

/// Bytes received and sent at an interface of the calling thread's namespace.
pub fn interface_bytes(name: &str) -> anyhow::Result<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    let values: Vec<u64> =
        line.context("no such interface")?.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    Ok((*values.first().context("no bytes")?, *values.get(8).context("no bytes")?))
}
