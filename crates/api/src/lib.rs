//! Every HTTP interface of the store, as types: the public REST API, and the APIs between the
//! services.
//!
//! Nothing here does I/O. A service never imports another service; both import this crate, so a
//! field that is renamed here is renamed on both ends of the wire. All services are one binary, so
//! one image tag means one version of these types.
//!
//! | module | interface |
//! |---|---|
//! | [`public`] | the REST API that clients call |
//! | [`catalog`] | products, reservations and leases (the catalog's internal port) |
//! | [`order`] | placing and reading orders (the order service's internal port) |
//! | [`frontend`] | invalidations and cache contents (the frontend's internal port) |
//! | [`replica`] | status and elections of a replica of either group |
//! | [`event`] | what every process did that matters to the protocols |
//!
//! Every response body is a [`Data`] or an [`ErrorBody`]; the status of a failure is that of its
//! [`ErrorCode`].

pub mod catalog;
mod decided_counts;
mod envelope;
mod error;
pub mod event;
pub mod frontend;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod ids;
pub mod order;
mod product;
pub mod public;
pub mod replica;
mod request_batch;
#[cfg(feature = "schema")]
mod schema;

pub use envelope::{Data, Empty, ErrorBody};
pub use error::{ApiError, ErrorCode};
pub use ids::{
    Address, BatchId, BatchNumber, HolderId, LogPosition, NodeId, OrderId, OrderNumber, Ordinal, ProductVersion, Term,
};
pub use product::{InvalidValue, Price, Product, ProductName, Quantity, Stock};
pub use request_batch::{BatchSizeError, REQUEST_BATCH_MAX, RequestBatch};

/// Header with the shared secret of the internal ports (`INTERNAL_TOKEN`).
pub const INTERNAL_TOKEN_HEADER: &str = "x-internal-token";
/// Header that makes an order safe to retry: a UUID that identifies the order.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";
/// Header that identifies a client's session. The response repeats it, and log lines include it.
pub const SESSION_ID_HEADER: &str = "session-id";
