//! A request to another process, and why it may have no response.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use futures::Stream;

use super::hedge_policy::Hedge;

/// One request.
pub struct ClientRequest<'a> {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// The path's template, under which the request is counted.
    pub route: &'static str,
    /// Headers in addition to the client's own.
    pub headers: HeaderMap,
    /// The body.
    pub body: Payload,
    /// The timeout until the last byte of the response. With `None` the caller bounds the request
    /// in another way.
    pub timeout: Option<Duration>,
    /// The longest response body that is read, in bytes.
    pub response_bytes_max: usize,
    /// Whether more copies are sent while there is no response. A request with a streamed body is
    /// sent once.
    pub hedge: Option<Hedge>,
}

/// The body of a request.
pub enum Payload {
    /// No body.
    Empty,
    /// Bytes in memory.
    Whole(Bytes),
    /// Bytes that are produced while they are sent.
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl ClientRequest<'_> {
    /// Whether the same bytes can be sent again.
    pub(super) fn is_repeatable(&self) -> bool {
        !matches!(self.body, Payload::Stream(_))
    }
}

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The host is up and refuses the connection: the process is gone and has not seen the request.
    #[error("connection refused: {0}")]
    NotListening(String),
    /// No connection: the other side has not seen the request.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The timeout expired.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke, or the response is malformed.
    #[error("connection broke: {0}")]
    Broken(String),
}

impl SendError {
    /// The response exceeds [`ClientRequest::response_bytes_max`].
    pub(super) fn response_too_long() -> Self {
        Self::Broken("the response is too long".to_owned())
    }
}
