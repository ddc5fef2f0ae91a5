//! `GET /openapi.json`: the REST API as an OpenAPI 3.1 document, for programs that call the API or
//! test it.
//!
//! The document is built from the code when a frontend starts: the schemas from the types in `api`
//! with their bounds, the errors from the enum of [`ErrorCode`](api::ErrorCode)s. The list of
//! operations is in [`operations`] and not with the routes (`public`), so that both stay readable;
//! a test compares the two.
//!
//! The document leaves out the page that a browser gets at `/`, and two kinds of responses that
//! OpenAPI has no place for: 404 `not_found`
//! and 405 `method_not_allowed` for unknown paths and methods (its description mentions them), and
//! the 400 without a body with which the HTTP parser answers what is not HTTP.

mod operations;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

pub(crate) use operations::{PATH, PLACE_ERRORS};

/// The encoded document.
#[derive(Debug)]
pub(crate) struct OpenApiDocument(Bytes);

impl OpenApiDocument {
    /// The document of a public port with or without health and metrics.
    pub(crate) fn new(with_admin: bool) -> Self {
        Self(serde_json::to_vec(&document(with_admin)).expect("a JSON value has a JSON form").into())
    }

    /// Handles `GET /openapi.json`.
    pub(crate) fn response(&self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.0.clone()).into_response()
    }
}

fn document(with_admin: bool) -> Value {
    let schemas = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = schemas.into_generator();
    let mut paths = Map::new();
    for (path, method, operation) in operations::all(&mut schemas, with_admin) {
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        let before =
            methods.as_object_mut().expect("it was inserted as an object").insert(method.to_owned(), operation);
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
        "servers": [
            { "url": "/", "description": "The frontend that serves this document." },
            {
                "url": "http://{host}:{port}",
                "description": "Any frontend.",
                "variables": { "host": { "default": "127.0.0.1" }, "port": { "default": "1110" } },
            },
        ],
        "tags": operations::Tag::ALL.map(|tag| json!({ "name": tag.name(), "description": tag.description() })),
        "paths": paths,
        "components": { "schemas": components(&mut schemas) },
    })
}

const DESCRIPTION: &str = "Read products, place orders, and read orders. An order that was acknowledged is never lost and never changes.\n\n\
    The body of a success is `{\"data\": …}`, and the body of a failure is `{\"error\": {\"code\": …, \"message\": …}}`. Every error code \
    has one status. A path that is not in this document returns 404 `not_found`, and a method that a path does not have returns 405 \
    `method_not_allowed`.\n\n\
    A path may end with a slash. A body without a Content-Type is read as JSON.\n\n\
    A request may have up to 64 headers with a total of 16 KiB (otherwise the response is 431, without a body), and a body of up to 16 KiB \
    (otherwise 413).";

/// The name of the schema of the object in [all errors](operations::ERROR_SCHEMA).
const ERROR_DETAIL_SCHEMA: &str = "ErrorDetail";

/// The schemas that the operations refer to.
fn components(schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let detail = json!({
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": schemas.subschema_for::<api::ErrorCode>(),
            "message": { "type": "string", "description": "For people. Its wording may change." },
        },
    });
    let error = json!({
        "type": "object",
        "description": "The body of every failure.",
        "required": ["error"],
        "properties": { "error": operations::reference(ERROR_DETAIL_SCHEMA) },
    });
    let mut components = schemas.take_definitions(true);
    for (name, schema) in [(operations::ERROR_SCHEMA, error), (ERROR_DETAIL_SCHEMA, detail)] {
        let before = components.insert(name.to_owned(), schema);
        assert!(before.is_none(), "a type has the name of an error schema");
    }
    components
}

#[cfg(test)]
mod tests;
