//! Sending a request once: over TCP, or through the [`World`] of a simulation.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::Address;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt};
use http_body_util::BodyDataStream;
use tokio::time::timeout;

use super::client_request::{ClientRequest, Payload, SendError};
use super::connection_pool::ConnectionPool;
use crate::world::{ConnectionError, World};

/// The body of a response, as it arrives.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// How requests reach the other process. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub(super) enum Transport {
    Tcp(ConnectionPool),
    World { world: Arc<dyn World>, headers: HeaderMap },
}

impl Transport {
    /// Sends the request once.
    pub(super) async fn send(
        &self,
        to: &Address,
        request: ClientRequest<'_>,
    ) -> Result<(StatusCode, Bytes), SendError> {
        let time = request.timeout;
        // Boxed: the future is some KiB, and would be part of each one that sends a request.
        let exchange = Box::pin(async {
            match self {
                Self::Tcp(pool) => pool.exchange(to, request).await,
                Self::World { world, headers } => send_through(world, headers, to, request).await,
            }
        });
        within(time, exchange).await
    }

    /// Sends the request once, and returns the response's body as it arrives. The request's timeout
    /// is for the head of the response. A simulated world has no such responses.
    pub(super) async fn open(
        &self,
        to: &Address,
        request: ClientRequest<'_>,
    ) -> Result<(StatusCode, ByteStream), SendError> {
        let Self::Tcp(pool) = self else {
            return Err(SendError::Broken("a simulated world has no streams".to_owned()));
        };
        let (head, body) = within(request.timeout, Box::pin(pool.open(to, request))).await?.into_parts();
        Ok((head.status, Box::pin(BodyDataStream::new(body).map_err(io::Error::other))))
    }
}

/// Waits for a response for at most this time.
pub(super) async fn within<T>(
    time: Option<Duration>,
    response: impl Future<Output = Result<T, SendError>>,
) -> Result<T, SendError> {
    match time {
        Some(time) => timeout(time, response).await.unwrap_or(Err(SendError::TimedOut)),
        None => response.await,
    }
}

async fn send_through(
    world: &Arc<dyn World>,
    headers: &HeaderMap,
    to: &Address,
    request: ClientRequest<'_>,
) -> Result<(StatusCode, Bytes), SendError> {
    let body = match request.body {
        Payload::Empty => Bytes::new(),
        Payload::Whole(bytes) => bytes,
        Payload::Stream(stream) => collect(stream).await.map_err(|error| SendError::Broken(error.to_string()))?,
    };
    let built = Request::builder().method(request.method).uri(request.path).body(body);
    let mut sent = built.map_err(|error| SendError::Broken(error.to_string()))?;
    sent.headers_mut().extend(headers.clone());
    sent.headers_mut().extend(request.headers);
    let response = world.send(to.clone(), sent).await;
    let (parts, body) = response.map_err(send_error)?.into_parts();
    if body.len() > request.response_bytes_max { Err(SendError::response_too_long()) } else { Ok((parts.status, body)) }
}

async fn collect(stream: impl Stream<Item = io::Result<Bytes>> + Unpin) -> io::Result<Bytes> {
    let body = stream.try_fold(BytesMut::new(), async |mut body, chunk| {
        body.extend_from_slice(&chunk);
        Ok(body)
    });
    body.await.map(BytesMut::freeze)
}

fn send_error(lost: ConnectionError) -> SendError {
    match lost {
        ConnectionError::Refused => SendError::NotListening(lost.to_string()),
        ConnectionError::Reset => SendError::Broken(lost.to_string()),
    }
}
