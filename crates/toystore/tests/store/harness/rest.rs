//! A simple client of the public REST API.
//!
//! On a slow machine an election or a restart may take longer than the store's deadline for a
//! request. So clients repeat requests that the store could not answer, orders with the same key:
//! [`Rest::read`], [`Rest::place`] and [`Rest::repeat`] do. [`Rest::get`], [`Rest::order`] and
//! [`Rest::send`] send one request, for tests of what one request gets.

use std::time::Duration;

use api::Address;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::TIMEOUT;

/// The pause before a request is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A response.
#[derive(Debug)]
pub(crate) struct RestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl RestResponse {
    /// The error code; empty if the response is not an error.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// Whether the same request may succeed later although no fault remains: the store did not have
    /// enough time for it, or had too many requests.
    pub(crate) fn is_temporary(&self) -> bool {
        ["unavailable", "overloaded"].contains(&self.code())
    }

    /// `Retry-After`, in seconds.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
    }
}

/// A client of one frontend's REST API.
#[derive(Clone)]
pub(crate) struct Rest {
    client: reqwest::Client,
    base: String,
}

impl Rest {
    pub(crate) fn new(address: &Address) -> Self {
        // Much longer than the store's deadline of 5 s: a test fails if there is no answer, not
        // because the machine is slow.
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Self { client, base: address.url("") }
    }

    /// `GET`; the body must be JSON, whatever the status.
    pub(crate) async fn get(&self, path: &str) -> RestResponse {
        self.send(self.client.get(format!("{}{path}", self.base))).await.unwrap_or_else(|e| panic!("GET {path}: {e:?}"))
    }

    /// `GET`, repeated until the answer is not temporary.
    pub(crate) async fn read(&self, path: &str) -> RestResponse {
        let answer = self.repeat(|| self.request(Method::GET, path)).await;
        answer.unwrap_or_else(|e| panic!("GET {path}: {e:?}"))
    }

    /// `GET` of plain text.
    pub(crate) async fn text(&self, path: &str) -> (StatusCode, String) {
        let response = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    /// The stock of a product.
    pub(crate) async fn stock(&self, name: &str) -> u64 {
        let answer = self.read(&format!("/products/{name}")).await;
        answer.body["data"]["quantity"].as_u64().unwrap_or_else(|| panic!("{name}: {answer:?}"))
    }

    /// Sends an order with a key once.
    pub(crate) async fn order(&self, name: &str, quantity: u32, key: Uuid) -> reqwest::Result<RestResponse> {
        let body = json!({"name": name, "quantity": quantity});
        let order = self.request(Method::POST, "/orders").header("Idempotency-Key", key.to_string());
        self.send(order.json(&body)).await
    }

    /// Sends an order until its answer is not temporary, always with the same key.
    pub(crate) async fn place(&self, name: &str, quantity: u32, key: Uuid) -> reqwest::Result<RestResponse> {
        repeated(|| self.order(name, quantity, key)).await
    }

    /// Places an order that must succeed; returns its number.
    pub(crate) async fn buy(&self, name: &str, quantity: u32) -> u64 {
        let answer = self.place(name, quantity, Uuid::new_v4()).await.unwrap();
        answer.body["data"]["order_number"].as_u64().unwrap_or_else(|| panic!("{name} × {quantity}: {answer:?}"))
    }

    /// Builds any other request.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Sends requests until the answer is not temporary.
    pub(crate) async fn repeat(&self, request: impl Fn() -> RequestBuilder) -> reqwest::Result<RestResponse> {
        repeated(|| self.send(request())).await
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: RequestBuilder) -> reqwest::Result<RestResponse> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{status} with a body that is not JSON ({e}): {text}"));
        Ok(RestResponse { status, headers, body })
    }
}

/// Sends a request until its answer is not temporary. Returns the last answer after [`TIMEOUT`].
async fn repeated<F>(send: impl Fn() -> F) -> reqwest::Result<RestResponse>
where
    F: Future<Output = reqwest::Result<RestResponse>>,
{
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let answer = send().await;
        if answer.as_ref().is_ok_and(|answer| !answer.is_temporary()) || Instant::now() > deadline {
            return answer;
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
