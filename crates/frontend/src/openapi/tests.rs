use std::collections::{BTreeMap, BTreeSet};

use api::ErrorCode;
use axum::http::Method;
use discovery::{Group, fixed};
use prometheus::Registry;
use service::call::Caller;
use service::health::Readiness;
use service::http::{RequestMetrics, testing};

use super::*;
use crate::admission::{Admission, PLACES_MIN};
use crate::cache::SharedCache;
use crate::courier::Courier;
use crate::orders::{Orders, Placing};
use crate::products::{Looking, Products};
use crate::routes;

/// The router of a public port whose services are nowhere.
fn router(with_admin: bool) -> axum::Router {
    let registry = Registry::new();
    let group = |name| Group::new(name, fixed(BTreeMap::new()), Caller::new(None));
    let cache = SharedCache::new(0, &registry);
    let admission = Admission::new(PLACES_MIN, PLACES_MIN, &registry);
    let places = admission.reads.clone();
    let products = Products::new(group("catalog"), cache, places, Looking { holder: None });
    let orders = Orders::new(group("order"), admission.clone(), Courier::new(Placing, 1), &registry);
    let metrics = RequestMetrics::new(&registry);
    let health = with_admin.then(|| (Readiness::not_yet("a test"), registry));
    routes::port(routes::public(products, orders, Document::new(with_admin)), health, metrics.port("public"))
}

fn operations(document: &Value) -> BTreeMap<(&str, &str), &Value> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(|(method, operation)| ((path.as_str(), method.as_str()), operation))
    });
    operations.collect()
}

/// The codes that an operation may answer with, by its document.
fn codes(operation: &Value) -> BTreeSet<&str> {
    let responses = operation["responses"].as_object().unwrap().values();
    let schemas = responses.map(|response| &response["content"]["application/json"]["schema"]["allOf"][1]);
    let enums = schemas.filter_map(|schema| schema["properties"]["error"]["properties"]["code"]["enum"].as_array());
    enums.flatten().map(|code| code.as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_router_and_the_document_have_the_same_calls() {
    for with_admin in [true, false] {
        let document = document(with_admin);
        let described: BTreeSet<_> =
            operations(&document).into_keys().map(|(path, method)| (path.to_owned(), method.to_uppercase())).collect();
        let routed = testing::routes(&router(with_admin)).await;
        let routed: BTreeSet<_> = routed
            .into_iter()
            .flat_map(|(path, methods)| methods.into_iter().map(move |method| (path.clone(), method)))
            // Whatever answers GET answers HEAD: that is HTTP's, not ours.
            .filter(|(_, method)| *method != Method::HEAD)
            .map(|(path, method)| (path, method.to_string()))
            .collect();
        assert_eq!(described, routed);
    }
}

#[test]
fn what_the_port_itself_says_is_described() {
    let document = document(true);
    for (call, operation) in operations(&document) {
        if codes(operation).is_empty() {
            assert!(["/healthz", "/readyz", "/metrics"].contains(&call.0), "{call:?} describes no error");
            continue;
        }
        let mut own = vec![ErrorCode::BadRequest, ErrorCode::Overloaded];
        if operation.get("requestBody").is_some() {
            own.extend([ErrorCode::RequestTimeout, ErrorCode::PayloadTooLarge, ErrorCode::UnsupportedMediaType]);
            own.push(ErrorCode::BadQuantity);
        }
        for code in own {
            assert!(codes(operation).contains(code.as_str()), "{call:?} does not describe {code:?}");
        }
    }
}

#[test]
fn every_reference_and_link_leads_somewhere() {
    let document = document(true);
    let ids: BTreeSet<_> = operations(&document).values().map(|operation| operation["operationId"].as_str()).collect();
    assert_eq!(ids.len(), operations(&document).len(), "an id is there twice");
    let mut seen = 0;
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        if let Some(target) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target} is nowhere");
            seen += 1;
        }
        if let Some(links) = value.get("links").and_then(Value::as_object) {
            for link in links.values() {
                assert!(ids.contains(&link["operationId"].as_str()), "{link} leads nowhere");
                seen += 1;
            }
        }
        open.extend(value.as_object().into_iter().flat_map(Map::values));
        open.extend(value.as_array().into_iter().flatten());
    }
    assert!(seen > 20, "only {seen} references and links");
}
