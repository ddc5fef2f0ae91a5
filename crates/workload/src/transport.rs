//! How a request gets to the store, and its response back.

use std::time::Duration;

use api::Address;
use bytes::Bytes;
use http::{Request, Response};
use reqwest::{Client, Url};

use crate::error::StoreClientError;

/// The longest response that is read, in bytes: a list of about 50,000 products.
const RESPONSE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An idle connection is closed before the store would close it (after 30 s).
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// The way to one frontend of a store. A real one is an [`HttpTransport`]; a simulated one has a
/// transport of its own.
pub trait Transport {
    /// Sends a request, whose URI is only a path, and receives the whole response. The caller sets
    /// the deadline, and drops the future when it has passed.
    ///
    /// # Errors
    /// [`Unreachable`](StoreClientError::Unreachable) only if the store cannot have seen the
    /// request, otherwise [`ConnectionLost`](StoreClientError::ConnectionLost);
    /// [`InvalidResponse`](StoreClientError::InvalidResponse) if the response is too long.
    fn send(&self, request: Request<Bytes>) -> impl Future<Output = Result<Response<Bytes>, StoreClientError>> + Send;
}

/// One keep-alive connection.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    http: Client,
    base: Url,
}

impl HttpTransport {
    pub(crate) fn new(base: Url) -> Self {
        let http = Client::builder()
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("an HTTP client can be created");
        Self { http, base }
    }
}

impl Transport for HttpTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, StoreClientError> {
        let (head, body) = request.into_parts();
        let mut url = self.base.clone();
        url.set_path(head.uri.path());
        let request = self.http.request(head.method, url).headers(head.headers).body(body);
        let mut received = request.send().await.map_err(|error| failure(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = received.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
                return Err(StoreClientError::InvalidResponse(format!(
                    "status {}, and the body is longer than {RESPONSE_BYTES_MAX} bytes",
                    received.status()
                )));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.into());
        *response.status_mut() = received.status();
        std::mem::swap(response.headers_mut(), received.headers_mut());
        Ok(response)
    }
}

/// The URL that all paths are relative to. The error says why `front` is not a valid address.
pub fn base_url(front: &Address) -> Result<Url, String> {
    let url = Url::parse(&front.url("/")).map_err(|error| format!("{front}: {error}"))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if bare { Ok(url) } else { Err(format!("{front} is not just a host and a port")) }
}

/// Parses `host:port`. The error says what is wrong with `text`.
pub fn parse_address(text: &str) -> Result<Address, String> {
    let address = text.rsplit_once(':').and_then(|(host, port)| Some(Address::new(host, port.parse().ok()?)));
    address.filter(|address| base_url(address).is_ok()).ok_or_else(|| format!("{text:?} is not host:port"))
}

fn failure(error: &reqwest::Error) -> StoreClientError {
    if error.is_connect() {
        StoreClientError::Unreachable(root_cause(error))
    } else {
        StoreClientError::ConnectionLost(root_cause(error))
    }
}

/// The innermost cause: "connection refused" rather than "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for host in ["a/b", "a?b", "a#b", "a@b", "a b", ""] {
            assert!(base_url(&Address::new(host, 1110)).is_err(), "{host:?}");
        }
        assert_eq!(base_url(&Address::new("::1", 1110)).unwrap().as_str(), "http://[::1]:1110/");
    }
}
