//! Why the catalog refuses an action; the mapping to the wire is here alone.

use api::{ApiError, BatchId, ErrorCode, OrderId, Term};

/// Why nothing was changed. Deterministic: every replica refuses the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The sender is a deposed order leader (I6).
    #[error("term {fence} has fenced this term")]
    StaleTerm {
        /// The newest order leader's term.
        fence: Term,
    },
    /// A batch from before the last one: nobody waits for its answer any more.
    #[error("batch {last} was answered already")]
    OldBatch {
        /// The last batch.
        last: BatchId,
    },
    /// The last batch's name, with another number of orders than it had.
    #[error("batch {last} had other orders")]
    OtherOrders {
        /// The last batch.
        last: BatchId,
    },
    /// A batch with another term's settlement.
    #[error("a batch settles its own term only")]
    ForeignSettlement,
    /// A former term's reservations are open still: a take-over resolves them before it reserves.
    #[error("reservations of an earlier term are open: resolve them first")]
    Unresolved,
    /// A resolution after the term's first batch: a late copy, which must not touch that batch's reservations.
    #[error("this term has reserved already: its take-over is over")]
    TakeoverIsOver,
    /// A resolution that both keeps and releases an order.
    #[error("order {0} is both kept and released")]
    Contradiction(OrderId),
    /// An order twice in a batch, or in a batch although an open reservation is its own: its stock would be taken twice.
    #[error("order {0} has, or would get, two reservations")]
    TwoReservations(OrderId),
    /// The bound of open reservations; see [`OPEN_MAX`](crate::reservation::OPEN_MAX).
    #[error("too many reservations are open: settle first")]
    TooManyOpen,
    /// Seeding a catalog that has products.
    #[error("the catalog has products already")]
    NotEmpty,
    /// An entry of another catalog leader's term than the one in which it was proposed.
    #[error("the catalog's leader has changed meanwhile")]
    OtherTenure,
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            // To all of these the sender's answer is the same: leave this term's work to a new take-over.
            Refusal::StaleTerm { .. } | Refusal::OldBatch { .. } | Refusal::Unresolved | Refusal::TakeoverIsOver => {
                ErrorCode::StaleTerm
            }
            Refusal::OtherOrders { .. }
            | Refusal::ForeignSettlement
            | Refusal::Contradiction(_)
            | Refusal::TwoReservations(_) => ErrorCode::BadRequest,
            Refusal::TooManyOpen => ErrorCode::Overloaded,
            Refusal::NotEmpty => ErrorCode::Internal,
            Refusal::OtherTenure => return ApiError::not_leader(None),
        };
        ApiError::new(code, refusal.to_string())
    }
}
