//! The accept loop.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use futures::future::{Either, ready};
use futures::{FutureExt, TryFutureExt};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::connections::{Connections, Entry};
use super::linger::{Linger, Refused};
use super::pace::Pace;
use super::shortcut::{Service, Taken};
use super::stall::Stall;
use super::stream::ClientStream;
use crate::lifecycle::DRAIN_TIMEOUT;
use crate::world::{self, World};

/// Before another look when there is no room for a connection: files and handlers are free again within milliseconds, as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What refusing may take: at most a thirtieth of the machine. A refusal was seen to cost 100 µs on a busy one, its client on the same machine included
/// (`cargo run --release --example overload -- 1.0`: goodput lost per refusal).
const REFUSALS_PER_SECOND_AND_CORE: u32 = 312;

/// What one port admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. Past it those that have been quiet for longest are closed.
    pub connections_max: usize,
    /// Time for a request's headers; also how long a kept-alive connection may stay idle. Longer than the 15 s after which our
    /// own clients drop an idle connection, so that the server is never first to close one that a request is being written to.
    pub header_timeout: Duration,
    /// How long an answer may wait for its client to read on.
    pub write_timeout: Duration,
    /// How long a port that stops goes on to answer on the connections that it has, telling each client with its answer that it was the
    /// last. A connection that is closed while a client writes its next request to it looks like a lost request, and the client cannot know
    /// that it was not carried out; one that was used within this time is not closed in that way.
    pub farewell: Duration,
    /// Headers per request.
    pub headers_max: usize,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// How many clients may be told per second to come back later before those that do not wait are held; `None` where clients are ours, which wait,
    /// and share a connection among those that they ask for.
    pub refusals_per_second: Option<u32>,
}

impl Limits {
    /// For the port that most of a process's clients use: five eighths of the files that the process may open, up to 16,384. The rest is
    /// for its own requests to other services, its files, and its other port.
    pub fn main_port() -> Self {
        Self { connections_max: share_of_open_files(open_files(), 5).min(16_384), ..Self::default() }
    }

    /// The same for clients that are not ours, and may not repeat what was lost.
    pub fn public_port() -> Self {
        Self {
            farewell: Duration::from_secs(1),
            refusals_per_second: Some(REFUSALS_PER_SECOND_AND_CORE * cores()),
            ..Self::main_port()
        }
    }

    /// For a port that only a few other processes use: one eighth, up to 4096.
    pub fn side_port() -> Self {
        Self { connections_max: share_of_open_files(open_files(), 1).min(4096), ..Self::default() }
    }
}

/// How many files the process may have open; `None` is no limit.
fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// How many threads run at once: follows the processor quota of a container.
fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

fn share_of_open_files(open_files: Option<u64>, eighths: u64) -> usize {
    open_files.map_or(usize::MAX, |files| usize::try_from(files / 8 * eighths).unwrap_or(usize::MAX))
}

impl Default for Limits {
    /// With a bound of connections that fits any process that may open 1024 files.
    fn default() -> Self {
        Self {
            connections_max: 512,
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            farewell: Duration::ZERO,
            headers_max: 64,
            head_bytes_max: 16 * 1024,
            refusals_per_second: None,
        }
    }
}

/// A bound socket; nothing is served yet.
#[derive(Debug)]
pub struct Listener(Socket);

#[derive(Debug)]
enum Socket {
    Os(TcpListener),
    World(Arc<dyn World>, SocketAddr),
}

impl Listener {
    /// Binds a port on `host`'s address. `::` is every address there is, IPv4 or IPv6. Port 0 lets the OS pick.
    ///
    /// # Errors
    /// Names the port and says what is wrong with it.
    pub fn bind(host: std::net::IpAddr, port: u16) -> io::Result<Self> {
        let bound = match world::current() {
            Some(world) => world.bind(port).map(|at| Socket::World(world, at)),
            None => listen(SocketAddr::new(host, port)).map(Socket::Os),
        };
        bound.map(Self).map_err(|error| io::Error::new(error.kind(), format!("port {port}: {error}")))
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Socket::Os(listener) => listener.local_addr(),
            Socket::World(_, at) => Ok(*at),
        }
    }
}

/// `::` is every address there is: of both families, whatever the machine's default is, or of IPv4 alone where there is no IPv6.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if address.ip() != Ipv6Addr::UNSPECIFIED {
        return listen_at(address);
    }
    match listen_at(address) {
        Err(error) if is_without_ipv6(&error) => listen_at((Ipv4Addr::UNSPECIFIED, address.port()).into()),
        bound => bound,
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .into_iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restarted process takes over its port at once, although old connections still linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // As many as may pile up within one scheduling hiccup; the kernel caps it at net.core.somaxconn.
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// Serves `service`, such as a router, on `listener` until `stop` is cancelled; then finishes what is in flight, for [`DRAIN_TIMEOUT`] at most.
///
/// A handler's future is dropped when its client hangs up: work that must not stop half-way belongs into a task.
pub async fn serve(listener: Listener, service: impl Into<Service>, limits: Limits, stop: CancellationToken) {
    let service = service.into();
    let listener = match listener.0 {
        Socket::Os(listener) => listener,
        Socket::World(world, at) => return world.serve(at, service.into_router(), stop).await,
    };
    let connections = Connections::new(limits.connections_max);
    let graceful = GracefulShutdown::new();
    let pace = Pace::new(limits.refusals_per_second);
    loop {
        let (stream, entry) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        // An answer is written in one piece; Nagle's algorithm would only hold it back (the 44 ms of others).
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection is gone already");
            continue;
        }
        let refused = Refused::default();
        let (answers, hold) = pace.connection();
        let (stall, linger) = (Stall::new(limits.write_timeout), Linger::new(refused.clone()));
        let stream = ClientStream { stream, hold, stall, linger };
        let (begun, ended) = (entry.pulse(), entry.pulse());
        let stops = stop.clone();
        let finish = Arc::new(move |mut response: Response| {
            ended.quiet();
            refused.set(!response.status().is_success());
            answers.see(&mut response);
            // Its body was not read to the end, so that no other request can follow: told, instead of found out.
            let cut_off = matches!(response.status(), StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT);
            if cut_off || stops.is_cancelled() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        });
        let service = service.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            begun.busy();
            let answering = match service.take(request.map(body)) {
                Taken::Answered(answer) => return Either::Left(ready(Ok(finish(answer)))),
                Taken::UnderWay(answer) => Either::Left(answer.into_future().map(Ok)),
                Taken::Not(request) => Either::Right(service.router.clone().call(request)),
            };
            let finish = Arc::clone(&finish);
            Either::Right(answering.map_ok(move |response| finish(response)))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_headers(limits.headers_max)
            // Bounds what waits to be written, too: without `pipeline_flush`, which lifts that bound for clients that pipeline and do not read.
            .max_buf_size(limits.head_bytes_max)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => {
                    // A client that hangs up or sends garbage is its own affair; hyper has answered 400 where it could.
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                }
                () = entry.dismissed() => tracing::debug!("a quiet connection makes room for a new one"),
            }
        });
    }
    drop(listener);
    tokio::time::sleep(limits.farewell).await;
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!(timeout_s = DRAIN_TIMEOUT.as_secs(), "gave up waiting for requests in flight");
    }
}

/// None needs no memory.
fn body(incoming: Incoming) -> Body {
    if incoming.is_end_stream() { Body::empty() } else { Body::new(incoming) }
}

async fn accept(listener: &TcpListener, connections: &Connections) -> (TcpStream, Entry) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, entered(connections).await),
            Err(error) => {
                // Out of file descriptors, or the client was gone before we took it: neither is a reason to stop.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// An entry for a new connection; waits while all are busy.
async fn entered(connections: &Connections) -> Entry {
    loop {
        if let Some(entry) = connections.enter() {
            return entry;
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::Router;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::Body;

    /// Sends all of a request before it reads anything, as a simple client does, and gives what came back.
    async fn exchange(at: SocketAddr, request: &[u8]) -> io::Result<String> {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    #[tokio::test]
    async fn a_client_that_is_still_writing_gets_its_refusal() {
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let (at, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let router = Router::new().route("/", post(async |Body(_): Body<serde_json::Value>| "taken"));
        let served = tokio::spawn(serve(listener, router, Limits::default(), stop.clone()));
        let length = 8 << 20;
        let mut request =
            format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        request.push_str(&"7".repeat(length));
        for _ in 0..20 {
            let answer = exchange(at, request.as_bytes()).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
        stop.cancel();
        served.await.unwrap();
    }

    #[tokio::test]
    async fn a_port_that_stops_tells_its_clients_with_their_last_answers() {
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let (at, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let router = Router::new().route("/", get(async || "here"));
        let limits = Limits { farewell: Duration::from_secs(20), ..Limits::default() };
        tokio::spawn(serve(listener, router, limits, stop.clone()));
        let mut client = TcpStream::connect(at).await.unwrap();
        get_ok(&mut client).await;
        stop.cancel();
        // New clients go elsewhere …
        while TcpStream::connect(at).await.is_ok() {}
        // … and one that is connected still gets its answer, with the word that it is the last.
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        assert!(answers.contains("HTTP/1.1 200 OK") && answers.contains("connection: close"), "{answers}");
    }

    #[tokio::test]
    async fn a_shortcut_answers_what_it_knows_and_the_router_the_rest() {
        let router = || Router::new().route("/", get(async || "routed")).route("/near", get(async || "routed"));
        let near = |request: axum::extract::Request| match request.uri().path() {
            "/near" => Taken::Answered(Response::new("at hand".into())),
            "/soon" => Taken::under_way(async { Response::new("soon".into()) }),
            _ => Taken::Not(request),
        };
        let shortcut = crate::http::Shortcut::new(near);
        for service in [
            Service::with_shortcut(router(), shortcut.clone()),
            // As in a simulated world.
            Service::with_shortcut(router(), shortcut).into_router().into(),
        ] {
            let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
            let (at, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
            tokio::spawn(serve(listener, service, Limits::default(), stop.clone()));
            for (path, body) in [("/near", "at hand"), ("/soon", "soon"), ("/", "routed"), ("/nowhere", "")] {
                let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
                let answer = exchange(at, request.as_bytes()).await.unwrap();
                assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{path}: {answer}");
            }
            stop.cancel();
        }
    }

    fn with_two_places(router: Router, write_timeout: Duration) -> (SocketAddr, CancellationToken) {
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let (at, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let limits = Limits { connections_max: 2, write_timeout, ..Limits::default() };
        tokio::spawn(serve(listener, router, limits, stop.clone()));
        (at, stop)
    }

    async fn get_ok(stream: &mut TcpStream) {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }

    #[tokio::test]
    async fn idle_and_slow_clients_keep_nobody_out() {
        let router = Router::new().route("/", get(async || "here"));
        let (at, stop) = with_two_places(router, Duration::from_secs(10));
        let mut silent = TcpStream::connect(at).await.unwrap();
        let mut slow = TcpStream::connect(at).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
        let mut busy = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(at).await.unwrap();
            get_ok(&mut stream).await;
            busy.push(stream);
        }
        for stream in [&mut silent, &mut slow] {
            let end = stream.read(&mut [0]).await;
            assert!(matches!(end, Ok(0) | Err(_)), "it was closed: {end:?}");
        }
        stop.cancel();
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_up() {
        let (dropped, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        let endless = move || {
            let dropped = dropped.clone();
            // As long as the body is there, so is the sender.
            let chunks = futures::stream::repeat_with(move || {
                let _sender = &dropped;
                Ok::<_, io::Error>(bytes::Bytes::from_static(&[7; 16_384]))
            });
            std::future::ready(axum::body::Body::from_stream(chunks))
        };
        let (at, stop) = with_two_places(Router::new().route("/", get(endless)), Duration::from_millis(100));
        let mut client = TcpStream::connect(at).await.unwrap();
        get_ok(&mut client).await;
        // Only the router's own sender is left, and it goes with the server.
        stop.cancel();
        assert_eq!(gone.recv().await, None);
        drop(client);
    }

    #[tokio::test]
    async fn every_address_is_that_of_both_families() {
        let listener = Listener::bind(Ipv6Addr::UNSPECIFIED.into(), 0).unwrap();
        let (at, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(serve(listener, Router::new().route("/", get(async || "here")), Limits::default(), stop.clone()));
        get_ok(&mut TcpStream::connect((Ipv4Addr::LOCALHOST, at.port())).await.unwrap()).await;
        // Not every machine has an address of the other family.
        if std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            get_ok(&mut TcpStream::connect((Ipv6Addr::LOCALHOST, at.port())).await.unwrap()).await;
        }
        stop.cancel();
        let none =
            [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::ADDRINUSE].map(|errno| is_without_ipv6(&errno.into()));
        assert_eq!(none, [true, true, false]);
    }

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!((share_of_open_files(Some(1024), 5), share_of_open_files(Some(1024), 1)), (640, 128));
        assert_eq!(share_of_open_files(None, 1), usize::MAX);
        assert!(Limits::main_port().connections_max <= 16_384 && Limits::side_port().connections_max <= 4096);
    }
}
