//! A minimal HTTP client for measurements: one keep-alive connection, GET requests, responses with
//! a `Content-Length`.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// The longest response that is read, in bytes: a product or an order has a few hundred.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// How long a started server may take to answer, and how often it is asked.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A keep-alive connection.
#[derive(Debug)]
pub(crate) struct HttpConnection {
    stream: TcpStream,
    host: String,
    request: String,
    response: Vec<u8>,
}

impl HttpConnection {
    /// Connects.
    pub(crate) async fn open(to: impl Display) -> Result<Self> {
        let host = to.to_string();
        let stream = TcpStream::connect(&host).await.with_context(|| format!("cannot connect to {host}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host, request: String::new(), response: Vec::new() })
    }

    /// Sends a GET request, and returns the bytes of the response, whatever its status is.
    pub(crate) async fn get(&mut self, path: impl Display) -> Result<&[u8]> {
        let Self { stream, host, request, response } = self;
        request.clear();
        write!(request, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
        stream.write_all(request.as_bytes()).await?;
        response.clear();
        while !is_complete(response)? {
            ensure!(response.len() < RESPONSE_BYTES_MAX, "the response of {host} is too long");
            ensure!(stream.read_buf(response).await? > 0, "{host} closed the connection");
        }
        Ok(response)
    }
}

/// Sends one GET request over a new connection.
pub(crate) async fn fetch(from: impl Display, path: impl Display) -> Result<Vec<u8>> {
    Ok(HttpConnection::open(from).await?.get(path).await?.to_vec())
}

/// The response of a server that has just been started, as soon as it gives one.
///
/// # Errors
/// If it gives none within ten seconds.
pub(crate) async fn fetch_from_started(from: impl Display, path: impl Display) -> Result<Vec<u8>> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match fetch(&from, &path).await {
            Ok(response) => return Ok(response),
            Err(error) if Instant::now() > deadline => return Err(error.context("the server does not answer")),
            Err(_) => sleep(POLL_INTERVAL).await,
        }
    }
}

/// The position where a response's head ends and its body begins; `None` if the head is incomplete.
pub(crate) fn head_end(response: &[u8]) -> Option<usize> {
    response.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn is_complete(response: &[u8]) -> Result<bool> {
    let Some(end) = head_end(response) else { return Ok(false) };
    let mut lines = std::str::from_utf8(&response[..end])?.lines();
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    });
    Ok(response.len() >= end + length.context("a response has no Content-Length")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_complete_when_its_body_is_there() {
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        for end in 0..response.len() {
            assert!(!is_complete(&response[..end]).unwrap(), "{end}");
        }
        assert!(is_complete(response).unwrap());
        assert!(is_complete(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
