//! What an observer records: calls, their time, and their outcome.

use std::fmt;
use std::time::Duration;

use api::public::NewOrder;
use api::{BatchId, ErrorCode, NodeId, OrderId, OrderNumber, ProductName, Quantity, Stock};
use serde::{Deserialize, Serialize};

/// A moment on the observer's clock, in nanoseconds since the observation began. The clock must be
/// monotonic, and the same for all clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Later than every observed moment.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `elapsed` after the observation began.
    pub fn after(elapsed: Duration) -> Self {
        Self(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Milliseconds with three decimals.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            return f.write_str("never");
        }
        write!(f, "{}.{:03} ms", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

/// The client that made a call. Calls of one client may overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u32);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.0)
    }
}

/// One `POST /orders`. Each attempt with the same order id is a separate call; the checkers group
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCall {
    /// The client.
    pub client: ClientId,
    /// The `Idempotency-Key`, the same for all attempts. A client must send it: the checkers
    /// identify an order by nothing else.
    pub order_id: OrderId,
    /// The product.
    pub product: ProductName,
    /// The quantity, in pieces.
    pub quantity: Quantity,
    /// Before the request was sent.
    pub called: Moment,
    /// After the answer was received; `None` if there was no answer (yet).
    pub returned: Option<Moment>,
    /// The outcome; [`OrderOutcome::Unknown`] if there was no answer.
    pub outcome: OrderOutcome,
}

impl OrderCall {
    /// What was ordered.
    pub fn order(&self) -> NewOrder {
        NewOrder { name: self.product.clone(), quantity: self.quantity }
    }

    /// The number that the order was acknowledged with.
    pub fn number(&self) -> Option<OrderNumber> {
        match self.outcome {
            OrderOutcome::Acknowledged(number) => Some(number),
            OrderOutcome::Refused(_) | OrderOutcome::Unknown => None,
        }
    }
}

/// What a client knows about its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderOutcome {
    /// The order has this number, forever.
    Acknowledged(OrderNumber),
    /// This request has ordered nothing, for this reason. Some reasons are
    /// [final](OrderOutcome::is_final).
    Refused(ErrorCode),
    /// No answer, or one that does not tell: the order may have been placed, may be placed later,
    /// or never.
    Unknown,
}

impl OrderOutcome {
    /// Whether this answer is final for the order's key (I7).
    pub fn is_final(self) -> bool {
        match self {
            Self::Acknowledged(_) => true,
            Self::Refused(code) => code.is_final(),
            Self::Unknown => false,
        }
    }

    /// The outcome of an order whose request was answered with this error.
    ///
    /// `Unavailable` counts as unknown: only its message tells whether anything was begun, not its
    /// code.
    pub fn of_error(code: ErrorCode) -> Self {
        match code {
            ErrorCode::BadRequest
            | ErrorCode::BadQuantity
            | ErrorCode::NotFound
            | ErrorCode::NoSuchProduct
            | ErrorCode::MethodNotAllowed
            | ErrorCode::OutOfStock
            | ErrorCode::PayloadTooLarge
            | ErrorCode::UnsupportedMediaType
            | ErrorCode::UnsupportedContentEncoding
            | ErrorCode::ExpectationFailed
            | ErrorCode::WrongHost
            | ErrorCode::IdempotencyKeyReused => Self::Refused(code),
            _ if code.nothing_begun() => Self::Refused(code),
            _ => Self::Unknown,
        }
    }
}

/// One read of a product, alone or as a part of `GET /products`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductCall {
    /// The client.
    pub client: ClientId,
    /// The product.
    pub product: ProductName,
    /// Before the request was sent.
    pub called: Moment,
    /// After the answer was received; `None` if there was no answer.
    pub returned: Option<Moment>,
    /// The outcome.
    pub outcome: ProductOutcome,
}

/// The outcome of a product read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductOutcome {
    /// This many pieces are in stock.
    Quantity(Stock),
    /// No answer, or an error, which tells nothing about the stock.
    Unknown,
}

/// One `GET /orders/{number}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRead {
    /// The client.
    pub client: ClientId,
    /// The order number.
    pub number: OrderNumber,
    /// Before the request was sent.
    pub called: Moment,
    /// After the answer was received; `None` if there was no answer.
    pub returned: Option<Moment>,
    /// The outcome.
    pub outcome: OrderReadOutcome,
}

/// The outcome of an order read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderReadOutcome {
    /// The order exists.
    Found {
        /// The product.
        product: ProductName,
        /// The quantity, in pieces.
        quantity: Quantity,
    },
    /// The order does not exist (error code `no_such_order`).
    NotFound,
    /// No answer, or another error, which tells nothing.
    Unknown,
}

/// A durable effect of an order leader's batch, as an observer inside the store saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEffect {
    /// When it was observed.
    pub at: Moment,
    /// Where the batch took effect.
    pub target: EffectTarget,
    /// The term of the order leader, and the number of its batch. A batch that is answered a second
    /// time from memory has no effect and is not recorded.
    pub batch: BatchId,
    /// The leader, if the observer knows it.
    pub leader: Option<NodeId>,
}

/// Where a batch takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectTarget {
    /// Stock was reserved for the batch.
    Catalog,
    /// The orders of the batch got their numbers.
    OrderLog,
}

/// Everything that was observed. The order within the lists does not matter, except for the
/// effects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// *All* attempts at orders: an order that is missing here cannot explain why stock has
    /// decreased.
    pub orders: Vec<OrderCall>,
    /// Product reads; any number of them.
    pub products: Vec<ProductCall>,
    /// Order reads; any number of them.
    pub order_reads: Vec<OrderRead>,
    /// The effects of order leaders' batches, in the order in which they took effect. Empty without
    /// an observer inside the store.
    pub effects: Vec<BatchEffect>,
}

/// Displays when a call began and returned.
struct During(Moment, Option<Moment>);

impl fmt::Display for During {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(returned) => write!(f, "from {} to {returned}", self.0),
            None => write!(f, "at {}", self.0),
        }
    }
}

impl fmt::Display for OrderCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, order_id, product, quantity, called, returned, outcome } = self;
        write!(f, "{client} ordered {quantity} × {product} ({order_id}) {}: ", During(*called, *returned))?;
        match outcome {
            OrderOutcome::Acknowledged(number) => write!(f, "acknowledged as order {number}"),
            OrderOutcome::Refused(code) => write!(f, "refused, {}", code.as_str()),
            OrderOutcome::Unknown => f.write_str("outcome unknown"),
        }
    }
}

impl fmt::Display for ProductCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, product, called, returned, outcome } = self;
        write!(f, "{client} read {product} {}: ", During(*called, *returned))?;
        match outcome {
            ProductOutcome::Quantity(stock) => write!(f, "{stock} in stock"),
            ProductOutcome::Unknown => f.write_str("no answer"),
        }
    }
}

impl fmt::Display for OrderRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, number, called, returned, outcome } = self;
        write!(f, "{client} read order {number} {}: ", During(*called, *returned))?;
        match outcome {
            OrderReadOutcome::Found { product, quantity } => write!(f, "{quantity} × {product}"),
            OrderReadOutcome::NotFound => f.write_str("not found"),
            OrderReadOutcome::Unknown => f.write_str("no answer"),
        }
    }
}

impl fmt::Display for BatchEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.target {
            EffectTarget::Catalog => "the reservation of",
            EffectTarget::OrderLog => "the placement of",
        };
        write!(f, "{what} batch {} at {}", self.batch, self.at)?;
        self.leader.map_or(Ok(()), |leader| write!(f, " by {leader}"))
    }
}
