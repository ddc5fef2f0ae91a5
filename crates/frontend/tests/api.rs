//! The public API, error by error.

mod store;

use std::time::{Duration, Instant};

use api::public::{Order, OrderPlaced};
use api::{ErrorCode, Product};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use service::lifecycle::Process;
use store::{Behavior, Store, address, body, config, failure};

/// Every request has a response within this time. The frontend's own limit is 4.8 s; the rest is
/// for a machine that is busy with other tests.
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);

/// The most requests for one order that has an answer. A machine that stalls adds a second attempt,
/// or even an outage of the leader, after which the attempts begin again. An order that is repeated
/// in spite of its answer is sent several times per second, for 4.8 s.
const ATTEMPTS_MAX: usize = 8;

const KEY: &str = "0190b5a4-7f0e-7cc3-98c4-dc0c0c07398f";

async fn order(store: &Store, json: &str) -> reqwest::Response {
    order_with(store, json, &[]).await
}

async fn order_with(store: &Store, json: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let request = store.client.post(format!("{}/orders", store.public)).header(CONTENT_TYPE, "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(json.to_owned()).send().await.expect("an answer")
}

/// By default no response mentions origins, and OPTIONS is as unknown as it was.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_listed_origins_may_call_the_api() {
    const SHOP: &str = "https://shop.example";
    const PREFLIGHT: &[(&str, &str)] = &[("origin", SHOP), ("access-control-request-method", "POST")];
    let send = async |store: &Store, method: Method, path: &str, headers: &[(&str, &str)]| {
        let request = store.client.request(method, format!("{}{path}", store.public));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.expect("an answer");
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let names = ["origin", "methods", "headers"].map(|name| header(&format!("access-control-allow-{name}")));
        (answer.status().as_u16(), names, header("vary"))
    };
    let without = Store::start().await;
    let nothing = [None, None, None];
    let seen = send(&without, Method::GET, "/products/Tux", &[("origin", SHOP)]).await;
    assert_eq!(seen, (200, nothing.clone(), None));
    assert_eq!(send(&without, Method::OPTIONS, "/orders", PREFLIGHT).await, (405, nothing.clone(), None));

    let store = Store::start_with(|config| config.cors_origins = Some(SHOP.parse().unwrap())).await;
    let (shop, vary) = (Some(SHOP.to_owned()), Some("origin".to_owned()));
    // The first read misses the cache, the second one is answered at once.
    for _ in 0..2 {
        let seen = send(&store, Method::GET, "/products/Tux", &[("origin", SHOP)]).await;
        assert_eq!(seen, (200, [shop.clone(), None, None], vary.clone()));
    }
    // A page must be able to read errors, too.
    let seen = send(&store, Method::GET, "/products/Zebra", &[("origin", SHOP)]).await;
    assert_eq!(seen, (404, [shop.clone(), None, None], vary.clone()));
    let (status, [origin, methods, headers], _) = send(&store, Method::OPTIONS, "/orders", PREFLIGHT).await;
    assert_eq!((status, origin, methods.as_deref()), (204, shop, Some("POST")));
    assert!(headers.unwrap().contains("idempotency-key"));
    for other in ["https://other.example", "null"] {
        let seen = send(&store, Method::GET, "/products/Tux", &[("origin", other)]).await;
        assert_eq!(seen, (200, nothing.clone(), vary.clone()));
        let asks = [("origin", other), ("access-control-request-method", "POST")];
        assert_eq!(send(&store, Method::OPTIONS, "/orders", &asks).await, (204, nothing.clone(), vary.clone()));
    }
    // Without a question it is a request like any other.
    assert_eq!(send(&store, Method::OPTIONS, "/orders", &[]).await, (405, nothing, vary));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_order_is_refused_without_asking_another_service() {
    let store = Store::start().await;
    let table = [
        ("{", 400, "bad_request"),
        ("", 400, "bad_request"),
        ("[]", 400, "bad_request"),
        (r#"["Tux",1]"#, 400, "bad_request"),
        ("{}", 400, "bad_request"),
        (r#"{"name":"Tux"}"#, 400, "bad_request"),
        (r#"{"quantity":1}"#, 400, "bad_request"),
        (r#"{"name":"Tux","quantity":1,"color":"red"}"#, 400, "bad_request"),
        (r#"{"name":"Tux","quantity":0}"#, 400, "bad_quantity"),
        (r#"{"name":"Tux","quantity":-1}"#, 400, "bad_quantity"),
        (r#"{"name":"Tux","quantity":1.5}"#, 400, "bad_quantity"),
        (r#"{"name":"Tux","quantity":"1"}"#, 400, "bad_quantity"),
        (r#"{"name":"Tux","quantity":9223372036854775808}"#, 400, "bad_quantity"),
        (r#"{"name":"","quantity":1}"#, 404, "no_such_product"),
    ];
    for (json, status, code) in table {
        let (seen_status, seen_code, _) = failure(order(&store, json).await).await;
        assert_eq!((seen_status, seen_code.as_str()), (status, code), "{json}");
    }
    let good = r#"{"name":"Tux","quantity":1}"#;
    for (name, value) in [("idempotency-key", "two words"), ("session-id", "two words")] {
        let (status, code, message) = failure(order_with(&store, good, &[(name, value)]).await).await;
        assert_eq!((status, code.as_str()), (400, "bad_request"), "{name}: {message}");
    }
    let plain = store.client.post(format!("{}/orders", store.public)).header(CONTENT_TYPE, "text/plain");
    assert_eq!(failure(plain.body(good).send().await.unwrap()).await.1, "unsupported_media_type");
    assert_eq!(store.orders.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_is_refused() {
    let store = Store::start().await;
    for bytes in [17 * 1024, 1024 * 1024] {
        let json = format!(r#"{{"name":"{}","quantity":1}}"#, "x".repeat(bytes));
        assert_eq!(failure(order(&store, &json).await).await.0, 413, "{bytes} bytes");
    }
    assert_eq!(store.orders.requests(), 0);
    let number: OrderPlaced = body(order(&store, r#"{"name":"Tux","quantity":1}"#).await).await;
    assert_eq!(number.order_number.get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_once_per_key_and_can_be_read() {
    let store = Store::start().await;
    let headers = [("idempotency-key", KEY), ("session-id", "s-1")];
    for _ in 0..2 {
        let response = order_with(&store, r#"{"name":"Tux","quantity":2}"#, &headers).await;
        assert_eq!(response.headers()["idempotency-key"], KEY);
        assert_eq!(response.headers()["session-id"], "s-1");
        assert_eq!(body::<OrderPlaced>(response).await.order_number.get(), 1);
    }
    let other = order_with(&store, r#"{"name":"Tux","quantity":3}"#, &headers).await;
    assert_eq!(failure(other).await.1, "idempotency_key_reused");

    let unnamed = order(&store, r#"{"name":"Fox","quantity":1}"#).await;
    let minted = unnamed.headers()["idempotency-key"].to_str().unwrap().to_owned();
    assert_eq!(body::<OrderPlaced>(unnamed).await.order_number.get(), 2);
    let again = order_with(&store, r#"{"name":"Fox","quantity":1}"#, &[("idempotency-key", &minted)]).await;
    assert_eq!(body::<OrderPlaced>(again).await.order_number.get(), 2);

    let read: Order = body(store.get("/orders/1").await).await;
    assert_eq!((read.number.get(), read.name.as_str(), read.quantity.get()), (1, "Tux", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_order_service_reaches_the_client() {
    let store = Store::start().await;
    let table = [
        (ErrorCode::OutOfStock, 409, "out_of_stock"),
        (ErrorCode::NoSuchProduct, 404, "no_such_product"),
        (ErrorCode::Overloaded, 503, "overloaded"),
        (ErrorCode::Unauthorized, 500, "internal"),
        (ErrorCode::Internal, 500, "internal"),
    ];
    for (refusal, status, code) in table {
        store.orders.set_behavior(Behavior::Refuse(refusal));
        let requests = store.orders.requests();
        let response = order(&store, r#"{"name":"Tux","quantity":1}"#).await;
        let attempts = store.orders.requests() - requests;
        assert!((1..=ATTEMPTS_MAX).contains(&attempts), "refused, and sent {attempts} times");
        assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
        let (seen_status, seen_code, message) = failure(response).await;
        assert_eq!((seen_status, seen_code.as_str()), (status, code), "{message}");
        assert!(!message.contains("token"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_repeated_with_the_same_id_until_there_is_an_answer() {
    let store = Store::start().await;
    store.orders.set_behavior(Behavior::UnavailableOnce);
    let placed: OrderPlaced = body(order(&store, r#"{"name":"Tux","quantity":1}"#).await).await;
    assert_eq!((placed.order_number.get(), store.orders.placed()), (1, 1));
    assert!(store.orders.requests() >= 2, "it is repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_the_client_learns_in_time_that_the_outcome_is_unknown() {
    let store = Store::start().await;
    store.orders.set_behavior(Behavior::PlaceSilently);
    let begun = Instant::now();
    let response = order(&store, r#"{"name":"Tux","quantity":1}"#).await;
    assert!(begun.elapsed() < ANSWERED_WITHIN, "{:?}", begun.elapsed());
    assert!(response.headers().contains_key(RETRY_AFTER));
    let key = response.headers()["idempotency-key"].to_str().unwrap().to_owned();
    let (status, code, message) = failure(response).await;
    assert_eq!((status, code.as_str()), (503, "unavailable"));
    assert!(message.contains("may or may not have been placed"), "{message}");

    store.orders.set_behavior(Behavior::Place);
    let again = order_with(&store, r#"{"name":"Tux","quantity":1}"#, &[("idempotency-key", &key)]).await;
    assert_eq!(body::<OrderPlaced>(again).await.order_number.get(), 1);
    assert_eq!(store.orders.placed(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_order_service_the_client_learns_that_nothing_was_ordered() {
    // Bound but not listening: no other process can take the port, and connections are refused.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let unreachable = address(closed.local_addr().unwrap());
    let frontend = store::start(config(unreachable.clone(), unreachable)).await;
    let public = format!("http://127.0.0.1:{}", frontend.public_addr().port());
    let client = reqwest::Client::new();
    let order = client
        .post(format!("{public}/orders"))
        .header(CONTENT_TYPE, "application/json")
        .body(r#"{"name":"Tux","quantity":1}"#);
    let begun = Instant::now();
    let (ordered, read, product) = tokio::join!(
        order.send(),
        client.get(format!("{public}/orders/1")).send(),
        client.get(format!("{public}/products/Tux")).send()
    );
    assert!(begun.elapsed() < ANSWERED_WITHIN, "{:?}", begun.elapsed());
    for response in [&ordered, &read, &product] {
        assert_eq!(response.as_ref().unwrap().headers()[RETRY_AFTER], "1");
    }
    let (status, code, message) = failure(ordered.unwrap()).await;
    assert_eq!((status, code.as_str()), (503, "unavailable"));
    assert!(message.starts_with("this request has ordered nothing"), "{message}");
    assert_eq!(failure(read.unwrap()).await.0, 503);
    assert_eq!(failure(product.unwrap()).await.0, 503);
    let ready = client.get(format!("{public}/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    frontend.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_read_by_number() {
    let store = Store::start().await;
    for (path, status, code) in [
        ("/orders/1", 404, "no_such_order"),
        ("/orders/18446744073709551615", 404, "no_such_order"),
        ("/orders/abc", 400, "bad_request"),
        ("/orders/0", 400, "bad_request"),
        ("/orders/-1", 400, "bad_request"),
        ("/orders/18446744073709551616", 400, "bad_request"),
        ("/orders/%FF", 400, "bad_request"),
        ("/orders/1/2", 404, "not_found"),
    ] {
        // At its deadline a request gets 503.
        let (seen_status, seen_code, message) = failure(store.get(path).await).await;
        assert_eq!((seen_status, seen_code.as_str()), (status, code), "{path}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn products_are_read_by_any_valid_name() {
    let store = Store::start().await;
    for (path, name) in [
        ("/products/Tux", "Tux"),
        ("/products/T%75x", "Tux"),
        ("/products/Magic%208-Ball%2C%20gro%C3%9Fer", "Magic 8-Ball, großer"),
        ("/products/50%25%20off%2Fon%3F%20%231", "50% off/on? #1"),
    ] {
        let response = store.get(path).await;
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json", "{path}");
        assert_eq!(body::<Product>(response).await.name.as_str(), name, "{path}");
    }
    let text = store.get("/products/Tux").await.text().await.unwrap();
    assert_eq!(text, r#"{"data":{"name":"Tux","price":25.99,"quantity":100}}"#);
    for path in ["/products/Unicorn", "/products/%FF", "/products/%20Tux", &format!("/products/{}", "x".repeat(65))] {
        assert_eq!(failure(store.get(path).await).await.1, "no_such_product", "{path}");
    }
    let all: Vec<Product> = body(store.get("/products").await).await;
    assert_eq!(all.len(), store.catalog.state().products.len());
    assert!(all.is_sorted_by(|a, b| a.name < b.name));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_get_errors_in_the_stores_format() {
    let store = Store::start().await;
    assert_eq!(failure(store.get("/nowhere").await).await.1, "not_found");
    let wrong = store.client.delete(format!("{}/orders", store.public)).send().await.unwrap();
    assert_eq!(failure(wrong).await.1, "method_not_allowed");
    assert_eq!(failure(store.get("/cache").await).await.1, "not_found", "the cache is not public");
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!(store.get(path).await.status().is_success(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_cache_can_be_hidden_from_the_public_port() {
    let token = "a-long-secret".parse().unwrap();
    let store = Store::start_with(|config| {
        config.public_admin = false;
        config.cache_size = 0;
        config.access.token = Some(token);
    })
    .await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(store.get(path).await.status(), 404, "{path}");
        let internal = store.client.get(format!("{}{path}", store.internal)).send().await.unwrap();
        assert!(internal.status().is_success(), "{path}");
    }
    let cache = || store.client.get(format!("{}/cache", store.internal));
    assert_eq!(failure(cache().send().await.unwrap()).await.1, "unauthorized");
    let allowed = cache().header(api::INTERNAL_TOKEN_HEADER, "a-long-secret").send().await.unwrap();
    assert!(allowed.status().is_success());
}
