//! The frontend: the store as shoppers see it. Any number of them may run; none has state that matters.
//!
//! # What it does
//! * It serves the public REST API (`routes`), and checks everything before it asks anyone.
//! * It keeps the products that were asked for last as ready-made answers ([`cache`]), under a lease from the catalog: a product
//!   read here is never older than an order that was acknowledged before the read began.
//! * It places orders through the order service's leader (`orders`): one id for all attempts, one deadline.
//! * It conducts the elections of the groups behind it ([`election`]).
//!
//! # A request's way
//! Session (echo, log) → body bound → handler. What a handler cannot answer by itself needs a place (`admission`): so many orders, and so many
//! reads, are on their way to the services behind at once, and more are refused. It asks the leader of a group through [`discovery::Group`], which repeats a request until there is an answer or the deadline of 4.8 s has come. A
//! shopper who hangs up ends the request; an order that was on its way may be placed or not, as with any broken connection.
//!
//! # Caveats
//! * Health and metrics are on the public port too, unless `PUBLIC_ADMIN=false`: at home one port is easier.
//! * Concurrent misses of one product each fetch it. Sharing a fetch would be stale for a reader that came after it had been
//!   read; the saving is not worth the argument.

mod admission;
pub mod cache;
mod config;
mod courier;
mod deadline;
pub mod election;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod internal;
mod lease;
mod new_order;
mod openapi;
mod orders;
mod process;
mod products;
mod refusal;
mod routes;
mod session;
mod shortcut;

pub use config::{Config, settings};
pub use process::{Frontend, StartError, run};
