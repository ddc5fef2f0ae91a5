//! An HTTP client for requests to other processes, over keep-alive HTTP/1.1 or through a
//! [`World`](crate::world::World).

use std::sync::Arc;
use std::time::Duration;

use api::{Address, INTERNAL_TOKEN_HEADER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;

use super::client_metrics::ClientMetrics;
use super::client_request::{ClientRequest, SendError};
use super::connection_pool::ConnectionPool;
use super::hedge::Hedging;
use super::transport::{ByteStream, Transport};
use crate::Token;
use crate::trace::span::{self, Span, TRACEPARENT};
use crate::world;

/// How a client connects, and what it sends with every request.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The timeout of a TCP connection attempt.
    pub connect_timeout: Duration,
    /// How long a connection may be silent before TCP keepalive probes the other side, and the time
    /// between its three probes. `None` is 15 s, which suffices because every request has a timeout
    /// of its own.
    pub keepalive: Option<Duration>,
    /// The internal token, if the other side requires it.
    pub token: Option<Token>,
    /// Further headers.
    pub headers: HeaderMap,
}

/// Sends requests. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    measured: Option<Measured>,
    hedging: Hedging,
}

/// The service under whose name the requests are counted.
#[derive(Clone, Debug)]
struct Measured {
    metrics: ClientMetrics,
    target: Arc<str>,
}

impl Client {
    /// A client without connections; they are opened when they are needed.
    pub fn new(options: ClientOptions) -> Self {
        let ClientOptions { connect_timeout, keepalive, token, mut headers } = options;
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.secret()).expect("a token is visible ASCII");
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(INTERNAL_TOKEN_HEADER), value);
        }
        let transport = match world::current() {
            Some(world) => Transport::World { world, headers },
            None => Transport::Tcp(ConnectionPool::new(connect_timeout, keepalive, headers)),
        };
        Self { transport, measured: None, hedging: Hedging::default() }
    }

    /// The same client, whose requests are counted as requests to `target`: the name of a service,
    /// not an address.
    #[must_use]
    pub fn measured(&self, metrics: &ClientMetrics, target: &str) -> Self {
        let measured = Some(Measured { metrics: metrics.clone(), target: target.into() });
        Self { measured, ..self.clone() }
    }

    /// Sends `request` and reads the response: status and body.
    pub async fn send(&self, to: &Address, mut request: ClientRequest<'_>) -> Result<(StatusCode, Bytes), SendError> {
        let span = self.traced(&mut request);
        let timer = self.measured.as_ref().map(|it| it.metrics.begin(&it.target, request.route));
        let response = self.exchange(to, request).await;
        if let Some(timer) = timer {
            timer.ended(response.as_ref());
        }
        if let Some(span) = span
            && let Ok((status, _)) = &response
        {
            span.answered(status.as_u16());
        }
        response
    }

    /// Sends `request`, and returns the status and the body as it arrives. The request's timeout is
    /// for the head of the response; its bound of the body's length does not apply.
    pub async fn open(&self, to: &Address, request: ClientRequest<'_>) -> Result<(StatusCode, ByteStream), SendError> {
        self.transport.open(to, request).await
    }

    /// Starts the request's span and adds its header, if this task works on behalf of a span.
    fn traced(&self, request: &mut ClientRequest<'_>) -> Option<Span> {
        let target = self.measured.as_ref().map_or("", |it| &*it.target);
        let span = span::call(&request.method, request.route, target)?;
        request.headers.insert(TRACEPARENT, span.header());
        Some(span)
    }

    async fn exchange(&self, to: &Address, request: ClientRequest<'_>) -> Result<(StatusCode, Bytes), SendError> {
        match request.hedge.clone() {
            // Boxed: otherwise every future that sends a request would reserve space for a race
            // that it rarely runs.
            Some(hedge) if request.is_repeatable() => {
                Box::pin(self.hedging.send(hedge, self.transport.clone(), to, request)).await
            }
            _ => self.transport.send(to, request).await,
        }
    }
}
