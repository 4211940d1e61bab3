//! CPU time of one walk of the socket table, in this network namespace: `socket_walk [WALKS]`.
//! Run by `tests/load/sockets.sh`, which makes the sockets.
#![expect(clippy::print_stdout, reason = "prints its measurement")]

use vpcwatch::host::clock::thread_cpu_time;
use vpcwatch::sources::sock_diag::{ALL_BUT_ESTABLISHED_AND_TIME_WAIT, LISTEN, SockDiag};

fn main() -> std::io::Result<()> {
    // Cargo passes --bench.
    let walks = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5);
    let mut sock_diag = SockDiag::default();
    for (name, states) in
        [("all but ESTABLISHED and TIME_WAIT", ALL_BUT_ESTABLISHED_AND_TIME_WAIT), ("LISTEN", LISTEN)]
    {
        let mut costs = Vec::new();
        let mut sockets = 0u64;
        for _ in 0..walks {
            let before = thread_cpu_time();
            sockets = 0;
            sock_diag.walk(states, |_| sockets += 1)?;
            costs.push(thread_cpu_time().saturating_sub(before));
        }
        costs.sort();
        let milliseconds = |at: usize| costs.get(at).copied().unwrap_or_default().as_secs_f64() * 1e3;
        let (least, median) = (milliseconds(0), milliseconds(costs.len() / 2));
        println!(
            "walk of {name}: {median:.3} ms of CPU (median of {walks}; least {least:.3}), {sockets} sockets shown"
        );
    }
    Ok(())
}
