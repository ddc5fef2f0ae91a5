//! The commands that the order group replicates, and their results.

use api::catalog::OrderLine;
use api::{BatchId, OrderNumber, Term};
use serde::{Deserialize, Serialize};

use crate::ledger_format::LedgerFormat;

/// What the order group replicates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderCommand {
    /// A leader begins its term. A term begins once: see [`crate::takeover`].
    Begin {
        /// Its term.
        term: Term,
    },
    /// Gives each order of a batch a number.
    Place {
        /// The batch.
        id: BatchId,
        /// Its orders, whose stock is reserved. The first one gets the next number.
        orders: Vec<OrderLine>,
    },
    /// The same, and remembers the refusals of the batch. [`OrderCommand::Place`] stays as it is,
    /// because existing logs contain such entries.
    Decide {
        /// The batch.
        id: BatchId,
        /// As in [`OrderCommand::Place`]; may be empty.
        orders: Vec<OrderLine>,
        /// The orders that the catalog has refused and that may be attempted again.
        refused: Vec<RefusedOrder>,
    },
    /// Sets the ledger format of a new group. It takes effect only before any term has begun.
    UseLedgerFormat {
        /// The format.
        format: LedgerFormat,
    },
}

/// An order that is refused for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedOrder {
    /// The order.
    pub line: OrderLine,
    /// Why.
    pub reason: RefusalReason,
}

/// Why an order is refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalReason {
    /// Fewer pieces than that were in stock.
    OutOfStock,
    /// There was no such product.
    NoSuchProduct,
}

impl RefusalReason {
    /// The code of the reason in a checkpoint.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::OutOfStock => 1,
            Self::NoSuchProduct => 2,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        [Self::OutOfStock, Self::NoSuchProduct].into_iter().find(|reason| reason.code() == code)
    }
}

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderReply {
    /// The term has begun, and the state has everything that can ever commit from earlier terms.
    Begun,
    /// The term had begun before, by the same replica before it restarted.
    BegunBefore,
    /// The batch is decided.
    Decided {
        /// One outcome per order to be placed, in the order of the batch.
        orders: Vec<PlaceOutcome>,
        /// The final answer of each refused order, in the order of the batch.
        refused: Vec<FinalAnswer>,
    },
    /// The entry was not written by the leader of the command's term, or that term has not begun;
    /// nothing has changed.
    StaleTerm,
    /// The ledger format is settled: this one, or the one that was set before.
    FormatKnown,
}

/// The outcome of one order of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceOutcome {
    /// It now has this number.
    Placed(OrderNumber),
    /// Its id already had its final answer; nothing was added.
    AlreadyDecided(FinalAnswer),
}

/// The final answer of an order id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalAnswer {
    /// The order has this number.
    Placed(OrderNumber),
    /// The order was refused.
    Refused(RefusalReason),
    /// The id belongs to another order, which has a number or was refused.
    OtherOrder,
}
