//! All calls of the REST API including their errors, and that an error changes nothing.

use reqwest::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Audit, Rest, TestStore, eventually};

const JSON: &str = "application/json";

#[tokio::test]
async fn products_and_orders_can_be_read_and_placed() {
    let store = TestStore::start().await;
    let rest = store.rest();
    assert_eq!(
        rest.read("/products/Tux").await.body,
        json!({"data": {"name": "Tux", "price": 25.99, "quantity": 100}})
    );
    let all = rest.read("/products").await.body;
    let names: Vec<_> = all["data"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(names.len() >= 10 && names.is_sorted(), "{names:?}");

    let key = Uuid::new_v4();
    let placed = rest.place("Tux", 3, key).await.unwrap();
    assert_eq!((placed.status, &placed.body), (StatusCode::OK, &json!({"data": {"order_number": 1}})));
    assert_eq!(rest.read("/orders/1").await.body, json!({"data": {"number": 1, "name": "Tux", "quantity": 3}}));
    assert_eq!(rest.stock("Tux").await, 97);

    let again = rest.place("Tux", 3, key).await.unwrap();
    assert_eq!(again.body, placed.body, "the same key is the same order");
    let reused = rest.place("Tux", 4, key).await.unwrap();
    assert_eq!((reused.status, reused.code()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"));
    assert_eq!(rest.stock("Tux").await, 97);

    let too_many = rest.place("Tux", 98, Uuid::new_v4()).await.unwrap();
    assert_eq!((too_many.status, too_many.code()), (StatusCode::CONFLICT, "out_of_stock"));
    assert_eq!(rest.stock("Tux").await, 97);
}

#[tokio::test]
async fn bad_input_gets_a_precise_error_and_changes_nothing() {
    let mut store = TestStore::start().await;
    let rest = store.rest();
    let body = |quantity: &str| format!(r#"{{"name":"Tux","quantity":{quantity}}}"#);
    let padded = format!(r#"{{"name":"Tux","quantity":1,"pad":"{}"}}"#, "x".repeat(1 << 20));
    let cases: &[(&str, String, &str, u16, &str)] = &[
        ("quantity 0", body("0"), JSON, 400, "bad_quantity"),
        ("negative", body("-1"), JSON, 400, "bad_quantity"),
        ("fractional", body("1.5"), JSON, 400, "bad_quantity"),
        ("a string", body("\"1\""), JSON, 400, "bad_quantity"),
        ("null", body("null"), JSON, 400, "bad_request"),
        ("2^63", body("9223372036854775808"), JSON, 400, "bad_quantity"),
        ("2^64", body("18446744073709551616"), JSON, 400, "bad_quantity"),
        ("1e300", body("1e300"), JSON, 400, "bad_quantity"),
        ("a million and one", body("1000001"), JSON, 400, "bad_quantity"),
        ("no quantity", r#"{"name":"Tux"}"#.into(), JSON, 400, "bad_request"),
        ("no name", r#"{"quantity":1}"#.into(), JSON, 400, "bad_request"),
        ("a number as name", r#"{"name":7,"quantity":1}"#.into(), JSON, 400, "bad_request"),
        ("broken JSON", r#"{"name":"Tux","#.into(), JSON, 400, "bad_request"),
        ("an array", "[]".into(), JSON, 400, "bad_request"),
        ("nothing", String::new(), JSON, 400, "bad_request"),
        ("no UTF-8 escape", r#"{"name":"\ud800","quantity":1}"#.into(), JSON, 400, "bad_request"),
        ("wrong content type", body("1"), "text/plain", 415, "unsupported_media_type"),
        ("1 MB", padded, JSON, 413, "payload_too_large"),
        ("no such product", r#"{"name":"Zebra","quantity":1}"#.into(), JSON, 404, "no_such_product"),
    ];
    for (what, body, content_type, status, code) in cases {
        let request = || rest.request(Method::POST, "/orders").header("Content-Type", *content_type).body(body.clone());
        let answer = rest.repeat(request).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!((answer.status.as_u16(), answer.code()), (*status, *code), "{what}: {answer:?}");
        assert!(answer.body["error"]["message"].as_str().is_some_and(|m| m.len() > 10), "{what}: {answer:?}");
    }
    let bad_key = rest
        .request(Method::POST, "/orders")
        .header("Idempotency-Key", "my order")
        .json(&json!({"name": "Tux", "quantity": 1}));
    let answer = rest.send(bad_key).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad_request"));
    let audit = Audit::check(&mut store, &[]).await;
    assert!(audit.orders.is_empty());
    assert!(audit.accounts.values().all(|account| account.stock.0 == 100), "stock has changed");
}

#[tokio::test]
async fn requests_for_missing_things_fail_at_once() {
    let store = TestStore::start().await;
    let rest = store.rest();
    let number_past_64_bits = "/orders/18446744073709551616";
    let cases = [
        ("/products/Zebra", 404, "no_such_product"),
        ("/products/%F0%9F%90%A7", 404, "no_such_product"),
        ("/products/a%2Fb", 404, "no_such_product"),
        ("/orders/1", 404, "no_such_order"),
        ("/orders/18446744073709551615", 404, "no_such_order"),
        ("/orders/0", 400, "bad_request"),
        ("/orders/abc", 400, "bad_request"),
        ("/orders/-1", 400, "bad_request"),
        (number_past_64_bits, 400, "bad_request"),
        ("/", 404, "not_found"),
        ("/toys", 404, "not_found"),
    ];
    for (path, status, code) in cases {
        // Not 503, which a request gets at the frontend's deadline.
        let answer = rest.read(path).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}: {answer:?}");
    }
    for (method, path) in [(Method::DELETE, "/orders/1"), (Method::PUT, "/products/Tux"), (Method::GET, "/orders")] {
        let answer = rest.send(rest.request(method.clone(), path)).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.code()), (405, "method_not_allowed"), "{method} {path}");
    }
}

/// A key is any string, in quotes or not.
#[tokio::test]
async fn a_key_need_not_be_a_uuid() {
    let store = TestStore::start().await;
    let rest = store.rest();
    let mut numbers = Vec::new();
    for key in ["cart-7/line-1", "\"cart-7/line-1\"", "cart-7/line-2"] {
        let request = || {
            let order = rest.request(Method::POST, "/orders").header("Idempotency-Key", key);
            order.json(&json!({"name": "Fox", "quantity": 1}))
        };
        let answer = rest.repeat(request).await.unwrap();
        assert_eq!(answer.headers["idempotency-key"], key);
        numbers.push(answer.body["data"]["order_number"].as_u64().unwrap());
    }
    assert_eq!(numbers, [1, 1, 2]);
}

#[tokio::test]
async fn headers_are_honored() {
    let store = TestStore::start().await;
    let rest = store.rest();
    let key = Uuid::new_v4().to_string();
    let request = || {
        let order = rest.request(Method::POST, "/orders").header("Session-ID", "s-17").header("Idempotency-Key", &key);
        order.json(&json!({"name": "Fox", "quantity": 1}))
    };
    let answer = rest.repeat(request).await.unwrap();
    assert_eq!(answer.headers["session-id"], "s-17");
    assert_eq!(answer.headers["idempotency-key"], key);
    // The public port serves no internal paths.
    for path in ["/cache", "/status", "/accounts"] {
        assert_eq!(rest.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn every_process_serves_its_health_and_metrics() {
    let store = TestStore::start().await;
    store.rest().read("/products/Tux").await;
    store.rest().buy("Tux", 1).await;
    let layout = store.store.layout();
    for member in layout.members() {
        let internal = Rest::new(&layout.internal(member));
        assert_eq!(internal.text("/healthz").await.0, StatusCode::OK, "{member}");
        // A process that was not scheduled for a second is not ready for a moment.
        eventually(&format!("{member} is ready"), || async { internal.text("/readyz").await.0 == StatusCode::OK })
            .await;
        let (status, metrics) = internal.text("/metrics").await;
        assert_eq!(status, StatusCode::OK);
        for metric in ["toystore_build_info", "toystore_http_request_duration_seconds_bucket"] {
            assert!(metrics.contains(metric), "{member} has no {metric}");
        }
    }
}
