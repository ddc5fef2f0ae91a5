//! Requests to other processes, over kept-alive HTTP/1.1 or through a [`World`].

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::{Address, INTERNAL_TOKEN_HEADER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt};
use tokio::time::timeout;

use super::CallMetrics;
use crate::Token;
use crate::trace::{self, Span, TRACEPARENT};
use crate::world::{self, Lost, World};

/// Idle connections are dropped before the server (30 s) would.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// How a client connects, and what it says with every request.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Time for a TCP connection.
    pub connect_timeout: Duration,
    /// How long an open connection may be silent before the other side is asked whether it is still there; three times, this far apart.
    /// `None`: whoever sends requests has a time-out for each.
    pub keepalive: Option<Duration>,
    /// For the internal ports, if they want one.
    pub token: Option<Token>,
    /// More headers.
    pub headers: HeaderMap,
}

/// Sends requests. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct Client {
    way: Way,
    measured: Option<Measured>,
}

/// Under which name the requests are counted.
#[derive(Clone, Debug)]
struct Measured {
    metrics: CallMetrics,
    target: Arc<str>,
}

#[derive(Clone, Debug)]
enum Way {
    Sockets(reqwest::Client),
    World { world: Arc<dyn World>, headers: HeaderMap },
}

/// A request's body.
pub enum Payload {
    /// Nothing.
    Empty,
    /// Bytes that are there.
    Whole(Bytes),
    /// Bytes that are made as they are sent.
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

/// One request.
pub struct Outgoing<'a> {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// The path's template, under which the request is counted.
    pub route: &'static str,
    /// Headers besides the client's own.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Payload,
    /// For the whole of it, to the answer's last byte. `None`: the caller bounds it in another way.
    pub timeout: Option<Duration>,
    /// The longest answer that is read, in bytes.
    pub answer_max: usize,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection: the other side has seen nothing.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The time was up.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke, or what came was no answer.
    #[error("connection broke: {0}")]
    Broken(String),
}

impl Client {
    /// # Errors
    /// If the process cannot have an HTTP client at all.
    pub fn new(options: ClientOptions) -> Result<Self, String> {
        let ClientOptions { connect_timeout, keepalive, token, mut headers } = options;
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.secret()).expect("a token is visible ASCII");
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(INTERNAL_TOKEN_HEADER), value);
        }
        if let Some(world) = world::current() {
            return Ok(Self { way: Way::World { world, headers }, measured: None });
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(interval) = keepalive {
            builder = builder.tcp_keepalive(interval).tcp_keepalive_interval(interval).tcp_keepalive_retries(3);
        }
        let client = builder.build().map_err(|error| reason(&error))?;
        Ok(Self { way: Way::Sockets(client), measured: None })
    }

    /// The same client, whose requests are counted as those to `target`: a service's name, not an address.
    #[must_use]
    pub fn measured(&self, metrics: &CallMetrics, target: &str) -> Self {
        Self { way: self.way.clone(), measured: Some(Measured { metrics: metrics.clone(), target: target.into() }) }
    }

    /// Sends `request` and reads the answer: status and body.
    pub async fn send(&self, to: &Address, mut request: Outgoing<'_>) -> Result<(StatusCode, Bytes), SendError> {
        let span = self.traced(&mut request);
        let call = self.measured.as_ref().map(|it| it.metrics.begin(&it.target, request.route));
        let answer = self.exchange(to, request).await;
        if let Some(call) = call {
            call.ended(answer.as_ref());
        }
        if let Some(span) = span
            && let Ok((status, _)) = &answer
        {
            span.answered(status.as_u16());
        }
        answer
    }

    /// The request's span, if this task works for a traced one; the request then says so.
    fn traced(&self, request: &mut Outgoing<'_>) -> Option<Span> {
        let target = self.measured.as_ref().map_or("", |it| &*it.target);
        let span = trace::call(&request.method, request.route, target)?;
        request.headers.insert(TRACEPARENT, span.header());
        Some(span)
    }

    async fn exchange(&self, to: &Address, request: Outgoing<'_>) -> Result<(StatusCode, Bytes), SendError> {
        match &self.way {
            Way::Sockets(client) => over_sockets(client, to, request).await,
            Way::World { world, headers } => through(world, headers, to, request).await,
        }
    }
}

async fn over_sockets(
    client: &reqwest::Client,
    to: &Address,
    request: Outgoing<'_>,
) -> Result<(StatusCode, Bytes), SendError> {
    let mut builder = client.request(request.method, to.url(request.path)).headers(request.headers);
    if let Some(timeout) = request.timeout {
        builder = builder.timeout(timeout);
    }
    builder = match request.body {
        Payload::Empty => builder,
        Payload::Whole(bytes) => builder.body(bytes),
        Payload::Stream(stream) => builder.body(reqwest::Body::wrap_stream(stream)),
    };
    let mut response = builder.send().await.map_err(|error| failure(&error))?;
    let status = response.status();
    // Most answers come in one piece, which is not copied.
    let mut body = BytesMut::new();
    let mut first = Bytes::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if first.len() + body.len() + chunk.len() > request.answer_max {
            return Err(too_long());
        }
        if first.is_empty() && body.is_empty() {
            first = chunk;
            continue;
        }
        body.extend_from_slice(&std::mem::take(&mut first));
        body.extend_from_slice(&chunk);
    }
    Ok((status, if body.is_empty() { first } else { body.freeze() }))
}

async fn through(
    world: &Arc<dyn World>,
    headers: &HeaderMap,
    to: &Address,
    request: Outgoing<'_>,
) -> Result<(StatusCode, Bytes), SendError> {
    let exchange = async {
        let body = match request.body {
            Payload::Empty => Bytes::new(),
            Payload::Whole(bytes) => bytes,
            Payload::Stream(stream) => whole(stream).await.map_err(|error| SendError::Broken(error.to_string()))?,
        };
        let built = Request::builder().method(request.method).uri(request.path).body(body);
        let mut carried = built.map_err(|error| SendError::Broken(error.to_string()))?;
        carried.headers_mut().extend(headers.clone());
        carried.headers_mut().extend(request.headers);
        let response = world.carry(to.clone(), carried).await;
        let (parts, body) = response.map_err(lost)?.into_parts();
        if body.len() > request.answer_max { Err(too_long()) } else { Ok((parts.status, body)) }
    };
    match request.timeout {
        Some(time) => timeout(time, exchange).await.unwrap_or(Err(SendError::TimedOut)),
        None => exchange.await,
    }
}

async fn whole(stream: impl Stream<Item = io::Result<Bytes>> + Unpin) -> io::Result<Bytes> {
    let body = stream.try_fold(BytesMut::new(), async |mut body, chunk| {
        body.extend_from_slice(&chunk);
        Ok(body)
    });
    body.await.map(BytesMut::freeze)
}

fn lost(lost: Lost) -> SendError {
    match lost {
        Lost::Refused => SendError::Unreachable(lost.to_string()),
        Lost::Reset => SendError::Broken(lost.to_string()),
    }
}

fn too_long() -> SendError {
    SendError::Broken("its answer is too long".to_owned())
}

fn failure(error: &reqwest::Error) -> SendError {
    if error.is_connect() {
        SendError::Unreachable(reason(error))
    } else if error.is_timeout() {
        SendError::TimedOut
    } else {
        SendError::Broken(reason(error))
    }
}

/// reqwest's own text leaves out what the operating system said.
fn reason(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
