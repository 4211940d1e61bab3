//! A server: one listener or a `SO_REUSEPORT` group, quick or slow, that answers itself or asks one behind it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Args;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use vpcwatch_tests::defer_accept::defer_accept;

/// What a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address to listen at
    #[arg(long, default_value = "0.0.0.0")]
    at: IpAddr,
    /// Port to listen at
    #[arg(long, default_value_t = 80)]
    port: u16,
    /// What `listen()` is told
    #[arg(long, default_value_t = 128)]
    backlog: i32,
    /// Sockets in a `SO_REUSEPORT` group
    #[arg(long, default_value_t = 1)]
    sockets: u32,
    /// Milliseconds between two connections that it accepts
    #[arg(long, default_value_t = 0)]
    slow_ms: u64,
    /// Ask a server here for the answer, as a reverse proxy does
    #[arg(long)]
    forward_to: Option<SocketAddr>,
    /// Seconds of `TCP_DEFER_ACCEPT`; 0 is without
    #[arg(long, default_value_t = 0)]
    defer_accept: i32,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut members = JoinSet::new();
        for _ in 0..self.sockets {
            let listener = self.listen()?;
            members.spawn_local(accept(listener, Duration::from_millis(self.slow_ms), self.forward_to));
        }
        println!("ready");
        let mut stop = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = stop.recv() => Ok(()),
            end = members.join_next() => end.unwrap_or(Ok(Ok(())))?,
        }
    }

    fn listen(&self) -> anyhow::Result<TcpListener> {
        let at = SocketAddr::new(self.at, self.port);
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(self.sockets > 1)?;
        if self.defer_accept > 0 {
            defer_accept(&socket, self.defer_accept)?;
        }
        socket.bind(&at.into())?;
        socket.listen(self.backlog)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from_std(socket.into())?)
    }
}

async fn accept(listener: TcpListener, slow: Duration, forward_to: Option<SocketAddr>) -> anyhow::Result<()> {
    let mut served = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue }; // reset while it waited
        while served.try_join_next().is_some() {}
        // It waits before each, not for each: a client that says nothing must not hold up the others.
        tokio::time::sleep(slow).await;
        served.spawn_local(tokio::time::timeout(PATIENCE, answer(client, forward_to)));
    }
}

/// Answers one request; a client that goes away is not our concern.
async fn answer(mut client: TcpStream, forward_to: Option<SocketAddr>) -> std::io::Result<()> {
    let mut text = [0; 200];
    let asked = client.read(&mut text).await?;
    if asked == 0 {
        return Ok(());
    }
    if let Some(behind) = forward_to {
        let mut server = TcpStream::connect(behind).await?;
        server.write_all(text.get(..asked).unwrap_or_default()).await?;
        let answered = server.read(&mut text).await?;
        return client.write_all(text.get(..answered).unwrap_or_default()).await;
    }
    client.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await
}
