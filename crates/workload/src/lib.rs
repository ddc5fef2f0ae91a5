//! Load on a store, through its public REST API only, and the check that the store kept its
//! promises.
//!
//! `toystore client`, `load`, `drill` and `experiment`, the benchmarks, and the tests use this
//! crate; none of them has a load generator of its own. What they report is their own.
//!
//! # Reading order
//!
//! `store_client` (one request, its response, and what can go wrong), `latency`; then [`load`]: the
//! load generator, and the [verification](load::verification) of a load.

mod latency;
pub mod load;
mod store_client;

pub use latency::Latency;
pub use store_client::{Purchase, StoreClient, StoreClientError, base_url, parse_address};
