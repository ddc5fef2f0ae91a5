//! Requests from one service to another: JSON over kept-alive HTTP/1.1, with a time-out each.
//!
//! [`CallError`] tells apart what a caller must tell apart: was nothing sent, is the outcome unknown, or did the other side
//! refuse? Whoever retries does it by that, with the same ids.

use std::time::Duration;

use api::{Address, ApiError, Data, ErrorBody, ErrorCode, INTERNAL_TOKEN_HEADER};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Token;

/// Time for a TCP connection within one site: a lost SYN is sent again after 1 s, and by then another replica is the better bet.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Idle connections are dropped before the server (30 s) would.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

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

/// A client for the internal ports. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct Caller(Client);

impl Caller {
    /// With the token that the internal ports want, if there is one.
    ///
    /// # Panics
    /// If the process cannot have an HTTP client at all.
    pub fn new(token: Option<&Token>) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.secret()).expect("a token is visible ASCII");
            value.set_sensitive(true);
            headers.insert(INTERNAL_TOKEN_HEADER, value);
        }
        let client = Client::builder()
            .default_headers(headers)
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("an HTTP client can be made");
        Self(client)
    }

    /// `GET`.
    pub async fn get<T: DeserializeOwned>(&self, to: &Address, path: &str, timeout: Duration) -> Result<T, CallError> {
        self.send::<(), T>(Method::GET, to, path, None, timeout).await
    }

    /// `POST` with a JSON body.
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        to: &Address,
        path: &str,
        body: &B,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.send(Method::POST, to, path, Some(body), timeout).await
    }

    /// `DELETE`, with or without a JSON body.
    pub async fn delete<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        to: &Address,
        path: &str,
        body: Option<&B>,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.send(Method::DELETE, to, path, body, timeout).await
    }

    /// `GET` of a path that answers with its status alone, such as `/readyz`.
    ///
    /// # Errors
    /// What the other side says is wrong, or that it does not answer.
    pub async fn probe(&self, to: &Address, path: &str, timeout: Duration) -> Result<(), String> {
        let response = self.0.get(to.url(path)).timeout(timeout).send().await;
        let response = response.map_err(|error| failure(to, &error).to_string())?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(response.text().await.map_or_else(|error| error.to_string(), |reason| reason.trim().to_owned()))
    }

    async fn send<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        to: &Address,
        path: &str,
        body: Option<&B>,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let mut request = self.0.request(method, to.url(path)).timeout(timeout);
        if let Some(body) = body {
            request = request.json(body);
        }
        let failed = |error| failure(to, &error);
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(failed)?;
        let garbled = |error| CallError::Unknown { address: to.clone(), what: format!("garbled answer: {error}") };
        if status.is_success() {
            serde_json::from_slice::<Data<T>>(&bytes).map(|answer| answer.data).map_err(garbled)
        } else {
            Err(CallError::Refused(serde_json::from_slice::<ErrorBody>(&bytes).map_err(garbled)?.error))
        }
    }
}

fn failure(to: &Address, error: &reqwest::Error) -> CallError {
    if error.is_connect() {
        return CallError::Unreachable(to.clone());
    }
    let what = if error.is_timeout() { "no answer in time".to_owned() } else { format!("connection broke: {error:?}") };
    CallError::Unknown { address: to.clone(), what }
}
