//! A message as a part of a story: what it is about, in a few words.

use api::catalog::{Fence, OrderLine, ReadProducts, ReserveBatch, Resolve, Settle};
use api::frontend::Invalidate;
use api::order::{PlaceOrder, Placement};
use api::public::{NewOrder, Order, OrderPlaced};
use api::replica::ReplicaStatus;
use api::{Data, ErrorBody, IDEMPOTENCY_KEY_HEADER, OrderId, Product};
use bytes::Bytes;
use http::{Method, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::world::ConnectionError;

use crate::network::{CallId, CallResult, MachineId};
use crate::trace::{Fate, MessageContent, Millis};

/// The part of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MessagePart {
    Request = 0,
    Response = 1,
    Cancel = 2,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MessageKind {
    pub(crate) label: &'static str,
    /// Decides the colour.
    pub(crate) family: &'static str,
    /// Whether it says nothing new most of the time.
    pub(crate) routine: bool,
}

const fn kind(label: &'static str, family: &'static str) -> MessageKind {
    MessageKind { label, family, routine: false }
}

const fn routine(label: &'static str, family: &'static str) -> MessageKind {
    MessageKind { label, family, routine: true }
}

/// Everything else.
pub(crate) const OTHER: MessageKind = routine("other", "other");
const HEARTBEAT: MessageKind = routine("heartbeat", "place");
const APPEND: MessageKind = kind("append", "place");

/// An append with no entry is shorter than this, in bytes; one with an entry is longer.
const HEARTBEAT_BYTES_MAX: usize = 40;

/// A message.
#[derive(Clone, Debug)]
pub(crate) struct RecordedMessage {
    pub(crate) call: CallId,
    pub(crate) part: MessagePart,
    pub(crate) sent: Millis,
    pub(crate) from: MachineId,
    pub(crate) to: MachineId,
    pub(crate) fate: Fate,
    pub(crate) kind: MessageKind,
    /// Its details; often empty.
    pub(crate) text: String,
    /// Whether it is the second copy of a request.
    pub(crate) is_repeated: bool,
    pub(crate) is_error: bool,
}

/// A request that has not been answered.
#[derive(Clone, Debug)]
pub(super) struct OpenCall {
    pub(super) kind: MessageKind,
    path: String,
}

impl OpenCall {
    pub(super) fn of(request: &Request<Bytes>) -> Self {
        let path = request.uri().path().to_owned();
        Self { kind: kind_of(request.method(), &path, request.body().len()), path }
    }
}

pub(super) fn part_of(content: MessageContent<'_>) -> MessagePart {
    match content {
        MessageContent::Request(_) => MessagePart::Request,
        MessageContent::Response(_) => MessagePart::Response,
        MessageContent::Cancel => MessagePart::Cancel,
    }
}

fn kind_of(method: &Method, path: &str, bytes: usize) -> MessageKind {
    match path {
        "/replication/append" if bytes <= HEARTBEAT_BYTES_MAX => HEARTBEAT,
        "/replication/append" => APPEND,
        "/replication/vote" => kind("vote", "election"),
        "/replication/stand" | "/election" => kind("stand", "election"),
        "/replication/join" => kind("join", "member"),
        "/replication/state" => kind("state", "member"),
        "/replication/status" | "/replication/progress" | "/status" => routine("status", "other"),
        "/reservations" => kind("reserve", "reserve"),
        "/settlements" => kind("settle", "settle"),
        "/fence" => kind("fence", "reserve"),
        "/resolution" => kind("resolve", "reserve"),
        "/orders" | "/orders/batch" => kind("order", "order"),
        "/cache" => kind("invalidate", "invalidate"),
        "/products/batch" => kind("fetch", "fill"),
        "/accounts" => kind("accounts", "other"),
        _ if path.starts_with("/leases") => routine("lease", "fill"),
        _ if path.starts_with("/orders/") => kind("read order", "read"),
        _ if path.starts_with("/products") => kind("read", "read"),
        _ if method == Method::DELETE => kind("remove", "member"),
        _ => OTHER,
    }
}

/// The beginning of a key: enough to tell the orders of one run apart.
pub(super) fn key(id: OrderId) -> String {
    id.0.simple().to_string()[..4].to_owned()
}

/// What a request says.
pub(super) fn request(open: &OpenCall, request: &Request<Bytes>) -> String {
    let body = request.body();
    let settled = |settle: &Settle| format!("up to {}/{}", settle.term, settle.through);
    let text = match open.path.as_str() {
        "/orders" => {
            let id = request.headers().get(IDEMPOTENCY_KEY_HEADER).and_then(|key| key.to_str().ok()?.parse().ok());
            let id = id.map_or_else(String::new, |id: OrderId| format!(" (key {})", key(id)));
            let order = json::<NewOrder>(body).map(|order| format!("{} × {}{id}", order.quantity, order.name));
            order.or_else(|| json::<PlaceOrder>(body).map(|order| line(&order.line)))
        }
        "/orders/batch" => {
            json::<Vec<PlaceOrder>>(body).map(|orders| list(orders.iter().map(|order| line(&order.line))))
        }
        "/products/batch" => {
            json::<ReadProducts>(body).map(|read| list(read.names.as_slice().iter().map(ToString::to_string)))
        }
        "/reservations" => json::<ReserveBatch>(body).map(|batch| {
            let orders = batch.orders.iter().map(line);
            let settles =
                batch.settle.as_ref().map_or_else(String::new, |settle| format!("; settles {}", settled(settle)));
            format!("batch {}: {}{settles}", batch.id, list(orders))
        }),
        "/settlements" => json::<Settle>(body).map(|settle| settled(&settle)),
        "/fence" => json::<Fence>(body).map(|fence| format!("term {}", fence.term)),
        "/resolution" => json::<Resolve>(body)
            .map(|it| format!("term {}: keep {}, release {}", it.term, it.keep.len(), it.release.len())),
        "/cache" => json::<Invalidate>(body).map(|it| list(it.products.iter().map(|product| product.name.to_string()))),
        "/products" => Some("all products".to_owned()),
        path if path.starts_with("/products/") || path.starts_with("/orders/") => {
            path.rsplit('/').next().map(ToOwned::to_owned)
        }
        _ => None,
    };
    text.unwrap_or_default()
}

/// What an answer says.
pub(super) fn answer(open: &OpenCall, outcome: &CallResult) -> String {
    let response = match outcome {
        Ok(response) => response,
        Err(ConnectionError::Refused) => return "connection refused".to_owned(),
        Err(ConnectionError::Reset) => return "connection reset".to_owned(),
    };
    let (body, ok) = (response.body(), response.status().is_success());
    if !ok {
        let code = json::<ErrorBody>(body).map(|body| body.error.code.as_str().replace('_', " "));
        return code.unwrap_or_else(|| response.status().as_u16().to_string());
    }
    let text = match open.path.as_str() {
        "/orders" => data::<OrderPlaced>(body).map(|placed| format!("order {}", placed.order_number)),
        "/orders/batch" => data::<Vec<Placement>>(body).map(|placements| {
            list(placements.iter().map(|placement| match placement {
                Placement::Placed(placed) => format!("order {}", placed.order_number),
                Placement::Refused(error) => error.code.as_str().replace('_', " "),
            }))
        }),
        "/status" => data::<ReplicaStatus>(body).map(|status| {
            let log = status.last_log.map_or_else(|| "empty".to_owned(), |position| position.to_string());
            format!("term {}, log {log}", status.term)
        }),
        path if path.starts_with("/products/") => {
            data::<Product>(body).map(|it| format!("{} {}", it.quantity, it.name))
        }
        path if path.starts_with("/orders/") => data::<Order>(body).map(|it| format!("{} × {}", it.quantity, it.name)),
        _ => None,
    };
    text.unwrap_or_default()
}

fn line(line: &OrderLine) -> String {
    format!("{} × {} (key {})", line.quantity, line.name, key(line.order_id))
}

fn json<T: DeserializeOwned>(body: &Bytes) -> Option<T> {
    serde_json::from_slice(body).ok()
}

fn data<T: DeserializeOwned>(body: &Bytes) -> Option<T> {
    json::<Data<T>>(body).map(|body| body.data)
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
