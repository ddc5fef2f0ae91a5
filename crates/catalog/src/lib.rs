//! The catalog: the only authority on stock.
//!
//! It keeps a stock account for each product, reserves stock for batches of orders, restocks what
//! is sold out, and ensures that no frontend serves a stale product. It has one replica by default,
//! and three or five for high availability. Each change is an entry of a replicated log
//! ([`replication`]), applied by a pure state machine ([`Catalog`]).
//!
//! # Reserving stock: the participant of a two-phase commit
//! An order leader requests the stock for a batch of orders (*reserve*), writes the orders that got
//! it to its own log (*place*), and tells the catalog what became of them (*settle*). Pieces move
//! from *stock* to *reserved* to *sold*, or back to *stock*. The order leader's term is the fence,
//! `(term, batch)` makes each request repeatable, and no timeout ever decides anything: a
//! reservation stays open until its leader, or that leader's successor, has decided it. The rules
//! are in `reservation`.
//!
//! The order leader detects an older copy of the catalog's data. It compares the pieces sold with
//! its orders when it takes over, and names the last answered batch in each later request. A
//! catalog that does not know that batch refuses the request and changes nothing.
//!
//! # Showing stock: caches that are never stale
//! A frontend may serve a product from its cache while it holds a *lease*. In return, the catalog
//! shows no change of a product, and acknowledges none to the order leader, until each holder that
//! may have fetched the product has dropped it, or its lease has expired:
//!
//! ```text
//!          ┌─ DELETE /cache ─► each holder confirms, or its lease expires ─┐
//! change ──┤                                                               ├─► show ─► acknowledge
//!          └─ propose ───────► durable on a majority ──────────────────────┘
//! ```
//! Meanwhile readers see the old value and may not cache it. An order is acknowledged only after
//! its reservation was. So a read that begins after an acknowledgement sees at least that change: a
//! product read is linearizable (I5), cached or not.
//!
//! # Reading order
//! 1. `account`, `reservation`, `state_machine`: the replicated state.
//! 2. `lease`: which frontends may cache, and what each may have cached.
//! 3. `visible_offers`: what is shown while a change is under way.
//! 4. `writer`, with `invalidation`: one change at a time, through both branches of the picture.
//! 5. `leader`, `leader_term`: before a read or a lease, a majority confirms that this replica
//!    still leads. A new leader does not know the leases of its predecessor, so it waits until they
//!    have expired.
//! 6. `validation` and `holder_verification`: what is refused although the client has the token.
//! 7. `server`, `routes`, `config`, `metrics`: the process around all of that.
//!
//! # Caveats
//! * A restarted catalog answers no reads for the length of a lease plus a tenth (275 ms). Orders
//!   wait meanwhile; none is refused.
//! * The clocks of catalog and frontends may show any time, but must run at the same speed within a
//!   tenth. A frontend whose clock has stopped (a suspended virtual machine) may serve stale values
//!   until its clock has advanced by the rest of its lease.
//! * A frontend that can reach the catalog, but not be reached, delays changes of what it fetched:
//!   once, for one lease.
//! * `LEASE_MS` may be lowered, but a new leader still waits for the longest lease that was ever
//!   configured.
//! * Prices and products are those that the first start found in `CATALOG_FILE`; there is no
//!   command to change them.
//! * Restored older data accepts no reservations but serves reads: it shows more stock than there
//!   is until the newest data is restored.
//! * `GET /accounts` shows committed changes, which may be ahead of what is visible by one change.

mod account;
mod config;
mod export;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod holder_verification;
mod invalidation;
mod leader;
mod leader_term;
mod lease;
mod metrics;
mod refusal;
mod reservation;
mod restock;
mod routes;
pub mod seed;
mod server;
mod state_machine;
mod validation;
mod visible_offers;
mod writer;

pub use crate::account::Offer;
pub use crate::config::{Config, Seed, settings};
pub use crate::export::{ExportError, export};
pub use crate::refusal::Refusal;
pub use crate::reservation::OPEN_MAX;
pub use crate::restock::Restock;
pub use crate::server::{GROUP, Server};
pub use crate::state_machine::{Action, Catalog, CatalogCommand, CatalogReply, CatalogResult};
