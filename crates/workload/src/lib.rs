//! Load on a store, through its public REST API only, and the check that the store kept its
//! promises.
//!
//! `toystore client`, `load`, `drill`, `experiment` and `simulate`, the benchmarks, and the tests
//! use this crate; none of them has a client or a load generator of its own. What they report is
//! their own. The simulation's clients send their requests through a [`Transport`] of its network.
//!
//! # What an answer means
//!
//! An attempt at a request returns what was asked for, or a [`StoreClientError`]. What it says
//! about an order is decided in one place, the [`AttemptLog`]:
//!
//! | attempt | the order |
//! |---|---|
//! | answered with a number | is acknowledged, and must never be lost |
//! | answered with a refusal, or with an error that says that nothing was begun | is refused |
//! | any other answer, no answer in time, a lost connection | is unknown: it may be placed, now or later |
//! | the connection could not be opened | was never sent, so there was no attempt |
//!
//! # Two ways to put load on a store
//!
//! * A [`RetryingClient`] waits for each answer and repeats what was not answered, an order with
//!   its key. People do that, and so do the writers of a drill, which measure how long a store is
//!   away.
//! * The [load generator](load) sends each request once, at its time, whatever happened to the
//!   others. It shows what a store does under overload.
//!
//! Both record every attempt, and in the end [`verification`] tells whether the store kept its
//! promises. There are three answers: it did, it broke one, or not everything could be checked.
//!
//! # Caveats
//!
//! * All of this sees the store from outside. The ledgers on the replicas' disks and the catalog's
//!   accounts are compared by `toystore drill`, which starts the store itself.
//! * A `RetryingClient` uses a complete HTTP client, which takes more CPU time than the load
//!   generator's connections. It is not for measuring a store's maximum throughput.
//!
//! # Reading order
//!
//! 1. `error`: what can go wrong; `transport`: how a request gets to the store; `store_client`:
//!    what is requested, and what a response means; `stats`: how outcomes and latencies are
//!    counted.
//! 2. `clock` and `attempt_log`: the record of all attempts, in which the outcome of an order is
//!    decided; `recording_client`: a client whose attempts are recorded.
//! 3. `retrying_client`: its [`RetryPolicy`] is the difference between a patient shopper, a writer
//!    that measures an outage, and a verification.
//! 4. [`load`]: the load generator.
//! 5. [`verification`]: what became of the orders of a run.

mod attempt_log;
mod client_stats;
mod clock;
mod error;
mod latency;
pub mod load;
mod recording_client;
mod request;
mod retrying_client;
mod stats;
mod store_client;
mod transport;
pub mod verification;

pub use attempt_log::{AttemptLog, AttemptObserver, order_outcome};
pub use client_stats::ClientStats;
pub use clock::RunClock;
pub use error::StoreClientError;
pub use latency::Latency;
pub use recording_client::RecordingClient;
pub use request::RequestKind;
pub use retrying_client::{Answered, ClientObserver, RetryPolicy, RetryingClient};
pub use stats::{LatencyHistograms, LoadStats, RequestOutcome, RequestStats, RequestTiming};
pub use store_client::{Purchase, StoreClient};
pub use transport::{HttpTransport, Transport, base_url, parse_address};
