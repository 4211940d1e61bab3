//! A small HTTP/1.1 server for the stand-ins: a thread a connection, keep-alive, and the ways in which an answer can fail
//! to arrive.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use socket2::{Domain, SockRef, Socket, Type};

/// Far above what the services accept, so that the site and not the server refuses what is too large.
const MOST_BODY: usize = 64 << 20;
const MOST_HEAD: usize = 64 << 10;

/// One request.
#[derive(Debug, Default)]
pub struct Call {
    /// `GET`, `PUT`, `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// As sent, but for chunks.
    pub body: Vec<u8>,
}

impl Call {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// All but Content-Length.
    pub headers: Vec<(&'static str, String)>,
    /// The whole body.
    pub body: Vec<u8>,
    /// Whether and how it reaches the client.
    pub delivery: Delivery,
    /// The site's own number for it.
    pub number: u64,
}

impl Answer {
    /// An answer that arrives.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Answer { status, headers: Vec::new(), body: body.into(), delivery: Delivery::Whole, number: 0 }
    }

    /// With one header more.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It arrives.
    Whole,
    /// It arrives after this long.
    Late(Duration),
    /// It never comes; the connection stays open until the client or the server gives up.
    Never,
    /// The connection is reset instead.
    Reset,
    /// It ends in the middle of the body.
    Cut,
}

/// What answers.
pub trait Site: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, call: Call) -> Answer;

    /// Told when an answer did not reach the client whole.
    fn lost(&self, _answer: &Answer) {}
}

/// A listening server, stopped by dropping it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    open: Arc<Open>,
    accepting: Option<JoinHandle<()>>,
}

/// Connections, so that stopping can close them.
#[derive(Debug, Default)]
struct Open {
    stopping: AtomicBool,
    connections: Mutex<BTreeMap<u64, Arc<TcpStream>>>,
}

impl Open {
    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<TcpStream>>> {
        lock(&self.connections)
    }
}

/// Locks, also after another thread has panicked: a failing test shall show its own failure.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Listens at an address of the calling thread's network, at any free port if it is 0.
    pub fn start(at: (Ipv4Addr, u16), site: Arc<impl Site>) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?; // up again at the same port, past connections in TIME_WAIT
        socket
            .bind(&SocketAddr::from(at).into())
            .with_context(|| format!("cannot listen at {}:{}", at.0, at.1))?;
        socket.listen(1024)?;
        let listener = Arc::new(TcpListener::from(socket));
        let address = listener.local_addr()?;
        let open = Arc::new(Open::default());
        let accepting = {
            let (listener, open) = (Arc::clone(&listener), Arc::clone(&open));
            std::thread::Builder::new()
                .name("fake accept".into())
                .spawn(move || accept(&listener, &open, &site))?
        };
        Ok(Server { address, listener, open, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.open.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts. Connecting would not, if it listens in another network namespace than this one.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for connection in self.open.connections().values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// A site with its address, where it can be gone for a while. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Stand<S> {
    pub(crate) site: Arc<S>,
    at: (Ipv4Addr, u16),
    server: Mutex<Option<Server>>,
}

impl<S: Site> Stand<S> {
    /// Listens, at any free port if it is 0.
    pub(crate) fn start(at: (Ipv4Addr, u16), site: S) -> anyhow::Result<Self> {
        let site = Arc::new(site);
        let server = Server::start(at, Arc::clone(&site))?;
        Ok(Stand { site, at: (at.0, server.address().port()), server: Mutex::new(Some(server)) })
    }

    /// `http://ADDRESS:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}:{}", self.at.0, self.at.1)
    }

    /// Stops listening and closes all connections.
    pub(crate) fn down(&self) {
        lock(&self.server).take();
    }

    /// Listens again, at the same port.
    pub(crate) fn up(&self) -> anyhow::Result<()> {
        let mut server = lock(&self.server);
        if server.is_none() {
            *server = Some(Server::start(self.at, Arc::clone(&self.site))?);
        }
        Ok(())
    }
}

fn accept(listener: &TcpListener, open: &Arc<Open>, site: &Arc<impl Site>) {
    for (stream, number) in listener.incoming().zip(0..) {
        if open.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let stream = Arc::new(stream);
        open.connections().insert(number, Arc::clone(&stream));
        let (open_, site) = (Arc::clone(open), Arc::clone(site));
        let spawned = std::thread::Builder::new().name("fake connection".into()).spawn(move || {
            let _ = serve(&stream, &*site); // a client that breaks off is no news
            // The last reference goes with this closure: only then is the connection closed, or reset.
            open_.connections().remove(&number);
        });
        if spawned.is_err() {
            open.connections().remove(&number);
        }
    }
}

fn serve(stream: &TcpStream, site: &impl Site) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Input { stream, buffer: Vec::new() };
    while let Some(call) = input.call()? {
        let close = call.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let answer = site.answer(call);
        let delivered = deliver(stream, &answer);
        if !matches!(delivered, Ok(true)) {
            site.lost(&answer);
        }
        if !delivered? || close {
            break;
        }
    }
    Ok(())
}

/// Whether the whole answer went to a client that was still there.
fn deliver(mut stream: &TcpStream, answer: &Answer) -> anyhow::Result<bool> {
    let mut length = answer.body.len();
    let mut sent = length;
    match answer.delivery {
        Delivery::Whole => {}
        Delivery::Late(delay) => {
            if !wait(stream, Some(delay))? {
                return Ok(false);
            }
        }
        Delivery::Never => {
            wait(stream, None)?;
            return Ok(false);
        }
        Delivery::Reset => {
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
            return Ok(false);
        }
        Delivery::Cut => {
            length = length.max(64);
            sent /= 2;
        }
    }
    let mut out =
        format!("HTTP/1.1 {} {}\r\nContent-Length: {length}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        out.extend([name, ": ", value, "\r\n"]);
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    out.extend(answer.body.iter().take(sent));
    stream.write_all(&out)?;
    Ok(answer.delivery != Delivery::Cut)
}

/// Waits; false if the client, or the server's stop, ended the connection meanwhile.
fn wait(stream: &TcpStream, delay: Option<Duration>) -> anyhow::Result<bool> {
    stream.set_read_timeout(delay.map(|delay| delay.max(Duration::from_millis(1))))?;
    let peeked = stream.peek(&mut [0]);
    stream.set_read_timeout(None)?;
    match peeked {
        Ok(bytes) => Ok(bytes > 0),
        Err(error) => Ok(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)),
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Request Entity Too Large",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

/// Reads requests; what was read beyond one belongs to the next.
struct Input<'a> {
    stream: &'a TcpStream,
    buffer: Vec<u8>,
}

impl Input<'_> {
    /// The next request, or none if the client is done.
    fn call(&mut self) -> anyhow::Result<Option<Call>> {
        let (mut call, head) = loop {
            if let Some(read) = head(&self.buffer)? {
                break read;
            }
            ensure!(self.buffer.len() < MOST_HEAD, "a head without end");
            if !self.more()? {
                return Ok(None);
            }
        };
        self.buffer.drain(..head);
        if call.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            let mut stream = self.stream;
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if call.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            while let Some(chunk) = self.chunk()? {
                call.body.extend(chunk);
                ensure!(call.body.len() <= MOST_BODY, "a body without end");
            }
        } else if let Some(length) = call.header("content-length") {
            call.body = self.take(length.parse()?)?;
        }
        Ok(Some(call))
    }

    fn more(&mut self) -> anyhow::Result<bool> {
        let mut chunk = [0; 16 << 10];
        let mut stream = self.stream;
        let count = stream.read(&mut chunk)?;
        self.buffer.extend(chunk.iter().take(count));
        Ok(count > 0)
    }

    fn take(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        ensure!(length <= MOST_BODY, "a body without end");
        while self.buffer.len() < length {
            ensure!(self.more()?, "the client broke off");
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn line(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let mut line = self.take(end + 2)?;
                line.truncate(end);
                return Ok(String::from_utf8(line)?);
            }
            ensure!(self.buffer.len() < MOST_HEAD && self.more()?, "a line without end");
        }
    }

    /// One chunk of a chunked body (RFC 9112, 7.1); none after the last, whose trailers are read over.
    fn chunk(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("a chunk without a size")?;
        if size == 0 {
            while !self.line()?.is_empty() {}
            return Ok(None);
        }
        let chunk = self.take(size)?;
        ensure!(self.line()?.is_empty(), "a chunk longer than its size");
        Ok(Some(chunk))
    }
}

/// A request without its body, and how many bytes it took; none while it is not whole.
fn head(bytes: &[u8]) -> anyhow::Result<Option<(Call, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(bytes)? else { return Ok(None) };
    let (Some(method), Some(path)) = (request.method, request.path) else { bail!("no method or path") };
    let headers = request
        .headers
        .iter()
        .map(|header| Ok((header.name.to_lowercase(), String::from_utf8(header.value.to_vec())?)))
        .collect::<anyhow::Result<_>>()?;
    Ok(Some((Call { method: method.into(), path: path.into(), headers, body: Vec::new() }, length)))
}
