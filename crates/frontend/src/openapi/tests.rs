use std::collections::{BTreeMap, BTreeSet};

use api::ErrorCode;
use axum::http::Method;

use super::*;
use crate::public::Route;

fn operations(document: &Value) -> BTreeMap<(&str, &str), &Value> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(|(method, operation)| ((path.as_str(), method.as_str()), operation))
    });
    operations.collect()
}

/// The error codes that the document lists for an operation.
fn codes(operation: &Value) -> BTreeSet<&str> {
    let responses = operation["responses"].as_object().unwrap().values();
    let examples = responses.filter_map(|response| response["content"]["application/json"]["examples"].as_object());
    examples.flat_map(|examples| examples.keys().map(String::as_str)).collect()
}

#[test]
fn the_routes_and_the_document_have_the_same_operations() {
    for with_admin in [true, false] {
        let document = document(with_admin);
        let described: BTreeSet<_> =
            operations(&document).into_keys().map(|(path, method)| (path, method.to_uppercase())).collect();
        let routes = Route::ALL.into_iter().filter(|route| Route::parse(route.template(), with_admin).is_some());
        let served = routes.flat_map(|route| route.allow().iter().map(move |method| (route.template(), method)));
        // The document does not list HEAD.
        let served = served.filter(|(_, method)| *method != Method::HEAD);
        assert_eq!(described, served.map(|(path, method)| (path, method.to_string())).collect());
    }
}

#[test]
fn the_errors_of_the_port_itself_are_described() {
    let document = document(true);
    for (path_and_method, operation) in operations(&document) {
        if codes(operation).is_empty() {
            assert!(
                ["/healthz", "/readyz", "/metrics"].contains(&path_and_method.0),
                "{path_and_method:?} describes no error"
            );
            continue;
        }
        let mut port_errors = vec![ErrorCode::BadRequest, ErrorCode::Overloaded];
        if operation.get("requestBody").is_some() {
            port_errors.extend([
                ErrorCode::RequestTimeout,
                ErrorCode::PayloadTooLarge,
                ErrorCode::UnsupportedMediaType,
            ]);
            port_errors.extend([ErrorCode::UnsupportedContentEncoding, ErrorCode::BadQuantity]);
        }
        for code in port_errors {
            assert!(codes(operation).contains(code.as_str()), "{path_and_method:?} does not describe {code:?}");
        }
    }
}

#[test]
fn every_reference_and_link_has_a_target() {
    let document = document(true);
    let ids: BTreeSet<_> = operations(&document).values().map(|operation| operation["operationId"].as_str()).collect();
    assert_eq!(ids.len(), operations(&document).len(), "an operation id is used twice");
    let mut seen = 0;
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        if let Some(target) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target} does not exist");
            seen += 1;
        }
        if let Some(links) = value.get("links").and_then(Value::as_object) {
            for link in links.values() {
                assert!(ids.contains(&link["operationId"].as_str()), "the target of {link} does not exist");
                seen += 1;
            }
        }
        open.extend(value.as_object().into_iter().flat_map(Map::values));
        open.extend(value.as_array().into_iter().flatten());
    }
    assert!(seen > 20, "only {seen} references and links");
}
