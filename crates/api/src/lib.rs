//! Every HTTP interface of the store, as types: what shoppers see, and what the services say to each other.
//!
//! Nothing here does I/O. A service never imports another one; both import this crate, so that a
//! field that is renamed here is renamed on both sides of the wire at once. Since all services are one
//! binary, one image tag is one version of these types.
//!
//! | module | interface |
//! |---|---|
//! | [`public`] | the REST API that shoppers call |
//! | [`catalog`] | products, reservations, leases (catalog's internal port) |
//! | [`order`] | placing and reading orders (order's internal port) |
//! | [`frontend`] | invalidations and cache contents (frontend's internal port) |
//! | [`replica`] | status and elections of a replica, of whichever group |
//!
//! Every answer is an [`Data`] or an [`ErrorBody`], with the status of its [`ErrorCode`].

pub mod catalog;
mod envelope;
mod error;
pub mod frontend;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod ids;
pub mod order;
mod product;
pub mod public;
pub mod replica;
#[cfg(feature = "schema")]
mod schema;
mod together;

pub use envelope::{Data, ErrorBody};
pub use error::{ApiError, ErrorCode};
pub use ids::{
    Address, BatchId, BatchNumber, HolderId, LogPosition, NodeId, OrderId, OrderNumber, Ordinal, ProductVersion, Term,
};
pub use product::{InvalidValue, Price, Product, ProductName, Quantity, Stock};
pub use together::{TOGETHER_MAX, Together, WrongNumber};

/// Header that carries the shared secret of the internal ports (`INTERNAL_TOKEN`).
pub const INTERNAL_TOKEN_HEADER: &str = "x-internal-token";
/// Header with which a shopper makes an order repeatable: a UUID.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";
/// Header that names a shopper's session: echoed, and in the logs.
pub const SESSION_ID_HEADER: &str = "session-id";
