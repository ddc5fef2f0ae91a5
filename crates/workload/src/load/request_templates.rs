//! Requests as bytes, prepared once.

use api::{Address, IDEMPOTENCY_KEY_HEADER, OrderId, ProductName};
use serde_json::json;

use crate::store_client::product_path;

/// The length of an idempotency key as text.
const KEY_LEN: usize = uuid::fmt::Hyphenated::LENGTH;

/// The requests for each product, to one target.
#[derive(Clone, Debug)]
pub(super) struct RequestTemplates {
    queries: Vec<Vec<u8>>,
    orders: Vec<OrderTemplate>,
}

/// An order with a placeholder for its key.
#[derive(Clone, Debug)]
struct OrderTemplate {
    bytes: Vec<u8>,
    key_at: usize,
}

impl RequestTemplates {
    pub(super) fn new(target: &Address, keep_alive: bool, products: &[ProductName]) -> Self {
        // Keep-alive is the default of HTTP/1.1, but the header makes a network trace easier to
        // read.
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let headers = format!("HTTP/1.1\r\nHost: {target}\r\nConnection: {connection}\r\n");
        Self {
            queries: products.iter().map(|product| query(&headers, product)).collect(),
            orders: products.iter().map(|product| order(&headers, product)).collect(),
        }
    }

    /// The request that reads a product.
    pub(super) fn query(&self, product: usize) -> &[u8] {
        &self.queries[product]
    }

    /// The request that orders one piece under that key, written to `buffer`.
    pub(super) fn order<'a>(&self, product: usize, id: OrderId, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        let OrderTemplate { bytes, key_at } = &self.orders[product];
        buffer.clear();
        buffer.extend_from_slice(bytes);
        id.0.hyphenated().encode_lower(&mut buffer[*key_at..*key_at + KEY_LEN]);
        buffer
    }
}

fn query(headers: &str, product: &ProductName) -> Vec<u8> {
    format!("GET {} {headers}\r\n", product_path(product)).into_bytes()
}

fn order(headers: &str, product: &ProductName) -> OrderTemplate {
    let body = json!({"name": product, "quantity": 1}).to_string();
    let length = body.len();
    let before = format!(
        "POST /orders {headers}Content-Type: application/json\r\nContent-Length: {length}\r\n{IDEMPOTENCY_KEY_HEADER}: "
    );
    let key_at = before.len();
    let key = "0".repeat(KEY_LEN);
    OrderTemplate { bytes: format!("{before}{key}\r\n\r\n{body}").into_bytes(), key_at }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn orders_differ_only_in_their_keys() {
        let products = ["Tux", "Magic 8-Ball"].map(|name| ProductName::new(name).unwrap());
        let requests = RequestTemplates::new(&Address::new("::1", 1110), true, &products);
        let expected = |key: u128| {
            format!(
                "POST /orders HTTP/1.1\r\nHost: [::1]:1110\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n\
                 Content-Length: 27\r\nidempotency-key: {}\r\n\r\n{{\"name\":\"Tux\",\"quantity\":1}}",
                Uuid::from_u128(key)
            )
        };
        for key in [7, 8] {
            let order = requests.order(0, OrderId(Uuid::from_u128(key)), &mut Vec::new()).to_vec();
            assert_eq!(String::from_utf8(order).unwrap(), expected(key));
        }
        let query = String::from_utf8(requests.query(1).to_vec()).unwrap();
        assert!(query.starts_with("GET /products/Magic%208%2DBall HTTP/1.1\r\n"), "{query}");
    }
}
