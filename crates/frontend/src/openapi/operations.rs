//! Every operation of the public port, with all of its responses.

use std::collections::BTreeMap;

use api::ErrorCode::{
    BadQuantity, BadRequest, DataMismatch, IdempotencyKeyReused, InsufficientStorage, Internal, NoSuchOrder,
    NoSuchProduct, OutOfStock, Overloaded, PayloadTooLarge, RequestTimeout, Unavailable, UnsupportedContentEncoding,
    UnsupportedMediaType,
};
use api::public::{NewOrder, Order, OrderPlaced};
use api::{ErrorCode, OrderNumber, Product, ProductName};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::orders::{IDEMPOTENCY_KEY_PATTERN, IDEMPOTENCY_KEY_VALUE_CHARS_MAX};
use crate::session::SESSION_ID_CHARS_MAX;

/// The route of the document.
pub(crate) const PATH: &str = "/openapi.json";

/// The name of the schema that all errors have.
pub(super) const ERROR_SCHEMA: &str = "ErrorAnswer";

/// A path, a method in lower case, and the OpenAPI operation object.
type Described = (&'static str, &'static str, Value);

pub(super) fn all(schemas: &mut SchemaGenerator, with_admin: bool) -> Vec<Described> {
    let mut operations = vec![
        read_products(schemas),
        read_product(schemas),
        place_order(schemas),
        read_order(schemas),
        read_order_by_post(schemas),
        read_document(schemas),
    ];
    if with_admin {
        operations.extend(admin());
    }
    operations
}

/// Every operation that checks the session and takes a permit may return these.
const ANY: [ErrorCode; 2] = [BadRequest, Overloaded];

fn read_products(schemas: &mut SchemaGenerator) -> Described {
    let link = json!({ "operationId": "readProduct", "parameters": { "name": "$response.body#/data/0/name" } });
    let what = "All products, sorted by name.";
    let mut read = data::<Vec<Product>>(schemas, "ProductsAnswer", what, &[("firstProduct", link)]);
    read["content"]["application/json"]["example"] = json!({ "data": [tux()] });
    let operation = Operation::new("readProducts", Tag::Products, "All products");
    ("/products", "get", operation.build(schemas, read, &[Unavailable]))
}

fn read_product(schemas: &mut SchemaGenerator) -> Described {
    // Without a request body: openapi-generator does not accept an object here, and no runtime
    // expression yields one.
    let link = json!({ "operationId": "placeOrder", "description": "Buys the product: `name` is the order's `name`." });
    let what = "The product. It reflects every order that was acknowledged before the request.";
    let mut read = data::<Product>(schemas, "ProductAnswer", what, &[("buy", link)]);
    read["content"]["application/json"]["example"] = json!({ "data": tux() });
    let parameters = vec![path_parameter::<ProductName>(schemas, "name", &json!("Tux"))];
    let operation = Operation { parameters, ..Operation::new("readProduct", Tag::Products, "One product") };
    ("/products/{name}", "get", operation.build(schemas, read, &[NoSuchProduct, Unavailable]))
}

fn place_order(schemas: &mut SchemaGenerator) -> Described {
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
                "description": "Repeats the order with the same key. The order is placed once, and keeps its number.",
            }),
        ),
    ];
    let what = "The order was placed, and is on the disks of a majority of the replicas.";
    let mut placed = data::<OrderPlaced>(schemas, "OrderPlacedAnswer", what, &links);
    placed["content"]["application/json"]["example"] = json!({ "data": { "order_number": 10 } });
    let key = idempotency_key();
    let echoed =
        "The key of the request, or a generated one. With it the order can be repeated after any error or timeout.";
    placed["headers"]["Idempotency-Key"] = json!({ "description": echoed, "required": true, "schema": key });
    let wanted = "Makes the order repeatable: an order with the same key is placed at most once. Any string of 1 to \
        255 visible ASCII characters, such as a UUID; it may be a quoted string as in RFC 8941. The header must not be \
        repeated.";
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
        parameters: vec![json!({ "name": "Idempotency-Key", "in": "header", "description": wanted, "schema": key })],
        body: Some(body),
        ..Operation::new("placeOrder", Tag::Orders, "Buy a product")
    };
    ("/orders", "post", operation.build(schemas, placed, PLACE_ERRORS))
}

/// The errors of `POST /orders`. Those from [`BadRequest`] to [`UnsupportedContentEncoding`] can be
/// found before another service is called.
pub(crate) const PLACE_ERRORS: &[ErrorCode] = &[
    BadRequest,
    BadQuantity,
    NoSuchProduct,
    RequestTimeout,
    PayloadTooLarge,
    UnsupportedMediaType,
    UnsupportedContentEncoding,
    OutOfStock,
    IdempotencyKeyReused,
    Internal,
    Overloaded,
    Unavailable,
    DataMismatch,
    InsufficientStorage,
];

fn read_order(schemas: &mut SchemaGenerator) -> Described {
    ("/orders/{number}", "get", read_order_as(schemas, Operation::new("readOrder", Tag::Orders, "One order")))
}

fn read_order_by_post(schemas: &mut SchemaGenerator) -> Described {
    let operation = Operation::new("readOrderByPost", Tag::Orders, "One order, for clients that read orders by POST");
    let mut operation = read_order_as(schemas, operation);
    operation["deprecated"] = json!(true);
    ("/orders/{number}", "post", operation)
}

fn read_order_as(schemas: &mut SchemaGenerator, operation: Operation) -> Value {
    let mut read = data::<Order>(schemas, "OrderAnswer", "The order, as it was placed.", &[]);
    read["content"]["application/json"]["example"] = json!({ "data": { "number": 1, "name": "Tux", "quantity": 1 } });
    let parameters = vec![path_parameter::<OrderNumber>(schemas, "number", &json!(1))];
    let operation = Operation { parameters, ..operation };
    operation.build(schemas, read, &[BadRequest, NoSuchOrder, Unavailable])
}

fn read_document(schemas: &mut SchemaGenerator) -> Described {
    let read = json!({
        "description": "This document.",
        "content": { "application/json": { "schema": { "type": "object", "required": ["openapi", "paths"] } } },
    });
    let operation = Operation::new("readDocument", Tag::Service, "This document");
    (PATH, "get", operation.build(schemas, read, &[]))
}

/// Health and metrics: plain text, without a session.
fn admin() -> [Described; 3] {
    let text =
        |what: &str| json!({ "description": what, "content": { "text/plain": { "schema": { "type": "string" } } } });
    let operation = |path, id: &str, summary: &str, responses: Value| {
        let tags = [Tag::Service.name()];
        (path, "get", json!({ "operationId": id, "tags": tags, "summary": summary, "responses": responses }))
    };
    [
        operation("/healthz", "readHealth", "Whether the process is alive", json!({ "200": text("It is alive.") })),
        operation(
            "/readyz",
            "readReadiness",
            "Whether the frontend is ready for requests",
            json!({ "200": text("It is ready."), "503": text("It is not ready; the text says why.") }),
        ),
        operation("/metrics", "readMetrics", "Metrics for Prometheus", json!({ "200": text("All metrics.") })),
    ]
}

/// Client generators make one class for the operations of each tag.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tag {
    Products,
    Orders,
    Service,
}

impl Tag {
    pub(super) const ALL: [Self; 3] = [Self::Products, Self::Orders, Self::Service];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Products => "products",
            Self::Orders => "orders",
            Self::Service => "service",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Products => "The products that can be bought.",
            Self::Orders => "Placing and reading orders.",
            Self::Service => "The frontend itself.",
        }
    }
}

struct Operation {
    id: &'static str,
    tag: Tag,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
}

impl Operation {
    fn new(id: &'static str, tag: Tag, summary: &'static str) -> Self {
        Self { id, tag, summary, parameters: Vec::new(), body: None }
    }

    /// The operation object, with its successful response and its errors; [`ANY`] is added to them.
    fn build(mut self, schemas: &mut SchemaGenerator, success: Value, errors: &[ErrorCode]) -> Value {
        self.parameters.push(json!({
            "name": "Session-ID",
            "in": "header",
            "description": "Names the client's session. It is echoed in the response, and appears in the logs.",
            "schema": session_id(),
            "example": "s-17",
        }));
        let mut responses = failures(schemas, errors);
        responses.insert("200".to_owned(), success);
        for response in responses.values_mut() {
            response["headers"]["Session-ID"] =
                json!({ "description": "The session id of the request.", "schema": session_id() });
        }
        responses.insert(
            "431".to_owned(),
            json!({ "description": "The headers are too many or too long. The response has no body." }),
        );
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag.name()],
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

/// One response for each status. All have the same schema, so that a generated client has one error
/// type. The error codes of a status are the names of its examples.
fn failures(schemas: &mut SchemaGenerator, errors: &[ErrorCode]) -> Map<String, Value> {
    let mut by_status = BTreeMap::<_, Vec<ErrorCode>>::new();
    for code in ANY.iter().chain(errors) {
        let codes = by_status.entry(code.status()).or_default();
        if !codes.contains(code) {
            codes.push(*code);
        }
    }
    schemas.subschema_for::<ErrorCode>();
    let responses = by_status.into_iter().map(|(status, codes)| {
        let descriptions: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.meaning())).collect();
        let example = |code: &ErrorCode| {
            let error = json!({ "code": code.as_str(), "message": code.meaning() });
            (code.as_str().to_owned(), json!({ "value": { "error": error } }))
        };
        let schema = reference(ERROR_SCHEMA);
        let examples: Map<_, _> = codes.iter().map(example).collect();
        let mut response = json!({
            "description": descriptions.join("\n\n"),
            "content": { "application/json": { "schema": schema, "examples": examples } },
        });
        if codes.iter().any(|code| code.is_transient()) {
            let schema = json!({ "type": "integer", "minimum": 1 });
            response["headers"]["Retry-After"] =
                json!({ "description": "Seconds to wait before the next attempt.", "required": true, "schema": schema, "example": 1 });
        }
        (status.as_str().to_owned(), response)
    });
    responses.collect()
}

/// A successful response with the body `{"data": T}`, whose schema is called `name`.
fn data<T: JsonSchema>(schemas: &mut SchemaGenerator, name: &str, what: &str, links: &[(&str, Value)]) -> Value {
    let properties = json!({ "data": schemas.subschema_for::<T>() });
    let schema = json!({ "type": "object", "required": ["data"], "properties": properties });
    schemas.definitions_mut().insert(name.to_owned(), schema);
    let content = json!({ "application/json": { "schema": reference(name) } });
    let mut response = json!({ "description": what, "content": content });
    for (name, link) in links {
        response["links"][name] = link.clone();
    }
    response
}

pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn path_parameter<T: JsonSchema>(schemas: &mut SchemaGenerator, name: &str, example: &Value) -> Value {
    let schema = schemas.subschema_for::<T>();
    json!({ "name": name, "in": "path", "required": true, "schema": schema, "example": example })
}

fn idempotency_key() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_VALUE_CHARS_MAX, "pattern": IDEMPOTENCY_KEY_PATTERN })
}

fn session_id() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": SESSION_ID_CHARS_MAX, "pattern": "^[!-~]+$" })
}

fn tux() -> Value {
    json!({ "name": "Tux", "price": 25.99, "quantity": 100 })
}
