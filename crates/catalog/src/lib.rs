//! The catalog: the only authority on stock.
//!
//! It keeps the books of each product, takes stock for batches of orders, brings back what is sold out, and sees to it that
//! no frontend serves a stale product. One replica by default, three or five if need be; each change is an entry of a replicated
//! log ([`replication`]), applied by a pure state machine ([`Catalog`]).
//!
//! # Taking stock: the participant of a two-phase commit
//! An order leader asks for the stock of a batch of orders (*reserve*), writes those that got it into its own log (*place*), and tells the
//! catalog what became of them (*settle*). Pieces go from *stock* to *reserved* to *sold*, or back to *stock*. The order leader's
//! term is the fence, `(term, batch)` makes each request repeatable, and nothing is ever decided by a time-out: a reservation stays
//! open until its leader, or that one's successor, has said what became of it. The rules are in `reservation`.
//!
//! # Showing stock: caches that are never stale
//! A frontend may serve a product from its cache while it holds a *lease*. In return no change of a product is shown to anyone, or
//! acknowledged to the order leader, until each holder that may have fetched it has forgotten it, or its lease is over:
//!
//! ```text
//!            ┌── DELETE /cache ──► each holder that fetched the product (or its lease runs out) ──┐
//!  change ───┤                                                                                    ├──► show ──► acknowledge
//!            └── propose ────────► durable on a majority ────────────────────────────────────────┘
//! ```
//! Meanwhile readers see the old value and may not cache it. Since an order is acknowledged only after its reservation was, whoever
//! reads after an acknowledgement reads at least that: a product read is linearizable (I5), cached or not.
//!
//! * `lease`: who may cache, and what each may have.
//! * `window`: what is shown while a change is under way.
//! * `writer`: one change at a time, through both branches of the picture.
//! * `confirmation`: a read, and a lease, want a majority's word that this replica still leads.
//! * `tenure`: a new leader does not know its predecessor's leases, so it waits until they are over.
//!
//! # Caveats
//! * A catalog that restarts answers no reader for a lease and a tenth (1.1 s). Orders wait, too; none is refused.
//! * The clocks of catalog and frontends may differ by any amount but must run within a tenth of each other's speed. A frontend whose
//!   clock stands still (a suspended virtual machine) may serve stale values until its clock has gone on for a lease's rest.
//! * A frontend that cannot be reached but reaches us delays changes of what it fetched: once, for a lease.
//! * `LEASE_MS` may be lowered, but what a new leader waits stays the longest that was ever allowed.
//! * Prices and products are as the first start found them in `CATALOG_FILE`; there is no command to change them.
//! * `GET /accounts` tells what is committed, which may be ahead of what is shown by a change.

mod account;
mod config;
mod confirmation;
mod error;
mod export;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod invalidation;
mod leadership;
mod lease;
mod machine;
mod metrics;
mod refusal;
mod reservation;
mod restock;
mod routes;
pub mod seed;
mod service;
mod tenure;
mod window;
mod writer;

pub use crate::account::Offer;
pub use crate::config::{Config, Seed, settings};
pub use crate::error::StartError;
pub use crate::export::{ExportError, export};
pub use crate::machine::{Action, Catalog, Command, Outcome, Reply};
pub use crate::refusal::Refusal;
pub use crate::reservation::OPEN_MAX;
pub use crate::restock::Restock;
pub use crate::routes::BATCH_ORDERS_MAX;
pub use crate::service::{GROUP, Listeners, Service, run};
