//! Orders: placed through the leader, read from any replica that has them.
//!
//! Reading order: `place` has the handler of `POST /orders`, `idempotency_key` reads that header,
//! `attempts` decides when and how often an order is sent, `batch_request` sends it. `read` has the
//! handler of `GET /orders/{number}`, `rotation` chooses the replica that it asks.

mod attempts;
mod batch_request;
mod idempotency_key;
mod place;
mod read;
mod rotation;

pub(crate) use batch_request::PlaceOrders;
pub(crate) use idempotency_key::{
    PATTERN as IDEMPOTENCY_KEY_PATTERN, VALUE_CHARS_MAX as IDEMPOTENCY_KEY_VALUE_CHARS_MAX,
};
pub(crate) use place::{OrdersApi, PATH};
pub(crate) use read::ROUTE;
