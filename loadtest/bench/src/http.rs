//! As little of an HTTP client as a measurement can do with: one kept-alive connection, GET, answers that say how long they are.

use std::fmt::{Display, Write as _};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest answer that is read, in bytes: a product or an order has some hundred.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// A connection that is kept open.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    request: String,
    answer: Vec<u8>,
}

impl Connection {
    /// Opens one.
    pub(crate) async fn open(to: impl Display) -> Result<Self> {
        let host = to.to_string();
        let stream = TcpStream::connect(&host).await.with_context(|| format!("{host} cannot be reached"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host, request: String::new(), answer: Vec::new() })
    }

    /// Asks, and gives back the whole answer as it came, whatever its status is.
    pub(crate) async fn get(&mut self, path: impl Display) -> Result<&[u8]> {
        let Self { stream, host, request, answer } = self;
        request.clear();
        write!(request, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
        stream.write_all(request.as_bytes()).await?;
        answer.clear();
        while !is_whole(answer)? {
            ensure!(answer.len() < ANSWER_BYTES_MAX, "the answer of {host} is too long");
            ensure!(stream.read_buf(answer).await? > 0, "{host} hung up");
        }
        Ok(answer)
    }
}

/// Asks once, over a connection of its own.
pub(crate) async fn fetch(from: impl Display, path: impl Display) -> Result<Vec<u8>> {
    Ok(Connection::open(from).await?.get(path).await?.to_vec())
}

/// Where an answer's head ends and its body begins; `None` while that has not come.
pub(crate) fn head_end(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(end) = head_end(answer) else { return Ok(false) };
    let mut lines = std::str::from_utf8(&answer[..end])?.lines();
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    });
    Ok(answer.len() >= end + length.context("an answer does not say how long it is")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is_there() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        for end in 0..answer.len() {
            assert!(!is_whole(&answer[..end]).unwrap(), "{end}");
        }
        assert!(is_whole(answer).unwrap());
        assert!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
