//! Visitors: they connect at random moments from real addresses, ask, read the answer and close.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use vpcwatch::host::clock;

/// What they wait for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Debug, Args)]
pub(super) struct Clients {
    /// Whom they visit
    #[arg(long)]
    to: SocketAddr,
    /// Visits a second, on average
    #[arg(long)]
    rate: f64,
    /// For so long
    #[arg(long)]
    seconds: f64,
    /// Connections that each visit begins at once
    #[arg(long, default_value_t = 1)]
    burst: u32,
    /// Say nothing, and close after so many seconds, as a browser's spare connection
    #[arg(long)]
    silent: Option<u64>,
    /// First of their addresses
    #[arg(long, default_value = "10.9.0.10")]
    first: Ipv4Addr,
    /// How many addresses they have
    #[arg(long, default_value_t = 64)]
    sources: u32,
    /// Of the random moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Default)]
struct Count {
    connect_ms: Vec<f64>,
    ok: u64,
    failed: u64,
}

impl Clients {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut stop = signal(SignalKind::terminate())?;
        let count = Rc::new(RefCell::new(Count::default()));
        let first = clock::wall();
        tokio::select! {
            () = self.visit(&count) => {}
            _ = stop.recv() => {}
        }
        let mut count = count.borrow_mut();
        count.connect_ms.sort_by(f64::total_cmp);
        println!(
            "{}",
            json!({
                "role": "clients", "rate": self.rate, "first": first, "last": clock::wall(),
                "ok": count.ok, "failed": count.failed,
                "connect_p50_ms": quantile(&count.connect_ms, 50), "connect_p99_ms": quantile(&count.connect_ms, 99),
            })
        );
        Ok(())
    }

    async fn visit(&self, count: &Rc<RefCell<Count>>) {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut visits = JoinSet::new();
        let (begun, mut after) = (Instant::now(), 0.0);
        loop {
            after -= (1.0 - random.f64()).ln() / self.rate;
            if after > self.seconds {
                break;
            }
            sleep_until(begun + Duration::from_secs_f64(after)).await;
            while visits.try_join_next().is_some() {}
            for _ in 0..self.burst {
                let from = Ipv4Addr::from_bits(self.first.to_bits() + random.u32(0..self.sources));
                visits.spawn_local(visit(from.into(), self.to, self.silent, Rc::clone(count)));
            }
        }
        let _ = timeout(PATIENCE, async { while visits.join_next().await.is_some() {} }).await;
    }
}

async fn visit(from: IpAddr, to: SocketAddr, silent: Option<u64>, count: Rc<RefCell<Count>>) {
    let begun = Instant::now();
    let connected = timeout(PATIENCE, connect(from, to)).await;
    let Ok(Ok(stream)) = connected else {
        count.borrow_mut().failed += 1;
        return;
    };
    count.borrow_mut().connect_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    let served = match silent {
        Some(seconds) => {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            true
        }
        None => {
            timeout(PATIENCE.saturating_sub(begun.elapsed()), ask(stream)).await.is_ok_and(|end| end.is_ok())
        }
    };
    let mut count = count.borrow_mut();
    if served { count.ok += 1 } else { count.failed += 1 }
}

async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

async fn ask(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let read = stream.read(&mut [0; 200]).await?;
    if read == 0 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// Of sorted values, to hundredths.
fn quantile(sorted: &[f64], percent: usize) -> Option<f64> {
    sorted.get(sorted.len() * percent / 100).map(|value| (value * 100.0).round() / 100.0)
}
