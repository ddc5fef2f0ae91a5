//! Every call of the public port, with all that it may answer.

use std::collections::BTreeMap;

use api::ErrorCode::{
    BadQuantity, BadRequest, IdempotencyKeyReused, InsufficientStorage, Internal, NoSuchOrder, NoSuchProduct,
    OutOfStock, Overloaded, PayloadTooLarge, RequestTimeout, Unavailable, UnsupportedMediaType,
};
use api::public::{NewOrder, Order, OrderPlaced};
use api::{ErrorCode, OrderId, OrderNumber, Product, ProductName};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::PATH;
use crate::session::SESSION_ID_CHARS_MAX;

/// The schema that all errors refer to.
pub(super) const ERROR_SCHEMA: &str = "Error";

/// A path, a method in lower case, and what they do.
type Call = (&'static str, &'static str, Value);

pub(super) fn all(schemas: &mut SchemaGenerator, with_admin: bool) -> Vec<Call> {
    let mut calls = vec![
        read_products(schemas),
        read_product(schemas),
        place_order(schemas),
        read_order(schemas),
        read_document(schemas),
    ];
    if with_admin {
        calls.extend(admin());
    }
    calls
}

/// Whatever goes through admission and the session's check may be answered so.
const ANY: [ErrorCode; 2] = [BadRequest, Overloaded];

fn read_products(schemas: &mut SchemaGenerator) -> Call {
    let link = json!({ "operationId": "readProduct", "parameters": { "name": "$response.body#/data/0/name" } });
    let mut read = data::<Vec<Product>>(schemas, "All products, by name.", &[("firstProduct", link)]);
    read["content"]["application/json"]["example"] = json!({ "data": [tux()] });
    let operation = Operation { id: "readProducts", summary: "All products", parameters: vec![], body: None };
    ("/products", "get", operation.answers(schemas, read, &[Unavailable]))
}

fn read_product(schemas: &mut SchemaGenerator) -> Call {
    let link = json!({
        "operationId": "placeOrder",
        "requestBody": { "name": "$response.body#/data/name", "quantity": 1 },
        "description": "Buy one.",
    });
    let mut read = data::<Product>(schemas, "The product, never older than an acknowledged order.", &[("buy", link)]);
    read["content"]["application/json"]["example"] = json!({ "data": tux() });
    let parameters = vec![path_parameter::<ProductName>(schemas, "name", &json!("Tux"))];
    let operation = Operation { id: "readProduct", summary: "One product", parameters, body: None };
    ("/products/{name}", "get", operation.answers(schemas, read, &[NoSuchProduct, Unavailable]))
}

fn place_order(schemas: &mut SchemaGenerator) -> Call {
    let links = [
        (
            "readOrder",
            json!({ "operationId": "readOrder", "parameters": { "number": "$response.body#/data/order_number" } }),
        ),
        (
            "repeatOrder",
            json!({
                "operationId": "placeOrder",
                "parameters": { "header.Idempotency-Key": "$response.header.Idempotency-Key" },
                "requestBody": "$request.body",
                "description": "The same key with the same order: it is placed once, and gets the same number.",
            }),
        ),
    ];
    let mut placed = data::<OrderPlaced>(schemas, "The order is on a majority of disks.", &links);
    placed["content"]["application/json"]["example"] = json!({ "data": { "order_number": 10 } });
    let key = schemas.subschema_for::<OrderId>();
    let echoed = "The request's key, or one that was made for it: with it the order can be repeated after any error or time-out.";
    placed["headers"]["Idempotency-Key"] = json!({ "description": echoed, "required": true, "schema": key });
    let wanted =
        "A UUID that makes the order repeatable: it is placed once, however often it is sent. There only once.";
    let body = json!({
        "required": true,
        "content": {
            "application/json": {
                "schema": schemas.subschema_for::<NewOrder>(),
                "example": { "name": "Tux", "quantity": 1 },
            },
        },
    });
    let operation = Operation {
        id: "placeOrder",
        summary: "Buy a product",
        parameters: vec![json!({ "name": "Idempotency-Key", "in": "header", "description": wanted, "schema": key })],
        body: Some(body),
    };
    ("/orders", "post", operation.answers(schemas, placed, PLACE_ERRORS))
}

/// Of these, [`BadRequest`] to [`UnsupportedMediaType`] are told before anyone is asked.
pub(crate) const PLACE_ERRORS: &[ErrorCode] = &[
    BadRequest,
    BadQuantity,
    NoSuchProduct,
    RequestTimeout,
    PayloadTooLarge,
    UnsupportedMediaType,
    OutOfStock,
    IdempotencyKeyReused,
    Internal,
    Overloaded,
    Unavailable,
    InsufficientStorage,
];

fn read_order(schemas: &mut SchemaGenerator) -> Call {
    let mut read = data::<Order>(schemas, "The order as it was placed.", &[]);
    read["content"]["application/json"]["example"] = json!({ "data": { "number": 1, "name": "Tux", "quantity": 1 } });
    let parameters = vec![path_parameter::<OrderNumber>(schemas, "number", &json!(1))];
    let operation = Operation { id: "readOrder", summary: "One order", parameters, body: None };
    ("/orders/{number}", "get", operation.answers(schemas, read, &[BadRequest, NoSuchOrder, Unavailable]))
}

fn read_document(schemas: &mut SchemaGenerator) -> Call {
    let read = json!({
        "description": "This document.",
        "content": { "application/json": { "schema": { "type": "object", "required": ["openapi", "paths"] } } },
    });
    let operation = Operation { id: "readDocument", summary: "This document", parameters: vec![], body: None };
    (PATH, "get", operation.answers(schemas, read, &[]))
}

/// Health and metrics: plain text, and neither admission nor session.
fn admin() -> [Call; 3] {
    let text =
        |what: &str| json!({ "description": what, "content": { "text/plain": { "schema": { "type": "string" } } } });
    let call = |path, id: &str, summary: &str, responses: Value| {
        (path, "get", json!({ "operationId": id, "summary": summary, "responses": responses }))
    };
    [
        call("/healthz", "readHealth", "Whether the process lives", json!({ "200": text("It does.") })),
        call(
            "/readyz",
            "readReadiness",
            "Whether it may be sent work",
            json!({ "200": text("It may."), "503": text("It may not, and why.") }),
        ),
        call("/metrics", "readMetrics", "Metrics for Prometheus", json!({ "200": text("All metrics.") })),
    ]
}

struct Operation {
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
}

impl Operation {
    /// With the answer to a success, and all errors besides [`ANY`].
    fn answers(mut self, schemas: &mut SchemaGenerator, success: Value, errors: &[ErrorCode]) -> Value {
        self.parameters.push(json!({
            "name": "Session-ID",
            "in": "header",
            "description": "Names the shopper's session: echoed, and in the logs.",
            "schema": session_id(),
            "example": "s-17",
        }));
        let mut responses = failures(schemas, errors);
        responses.insert("200".to_owned(), success);
        for response in responses.values_mut() {
            response["headers"]["Session-ID"] = json!({ "description": "The request's own.", "schema": session_id() });
        }
        responses.insert("431".to_owned(), json!({ "description": "More headers than may be; without a body." }));
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "parameters": self.parameters,
            "responses": responses,
        });
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        operation
    }
}

/// A response per status, which tells the codes that it may have.
fn failures(schemas: &mut SchemaGenerator, errors: &[ErrorCode]) -> Map<String, Value> {
    let mut by_status = BTreeMap::<_, Vec<ErrorCode>>::new();
    for code in ANY.iter().chain(errors) {
        let codes = by_status.entry(code.status()).or_default();
        if !codes.contains(code) {
            codes.push(*code);
        }
    }
    // Every code has its description there.
    schemas.subschema_for::<ErrorCode>();
    let responses = by_status.into_iter().map(|(status, codes)| {
        let words: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
        let meanings: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.meaning())).collect();
        let example = |code: &ErrorCode| {
            let error = json!({ "code": code.as_str(), "message": code.meaning() });
            (code.as_str().to_owned(), json!({ "value": { "error": error } }))
        };
        let only = json!({ "properties": { "error": { "properties": { "code": { "enum": words } } } } });
        let schema = json!({ "allOf": [{ "$ref": format!("#/components/schemas/{ERROR_SCHEMA}") }, only] });
        let examples: Map<_, _> = codes.iter().map(example).collect();
        let mut response = json!({
            "description": meanings.join("\n\n"),
            "content": { "application/json": { "schema": schema, "examples": examples } },
        });
        if codes.iter().any(|code| code.may_pass()) {
            let schema = json!({ "type": "integer", "minimum": 1 });
            response["headers"]["Retry-After"] =
                json!({ "description": "Seconds to wait.", "required": true, "schema": schema, "example": 1 });
        }
        (status.as_str().to_owned(), response)
    });
    responses.collect()
}

/// A success whose body is `{"data": T}`.
fn data<T: JsonSchema>(schemas: &mut SchemaGenerator, what: &str, links: &[(&str, Value)]) -> Value {
    let properties = json!({ "data": schemas.subschema_for::<T>() });
    let schema = json!({ "type": "object", "required": ["data"], "properties": properties });
    let mut response = json!({ "description": what, "content": { "application/json": { "schema": schema } } });
    for (name, link) in links {
        response["links"][name] = link.clone();
    }
    response
}

fn path_parameter<T: JsonSchema>(schemas: &mut SchemaGenerator, name: &str, example: &Value) -> Value {
    let schema = schemas.subschema_for::<T>();
    json!({ "name": name, "in": "path", "required": true, "schema": schema, "example": example })
}

fn session_id() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": SESSION_ID_CHARS_MAX, "pattern": "^[!-~]+$" })
}

fn tux() -> Value {
    json!({ "name": "Tux", "price": 25.99, "quantity": 100 })
}
