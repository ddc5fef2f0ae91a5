//! The accept loop.

use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::connection::{PeerAddress, PortContext};
use super::connections::{Connections, Registration};
use super::host_check::HostCheck;
use super::limits::Limits;
use super::listener::{Listener, Socket};
use super::refusal_throttle::RefusalThrottle;
use super::service::Service;
use super::unread_responses::UNSENT_MAX;
use crate::lifecycle::{DRAIN_TIMEOUT, Task};

/// The delay before the next attempt if there is no room for a connection. Files and handlers are
/// usually free again within milliseconds.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(20);

/// Serves `service`, for example a router, on `listener` until the task is stopped. Then finishes
/// the requests in flight, for at most [`DRAIN_TIMEOUT`].
///
/// The future of a handler is dropped when its client hangs up. Work that must not stop half-way
/// belongs in a task.
pub fn serve(listener: Listener, service: impl Into<Service>, limits: Limits) -> Task {
    let service = service.into();
    Task::spawn(|stop| serve_until(stop, listener, service, limits))
}

async fn serve_until(stop: CancellationToken, listener: Listener, service: Service, limits: Limits) {
    let Listener { socket, address, names, is_local } = listener;
    let listener = match socket {
        Socket::Os(listener) => listener,
        Socket::World(world) => return world.serve(address, service.router().clone(), stop).await,
    };
    let connections = Connections::new(limits.connections_max);
    let port = PortContext {
        unread: service.unread(limits.unread_bytes_max),
        service,
        host_check: HostCheck::new(is_local || address.ip().to_canonical().is_loopback(), names),
        limits,
        refusal_throttle: RefusalThrottle::new(limits.refusals_per_second),
        graceful: GracefulShutdown::new(),
        stop: stop.clone(),
    };
    loop {
        let (stream, peer, registration) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        // A response is written in one piece, which Nagle's algorithm would only delay (by up to 44
        // ms, as seen in other servers).
        let prepared = stream.set_nodelay(true).and_then(|()| SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_MAX));
        if let Err(error) = prepared {
            tracing::debug!(%error, "the connection is already closed");
            continue;
        }
        port.serve(stream, peer, registration);
    }
    drop(listener);
    tokio::time::sleep(limits.lame_duck).await;
    if tokio::time::timeout(DRAIN_TIMEOUT, port.graceful.shutdown()).await.is_err() {
        tracing::warn!(timeout_s = DRAIN_TIMEOUT.as_secs(), "stopped waiting for requests in flight");
    }
}

async fn accept(listener: &TcpListener, connections: &Connections) -> (TcpStream, PeerAddress, Registration) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => return (stream, PeerAddress(from.ip()), register(connections).await),
            Err(error) => {
                // The process is out of file descriptors, or the client has already gone. Neither
                // is a reason to stop.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Registers a new connection; waits while all connections are busy.
async fn register(connections: &Connections) -> Registration {
    loop {
        if let Some(registration) = connections.register() {
            return registration;
        }
        tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use axum::Router;
    use axum::response::Response;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::{JsonBody, ResponseFuture, ServerMetrics};

    /// Sends a whole request before it reads anything, as a simple client does, and returns the
    /// response.
    async fn exchange(at: SocketAddr, request: &[u8]) -> io::Result<String> {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(request).await?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await?;
        Ok(String::from_utf8_lossy(&response).into_owned())
    }

    #[tokio::test]
    async fn a_client_that_is_still_sending_gets_its_refusal() {
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let at = listener.address();
        let router = Router::new().route("/", post(async |JsonBody(_): JsonBody<serde_json::Value>| "accepted"));
        let port = serve(listener, router, Limits::default());
        let length = 8 << 20;
        let mut request = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        request.push_str(&"7".repeat(length));
        for _ in 0..20 {
            let answer = exchange(at, request.as_bytes()).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
        port.stop().await;
    }

    #[tokio::test]
    async fn a_page_from_another_host_gets_no_answer_on_loopback() {
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap().with_host_name("shop.local");
        let at = listener.address();
        let service = handler(|_| ResponseFuture::Ready(Response::new("here".into())));
        let _port = serve(listener, service, Limits::default());
        for (host, status) in [("evil.example", 421), ("localhost", 200), ("shop.local", 200), ("127.0.0.1", 200)] {
            let request = format!("GET / HTTP/1.1\r\nhost: {host}:{}\r\nconnection: close\r\n\r\n", at.port());
            let answer = exchange(at, request.as_bytes()).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
            assert_eq!(answer.contains("wrong_host"), status == 421, "{answer}");
        }
        // A host that was accepted on the same connection vouches for no other.
        for (then, status) in
            [("host: evil.example", 421), ("host: localhost\r\nhost: localhost", 400), ("host: localhost", 200)]
        {
            let request = format!(
                "GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HTTP/1.1\r\n{then}\r\nconnection: close\r\n\r\n"
            );
            let answers = exchange(at, request.as_bytes()).await.unwrap();
            let statuses: Vec<_> =
                answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
            assert_eq!(statuses, ["200", &status.to_string()], "{then}: {answers}");
        }
    }

    #[tokio::test]
    async fn a_port_that_stops_closes_its_connections_with_the_last_responses() {
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let at = listener.address();
        let router = Router::new().route("/", get(async || "here"));
        let limits = Limits { lame_duck: Duration::from_secs(20), ..Limits::default() };
        let port = serve(listener, router, limits);
        let mut client = TcpStream::connect(at).await.unwrap();
        get_ok(&mut client).await;
        drop(port);
        // New connections are refused …
        while TcpStream::connect(at).await.is_ok() {}
        // … and an open connection still gets its response, which says that it is the last.
        client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        assert!(answers.contains("HTTP/1.1 200 OK") && answers.contains("connection: close"), "{answers}");
    }

    /// The service of a port with one function.
    fn handler(handler: impl Fn(axum::extract::Request) -> ResponseFuture + Send + Sync + 'static) -> Service {
        Service::handler(ServerMetrics::new(&prometheus::Registry::new()).port("test"), handler)
    }

    #[tokio::test]
    async fn a_handler_answers_at_once_or_later_and_in_a_simulated_world_through_a_router() {
        let service = handler(|request| match request.uri().path() {
            "/now" => ResponseFuture::Ready(Response::new("ready".into())),
            _ => ResponseFuture::pending(async { Response::new("soon".into()) }),
        });
        for service in [Service::from(service.router().clone()), service] {
            let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
            let at = listener.address();
            let _port = serve(listener, service, Limits::default());
            for (path, body) in [("/now", "ready"), ("/", "soon"), ("/now", "ready")] {
                let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
                let answer = exchange(at, request.as_bytes()).await.unwrap();
                assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{path}: {answer}");
            }
        }
    }

    fn with_two_connections(router: Router, write_timeout: Duration) -> (SocketAddr, Task) {
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let limits = Limits { connections_max: 2, write_timeout, ..Limits::default() };
        (listener.address(), serve(listener, router, limits))
    }

    async fn get_ok(stream: &mut TcpStream) {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }

    #[tokio::test]
    async fn idle_and_slow_clients_do_not_shut_out_others() {
        let router = Router::new().route("/", get(async || "here"));
        let (at, _port) = with_two_connections(router, Duration::from_secs(10));
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
            assert!(matches!(end, Ok(0) | Err(_)), "the connection was closed: {end:?}");
        }
    }

    #[tokio::test]
    async fn the_connection_of_a_client_that_does_not_read_is_closed() {
        let (dropped, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        let endless = move || {
            let dropped = dropped.clone();
            // The sender lives as long as the body.
            let chunks = futures::stream::repeat_with(move || {
                let _sender = &dropped;
                Ok::<_, io::Error>(bytes::Bytes::from_static(&[7; 16_384]))
            });
            std::future::ready(axum::body::Body::from_stream(chunks))
        };
        let (at, port) = with_two_connections(Router::new().route("/", get(endless)), Duration::from_millis(100));
        let mut client = TcpStream::connect(at).await.unwrap();
        get_ok(&mut client).await;
        // Only the router's own sender is left, and it is dropped with the server.
        drop(port);
        assert_eq!(gone.recv().await, None);
        drop(client);
    }

    #[tokio::test]
    async fn the_unspecified_address_listens_on_both_families() {
        let listener = Listener::bind(Ipv6Addr::UNSPECIFIED.into(), 0).unwrap();
        let at = listener.address();
        let _port = serve(listener, Router::new().route("/", get(async || "here")), Limits::default());
        get_ok(&mut TcpStream::connect((Ipv4Addr::LOCALHOST, at.port())).await.unwrap()).await;
        // Not every machine has an IPv6 address.
        if std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            get_ok(&mut TcpStream::connect((Ipv6Addr::LOCALHOST, at.port())).await.unwrap()).await;
        }
    }
}
