//! Compares `GET /openapi.json` with the frontend's responses, whatever the services behind it
//! refuse.

mod store;

use std::collections::BTreeSet;

use api::catalog::PRODUCT_BATCH_PATH;
use api::replica::ReplicaStatus;
use api::{Address, ErrorBody, ErrorCode, Term};
use axum::Router;
use axum::routing::{any, get};
use futures::future::join_all;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::Value;
use service::http::{ErrorResponse, HandlerResult, data};
use service::lifecycle::Task;
use store::{Store, address, config, serve_on_free_port, single_leader};

/// A service with a single replica that leads, and refuses every request with `code`.
fn refusing(group: &'static str, code: ErrorCode) -> (Address, Task) {
    let status = async move || -> HandlerResult<ReplicaStatus> { data(single_leader(group, Term(1))) };
    let refuse = async move || ErrorResponse::new(code, "because the test says so");
    let paths = ["/orders", "/orders/{number}", "/products", PRODUCT_BATCH_PATH, "/leases"];
    let routes = paths.into_iter().fold(Router::new(), |routes, path| routes.route(path, any(refuse)));
    let (addr, served) = serve_on_free_port(routes.route("/status", get(status)));
    (address(addr), served)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_that_a_service_may_cause_is_described() {
    let checked = ErrorCode::ALL.iter().map(|code| {
        async move {
            let [(orders, _orders), (catalogs, _catalogs)] = ["order", "catalog"].map(|group| refusing(group, *code));
            let frontend = store::start(config(orders, catalogs)).await;
            let client = reqwest::Client::new();
            let url = |path: &str| format!("http://127.0.0.1:{}{path}", frontend.public_addr().port());
            let document: Value = client.get(url("/openapi.json")).send().await.unwrap().json().await.unwrap();
            let order = client.post(url("/orders")).header(CONTENT_TYPE, "application/json");
            let requests = [
                ("/orders", "post", order.body(r#"{"name":"Tux","quantity":1}"#)),
                ("/orders/{number}", "get", client.get(url("/orders/1"))),
                ("/orders/{number}", "post", client.post(url("/orders/1"))),
                ("/products", "get", client.get(url("/products"))),
                ("/products/{name}", "get", client.get(url("/products/Tux"))),
            ];
            let requests = requests.map(|(path, method, request)| {
                let operation = &document["paths"][path][method];
                async move { (path, operation, request.send().await.expect("an answer")) }
            });
            for (path, operation, answer) in join_all(requests).await {
                if (path, *code) == ("/products", ErrorCode::NoSuchProduct) {
                    continue; // Only a request that names a product is refused like this.
                }
                let response = &operation["responses"][answer.status().as_str()];
                let retry = response["headers"]["Retry-After"].is_object();
                assert_eq!(answer.headers().contains_key(RETRY_AFTER), retry, "{path} {answer:?}");
                let body: ErrorBody = answer.json().await.expect("an error in the store's format");
                let described = &response["content"]["application/json"]["examples"];
                let code = body.error.code.as_str();
                assert!(
                    described.as_object().is_some_and(|codes| codes.contains_key(code)),
                    "{path}: {code} {described}"
                );
            }
        }
    });
    join_all(checked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_json_and_lists_all_error_codes() {
    let store = Store::start().await;
    let answer = store.get("/openapi.json").await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    let document: Value = answer.json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let codes = document["components"]["schemas"]["ErrorCode"]["enum"].as_array().unwrap();
    let codes: BTreeSet<_> = codes.iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(codes, ErrorCode::ALL.iter().map(|code| code.as_str()).collect());
    let quantity = &document["components"]["schemas"]["Quantity"];
    assert_eq!((&quantity["minimum"], &quantity["maximum"]), (&Value::from(1), &Value::from(1_000_000)));
}
