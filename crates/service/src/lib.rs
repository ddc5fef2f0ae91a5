//! What every process of the store shares, so that a service's own crate holds nothing but that service.
//!
//! * [`settings`]: environment and flags → typed values; all mistakes at once.
//! * [`logging`]: `tracing`, for people or as JSON.
//! * [`http`]: the server loop with its bounds, JSON in and out, the internal token, request metrics.
//! * [`call`]: requests from one service to another.
//! * [`health`]: `/healthz`, `/readyz`, `/metrics`.
//! * [`metrics`]: what every process measures.
//! * [`pause`]: between tries.
//! * [`trace`]: one order's way through the processes.
//! * [`world`]: disk, network, randomness and threads, which a simulation replaces.
//! * [`lifecycle`]: signals, draining, and how a process dies when it must not go on.
//!
//! The life of a process: settings → sockets bound → parts built → served → signal → not ready → drained → exit.
//! Exit codes are [`lifecycle::ExitCode`]'s.

pub mod call;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod http;
pub mod lifecycle;
pub mod logging;
pub mod metrics;
pub mod mutation;
pub mod pause;
pub mod settings;
mod token;
pub mod trace;
pub mod world;

pub use token::Token;
