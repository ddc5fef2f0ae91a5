//! Why the catalog refuses an action, and how each refusal is mapped to the wire.

use api::{ApiError, BatchId, ErrorCode, OrderId, Term};

/// Why nothing was changed. Deterministic: every replica refuses the same actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The sender is a deposed order leader (I6).
    #[error("term {fence} has fenced this term")]
    StaleTerm {
        /// The newest order leader's term.
        fence: Term,
    },
    /// A batch from before the last one: no client waits for its answer any more.
    #[error("batch {last} was already answered")]
    OldBatch {
        /// The last batch.
        last: BatchId,
    },
    /// The id of the last batch, with another number of orders.
    #[error("batch {last} had other orders")]
    OtherOrders {
        /// The last batch.
        last: BatchId,
    },
    /// A batch with a settlement of another term.
    #[error("a batch can settle only its own term")]
    ForeignSettlement,
    /// The sender knows a batch that this catalog does not know.
    #[error(
        "the catalog's data are older than the orders: its last batch is {}, but it answered batch {after} before",
        last.map_or_else(|| "none".to_owned(), |last| last.to_string())
    )]
    Behind {
        /// The last batch in its data.
        last: Option<BatchId>,
        /// The last batch that the sender knows.
        after: BatchId,
    },
    /// Reservations of an earlier term are still open: a takeover resolves them before it
    /// reserves.
    #[error("reservations of an earlier term are open: resolve them first")]
    Unresolved,
    /// A resolution after the first batch of the term: a late copy, which must not affect the
    /// reservations of that batch.
    #[error("this term has already reserved: its takeover is over")]
    TakeoverIsOver,
    /// A resolution that both keeps and releases an order.
    #[error("order {0} is both kept and released")]
    Contradiction(OrderId),
    /// An order twice in a batch, or in a batch although it has an open reservation: its stock
    /// would be reserved twice.
    #[error("order {0} has, or would get, two reservations")]
    TwoReservations(OrderId),
    /// The bound of open reservations; see [`OPEN_MAX`](crate::reservation::OPEN_MAX).
    #[error("too many reservations are open: settle first")]
    TooManyOpen,
    /// Seeding a catalog that already has products.
    #[error("the catalog already has products")]
    NotEmpty,
    /// The entry was proposed in another term of the catalog's leader than the one it was written
    /// in.
    #[error("the catalog's leader has changed in the meantime")]
    OtherTerm,
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            // The sender reacts to all of these in the same way: it leaves the work of this term to
            // a new takeover.
            Refusal::StaleTerm { .. } | Refusal::OldBatch { .. } | Refusal::Unresolved | Refusal::TakeoverIsOver => {
                ErrorCode::StaleTerm
            }
            Refusal::OtherOrders { .. }
            | Refusal::ForeignSettlement
            | Refusal::Contradiction(_)
            | Refusal::TwoReservations(_) => ErrorCode::BadRequest,
            Refusal::Behind { .. } => ErrorCode::DataMismatch,
            Refusal::TooManyOpen => ErrorCode::Overloaded,
            Refusal::NotEmpty => ErrorCode::Internal,
            Refusal::OtherTerm => return ApiError::not_leader(None),
        };
        ApiError::new(code, refusal.to_string())
    }
}
