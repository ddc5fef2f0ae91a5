//! Detects catalog and order data that do not belong together.
//!
//! Each side is durable by itself, but an operator can restore an older copy of one of them. Then
//! either the stock is too high by what was sold since, or the catalog has sold pieces to orders
//! that do not exist. Neither would cause an error by itself. So the two are compared, and while
//! they contradict each other no order is accepted.
//!
//! # At a takeover: pieces
//! When a leader has begun its term and fenced the catalog, neither side changes unless that leader
//! changes it. Each order that was ever placed is then either settled at the catalog, so its pieces
//! are counted as *sold*, or its reservation is open. Nothing else is sold. So
//!
//! ```text
//! pieces of all orders = pieces sold by the catalog + pieces of open reservations that are kept
//! ```
//!
//! An older catalog makes the right side smaller; older orders make the left side smaller. (Both
//! histories grow in the order of the batches, so a side that lacks something cannot make up for it
//! elsewhere.) The figures come from the state on both sides, across restarts, takeovers,
//! checkpoints and elections.
//!
//! # Afterwards: the last batch
//! From then on each request of the leader names the last batch that the catalog has answered
//! ([`LastAnsweredBatch`](api::catalog::LastAnsweredBatch)). A catalog that has been restored from
//! an older copy in the meantime does not know that batch, and refuses the request before it
//! changes anything.
//!
//! # Caveats
//! * An older copy of the catalog that lacks only a settlement of the same term, or a restock, is
//!   accepted: what it lacks is done again.
//! * An order whose id was forgotten (after a million later orders) and that is placed again counts
//!   as a new order on both sides.

use std::fmt;

use api::catalog::{CatalogPosition, Fenced};
use api::{ApiError, ErrorCode, OrderId, Term};

use crate::orders::Orders;

/// The setting with which an operator accepts older data.
pub(crate) const DIFFERENCE_SETTING: &str = "ACCEPTED_DIFFERENCE";

/// Why no order is accepted, with the figures of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataMismatch {
    /// The sums differ.
    Pieces {
        position: CatalogPosition,
        /// Pieces reserved for orders that are placed.
        kept: u64,
        orders: u64,
        ordered: u64,
        /// The term of the previous leader.
        begun: Term,
    },
    /// The catalog does not know a batch that it has answered. This is its own message.
    Batch(String),
    /// The catalog was fenced by a leader of a later term than this group has ever had.
    Term(Term),
}

impl DataMismatch {
    /// The error for requests that want to place an order.
    pub(crate) fn refusal(&self) -> ApiError {
        let older = if self.catalog_is_older() {
            "the catalog's data are older than the orders"
        } else {
            "the orders' data are older than the catalog"
        };
        ApiError::new(
            ErrorCode::DataMismatch,
            format!("this request has ordered nothing: {older}; an operator has to restore the newest data"),
        )
    }

    fn catalog_is_older(&self) -> bool {
        match self {
            Self::Pieces { position, kept, ordered, .. } => position.sold.saturating_add(*kept) < *ordered,
            Self::Batch(_) => true,
            Self::Term(_) => false,
        }
    }
}

impl fmt::Display for DataMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pieces { position: CatalogPosition { sold, last }, kept, orders, ordered, begun } => {
                let older = if self.catalog_is_older() {
                    "the catalog's data are older than the orders"
                } else {
                    "the orders' data are older than the catalog"
                };
                let last = last.map_or_else(|| "none".to_owned(), |last| last.to_string());
                let difference = i128::from(*ordered) - i128::from(*sold) - i128::from(*kept);
                write!(
                    f,
                    "{older}: the catalog has sold {sold} pieces and reserved {kept} more for placed orders (its last batch is {last}), \
                     but the orders, up to number {orders} and term {begun}, are for {ordered} pieces. No order is accepted until the \
                     newest copy is restored (docs/operations.md); to continue without it, set {DIFFERENCE_SETTING}={difference} for the \
                     order replicas"
                )
            }
            Self::Batch(refusal) => write!(
                f,
                "{refusal}. An older copy of the catalog's data was restored while orders were being placed. No order is accepted until \
                 the newest copy is restored (docs/operations.md)"
            ),
            Self::Term(term) => write!(
                f,
                "the orders' data are older than the catalog: it was fenced by a leader of a later term than {term}, the latest term that a \
                 majority of the order replicas knows. Older copies of the replicas' data were restored, or their data was deleted. No \
                 order is accepted until the newest copies are restored (docs/operations.md)"
            ),
        }
    }
}

/// Compares the catalog's response to a fence with the orders, which must include every order that
/// was ever placed. `before` is the term of the previous leader, `accepted` the difference in
/// pieces that an operator has accepted.
pub(crate) fn compare(orders: &Orders, before: Term, fenced: &Fenced, accepted: i64) -> Result<(), DataMismatch> {
    // A catalog of an earlier release does not report its position.
    let Some(position) = fenced.position else { return Ok(()) };
    let pieces = |id: &OrderId| orders.find(*id).map(|order| u64::from(order.quantity.get()));
    let kept: u64 = fenced.open.iter().filter_map(pieces).sum();
    let ordered = orders.pieces();
    if i128::from(position.sold) + i128::from(kept) + i128::from(accepted) == i128::from(ordered) {
        return Ok(());
    }
    Err(DataMismatch::Pieces { position, kept, orders: orders.count(), ordered, begun: before })
}
