//! Requests over TCP: a pool of keep-alive connections that are reset when they are closed.
//!
//! To the server, a client that closes its connection looks like one that has only finished
//! sending: both send a FIN, and a half-closed connection still gets its response (RFC 9112 §9.6).
//! So a server that answers half-closed clients cannot conclude from a FIN that the client no
//! longer waits. A reset says so. Therefore our clients close every connection with a reset
//! (`SO_LINGER` 0): when the caller drops a request, the server drops its work, and the order
//! leaves the queue. The reset also discards the send buffer, so a network that heals after minutes
//! does not deliver a request that was given up.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use api::Address;
use axum::http::{HeaderMap, Request, Response, StatusCode, Uri};
use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tower::ServiceExt;
use tower::util::MapResponse;

use super::client_request::{ClientRequest, Payload, SendError};

/// How long a connection may be idle before it is closed: less than the 30 s after which the server
/// would close it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// The default keepalive time, after which a silent connection is probed: finds pooled connections
/// whose other end is gone.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How many keepalive probes remain unanswered before the connection counts as broken.
const KEEPALIVE_RETRIES: u32 = 3;

/// Sends requests. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub(super) struct ConnectionPool {
    client: legacy::Client<Connector, RequestBody>,
    headers: HeaderMap,
}

type Connector = MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> TokioIo<TcpStream>>;

type RequestBody = Either<Full<Bytes>, StreamBody<Frames>>;

type Frames = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;

impl ConnectionPool {
    /// A pool that adds `headers` to every request.
    pub(super) fn new(connect_timeout: Duration, keepalive: Option<Duration>, headers: HeaderMap) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect_timeout));
        let keepalive = keepalive.unwrap_or(KEEPALIVE);
        connector.set_keepalive(Some(keepalive));
        connector.set_keepalive_interval(Some(keepalive));
        connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        let connector: Connector = connector.map_response(reset_when_closed);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { client, headers }
    }

    /// Sends a request and reads the response, however long that takes.
    pub(super) async fn exchange(
        &self,
        to: &Address,
        request: ClientRequest<'_>,
    ) -> Result<(StatusCode, Bytes), SendError> {
        let response_bytes_max = request.response_bytes_max;
        let response = self.open(to, request).await?;
        let status = response.status();
        Ok((status, read_body(response.into_body(), response_bytes_max).await?))
    }

    /// Sends a request and waits for the head of the response. The caller reads its body.
    pub(super) async fn open(&self, to: &Address, request: ClientRequest<'_>) -> Result<Response<Incoming>, SendError> {
        let built = self.client.request(self.build(to, request)?);
        built.await.map_err(|error| {
            let reason = reason(&error);
            if !error.is_connect() {
                SendError::Broken(reason)
            } else if is_refused(&error) {
                SendError::NotListening(reason)
            } else {
                SendError::Unreachable(reason)
            }
        })
    }

    fn build(&self, to: &Address, request: ClientRequest<'_>) -> Result<Request<RequestBody>, SendError> {
        let broken = |error: axum::http::Error| SendError::Broken(error.to_string());
        let uri: Uri = to.url(request.path).parse().map_err(|error| broken(axum::http::Error::from(error)))?;
        let body = match request.body {
            Payload::Empty => Either::Left(Full::default()),
            Payload::Whole(bytes) => Either::Left(Full::new(bytes)),
            Payload::Stream(stream) => Either::Right(StreamBody::new(Box::pin(stream.map_ok(Frame::data)) as Frames)),
        };
        let mut built = Request::builder().method(request.method).uri(uri).body(body).map_err(broken)?;
        built.headers_mut().extend(self.headers.clone());
        built.headers_mut().extend(request.headers);
        Ok(built)
    }
}

/// Makes closing the connection reset it; see the module's documentation.
fn reset_when_closed(stream: TokioIo<TcpStream>) -> TokioIo<TcpStream> {
    if let Err(error) = SockRef::from(stream.inner()).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "cannot set SO_LINGER: a dropped request will look like a half-closed connection");
    }
    stream
}

/// Reads a body. Most bodies come in one piece, which is not copied.
async fn read_body(mut incoming: Incoming, response_bytes_max: usize) -> Result<Bytes, SendError> {
    let (mut body, mut first) = (BytesMut::new(), Bytes::new());
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| SendError::Broken(reason(&error)))?;
        let Ok(chunk) = frame.into_data() else { continue };
        if first.len() + body.len() + chunk.len() > response_bytes_max {
            return Err(SendError::response_too_long());
        }
        if first.is_empty() && body.is_empty() {
            first = chunk;
            continue;
        }
        body.extend_from_slice(&std::mem::take(&mut first));
        body.extend_from_slice(&chunk);
    }
    Ok(if body.is_empty() { first } else { body.freeze() })
}

fn is_refused(error: &legacy::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The text of an error and its causes: the error alone leaves out the message of the operating
/// system.
fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
