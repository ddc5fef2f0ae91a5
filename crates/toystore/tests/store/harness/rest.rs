//! The public REST API as a client without any cleverness: no retries.

use std::time::Duration;

use api::Address;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The error's code; empty if it is none.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// `Retry-After`, in seconds.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
    }
}

/// One frontend's REST API.
#[derive(Clone)]
pub(crate) struct Rest {
    client: reqwest::Client,
    base: String,
    /// Another frontend of the same store, for when this one accepts no connection.
    other: Option<String>,
}

impl Rest {
    pub(crate) fn new(address: &Address) -> Self {
        // Over the 5 s within which the store promises an answer: a test fails on silence, not on a slow machine.
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(8)).build().unwrap();
        Self { client, base: address.url(""), other: None }
    }

    /// The same, but an order that finds no frontend listening is sent to the `other` one, as by a load balancer.
    pub(crate) fn or(self, other: &Address) -> Self {
        Self { other: Some(other.url("")), ..self }
    }

    /// `GET`; the body must be JSON, whatever the status.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.base))).await.unwrap_or_else(|e| panic!("GET {path}: {e:?}"))
    }

    /// `GET` of plain text.
    pub(crate) async fn text(&self, path: &str) -> (StatusCode, String) {
        let response = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    /// A product's quantity.
    pub(crate) async fn stock(&self, name: &str) -> u64 {
        let answer = self.get(&format!("/products/{name}")).await;
        answer.body["data"]["quantity"].as_u64().unwrap_or_else(|| panic!("{name}: {answer:?}"))
    }

    /// An order under a key.
    pub(crate) async fn order(&self, name: &str, quantity: u32, key: Uuid) -> reqwest::Result<Answer> {
        let body = json!({"name": name, "quantity": quantity});
        let post = |base: &str| {
            let request = self.client.post(format!("{base}/orders")).header("Idempotency-Key", key.to_string());
            self.send(request.json(&body))
        };
        match (post(&self.base).await, &self.other) {
            (Err(error), Some(other)) if error.is_connect() => post(other).await,
            (answer, _) => answer,
        }
    }

    /// An order that must go through; its number.
    pub(crate) async fn buy(&self, name: &str, quantity: u32) -> u64 {
        let answer = self.order(name, quantity, Uuid::new_v4()).await.unwrap();
        answer.body["data"]["order_number"].as_u64().unwrap_or_else(|| panic!("{name} × {quantity}: {answer:?}"))
    }

    /// Any request.
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Sends it.
    pub(crate) async fn send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{status} with a body that is no JSON ({e}): {text}"));
        Ok(Answer { status, headers, body })
    }
}
