//! `GET /openapi.json` against what the frontend answers, whatever the services behind it refuse.

mod store;

use std::collections::BTreeSet;

use api::replica::ReplicaStatus;
use api::{ErrorBody, ErrorCode, Term};
use axum::Router;
use axum::routing::{any, get};
use frontend::Frontend;
use futures::future::join_all;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::Value;
use service::http::{Failure, Reply, data};
use store::{Store, address, config, lone_leader, serve_at_some_port};
use tokio_util::sync::CancellationToken;

/// A service of one replica that leads, and refuses everything with `code`.
fn refusing(group: &'static str, code: ErrorCode, stop: &CancellationToken) -> api::Address {
    let status = async move || -> Reply<ReplicaStatus> { data(lone_leader(group, Term(1))) };
    let refuse = async move || Failure::new(code, "because the test says so");
    let paths = ["/orders", "/orders/{number}", "/products", "/products/{name}", "/leases"];
    let routes = paths.into_iter().fold(Router::new(), |routes, path| routes.route(path, any(refuse)));
    address(serve_at_some_port(routes.route("/status", get(status)), stop))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_refused_behind_the_frontend_its_answer_is_described() {
    let stop = CancellationToken::new();
    let checked = ErrorCode::ALL.iter().map(|code| {
        let config = config(refusing("order", *code, &stop), refusing("catalog", *code, &stop));
        let frontend = Frontend::start(&config, &stop).expect("free ports");
        async move {
            let client = reqwest::Client::new();
            let url = |path: &str| format!("http://127.0.0.1:{}{path}", frontend.public_addr().port());
            let document: Value = client.get(url("/openapi.json")).send().await.unwrap().json().await.unwrap();
            let order = client.post(url("/orders")).header(CONTENT_TYPE, "application/json");
            let calls = [
                ("/orders", "post", order.body(r#"{"name":"Tux","quantity":1}"#)),
                ("/orders/{number}", "get", client.get(url("/orders/1"))),
                ("/products", "get", client.get(url("/products"))),
                ("/products/{name}", "get", client.get(url("/products/Tux"))),
            ];
            let calls = calls.map(|(path, method, request)| {
                let operation = &document["paths"][path][method];
                async move { (path, operation, request.send().await.expect("an answer")) }
            });
            for (path, operation, answer) in join_all(calls).await {
                if (path, *code) == ("/products", ErrorCode::NoSuchProduct) {
                    continue; // The catalog's refusal of a name; a list is asked for without one.
                }
                let response = &operation["responses"][answer.status().as_str()];
                let retry = response["headers"]["Retry-After"].is_object();
                assert_eq!(answer.headers().contains_key(RETRY_AFTER), retry, "{path} {answer:?}");
                let body: ErrorBody = answer.json().await.expect("an error in the store's format");
                let schema = &response["content"]["application/json"]["schema"]["allOf"][1];
                let described = &schema["properties"]["error"]["properties"]["code"]["enum"];
                let code = Value::from(body.error.code.as_str());
                assert!(described.as_array().is_some_and(|codes| codes.contains(&code)), "{path}: {code} {described}");
            }
        }
    });
    join_all(checked).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_an_answers_own_form() {
    let store = Store::start().await;
    let answer = store.get("/openapi.json").await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    let document: Value = answer.json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let codes = document["components"]["schemas"]["ErrorCode"]["oneOf"].as_array().unwrap();
    let codes: BTreeSet<_> = codes.iter().map(|code| code["const"].as_str().unwrap()).collect();
    assert_eq!(codes, ErrorCode::ALL.iter().map(|code| code.as_str()).collect());
    let quantity = &document["components"]["schemas"]["Quantity"];
    assert_eq!((&quantity["minimum"], &quantity["maximum"]), (&Value::from(1), &Value::from(1_000_000)));
}
