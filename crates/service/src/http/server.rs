//! The accept loop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::linger::{Lingering, Refused};
use crate::lifecycle::DRAIN_TIMEOUT;
use crate::world::{self, World};

/// What one port admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. Past it new ones wait in the kernel's backlog until one closes.
    pub connections_max: usize,
    /// Time for a request's headers; also how long a kept-alive connection may stay idle. Longer than the 15 s after which our
    /// own clients drop an idle connection, so that the server is never first to close one that a request is being written to.
    pub header_timeout: Duration,
    /// Headers per request.
    pub headers_max: usize,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            header_timeout: Duration::from_secs(30),
            headers_max: 64,
            head_bytes_max: 16 * 1024,
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
    /// Binds a port on every address (IPv6 too, where there is IPv6), or on `host`'s. Port 0 lets the OS pick.
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

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restarted process takes over its port at once, although old connections still linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // As many as may pile up within one scheduling hiccup; the kernel caps it at net.core.somaxconn.
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// Serves `router` on `listener` until `stop` is cancelled; then finishes what is in flight, for [`DRAIN_TIMEOUT`] at most.
///
/// A handler's future is dropped when its client hangs up: work that must not stop half-way belongs into a task.
pub async fn serve(listener: Listener, router: Router, limits: Limits, stop: CancellationToken) {
    let listener = match listener.0 {
        Socket::Os(listener) => listener,
        Socket::World(world, at) => return world.serve(at, router, stop).await,
    };
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        // An answer is written in one piece; Nagle's algorithm would only hold it back (the 44 ms of others).
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection is gone already");
            continue;
        }
        let refused = Refused::default();
        let answered = refused.clone();
        let router = ServiceExt::<Request<Incoming>>::map_response(router.clone(), move |mut response: Response| {
            answered.set(response.status().is_client_error());
            // Its body was not read to the end, so that no other request can follow: told, instead of found out.
            if matches!(response.status(), StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_headers(limits.headers_max)
            .max_buf_size(limits.head_bytes_max)
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(Lingering::new(stream, refused)), TowerToHyperService::new(router));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that hangs up or sends garbage is its own affair; hyper has answered 400 where it could.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!(timeout_s = DRAIN_TIMEOUT.as_secs(), "gave up waiting for requests in flight");
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                // Out of file descriptors, or the client was gone before we took it: neither is a reason to stop.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::routing::post;
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
}
