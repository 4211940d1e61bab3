//! `listen CGROUP ADDRESS`: joins the cgroup (a folder of the unified tree), listens, prints `ready`, and waits until
//! standard input ends.
#![expect(clippy::print_stdout, reason = "a program for tests; `ready` is its answer")]

use std::io::Read;
use std::net::TcpListener;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cgroup, address] = arguments.as_slice() else { anyhow::bail!("usage: listen CGROUP ADDRESS") };
    std::fs::write(format!("{cgroup}/cgroup.procs"), std::process::id().to_string())?;
    let _listener = TcpListener::bind(address)?;
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
