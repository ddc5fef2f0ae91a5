//! One kept-alive connection: a request's bytes out, an answer's status in.

use std::io;
use std::time::Duration;

use api::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// A lost SYN is sent again after 1, 3 and 7 s; a full backlog loses them.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two tries to open a connection again.
pub(super) const REOPEN_PAUSE: Duration = Duration::from_millis(20);

/// The longest answer, in bytes: a product or an error has far less.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Headers in an answer.
const HEADERS_MAX: usize = 32;

/// A connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("no connection to {to}: {source}")]
pub struct ConnectError {
    to: Address,
    source: io::Error,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The time was up.
    Silent,
    /// The connection broke, or what came was no answer.
    Broken(io::Error),
}

impl From<io::Error> for NoAnswer {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// What is looked at in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whether it says when to come again.
    pub(super) retry_after: bool,
}

/// An open connection with nothing under way.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(to: Address) -> Result<Self, ConnectError> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(to.as_str())).await;
        let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let opened = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        opened.map(|stream| Self { stream, received: Vec::new() }).map_err(|source| ConnectError { to, source })
    }

    /// Sends a request and reads its answer. After an error the connection is of no more use.
    pub(super) async fn exchange(&mut self, request: &[u8], deadline: Instant) -> Result<Answer, NoAnswer> {
        let exchange = async {
            self.stream.write_all(request).await?;
            self.receive().await
        };
        timeout_at(deadline, exchange).await.unwrap_or(Err(NoAnswer::Silent))
    }

    async fn receive(&mut self) -> Result<Answer, NoAnswer> {
        self.received.clear();
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Some((answer, bytes)) = parse(&self.received)?
                && self.received.len() >= bytes
            {
                return Ok(answer);
            }
            if self.received.len() > ANSWER_BYTES_MAX {
                return Err(nonsense("it is too long").into());
            }
        }
    }
}

/// The answer's head, and how long head and body are together; `None` while the head is not complete.
fn parse(received: &[u8]) -> io::Result<Option<(Answer, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(received) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(nonsense(&error.to_string())),
    };
    let status = response.code.ok_or_else(|| nonsense("it has no status"))?;
    let header = |name: &str| response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let body = header("content-length").and_then(|length| str::from_utf8(length.value).ok()?.parse::<usize>().ok());
    let body = body.ok_or_else(|| nonsense("it does not say how long it is"))?;
    Ok(Some((Answer { status, retry_after: header("retry-after").is_some() }, head.saturating_add(body))))
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer makes no sense: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_length() {
        let head = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\n";
        let answer = Answer { status: 503, retry_after: true };
        assert_eq!(parse(head.as_bytes()).unwrap(), Some((answer, head.len() + 4)));
        assert_eq!(parse(&head.as_bytes()[..head.len() - 1]).unwrap(), None);
        let plain = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(parse(plain.as_bytes()).unwrap(), Some((Answer { status: 200, retry_after: false }, plain.len())));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for bad in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "220 mail\r\n\r\n"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
