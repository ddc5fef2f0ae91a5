//! The frontend: the store's public REST API. Any number of frontends may run; none has state that
//! must survive it.
//!
//! # What it does
//! * It serves the public API (`public`), and checks requests before it asks another service.
//! * It keeps recently read products as ready-made responses ([`cache`]), under a lease from the
//!   catalog (`lease_keeper`): a product read here is never older than an order that was
//!   acknowledged before the read began.
//! * It places orders through the leader of the order service (`orders`): one id for all attempts,
//!   and one deadline.
//! * It monitors the leaders of the groups behind it, and starts elections ([`election`]).
//!
//! # The path of a request
//! Every request of the public port takes one path: `public` finds its route, checks method and
//! `session`, and calls the route's function. A product from the cache is a response at once, also
//! in a session. A function that needs another service takes a permit
//! (`admission`), which bounds the requests in flight and refuses the rest. It then calls the
//! leader through [`discovery::Group`], which repeats the call until it has an answer or the
//! deadline of 4.8 s has passed. Concurrent calls to one leader share an HTTP request (`batcher`).
//! A client that closes its connection cancels the request; an order that was already sent may or
//! may not be placed, as with any broken connection.
//!
//! # Reading order
//! `server` (what runs), `public`, `products` and `orders`; then what they use: `batcher`,
//! `admission`, [`cache`]; then the tasks in the background: `lease_keeper`, [`election`].
//!
//! # Caveats
//! * Health and metrics are served on the public port too, unless `PUBLIC_ADMIN=false`: on one
//!   machine, one port is easier.
//! * Concurrent misses of one product may each fetch it. A shared fetch could be stale for a client
//!   that asked after the value had been read.

mod admission;
mod batcher;
pub mod cache;
mod config;
mod deadline;
pub mod election;
mod errors;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod internal;
mod lease_keeper;
mod new_order;
mod openapi;
mod orders;
mod products;
mod public;
mod server;
mod session;

pub use config::{Config, settings};
pub use public::Origins;
pub use server::Server;
