//! A client for the internal ports: JSON over keep-alive HTTP/1.1, with a timeout for each request.
//!
//! [`CallError`] makes the distinctions that a caller needs: nothing was sent, the outcome is
//! unknown, or the other side refused. A caller decides by it whether to retry, and retries with
//! the same ids.

use std::time::Duration;

use api::{Address, ApiError, Data, ErrorBody, ErrorCode};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Token;
use crate::http::{ByteStream, Client, ClientMetrics, ClientOptions, ClientRequest, Hedge, Payload, SendError};

/// The timeout of a TCP connection attempt within one site. A lost SYN is retransmitted after 1 s;
/// by then another replica is the better choice.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// The longest response that is read, in bytes: a hundred times the whole catalog.
const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection: the other side has not seen the request.
    #[error("{0} cannot be reached")]
    Unreachable(Address),
    /// The host refuses the connection: the process is gone and has not seen the request.
    #[error("{0} refuses connections")]
    NotListening(Address),
    /// The connection broke or the timeout expired: the other side may or may not have carried out
    /// the request.
    #[error("{address}: {what}")]
    Unknown {
        /// The address of the other side.
        address: Address,
        /// What happened.
        what: String,
    },
    /// The other side refused, with a reason.
    #[error("{0}")]
    Refused(ApiError),
}

impl CallError {
    /// The error code of a refusal.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(error) => Some(error.code),
            Self::Unreachable(_) | Self::NotListening(_) | Self::Unknown { .. } => None,
        }
    }
}

/// The path of a request, and the template under which it is counted. A path without parameters is
/// its own template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPath<'a> {
    template: &'static str,
    path: &'a str,
}

impl<'a> RequestPath<'a> {
    /// `path` is `template` with its parameters filled in, optionally with a query.
    pub const fn filled(template: &'static str, path: &'a str) -> Self {
        Self { template, path }
    }
}

impl From<&'static str> for RequestPath<'static> {
    fn from(path: &'static str) -> Self {
        Self { template: path, path }
    }
}

/// A client for the internal ports. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct JsonClient {
    client: Client,
    hedge: Option<Hedge>,
}

impl JsonClient {
    /// A client that sends `token`, if there is one, with every request.
    pub fn new(token: Option<&Token>) -> Self {
        let options = ClientOptions {
            connect_timeout: CONNECT_TIMEOUT,
            keepalive: None,
            token: token.cloned(),
            headers: HeaderMap::new(),
        };
        let client = Client::new(options);
        Self { client, hedge: None }
    }

    /// The same client, which sends more copies of a request while there is no response; see
    /// [`Hedge`]. Only for requests that may be carried out more than once, and late.
    #[must_use]
    pub fn hedged(&self, hedge: Hedge) -> Self {
        Self { hedge: Some(hedge), ..self.clone() }
    }

    /// The same client, whose requests are counted as requests to the service `target`.
    #[must_use]
    pub fn measured(&self, metrics: &ClientMetrics, target: &str) -> Self {
        Self { client: self.client.measured(metrics, target), hedge: self.hedge.clone() }
    }

    /// Sends a `GET`.
    pub async fn get<'a, T: DeserializeOwned>(
        &self,
        to: &Address,
        route: impl Into<RequestPath<'a>>,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.send::<(), T>(Method::GET, to, route.into(), None, timeout).await
    }

    /// Sends a `POST` with a JSON body.
    pub async fn post<'a, B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        to: &Address,
        route: impl Into<RequestPath<'a>>,
        body: &B,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.send(Method::POST, to, route.into(), Some(body), timeout).await
    }

    /// Sends a `DELETE`, with or without a JSON body.
    pub async fn delete<'a, B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        to: &Address,
        route: impl Into<RequestPath<'a>>,
        body: Option<&B>,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.send(Method::DELETE, to, route.into(), body, timeout).await
    }

    /// Sends a `GET` to a path whose status is all that matters, such as `/readyz`.
    ///
    /// # Errors
    /// What the other side says is wrong, or that it does not answer.
    pub async fn probe<'a>(
        &self,
        to: &Address,
        route: impl Into<RequestPath<'a>>,
        timeout: Duration,
    ) -> Result<(), String> {
        self.text(to, route, timeout).await.map(drop)
    }

    /// Sends a `GET` for plain text, such as `/metrics`.
    ///
    /// # Errors
    /// What the other side says is wrong, or that it does not answer.
    pub async fn text<'a>(
        &self,
        to: &Address,
        route: impl Into<RequestPath<'a>>,
        timeout: Duration,
    ) -> Result<String, String> {
        let request = self.request(Method::GET, route.into(), timeout);
        let (status, body) = self.client.send(to, request).await.map_err(|error| call_error(to, &error).to_string())?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() { Ok(text) } else { Err(text.trim().to_owned()) }
    }

    /// Sends a `GET` whose response has no end, such as that of `/events`. `timeout` is for the
    /// head of the response; the caller decides how long the body may be silent.
    ///
    /// # Errors
    /// What the other side says is wrong, or that it does not answer.
    pub async fn stream<'a>(
        &self,
        to: &Address,
        route: impl Into<RequestPath<'a>>,
        timeout: Duration,
    ) -> Result<ByteStream, String> {
        let request = self.request(Method::GET, route.into(), timeout);
        let (status, body) = self.client.open(to, request).await.map_err(|error| call_error(to, &error).to_string())?;
        if status.is_success() { Ok(body) } else { Err(format!("{to} answers {status}")) }
    }

    fn request<'a>(&self, method: Method, route: RequestPath<'a>, timeout: Duration) -> ClientRequest<'a> {
        let (headers, response_bytes_max) = (HeaderMap::new(), RESPONSE_BYTES_MAX);
        ClientRequest {
            method,
            path: route.path,
            route: route.template,
            headers,
            body: Payload::Empty,
            timeout: Some(timeout),
            response_bytes_max,
            hedge: self.hedge.clone(),
        }
    }

    async fn send<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        to: &Address,
        route: RequestPath<'_>,
        body: Option<&B>,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let mut request = self.request(method, route, timeout);
        if let Some(body) = body {
            let json = serde_json::to_vec(body).expect("a body is plain data, which can be encoded");
            request.body = Payload::Whole(json.into());
            request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        // Boxed: this future is by far the largest part of every future that sends a request, and
        // would be moved with it.
        let (status, bytes): (StatusCode, Bytes) =
            Box::pin(self.client.send(to, request)).await.map_err(|error| call_error(to, &error))?;
        let malformed =
            |error| CallError::Unknown { address: to.clone(), what: format!("malformed response: {error}") };
        if status.is_success() {
            serde_json::from_slice::<Data<T>>(&bytes).map(|response| response.data).map_err(malformed)
        } else {
            Err(CallError::Refused(serde_json::from_slice::<ErrorBody>(&bytes).map_err(malformed)?.error))
        }
    }
}

fn call_error(to: &Address, error: &SendError) -> CallError {
    match error {
        SendError::NotListening(_) => CallError::NotListening(to.clone()),
        SendError::Unreachable(_) => CallError::Unreachable(to.clone()),
        SendError::TimedOut | SendError::Broken(_) => {
            CallError::Unknown { address: to.clone(), what: error.to_string() }
        }
    }
}
