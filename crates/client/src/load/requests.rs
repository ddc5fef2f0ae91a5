//! Requests as bytes, made once.

use api::{Address, ProductName};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::{Rng, RngExt};
use serde_json::json;

use super::Kind;

/// A request for each product and kind.
pub(super) struct Requests {
    queries: Vec<Vec<u8>>,
    orders: Vec<Vec<u8>>,
}

impl Requests {
    pub(super) fn new(target: &Address, products: &[ProductName]) -> Self {
        Self {
            queries: products.iter().map(|product| query(target, product)).collect(),
            orders: products.iter().map(|product| order(target, product)).collect(),
        }
    }

    /// Any of that kind.
    pub(super) fn choose(&self, kind: Kind, random: &mut impl Rng) -> &[u8] {
        let requests = match kind {
            Kind::Query => &self.queries,
            Kind::Order => &self.orders,
        };
        &requests[random.random_range(0..requests.len())]
    }
}

fn query(target: &Address, product: &ProductName) -> Vec<u8> {
    let name = utf8_percent_encode(product.as_str(), NON_ALPHANUMERIC);
    format!("GET /products/{name} HTTP/1.1\r\nHost: {target}\r\n\r\n").into_bytes()
}

/// Without an `Idempotency-Key`: the frontend gives each a key of its own, and nothing here is sent twice.
fn order(target: &Address, product: &ProductName) -> Vec<u8> {
    let body = json!({"name": product, "quantity": 1}).to_string();
    let length = body.len();
    format!(
        "POST /orders HTTP/1.1\r\nHost: {target}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
