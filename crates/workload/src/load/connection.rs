//! One connection: writes a request's bytes, reads the response's status and body.

use std::io;
use std::ops::Range;
use std::time::Duration;

use api::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::StoreClientError;

/// A lost SYN is sent again after 1, 3 and 7 s. A server whose backlog is full loses SYNs.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest response, in bytes. A product or an error is much shorter.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// The maximum number of headers in a response.
const HEADERS_MAX: usize = 32;

/// A connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {to}: {source}")]
pub struct ConnectError {
    to: Address,
    source: io::Error,
}

/// The parts of a response that are evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoadResponse {
    pub(super) status: u16,
    /// Whether it has a `Retry-After` header.
    pub(super) retry_after: bool,
    /// Whether the server closes the connection after it.
    close: bool,
    /// The position of the body in the received bytes.
    body: Range<usize>,
}

impl LoadResponse {
    /// Whether the status is 200 to 299.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A connection to one target, opened when it is needed.
#[derive(Debug)]
pub(super) struct LoadConnection {
    target: Address,
    keep_alive: bool,
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

impl LoadConnection {
    /// A connection that is not open yet. Without `keep_alive`, each request opens a new one.
    pub(super) fn new(target: Address, keep_alive: bool) -> Self {
        Self { target, keep_alive, stream: None, received: Vec::new() }
    }

    /// Connects, and keeps the connection open if `keep_alive` is set.
    pub(super) async fn opened(mut self) -> Result<Self, ConnectError> {
        self.stream = Some(connect(&self.target).await?).filter(|_| self.keep_alive);
        Ok(self)
    }

    /// Sends a request and reads its response, on a new connection if none is open. A malformed
    /// response counts as a lost connection.
    pub(super) async fn exchange(
        &mut self,
        request: &[u8],
        timeout: Duration,
    ) -> Result<LoadResponse, StoreClientError> {
        let deadline = Instant::now() + timeout;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => timeout_at(deadline, connect(&self.target))
                .await
                .map_err(|_| StoreClientError::Timeout(timeout))?
                .map_err(|error| StoreClientError::Unreachable(error.to_string()))?,
        };
        let exchange = async {
            stream.write_all(request).await?;
            receive(&mut stream, &mut self.received).await
        };
        let response = timeout_at(deadline, exchange)
            .await
            .map_err(|_| StoreClientError::Timeout(timeout))?
            .map_err(|error| StoreClientError::ConnectionLost(error.to_string()))?;
        self.stream = Some(stream).filter(|_| self.keep_alive && !response.close);
        Ok(response)
    }

    /// The body of the last response.
    pub(super) fn body(&self, response: &LoadResponse) -> &[u8] {
        &self.received[response.body.clone()]
    }
}

async fn connect(to: &Address) -> Result<TcpStream, ConnectError> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(to.as_str())).await;
    let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let opened = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
    opened.map_err(|source| ConnectError { to: to.clone(), source })
}

async fn receive(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<LoadResponse> {
    received.clear();
    loop {
        if stream.read_buf(received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(response) = parse(received)?
            && received.len() >= response.body.end
        {
            return Ok(response);
        }
        if received.len() > RESPONSE_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
    }
}

/// Parses a response whose head is complete; `None` while it is not.
fn parse(received: &[u8]) -> io::Result<Option<LoadResponse>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(received) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(malformed(&error.to_string())),
    };
    let status = response.code.ok_or_else(|| malformed("it has no status"))?;
    let header = |name: &str| response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let body = header("content-length").and_then(|length| str::from_utf8(length.value).ok()?.parse::<usize>().ok());
    let body = body.ok_or_else(|| malformed("it has no valid Content-Length"))?;
    let close = header("connection").is_some_and(|header| header.value.eq_ignore_ascii_case(b"close"));
    let retry_after = header("retry-after").is_some();
    Ok(Some(LoadResponse { status, retry_after, close, body: head..head.saturating_add(body) }))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed response: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_has_a_status_and_a_length() {
        let head = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\n";
        let body = head.len()..head.len() + 4;
        let response = LoadResponse { status: 503, retry_after: true, close: false, body };
        assert_eq!(parse(head.as_bytes()).unwrap(), Some(response));
        assert_eq!(parse(&head.as_bytes()[..head.len() - 1]).unwrap(), None);
        let last = "HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n";
        let body = last.len()..last.len();
        assert_eq!(
            parse(last.as_bytes()).unwrap(),
            Some(LoadResponse { status: 200, retry_after: false, close: true, body })
        );
    }

    #[test]
    fn a_malformed_response_is_an_error() {
        for bad in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "220 mail\r\n\r\n"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
