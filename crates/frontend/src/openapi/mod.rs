//! `GET /openapi.json`: the REST API as an OpenAPI 3.1 document, for programs that call it and for those that test it.
//!
//! It is made from the code when a frontend starts: schemas from `api`'s types and their bounds, errors from the one enum of
//! [`ErrorCode`](api::ErrorCode)s. What calls there are is written down in [`calls`], beside the router rather than in it, so that both stay
//! readable; a test compares the two.
//!
//! Not in it, since OpenAPI has no place for them: 404 `not_found` and 405 `method_not_allowed` of paths and methods that are not there (its
//! description tells of them), and answers of the HTTP parser to what is no HTTP (400 without a body).

mod calls;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

pub(crate) use calls::PLACE_ERRORS;

/// Where the document is served.
pub(crate) const PATH: &str = "/openapi.json";

/// The document, ready to be sent. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Document(Bytes);

impl Document {
    /// Of a public port with or without health and metrics.
    pub(crate) fn new(with_admin: bool) -> Self {
        Self(serde_json::to_vec(&document(with_admin)).expect("a JSON value has a JSON form").into())
    }
}

/// The handler.
pub(crate) async fn serve(State(document): State<Document>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], document.0).into_response()
}

fn document(with_admin: bool) -> Value {
    let schemas = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = schemas.into_generator();
    let mut paths = Map::new();
    for (path, method, operation) in calls::all(&mut schemas, with_admin) {
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        let before = methods.as_object_mut().expect("it was made as one").insert(method.to_owned(), operation);
        assert!(before.is_none(), "{method} {path} is described twice");
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Toy store",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            "description": DESCRIPTION,
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": components(&mut schemas) },
    })
}

const DESCRIPTION: &str = "Products are read, orders are placed and read. An order once acknowledged is never lost and never changes.\n\n\
    Success is `{\"data\": …}`, failure `{\"error\": {\"code\": …, \"message\": …}}` under the status that goes with the code. Any path may \
    answer 404 `not_found` if it is not in here, and 405 `method_not_allowed` to another method.\n\n\
    A request has 64 headers and 16 KiB of them at most (else 431, without a body), and a body of 16 KiB at most (else 413).";

/// The schemas that calls refer to.
fn components(schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let error = json!({
        "type": "object",
        "description": "The body of every failure.",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": schemas.subschema_for::<api::ErrorCode>(),
                    "message": { "type": "string", "description": "For people; its words may change." },
                },
            },
        },
    });
    let mut components = schemas.take_definitions(true);
    let before = components.insert(calls::ERROR_SCHEMA.to_owned(), error);
    assert!(before.is_none(), "a type is called like the schema of errors");
    components
}

#[cfg(test)]
mod tests;
