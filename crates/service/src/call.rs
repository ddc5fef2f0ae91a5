//! Requests from one service to another: JSON over kept-alive HTTP/1.1, with a time-out each.
//!
//! [`CallError`] tells apart what a caller must tell apart: was nothing sent, is the outcome unknown, or did the other side
//! refuse? Whoever retries does it by that, with the same ids.

use std::time::Duration;

use api::{Address, ApiError, Data, ErrorBody, ErrorCode};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Token;
use crate::http::{CallMetrics, Client, ClientOptions, Outgoing, Payload, SendError};

/// Time for a TCP connection within one site: a lost SYN is sent again after 1 s, and by then another replica is the better bet.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// The longest answer that is read, in bytes: the whole catalog, a hundred times over.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection: the other side has seen nothing.
    #[error("{0} cannot be reached")]
    Unreachable(Address),
    /// The connection broke, or the time was up: the other side may or may not have done it.
    #[error("{address}: {what}")]
    Unknown {
        /// Whom we asked.
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
            Self::Unreachable(_) | Self::Unknown { .. } => None,
        }
    }
}

/// What is asked for: a path, and the template under which the request is counted. A path without parameters is its own template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    template: &'static str,
    path: &'a str,
}

impl<'a> Route<'a> {
    /// `path`, which is `template` with its parameters filled in, and perhaps a query.
    pub fn filled(template: &'static str, path: &'a str) -> Self {
        Self { template, path }
    }
}

impl From<&'static str> for Route<'static> {
    fn from(path: &'static str) -> Self {
        Self { template: path, path }
    }
}

/// A client for the internal ports. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct Caller(Client);

impl Caller {
    /// With the token that the internal ports want, if there is one.
    ///
    /// # Panics
    /// If the process cannot have an HTTP client at all.
    pub fn new(token: Option<&Token>) -> Self {
        let options = ClientOptions {
            connect_timeout: CONNECT_TIMEOUT,
            keepalive: None,
            token: token.cloned(),
            headers: HeaderMap::new(),
        };
        let client = Client::new(options).expect("an HTTP client can be made");
        Self(client)
    }

    /// The same, whose requests are counted as those to the service `target`.
    #[must_use]
    pub fn measured(&self, metrics: &CallMetrics, target: &str) -> Self {
        Self(self.0.measured(metrics, target))
    }

    /// `GET`.
    pub async fn get<'a, T: DeserializeOwned>(
        &self,
        to: &Address,
        route: impl Into<Route<'a>>,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.send::<(), T>(Method::GET, to, route.into(), None, timeout).await
    }

    /// `POST` with a JSON body.
    pub async fn post<'a, B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        to: &Address,
        route: impl Into<Route<'a>>,
        body: &B,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.send(Method::POST, to, route.into(), Some(body), timeout).await
    }

    /// `DELETE`, with or without a JSON body.
    pub async fn delete<'a, B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        to: &Address,
        route: impl Into<Route<'a>>,
        body: Option<&B>,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.send(Method::DELETE, to, route.into(), body, timeout).await
    }

    /// `GET` of a path that answers with its status alone, such as `/readyz`.
    ///
    /// # Errors
    /// What the other side says is wrong, or that it does not answer.
    pub async fn probe<'a>(&self, to: &Address, route: impl Into<Route<'a>>, timeout: Duration) -> Result<(), String> {
        self.text(to, route, timeout).await.map(drop)
    }

    /// `GET` of plain text, such as `/metrics`.
    ///
    /// # Errors
    /// What the other side says is wrong, or that it does not answer.
    pub async fn text<'a>(
        &self,
        to: &Address,
        route: impl Into<Route<'a>>,
        timeout: Duration,
    ) -> Result<String, String> {
        let request = outgoing(Method::GET, route.into(), timeout);
        let (status, body) = self.0.send(to, request).await.map_err(|error| failure(to, &error).to_string())?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() { Ok(text) } else { Err(text.trim().to_owned()) }
    }

    async fn send<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        to: &Address,
        route: Route<'_>,
        body: Option<&B>,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let mut request = outgoing(method, route, timeout);
        if let Some(body) = body {
            let json = serde_json::to_vec(body).expect("a body can be encoded: it is plain data");
            request.body = Payload::Whole(json.into());
            request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        // Boxed: it is the largest part by far of every future that asks something, and would be moved about in all of them.
        let (status, bytes): (StatusCode, Bytes) =
            Box::pin(self.0.send(to, request)).await.map_err(|error| failure(to, &error))?;
        let garbled = |error| CallError::Unknown { address: to.clone(), what: format!("garbled answer: {error}") };
        if status.is_success() {
            serde_json::from_slice::<Data<T>>(&bytes).map(|answer| answer.data).map_err(garbled)
        } else {
            Err(CallError::Refused(serde_json::from_slice::<ErrorBody>(&bytes).map_err(garbled)?.error))
        }
    }
}

fn outgoing(method: Method, route: Route<'_>, timeout: Duration) -> Outgoing<'_> {
    let (headers, answer_max) = (HeaderMap::new(), ANSWER_BYTES_MAX);
    Outgoing {
        method,
        path: route.path,
        route: route.template,
        headers,
        body: Payload::Empty,
        timeout: Some(timeout),
        answer_max,
    }
}

fn failure(to: &Address, error: &SendError) -> CallError {
    match error {
        SendError::Unreachable(_) => CallError::Unreachable(to.clone()),
        SendError::TimedOut | SendError::Broken(_) => {
            CallError::Unknown { address: to.clone(), what: error.to_string() }
        }
    }
}
