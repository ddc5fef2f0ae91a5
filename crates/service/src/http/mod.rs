//! HTTP with limits, for servers and clients.
//!
//! [`serve`] runs an axum router on its own accept loop, because the limits (connections, header
//! and body sizes, a timeout for each step) lie below axum. Handlers take a [`JsonBody`] and return
//! a [`HandlerResult`]. Every failure is an [`ErrorResponse`], so every path answers with the
//! store's own error format. [`harden`] adds to a router what every port needs.
//!
//! Read the server in this order: `server` (the accept loop), `connection`, `connections` (which
//! connection is closed when there are too many), `stream` with its three guards
//! (`refusal_throttle`, `write_timeout`, `lingering_close`), `request_head`, `host_check`,
//! `service` (a router or one function), `port`, `server_metrics`, `request_class` (fair shares of
//! the processor), `unread_responses`. The client: `client_request`, `client`, `transport`,
//! `connection_pool`, `hedge`, `client_metrics`.

mod body;
mod client;
mod client_metrics;
mod client_request;
mod connection;
mod connection_pool;
mod connections;
mod hedge;
mod hedge_policy;
mod host_check;
mod json_response;
mod limits;
mod lingering_close;
mod listener;
mod port;
mod refusal_throttle;
mod request_class;
mod request_head;
mod server;
mod server_metrics;
mod service;
mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod transport;
mod unread_responses;
mod write_timeout;

pub use body::{BODY_BYTES_MAX, JsonBody, PathParam, QueryParams, RawBody, body_limit, read_json};
pub use client::{Client, ClientOptions};
pub use client_metrics::ClientMetrics;
pub use client_request::{ClientRequest, Payload, SendError};
pub use connection::{PeerAddress, PortStop};
pub use hedge_policy::Hedge;
pub use json_response::{ErrorResponse, HandlerResult, data};
pub use limits::Limits;
pub use listener::Listener;
pub use port::{guard, harden, method_not_allowed, not_found};
pub use request_class::{ClassLimit, ClassRate, RequestClass};
pub use server::serve;
pub use server_metrics::{PortMetrics, ServerMetrics, UNKNOWN_ROUTE};
pub use service::{ResponseFuture, Service};
pub use transport::ByteStream;
