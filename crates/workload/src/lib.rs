//! Load on a store, through its public REST API only, and the check that the store kept its
//! promises.
//!
//! `toystore client`, `load`, `drill` and `experiment`, the benchmarks, and the tests use this
//! crate; none of them has a load generator of its own. What they report is their own.
//!
//! # Reading order
//!
//! 1. `store_client`: one request, its response, and what can go wrong.
//! 2. `clock` and `attempt_log`: the record of all attempts, in which the outcome of an order is
//!    decided.
//! 3. `retrying_client`: repeats requests, orders under the same key. Its [`RetryPolicy`] is the
//!    difference between a patient shopper, a writer that measures an outage, and a verification.
//! 4. [`load`]: the load generator, which repeats nothing.
//! 5. [`verification`]: what became of the orders of a run.

mod attempt_log;
mod clock;
mod latency;
pub mod load;
mod retrying_client;
mod store_client;
pub mod verification;

pub use attempt_log::AttemptLog;
pub use clock::RunClock;
pub use latency::Latency;
pub use retrying_client::{Answered, ClientObserver, RequestKind, RetryPolicy, RetryingClient};
pub use store_client::{Purchase, StoreClient, StoreClientError, base_url, parse_address};
