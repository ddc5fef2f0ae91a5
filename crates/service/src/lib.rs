//! What every process of the store shares, so that the crate of a service holds only this service.
//!
//! * [`access`]: the internal token, and where a process without one listens.
//! * [`settings`]: environment variables and flags, parsed into typed values; all mistakes are
//!   reported at once.
//! * [`logging`]: `tracing`, as text or JSON.
//! * [`http`]: the HTTP server with its limits, the client, JSON in and out, request metrics.
//! * [`json_client`]: requests from one service to another.
//! * [`events`]: what this process did that matters to the protocols, for those who watch it.
//! * [`health`]: `/healthz`, `/readyz`, `/metrics`.
//! * [`metrics`]: what every process measures.
//! * [`backoff`]: delays between retries.
//! * [`trace`]: distributed traces of orders.
//! * [`world`]: disk, network, randomness and threads, which a simulation replaces.
//! * [`lifecycle`]: the life of a process, from binding its ports to its exit code.

pub mod access;
pub mod backoff;
pub mod events;
mod exit;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod http;
pub mod json_client;
pub mod lifecycle;
pub mod logging;
pub mod metrics;
pub mod mutation;
pub mod settings;
mod token;
pub mod trace;
pub mod world;

pub use token::Token;
