//! The order service: gives each order exactly one number, and never loses an order that it has
//! acknowledged.
//!
//! Three replicas (or one, or five) keep the same state, a list of numbered orders, on the
//! replication engine ([`replication`]). One of them is the leader and places orders. Every replica
//! serves reads of the orders that it has.
//!
//! # The life of an order
//! ```text
//!   request ──► handler ──► queue ──► reserve ──► place ──► response
//!                                    (catalog)    (log)
//! ```
//! 1. The *handler* takes the request if this replica leads; otherwise it names the leader (421).
//!    If the order id already has a number, the response is that number again; if it was refused
//!    for good, that refusal. The same id with another product or quantity is refused (422).
//! 2. In the *queue* the order waits for a batch. An id is queued at most once, however many
//!    requests wait for it. A full queue refuses new orders (503).
//! 3. **Reserve**: the catalog takes the stock for the batch, or refuses, order by order.
//! 4. **Place**: one log entry gives each order of the batch the next number. The orders are placed
//!    once a majority of the replicas has synced that entry. The same entry records the refusals
//!    that must be remembered.
//! 5. **Settle**: the catalog learns that the batch is placed. The settlement travels with the next
//!    reserve.
//!
//! # Invariants
//! * **I1**: an acknowledged order is never lost. Responses come after the commit, and the
//!   [`ledger`] is compared with the log at each start.
//! * **I2**: one id has one number. An id that has a number keeps it, for the last million orders
//!   ([`orders`]).
//! * **I3**: numbers have no gaps, and all ledgers are the same bytes. Numbers are given in log
//!   order, and lines are written from committed orders only.
//! * **I4**, with the catalog: no stock is lost or sold twice. Batches are never resolved by
//!   guessing, but by the next [`takeover`]. An older copy of either side's data is refused
//!   (`data_mismatch`).
//! * **I6**: a deposed leader can do nothing. Its term is fenced at the catalog, and by the order
//!   of the log itself.
//! * **I7**: a refused order is never placed. Refusals that can be repeated are logged before they
//!   are sent; attempts older than the remembered history are refused ([`orders`]).
//!
//! # Leader terms
//! Everything a leader does belongs to its term. It takes over once ([`takeover`]), then runs the
//! `pipeline`. When the term ends, or its outcome is in doubt, it stops for good, and the requests
//! that still wait get an error that says what is known. A term is never resumed.
//!
//! # Reading order
//! 1. [`orders`]: the replicated state; [`ledger`]: the file that keeps it.
//! 2. `handler`, `order_queue`, `pipeline`: the way of one order, with `order_result` for the
//!    responses.
//! 3. [`takeover`], `leader`: how a leader begins and ends; `catalog_client`, `data_mismatch`
//!    and `reachability`: its view of the catalog.
//! 4. `server`, `routes`, `config`, `metrics`: the process around all of that.
//!
//! # Caveats
//! * A request may be answered with *unavailable* although its order is placed a moment later.
//!   Repeat it with the same id: that is what the id is for. After a million later orders (or
//!   100,000 later refusals) an id is forgotten. An attempt from before that point is then refused;
//!   an attempt whose frontend first saw the order after that point would be placed again.
//! * While the catalog is unavailable, no order is placed: requests wait for up to 5 s, then get
//!   503. If only the leader cannot reach the catalog, it transfers leadership to a replica that
//!   can (`reachability`).
//! * `GET` of a number that a replica does not have costs the leader a round trip to a majority,
//!   shared by all requests that wait for one. Without it, "not found" might be wrong.

mod catalog_client;
mod config;
mod data_mismatch;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod leader;
pub mod ledger;
mod ledger_format;
mod metrics;
mod order_queue;
mod order_result;
pub mod orders;
mod pipeline;
mod reachability;
mod routes;
mod server;
pub mod takeover;

pub use self::config::{Config, settings};
pub use self::server::{GROUP, Server};
pub use ledger_format::LedgerFormat;
