//! `hold-connections SOCKETS`: makes that many ESTABLISHED sockets (both ends of loopback connections) in this network
//! namespace, prints `ready SOCKETS`, and holds them until standard input ends.
//!
//! Processes share the load, for open files are limited by process.
#![expect(clippy::print_stdout, reason = "a program for measurements; `ready` is its answer")]

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// Connections of one process: two sockets each, within 20,000 open files.
const CONNECTIONS: usize = 9_990;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [sockets] => share(sockets.parse()?),
        [worker, connections] => hold(worker.parse()?, connections.parse()?),
        _ => anyhow::bail!("usage: hold-connections SOCKETS"),
    }
}

fn share(sockets: usize) -> anyhow::Result<()> {
    let mut workers = Vec::new();
    let mut left = sockets / 2;
    while left > 0 {
        let connections = left.min(CONNECTIONS);
        workers.push(worker(workers.len(), connections)?);
        left -= connections;
    }
    for worker in &mut workers {
        let mut line = String::new();
        BufReader::new(worker.stdout.take().context("no output")?).read_line(&mut line)?;
        ensure!(line == "ready\n", "a worker failed");
    }
    println!("ready {}", sockets / 2 * 2);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    // Workers end when their standard input, our pipe, ends.
    for mut worker in workers {
        drop(worker.stdin.take());
        worker.wait()?;
    }
    Ok(())
}

fn worker(number: usize, connections: usize) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([number.to_string(), connections.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command.spawn()?)
}

fn hold(worker: u8, connections: usize) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let at = SocketAddrV4::new(Ipv4Addr::new(127, 1, worker, 1), 7000);
    let listener = TcpListener::bind(at)?;
    let mut held: Vec<(TcpStream, TcpStream)> = Vec::with_capacity(connections);
    for port in (10_000u16..).take(connections) {
        // Explicit source ports: the kernel's search for a free one slows down as they fill.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::new(127, 2, worker, 1), port).into())?;
        socket.connect(&at.into())?;
        held.push((socket.into(), listener.accept()?.0));
    }
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
