//! One connection: a request's bytes out, an answer's status and body in.

use std::io;
use std::ops::Range;
use std::time::Duration;

use api::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// A lost SYN is sent again after 1, 3 and 7 s; a full backlog loses them.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// There was no connection: the store has seen nothing.
    Unreachable(ConnectError),
    /// The connection broke, or what came was no answer.
    Broken(io::Error),
}

impl From<io::Error> for NoAnswer {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// What is looked at in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whether it says when to come again.
    pub(super) retry_after: bool,
    /// Whether it was the last one on its connection.
    close: bool,
    /// Where its body is in what was received.
    body: Range<usize>,
}

impl Answer {
    /// 200 to 299.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A connection to one target, opened when it is needed.
#[derive(Debug)]
pub(super) struct Connection {
    target: Address,
    keep_alive: bool,
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

impl Connection {
    /// Not open yet. Without `keep_alive` each request has a connection of its own.
    pub(super) fn new(target: Address, keep_alive: bool) -> Self {
        Self { target, keep_alive, stream: None, received: Vec::new() }
    }

    /// Opens it, if it is to stay open.
    pub(super) async fn opened(mut self) -> Result<Self, ConnectError> {
        self.stream = Some(connect(&self.target).await?).filter(|_| self.keep_alive);
        Ok(self)
    }

    /// Sends a request and reads its answer, on a new connection if there is none.
    pub(super) async fn exchange(&mut self, request: &[u8], deadline: Instant) -> Result<Answer, NoAnswer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => timeout_at(deadline, connect(&self.target))
                .await
                .map_err(|_| NoAnswer::Silent)?
                .map_err(NoAnswer::Unreachable)?,
        };
        let exchange = async {
            stream.write_all(request).await?;
            receive(&mut stream, &mut self.received).await
        };
        let answer = timeout_at(deadline, exchange).await.unwrap_or(Err(NoAnswer::Silent))?;
        self.stream = Some(stream).filter(|_| self.keep_alive && !answer.close);
        Ok(answer)
    }

    /// The body of the last answer.
    pub(super) fn body(&self, answer: &Answer) -> &[u8] {
        &self.received[answer.body.clone()]
    }
}

async fn connect(to: &Address) -> Result<TcpStream, ConnectError> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(to.as_str())).await;
    let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let opened = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
    opened.map_err(|source| ConnectError { to: to.clone(), source })
}

async fn receive(stream: &mut TcpStream, received: &mut Vec<u8>) -> Result<Answer, NoAnswer> {
    received.clear();
    loop {
        if stream.read_buf(received).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some(answer) = parse(received)?
            && received.len() >= answer.body.end
        {
            return Ok(answer);
        }
        if received.len() > ANSWER_BYTES_MAX {
            return Err(nonsense("it is too long").into());
        }
    }
}

/// An answer whose head is complete; `None` while it is not.
fn parse(received: &[u8]) -> io::Result<Option<Answer>> {
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
    let close = header("connection").is_some_and(|header| header.value.eq_ignore_ascii_case(b"close"));
    let retry_after = header("retry-after").is_some();
    Ok(Some(Answer { status, retry_after, close, body: head..head.saturating_add(body) }))
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
        let body = head.len()..head.len() + 4;
        let answer = Answer { status: 503, retry_after: true, close: false, body };
        assert_eq!(parse(head.as_bytes()).unwrap(), Some(answer));
        assert_eq!(parse(&head.as_bytes()[..head.len() - 1]).unwrap(), None);
        let last = "HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n";
        let body = last.len()..last.len();
        assert_eq!(
            parse(last.as_bytes()).unwrap(),
            Some(Answer { status: 200, retry_after: false, close: true, body })
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for bad in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "220 mail\r\n\r\n"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
