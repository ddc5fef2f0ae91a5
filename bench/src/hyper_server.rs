//! A minimal hyper server: every request gets the same response.
//!
//! A frontend that serves a cached product also pays for routing, the cache, the lease, metrics,
//! and limits. The difference between the two is this cost.

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

/// The number of worker threads, of nginx as well, as defined by P1.
pub(crate) const WORKERS: usize = 2;

/// Serves until its standard input is closed, which happens when the parent process ends.
pub(crate) async fn serve(options: &BareHyper) -> Result<()> {
    let response = CannedResponse::parse(&std::fs::read(&options.response)?)?;
    let listener = TcpListener::bind(options.listen).await.context("cannot open the port")?;
    tokio::select! {
        failed = accept(&listener, &response) => failed,
        _ = async { tokio::io::stdin().read(&mut [0]).await } => Ok(()),
    }
}

async fn accept(listener: &TcpListener, response: &CannedResponse) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let response = response.clone();
        tokio::spawn(async move {
            let reply = service_fn(move |_| std::future::ready(Ok::<_, Infallible>(response.response())));
            // A client may close the connection at any time.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), reply).await;
        });
    }
}

/// A response with status 200: its headers, without those that hyper adds, and its body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CannedResponse {
    headers: HeaderMap,
    body: Bytes,
}

impl CannedResponse {
    /// Parses the bytes of a response.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let end = head_end(bytes).context("the response's head is incomplete")?;
        let mut lines = std::str::from_utf8(&bytes[..end])?.trim_end().split("\r\n");
        let status = lines.next().unwrap_or_default();
        ensure!(status == "HTTP/1.1 200 OK", "the response begins with {status:?}");
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").with_context(|| format!("{line:?} is not a header"))?;
            headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        let body = Bytes::copy_from_slice(&bytes[end..]);
        let length = headers.remove(CONTENT_LENGTH).context("the response has no Content-Length")?;
        ensure!(
            length.as_bytes() == body.len().to_string().as_bytes(),
            "the response's body does not match its Content-Length"
        );
        headers.remove(DATE);
        Ok(Self { headers, body })
    }

    fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.clone()));
        response.headers_mut().clone_from(&self.headers);
        response
    }

    /// Its headers, without those that servers add.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its body.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }
}

/// The lines of a response, without the value of the date: two servers' responses must be equal
/// except for it.
pub(crate) fn without_date(response: &[u8]) -> Result<Vec<String>> {
    let text = std::str::from_utf8(response)?;
    let lines = text.split("\r\n").map(|line| match line.split_once(": ") {
        Some((name, _)) if name.eq_ignore_ascii_case("date") => "date".to_owned(),
        _ => line.to_owned(),
    });
    Ok(lines.collect())
}

/// Writes `response` to `file`, for the server to return.
pub(crate) fn save(file: &Path, response: &[u8]) -> Result<()> {
    std::fs::write(file, response).with_context(|| format!("cannot write {}", file.display()))
}

/// A port on the loopback interface that is free now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fetch;

    const RESPONSE: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\ndate: Sat, 01 Jan 2000 00:00:00 GMT\r\n\r\n{}";

    #[tokio::test]
    async fn the_server_returns_the_same_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let response = CannedResponse::parse(RESPONSE.as_bytes()).unwrap();
        tokio::spawn(async move { accept(&listener, &response).await });
        let fetched = fetch(&address, "/products/Tux").await.unwrap();
        assert_eq!(without_date(&fetched).unwrap(), without_date(RESPONSE.as_bytes()).unwrap());
        assert_eq!(fetched.len(), RESPONSE.len());
    }

    #[test]
    fn incomplete_responses_are_errors() {
        for bad in [
            "",
            "HTTP/1.1 404 Not Found\r\n\r\n",
            &RESPONSE.replace("{}", "{}}"),
            &RESPONSE.replace("content-length: 2\r\n", ""),
        ] {
            assert!(CannedResponse::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
