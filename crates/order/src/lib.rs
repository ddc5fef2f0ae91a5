//! The order service: gives every order a number, once, and never loses one that it has acknowledged.
//!
//! Three replicas (or one, or five) keep the same state, a list of numbered orders, on the replication engine. One of them leads
//! and places orders; each answers for the orders that it has.
//!
//! # The life of an order
//! ```text
//!   request ──► desk ──► intake ──► reserve ──► place ──► answer
//!                        (queue)    (catalog)   (log)
//! ```
//! 1. The *desk* takes the request if this replica leads; else it names the leader (421). An order id that has a number
//!    gets that number again; with another product or quantity it is refused (422).
//! 2. In the *intake* it waits for a batch. An id is in it once, however many requests wait for it. A full queue refuses (503).
//! 3. **Reserve**: the catalog takes the stock for the batch, or refuses, order by order.
//! 4. **Place**: one log entry gives each order of the batch the next number. When a majority of disks has it, it is placed.
//! 5. **Settle**: the catalog is told that the batch is placed; it travels with the next reserve.
//!
//! | invariant | kept by |
//! |---|---|
//! | I1: an acknowledged order is never lost | answers come after the commit; the [`ledger`] is compared with the log at each start |
//! | I2: one id has one number | [`orders`]: an id that has a number keeps it, for the last million orders |
//! | I3: numbers have no gaps, ledgers are the same bytes | numbers are given in log order; lines are written from committed orders only |
//! | I4, with the catalog: no stock is lost or sold twice | batches are never resolved by guess, but by the next [`takeover`] |
//! | I6: a deposed leader can do nothing | its term is fenced at the catalog, and in the log's own order |
//!
//! # Terms
//! Everything a leader does belongs to its term. It takes over once ([`takeover`]), works (the pipeline), and when the term ends, or
//! anything is in doubt, it stops for good: whoever waits is told what is known. A term is never resumed.
//!
//! # Caveats
//! * A request may be answered *unavailable* although its order is placed a moment later. Repeat it with the same id: that is
//!   what the id is for. After a million later orders an id is forgotten, and would be placed again.
//! * While the catalog is away, no order is placed: requests wait for up to 5 s, then get 503. A leader that alone does not reach it hands
//!   over to a replica that does (`reach`).
//! * `GET` of a number that a replica does not have costs the leader a round trip to a majority: only so is "not found" true.

mod config;
mod desk;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod intake;
pub mod ledger;
mod metrics;
pub mod orders;
mod pipeline;
mod reach;
mod reign;
mod routes;
mod service;
mod stock;
pub mod takeover;

pub use self::config::{Config, settings};
pub use self::error::StartError;
pub use self::pipeline::BATCH_ORDERS_MAX;
pub use self::service::{GROUP, Listeners, Service, run};
