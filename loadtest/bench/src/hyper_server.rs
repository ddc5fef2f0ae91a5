//! The least that a hyper server can be: every request gets the same answer.
//!
//! What a frontend does for a cached product beyond this is what it costs: routing, the cache, the lease, counting, bounds.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::http::head_end;
use crate::options::BareHyper;

/// Threads that serve, by the rules of P1.
pub(crate) const WORKERS: usize = 2;

/// Serves until its standard input closes: until whoever started it is gone.
pub(crate) async fn serve(options: &BareHyper) -> Result<()> {
    let answer = Answer::parse(&std::fs::read(&options.answer)?)?;
    let listener = TcpListener::bind(options.listen).await.context("the port cannot be had")?;
    tokio::select! {
        failed = accept(&listener, &answer) => failed,
        _ = async { tokio::io::stdin().read(&mut [0]).await } => Ok(()),
    }
}

async fn accept(listener: &TcpListener, answer: &Answer) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        tokio::spawn(async move {
            let reply = service_fn(move |_| std::future::ready(Ok::<_, Infallible>(answer.response())));
            // A client that goes away is none of its business.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), reply).await;
        });
    }
}

/// An answer 200: its headers, but for those that hyper writes by itself, and its body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// Reads an answer from its bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let end = head_end(bytes).context("the answer's head has no end")?;
        let mut lines = std::str::from_utf8(&bytes[..end])?.trim_end().split("\r\n");
        let status = lines.next().unwrap_or_default();
        ensure!(status == "HTTP/1.1 200 OK", "the answer begins with {status:?}");
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").with_context(|| format!("{line:?} is no header"))?;
            headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        let body = Bytes::copy_from_slice(&bytes[end..]);
        let length = headers.remove(CONTENT_LENGTH).context("the answer does not say how long it is")?;
        ensure!(length.as_bytes() == body.len().to_string().as_bytes(), "the answer's body is not as long as it says");
        headers.remove(DATE);
        Ok(Self { headers, body })
    }

    fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.clone()));
        response.headers_mut().clone_from(&self.headers);
        response
    }

    /// How many bytes its body has.
    pub(crate) fn body_len(&self) -> usize {
        self.body.len()
    }
}

/// What two servers' answers must have in common: all but the date, which is as long in both.
pub(crate) fn without_date(answer: &[u8]) -> Result<Vec<String>> {
    let text = std::str::from_utf8(answer)?;
    let lines = text.split("\r\n").map(|line| match line.split_once(": ") {
        Some((name, _)) if name.eq_ignore_ascii_case("date") => "date".to_owned(),
        _ => line.to_owned(),
    });
    Ok(lines.collect())
}

/// Writes `answer` to `file`, for a server to serve.
pub(crate) fn save(file: &Path, answer: &[u8]) -> Result<()> {
    std::fs::write(file, answer).with_context(|| format!("{} cannot be written", file.display()))
}

/// A port on the loopback interface that nobody listens on now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fetch;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\ndate: Sat, 01 Jan 2000 00:00:00 GMT\r\n\r\n{}";

    #[tokio::test]
    async fn it_answers_the_same_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answer = Answer::parse(ANSWER.as_bytes()).unwrap();
        tokio::spawn(async move { accept(&listener, &answer).await });
        let fetched = fetch(&address, "/products/Tux").await.unwrap();
        assert_eq!(without_date(&fetched).unwrap(), without_date(ANSWER.as_bytes()).unwrap());
        assert_eq!(fetched.len(), ANSWER.len());
    }

    #[test]
    fn only_a_whole_answer_is_one() {
        for bad in [
            "",
            "HTTP/1.1 404 Not Found\r\n\r\n",
            &ANSWER.replace("{}", "{}}"),
            &ANSWER.replace("content-length: 2\r\n", ""),
        ] {
            assert!(Answer::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
